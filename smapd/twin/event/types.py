"""The event types that a program knows: found in modules and entry points, never registered.

A module offers every subclass of ``AssetEvent`` that can be seen in it, and in the modules of its
own package that it imports. The daemon knows the types of the entry points ``smapd.events``, and
those of the things that run in it.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoints, entry_points
from types import ModuleType
from typing import Any, Final

from zope.interface import implementer

from smapd.errors import BadRequest, ConfigError, EventInvalid
from smapd.interfaces import IEventTypes
from smapd.options import nearest
from smapd.values import EventRecord, Json, Problem

from .base import AssetEvent, UnknownEvent, decode
from .internal import InternalEvent

_log: Final = logging.getLogger(__name__)

GROUP: Final = "smapd.events"
"""The entry-point group in which distributions offer modules, or classes, of events."""


@implementer(IEventTypes)
class EventTypes:
    """Types by name; every method from any thread.

    Changes replace the table whole, so a look needs no lock.
    """

    def __init__(self, modules: Iterable[str] = (), *, offers: EntryPoints | None = None) -> None:
        """``modules``: their types, beside those that ``offers``, the entry points, name.

        Imports the modules, which runs their code.

        :raises ConfigError: naming each of ``modules`` that cannot be imported, or holds a type
            that is no good. One that is merely installed is logged.
        """
        self._types: dict[str, type[AssetEvent]] = {}
        problems: list[Problem] = []
        points = entry_points(group=GROUP) if offers is None else offers
        for name in dict.fromkeys(point.value for point in points):
            try:
                self.add_module(name)
            except ConfigError as error:  # somebody's package; it must not hold up this program
                for problem in error.problems:
                    _log.warning("%s", problem.text)
        for name in dict.fromkeys(modules):
            try:
                self.add_module(name)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)

    def add_module(self, name: str) -> None:
        """Add the types of a module (``package.module``), or one (``package.module:Class``).

        :raises ConfigError: if it cannot be imported, or holds a type that is no good.
        """
        module_name, _, attribute = name.partition(":")
        look_here()
        try:
            module = importlib.import_module(module_name)
            found = getattr(module, attribute) if attribute else module
        except Exception as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise _config_error([f"the event module {name} cannot be imported: {text}"]) from error
        if isinstance(found, ModuleType):
            self.add(*_types_in(found))
        elif _is_type(found):
            self.add(found)
        else:
            raise _config_error([f"{name} is no event type: it is no subclass of AssetEvent"])

    def add(self, *types: type[AssetEvent]) -> None:
        """Add these types.

        :raises ConfigError: if one has the name of another, or a schema that is no good.
        """
        table, problems = dict(self._types), []
        for one in types:
            known = table.get(one.type_name())
            if known is not None and known is not one and not _same(known, one):
                problems.append(
                    f"there are two event types named {one.type_name()}: in {known.__module__} "
                    f"and in {one.__module__}"
                )
                continue
            try:
                one.shapes()
            except EventInvalid as error:
                problems.append(error.message)
                continue
            table[one.type_name()] = one
        if problems:
            raise _config_error(problems)
        self._types = table

    def find(self, name: str) -> type[AssetEvent] | None:
        """The class of that name, else None."""
        return self._types.get(name)

    def names(self) -> list[str]:
        """The names of all types, sorted."""
        return sorted(self._types)

    def check(self, name: str, version: int | None, data: Json) -> tuple[int, str, bytes]:
        """(version, form, body) of data that somebody wants to publish as such an event.

        Stricter than ``publish_event``: a field that the schema lacks is refused.

        :raises BadRequest: for a type or version that is not known, naming those that are, and
            (EventInvalid) naming the field that does not fit.
        """
        found = self._types.get(name)
        if found is None:
            known = ", ".join(self.names()) or "none; install a package that offers smapd.events"
            close = nearest(name, self._types)
            meant = f" Did you mean {close}?" if close else ""
            raise BadRequest(f"name: there is no event type {name}.{meant} There are: {known}.")
        event = found("", 0.0, data, version=version)
        form, body = event.encode(strict=True)
        return event.version, form, body

    def event(self, asset: str, record: EventRecord) -> AssetEvent:
        """The event in a record; an ``UnknownEvent`` if its type or version is not known here."""
        known = {
            "asset": asset,
            "version": record.version,
            "time_ms": record.time_ms,
            "systime_ms": record.systime_ms,
            "source": record.source,
            "offset": record.offset,
        }
        found = self._types.get(record.name)
        shape = found.shapes().get(record.version) if found is not None else None
        if found is not None and shape is not None:
            try:
                data = decode(shape, record.form, record.data)
            except ValueError:
                pass  # told as it is: the follower must see that there was something
            else:
                return found.received(data=data, **known)  # type: ignore[arg-type]
        return UnknownEvent.of(record.name, record.form, record.data, **known)

    def decode(self, record: EventRecord) -> Json:
        """The data of a record as JSON can show them; texts for what JSON lacks.

        A body that cannot be read, as its type is not known here: ``{"base64": …}``.
        """
        event = self.event("", record)
        if isinstance(event, UnknownEvent) and isinstance(event.data, bytes):
            return {"base64": base64.b64encode(event.data).decode("ascii")}
        return _plain(event.data) if record.form != "json" else event.data


def look_here() -> None:
    """From now on modules in the working directory are found, beside what is installed."""
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)  # at the end: it stands in for no installed package


def _plain(value: Any) -> Json:
    """What Avro can hold, in the words of JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _types_in(module: ModuleType) -> Iterator[type[AssetEvent]]:
    package = module.__name__.partition(".")[0]
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        if one.__name__ in seen:
            continue
        seen.add(one.__name__)
        for found in list(vars(one).values()):
            if isinstance(found, ModuleType):
                if found.__name__.partition(".")[0] == package and found.__name__ in sys.modules:
                    waiting.append(found)
            elif _is_type(found):
                yield found


def _is_type(found: Any) -> bool:
    return (
        inspect.isclass(found)
        and issubclass(found, AssetEvent)
        and found not in (AssetEvent, UnknownEvent)
        and not issubclass(found, InternalEvent)
        and not found.__name__.startswith("_")
    )


def _same(one: type[AssetEvent], other: type[AssetEvent]) -> bool:
    """Whether they are one class that was imported twice, as a reload does."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def _config_error(problems: Iterable[str]) -> ConfigError:
    return ConfigError([Problem(text + ".", key="EventModules") for text in problems])

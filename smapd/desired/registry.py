"""The resource and handler classes of this process: what ``@resource`` and ``@provider`` write.

This is the one place beside ``runtime/periodic.py`` whose state changes after import, because a
decorator has nobody to hand its class to. Whoever works with the classes takes a ``frozen()`` copy
first, so that an import in the middle of a deployment changes nothing in it.

The newest registration of a name wins. Taking another's place is said once, in the log and in
``warnings``; a module that is imported anew takes its own place silently.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, Final

from twisted.logger import Logger

_log = Logger()
_OWN: Final = __name__.rpartition(".")[0]
_MOST_WARNINGS: Final = 1000


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A class of resources. ``agent``: where the entity names its agent, like host.name."""

    name: str
    cls: type[Any]
    agent: str
    id_attribute: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A handler class for the resources of one type; ``name`` tells it from others in the log."""

    type_name: str
    name: str
    cls: type[Any]


def _none() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FrozenRegistry:
    """The classes as they were at one moment, by type name."""

    resources: Mapping[str, ResourceType] = field(default_factory=_none)
    providers: Mapping[str, Provider] = field(default_factory=_none)
    warnings: tuple[str, ...] = ()

    def handler_hashes(self) -> dict[str, str]:
        """Of each type with a handler, the sha256 of the code that makes its handler up.

        That is the source of the modules of the class and of its bases, whatever they are called,
        but for those of this room. A handler whose source cannot be read has none.
        """
        known: dict[str, str] = {}
        hashes = {name: _hash(one.cls, known) for name, one in self.providers.items()}
        return {name: found for name, found in hashes.items() if found}


_resources: dict[str, ResourceType] = {}
_providers: dict[str, Provider] = {}
_warnings: dict[str, None] = {}


def add_resource(new: ResourceType) -> None:
    """Register a resource class; any thread."""
    _warn("resource", new.name, _resources.get(new.name), new)
    _resources[new.name] = new


def add_provider(new: Provider) -> None:
    """Register a handler class; any thread."""
    _warn("handler", new.type_name, _providers.get(new.type_name), new)
    _providers[new.type_name] = new


def resource_type(name: str) -> ResourceType | None:
    """The newest registration of that type; any thread."""
    return _resources.get(name)


def frozen() -> FrozenRegistry:
    """What is registered now; any thread."""
    return FrozenRegistry(
        MappingProxyType(dict(_resources)), MappingProxyType(dict(_providers)), tuple(_warnings)
    )


def clear() -> None:
    """Forget every registration; for tests."""
    _resources.clear()
    _providers.clear()
    _warnings.clear()


def _warn(
    kind: str,
    name: str,
    old: ResourceType | Provider | None,
    new: ResourceType | Provider,
) -> None:
    if old is None or _place(old.cls) == _place(new.cls):
        return
    text = (
        f"There are two {kind} classes for {name}: {_place(old.cls)}, and now"
        f" {_place(new.cls)}, which is used from here on."
    )
    if text in _warnings or len(_warnings) >= _MOST_WARNINGS:
        return
    _warnings[text] = None
    _log.warn("{warning}", warning=text)


def _place(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _hash(cls: type[Any], known: dict[str, str]) -> str:
    parts: list[str] = []
    for name in dict.fromkeys(klass.__module__ for klass in cls.__mro__):
        if name in ("builtins", "typing", "abc") or name == _OWN or name.startswith(f"{_OWN}."):
            continue
        if name not in known:
            known[name] = _source_hash(sys.modules.get(name))
        if not known[name]:
            return ""
        parts.append(known[name])
    return hashlib.sha256(" ".join(sorted(parts)).encode()).hexdigest()


def _source_hash(module: ModuleType | None) -> str:
    try:
        source = inspect.getsource(module) if module is not None else ""
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(source.encode("utf-8", "replace")).hexdigest() if source else ""

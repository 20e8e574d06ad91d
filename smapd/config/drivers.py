"""The ``type`` of a section to a driver's class; nothing is ever registered."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from types import ModuleType
from typing import Any, Final

from smapd.errors import DriverFailed, MissingExtra, NoSuchDriver, SmapError
from smapd.options import nearest

GROUP: Final = "smapd.drivers"
"""The entry-point group in which other distributions offer drivers by a short name."""

_WRITE: Final = "Write Collection, Timeseries or a driver's dotted name."


def find_driver(name: str, offers: EntryPoints | None = None) -> type[Any]:
    """The class of a driver: ``package.module.Class``, or a short name of an entry point.

    ``smap.drivers.x.Class`` is read as ``smapd.drivers.x.Class``. Modules are also found in the
    working directory. ``offers``: the entry points of drivers, else they are read. Importing runs
    the module's code, so call it from the main or a work thread.

    :raises NoSuchDriver: if there is none of that name, or it is no driver.
    :raises MissingExtra: if the module needs a package that is not installed.
    :raises DriverFailed: if the module raises while it is imported.
    """
    _look_in_working_directory()
    if "." not in name:
        return _checked(_by_entry_point(name, offers), name)
    dotted = "smapd." + name[5:] if name.startswith("smap.") else name
    parts = dotted.split(".")
    if not all(part.isidentifier() for part in parts):
        raise NoSuchDriver(f"{name} is no driver: a driver's type is package.module.Class.")
    module = _imported(".".join(parts[:-1]), name)
    found = getattr(module, parts[-1], None)
    if found is None and hasattr(module, "__path__") and _is_module(dotted, name):
        found = importlib.import_module(dotted)
    if found is None:
        raise NoSuchDriver(f"there is no {parts[-1]} in {module.__name__}.{_meant(module, parts)}")
    return _checked(found, name)


def list_drivers(offers: EntryPoints | None = None) -> list[tuple[str, str]]:
    """(short name, dotted name) of every driver that an installed distribution offers, sorted."""
    points = entry_points(group=GROUP) if offers is None else offers
    return sorted({(p.name, p.value.replace(":", ".")) for p in points})


class Finder:
    """Finds the classes of many sections, each name once, and says what an unknown one may mean.

    A call with the name gives the class, and raises as ``find_driver`` does. A config of thousands
    of sections names few drivers, and each look reads what is installed.
    """

    def __init__(self, find: Callable[[str], type[Any]]) -> None:
        self._find = find
        self._found: dict[str, type[Any] | SmapError] = {}
        self._read: EntryPoints | None = None

    def __call__(self, name: str) -> type[Any]:
        """The class of a driver; raises as ``find_driver`` does, with advice in the sentence."""
        if name not in self._found:
            self._found[name] = self._look(name)
        found = self._found[name]
        if isinstance(found, SmapError):
            raise found.with_traceback(None)  # else it would grow with each section
        return found

    def _look(self, name: str) -> type[Any] | SmapError:
        try:
            if self._find is find_driver:
                return find_driver(name, self._offers())
            return self._find(name)
        except NoSuchDriver as e:
            text = str(e)
            if "Did you mean" not in text:
                close = suggest(name, self._offers())
                text += f" Did you mean {close}?" if close else " " + _WRITE
            return NoSuchDriver(text)
        except (MissingExtra, DriverFailed) as e:
            return e

    def _offers(self) -> EntryPoints:
        if self._read is None:
            self._read = entry_points(group=GROUP)
        return self._read


def suggest(name: str, offers: EntryPoints | None = None) -> str | None:
    """The driver name, or kind of node, that was most likely meant by an unknown one."""
    known = ["Collection", "Timeseries"]
    for short, dotted in list_drivers(offers):
        known += [dotted] if "." in name else [short]
    return nearest(name, known)


def _look_in_working_directory() -> None:
    # At the end, so that a file beside the config cannot stand in for an installed package.
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)


def _by_entry_point(name: str, offers: EntryPoints | None) -> Any:
    read = entry_points(group=GROUP) if offers is None else offers
    points: dict[str, EntryPoint] = {p.value: p for p in read if p.name == name}
    if len(points) > 1:
        both = " and ".join(sorted(v.replace(":", ".") for v in points))
        raise NoSuchDriver(f"{name} is offered twice: {both}. Write the one that is meant.")
    if not points:
        raise NoSuchDriver(f"no such type as {name}.")
    (point,) = points.values()
    module = _imported(point.module, name)
    return inspect.getattr_static(module, point.attr, None)


def _imported(module: str, name: str) -> ModuleType:
    """Import a module, and tell apart what can go wrong."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as e:
        missing = e.name or ""
        if module == missing or module.startswith(missing + "."):
            raise NoSuchDriver(f"there is no module {missing}.") from None
        raise MissingExtra(
            f"{name} needs the package {missing}, which is not installed.",
            hint=f"Install it, or what it belongs to, with pip: {missing.partition('.')[0]}",
        ) from e
    except MissingExtra:
        raise
    except (Exception, SystemExit) as e:
        raise DriverFailed(name, "import", e) from e


def _is_module(dotted: str, name: str) -> bool:
    try:
        _imported(dotted, name)
    except NoSuchDriver:
        return False
    return True


def _checked(found: Any, name: str) -> type[Any]:
    if isinstance(found, ModuleType):
        classes = _drivers_of(found)
        hint = f" Did you mean {found.__name__}.{classes[0]}?" if classes else ""
        raise NoSuchDriver(f"{name} is a module, not a class.{hint}")
    if not isinstance(found, type) or not callable(getattr(found, "setup", None)):
        raise NoSuchDriver(f"{name} is no driver: a driver is a class with setup and start.")
    return found


def _drivers_of(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and callable(getattr(value, "setup", None))
        # what a driver's module imported to build on is not what the config means
        and value.__module__.startswith(module.__name__)
    ]


def _meant(module: ModuleType, parts: list[str]) -> str:
    close = nearest(parts[-1], _drivers_of(module))
    return f" Did you mean {'.'.join(parts[:-1])}.{close}?" if close else ""

"""The ``type`` of a section to a driver's class; nothing is ever registered."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from smapd.errors import DriverFailed, MissingExtra, NoSuchDriver
from smapd.options import nearest

GROUP: Final = "smapd.drivers"
"""The entry-point group in which other distributions offer drivers by a short name."""


def find_driver(name: str) -> type[Any]:
    """The class of a driver: ``package.module.Class``, or a short name of an entry point.

    ``smap.drivers.x.Class`` is read as ``smapd.drivers.x.Class``. Modules are also found in the
    working directory. Importing runs the module's code, so call it from the main or a work thread.

    :raises NoSuchDriver: if there is none of that name, or it is no driver.
    :raises MissingExtra: if the module needs a package that is not installed.
    :raises DriverFailed: if the module raises while it is imported.
    """
    _look_in_working_directory()
    if "." not in name:
        return _checked(_by_entry_point(name), name)
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


def list_drivers() -> list[tuple[str, str]]:
    """(short name, dotted name) of every driver that an installed distribution offers, sorted."""
    points = entry_points(group=GROUP)
    return sorted({(p.name, p.value.replace(":", ".")) for p in points})


def suggest(name: str) -> str | None:
    """The driver name, or kind of node, that was most likely meant by an unknown one."""
    known = ["Collection", "Timeseries"]
    for short, dotted in list_drivers():
        known += [dotted] if "." in name else [short]
    return nearest(name, known)


def _look_in_working_directory() -> None:
    # At the end, so that a file beside the config cannot stand in for an installed package.
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)


def _by_entry_point(name: str) -> Any:
    points: dict[str, EntryPoint] = {p.value: p for p in entry_points(group=GROUP, name=name)}
    if len(points) > 1:
        offers = " and ".join(sorted(v.replace(":", ".") for v in points))
        raise NoSuchDriver(f"{name} is offered twice: {offers}. Write the one that is meant.")
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

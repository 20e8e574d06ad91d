"""The base class of drivers: a driver is at the same time its own view of the tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, NoReturn, cast
from uuid import UUID

from smapd.core import Collection, Scope, Timeseries
from smapd.options import Option
from smapd.values import Quality, wall_ms


class _Nowhere:
    """Stands where a driver's view of the tree will be, and says so."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(
            f"{name}: this driver has no place in a tree yet. Load it from a config section, or "
            "write setup(self, inst, opts), hand it an instance, and use that"
        )


class SmapDriver:
    """A place in the tree whose timeseries a program makes and fills.

    A subclass has ``setup(self, opts)`` or ``setup(self, inst, opts)``, and ``start``. Its host
    calls ``setup`` once, then ``start``, at the end ``stop``: on a work thread, or on the reactor
    with ``ON_REACTOR = True``. Paths given to the methods here are relative to the driver's place,
    and keys need only be unique within it; ``inst`` is the same view. Nothing of this needs
    ``__init__`` to be called.
    """

    OPTIONS: ClassVar[tuple[Option, ...] | None] = None
    """The keys of its section: typed, checked and with their defaults in ``opts``. None: unchecked,
    ``opts`` then holds every key of the section as text or list, nested sections as dicts."""

    ON_REACTOR: ClassVar[bool] = False
    """Whether it is Twisted code that never blocks, whose calls all belong on the reactor.

    Its steps may be coroutines or give Deferreds, which are waited for. The time for which they
    hold the reactor is told in /status."""

    # set by the host; the name keeps clear of what a driver calls its own
    _smapd_scope: Scope = cast(Scope, _Nowhere())
    _smapd_seconds: Callable[[], float] | None = None

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Make timeseries; no I/O that waits for a device. ``opts`` is a dict of its own.

        Written as ``setup(self, opts)`` or ``setup(self, inst, opts)``. What it raises is shown at
        the driver's place, what it made is taken back, and it is tried again with backoff on a
        new object.
        """

    def start(self) -> None:
        """Begin to read, by ``periodicCallInThread``. When it raises it is called again later."""

    def stop(self) -> None:
        """Let go of the device. No more beats come; one that hangs may still be under way."""

    def load(self, start: datetime, end: datetime) -> None:
        """Add the readings of the past from ``start`` to ``end``, if the device keeps them."""

    def seconds(self) -> float:
        """The daemon's clock, in seconds that only grow: for rates and how long something took.

        From any thread. Its zero means nothing. In a test it is the test's clock; outside a daemon
        it is the wall clock, which may jump.
        """
        seconds = self._smapd_seconds
        return wall_ms() / 1000 if seconds is None else seconds()

    # --- the driver's view of the tree

    def add(
        self,
        path: str,
        time_or_value: Any,
        value: Any = ...,
        seqno: int | None = None,
        quality: Quality | None = None,
    ) -> None:
        """Add one reading: ``add(path, value)`` for now, or ``add(path, time, value)``.

        From any thread; never waits. Time in seconds or an aware datetime (in ms on a
        ``milliseconds=True`` timeseries); an int is whole seconds. A value or time that does not
        fit is counted, and logged once a stream. ``quality=bad("why")`` goes with the value None.

        :raises NoSuchPath: if there is no such timeseries.
        """
        self._smapd_scope.add(path, time_or_value, value, seqno, quality)

    def add_many(self, path: str, times: Any, values: Any, quality: Quality | None = None) -> None:
        """Add a block of readings: two columns of one length, lists or arrays; else as ``add``."""
        self._smapd_scope.add_many(path, times, values, quality)

    def add_timeseries(
        self, path: str, key_or_uuid: Any = None, unit: Any = ..., **options: Any
    ) -> Timeseries:
        """Make a timeseries: ``(path, key, unit)``, or ``(path, unit)`` with the path as the key.

        ``options``: data_type, timezone, buffersz, milliseconds, description, as in
        ``SmapInstance.add_timeseries``. From any thread; waits for the tree.

        :raises PathExists: if the path, or within this driver the key, is taken.
        """
        return self._smapd_scope.add_timeseries(path, key_or_uuid, unit, **options)

    def add_actuator(
        self, path: str, unit: str | None, actuator: Any, **options: Any
    ) -> Timeseries:
        """Make a timeseries that can be set, by an object of a class made from ``smapd.actuate``.

        ``options``: data_type, read_limit, write_limit, settle, tolerance, timeout_s, autoadd,
        timezone, description, buffersz, as in ``SmapInstance.add_actuator``. From any thread.

        :raises TypeError: if ``actuator`` is none, naming what it lacks.
        :raises PathExists: if the path is taken.
        """
        return self._smapd_scope.add_actuator(path, unit, actuator, **options)

    def add_collection(self, path: str, **options: Any) -> Collection:
        """Make a collection; ``asset="ID"`` marks it as an asset. From any thread."""
        return self._smapd_scope.add_collection(path, **options)

    def set_metadata(self, path: str, metadata: Mapping[str, Any]) -> None:
        """Set metadata, flat (``{"Extra/Foo": "bar"}``) or nested. From any thread."""
        self._smapd_scope.set_metadata(path, metadata)

    def set_description(self, path: str, description: str | None) -> None:
        """Set the description of a node, None for none. From any thread."""
        self._smapd_scope.set_description(path, description)

    def remove(self, path: str) -> None:
        """Take a node, and all below it, out of the tree. From any thread."""
        self._smapd_scope.remove(path)

    def get_timeseries(self, path: str | UUID) -> Timeseries | None:
        """The timeseries of a path or uuid; None if there is none."""
        return self._smapd_scope.get_timeseries(path)

    def get_collection(self, path: str) -> Collection | None:
        """The collection of a path; None if there is none."""
        return self._smapd_scope.get_collection(path)

    def lookup(self, path: str | UUID) -> Any:
        """The node of a path or uuid, or None; of ``/x/+`` a dict of all at and below /x."""
        return self._smapd_scope.lookup(path)

    def uuid(self, key: str) -> UUID:
        """The uuid that this key names within this driver."""
        return self._smapd_scope.uuid(key)

"""Whose a periodic call is: the driver in whose ``setup`` or ``start`` it was made."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred

from smapd.errors import ShutdownRequested

from .beat import Beat
from .calls import PeriodicCall
from .hiding import Hide, shown_as_is
from .pool import Lane

if TYPE_CHECKING:
    from .scheduler import Scheduler

T = TypeVar("T")

current_owner: contextvars.ContextVar[CallOwner | None] = contextvars.ContextVar(
    "smapd_current_owner", default=None
)
"""The driver whose code runs in this context; None outside of drivers."""


class CallOwner:
    """The periodic calls of one driver: none before ``begin``, none after ``stop``.

    At most one of them runs at a time, so a driver holds one poll thread at most. A driver that
    is set up again after a failure has a new owner.
    """

    __slots__ = (
        "__weakref__",
        "_begun",
        "_calls",
        "_scheduler",
        "_stopped",
        "hide",
        "lane",
        "name",
        "on_reactor",
        "path",
        "reactor_s",
        "worst_reactor_s",
    )

    def __init__(
        self, name: str, path: str, scheduler: Scheduler, *, on_reactor: bool = False
    ) -> None:
        """``name`` stands in the log, ``path`` in ``/status``.

        ``on_reactor``: the calls run on the reactor's thread, each as it is due.
        """
        self.name, self.path, self.on_reactor = name, path, on_reactor
        self.lane: Lane | None = Lane()
        self.hide: Hide = shown_as_is
        """Takes the section's secrets out of what is told of its driver."""
        self.reactor_s = 0.0
        self.worst_reactor_s = 0.0
        self._scheduler = scheduler
        self._calls: dict[PeriodicCall, Beat] = {}
        self._begun = False
        self._stopped = False

    def run(self, f: Callable[..., T], *a: object) -> T:
        """Call ``f(*a)`` here and now, as code of this driver; any thread.

        Periodic calls made inside belong to it, and log lines written inside carry its path.
        """
        token = current_owner.set(self)
        try:
            return f(*a)
        finally:
            current_owner.reset(token)

    def call(self, fn: Callable[..., object], *args: object) -> PeriodicCall:
        """A new call of this driver, not started yet."""
        return self.run(PeriodicCall, fn, args, self)

    def begin(self) -> None:
        """Polls begin: those that were started come now, later ones at once. Reactor's thread."""
        self._begun = True
        for call, beat in list(self._calls.items()):
            self._scheduler.begin(call, beat)

    def stop(self, timeout_s: float = 0.0) -> Deferred[list[str]]:
        """End all of them, for good; on the reactor's thread.

        Fires when none runs any more, or after ``timeout_s`` with the names of those that do.
        """
        self._stopped = True
        calls = list(self._calls)
        self._calls.clear()
        for call in calls:
            self._scheduler.end(call)
        return self._scheduler.wait_for(calls, timeout_s)

    @property
    def seconds(self) -> Callable[[], float]:
        """The monotonic clock that the beats go by; any thread."""
        return self._scheduler.seconds

    @property
    def calls(self) -> tuple[PeriodicCall, ...]:
        """The calls that are started."""
        return tuple(self._calls)

    # --- as the home of its calls

    def begin_call(self, call: PeriodicCall, beat: Beat) -> None:
        """From any thread: let it run, once the driver polls."""
        if self._stopped:
            raise ShutdownRequested(f"{call.name} was not started: {self.path} was stopped")
        self._scheduler.threads.to_reactor(self._begin_here, call, beat, wait=False)

    def end_call(self, call: PeriodicCall) -> None:
        """From any thread: let it run no more."""
        self._scheduler.threads.to_reactor(self._end_here, call, wait=False)

    def took_here(self, seconds: float) -> None:
        """A call of it held the reactor for so long."""
        self.reactor_s += seconds
        self.worst_reactor_s = max(self.worst_reactor_s, seconds)

    def _begin_here(self, call: PeriodicCall, beat: Beat) -> None:
        if self._stopped:
            return
        self._calls[call] = beat
        if self._begun:
            self._scheduler.begin(call, beat)

    def _end_here(self, call: PeriodicCall) -> None:
        if self._calls.pop(call, None) is not None:
            self._scheduler.end(call)

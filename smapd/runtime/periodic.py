"""Periodic calls that are nobody's: the one list of the process that waits for ``server.run``.

The tutorial makes its calls at the top of a program, before there is a daemon. They wait here;
``adopt`` starts them, and those that are started later begin at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .beat import Beat
from .calls import PeriodicCall
from .hiding import shown_as_is
from .owner import current_owner
from .pool import Lane

if TYPE_CHECKING:
    from .scheduler import Scheduler


def periodic_call(
    fn: Callable[..., object], args: tuple[Any, ...] = (), *, sequential: bool = False
) -> PeriodicCall:
    """A call of ``fn(*args)``, to be started with ``.start(interval_s)``; any thread.

    Made inside a driver's setup, start or poll it belongs to that driver; elsewhere it runs while
    the daemon runs. ``sequential`` is what every call is: it never overlaps itself. It is taken
    because the tutorial has a name for it.
    """
    owner = current_owner.get()
    return PeriodicCall(fn, args, owner if owner is not None else _NOBODY)


def adopt(scheduler: Scheduler) -> None:
    """The daemon runs: start what waits, and what is started from now on. Reactor's thread.

    :raises RuntimeError: if another has adopted them.
    """
    _NOBODY.adopt(scheduler)


def release() -> None:
    """The daemon stops: its scheduler ends the calls; the list is empty again."""
    _NOBODY.release()


class _Nobody:
    """The home of calls that no driver has."""

    name = ""
    path = ""
    lane: Lane | None = None
    on_reactor = False
    reactor_s = 0.0
    hide = staticmethod(shown_as_is)

    def __init__(self) -> None:
        self._scheduler: Scheduler | None = None
        self._calls: dict[PeriodicCall, Beat] = {}

    def adopt(self, scheduler: Scheduler) -> None:
        if self._scheduler is not None and self._scheduler is not scheduler:
            raise RuntimeError("the periodic calls of this process have a daemon already")
        self._scheduler = scheduler
        for call, beat in list(self._calls.items()):
            scheduler.begin(call, beat)

    def release(self) -> None:
        scheduler, self._scheduler = self._scheduler, None
        calls = list(self._calls)
        self._calls.clear()
        if scheduler is not None:
            for call in calls:
                scheduler.end(call)

    def begin_call(self, call: PeriodicCall, beat: Beat) -> None:
        self._home(self._begin_here, call, beat)

    def end_call(self, call: PeriodicCall) -> None:
        self._home(self._end_here, call)

    def took_here(self, seconds: float) -> None:
        """Never on the reactor."""

    def _home(self, f: Callable[..., None], *a: object) -> None:
        scheduler = self._scheduler
        if scheduler is None:
            f(*a)
        else:
            scheduler.threads.to_reactor(f, *a, wait=False)

    def _begin_here(self, call: PeriodicCall, beat: Beat) -> None:
        self._calls[call] = beat
        if self._scheduler is not None:
            self._scheduler.begin(call, beat)

    def _end_here(self, call: PeriodicCall) -> None:
        if self._calls.pop(call, None) is not None and self._scheduler is not None:
            self._scheduler.end(call)


_NOBODY = _Nobody()

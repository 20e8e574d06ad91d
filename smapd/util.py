"""What the tutorial calls ``util``: periodic calls off the reactor, and the time in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smapd.runtime import PeriodicCall
from smapd.runtime.periodic import periodic_call
from smapd.values import wall_ms

__all__ = ["now", "periodicCallInThread", "periodicSequentialCall"]


def periodicCallInThread(fn: Callable[..., Any], *args: Any) -> PeriodicCall:
    """Call ``fn(*args)`` again and again in a thread of its own; begin with ``.start(seconds)``.

    From any thread. The first call comes at once, then one each interval; ``fn`` may block, and
    never runs twice at the same time: beats that come while it still runs are skipped and counted.
    An exception is logged with its traceback, and the next beat still comes. Made in a driver's
    ``setup`` or ``start`` it stops with that driver (and runs on the reactor if the driver has
    ``ON_REACTOR = True``); made elsewhere it begins and ends with ``server.run``. ``.stop()`` ends
    it at any time.
    """
    return periodic_call(fn, args)


def periodicSequentialCall(fn: Callable[..., Any], *args: Any) -> PeriodicCall:
    """The same, strictly one after another; see ``periodicCallInThread``."""
    return periodic_call(fn, args, sequential=True)


def now() -> int:
    """The wall clock in whole seconds since 1970, as ``add`` takes it; any thread."""
    return wall_ms() // 1000

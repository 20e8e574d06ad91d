"""The one clock: every timer of the daemon comes from here, and none outlives ``stop``.

Twisted's reactor keeps its timers against ``time.time``. When the wall clock is set forward all
of them fire at once; when it is set back by an hour the reactor sleeps for an hour. So the clock
gives the reactor a time of its own, which starts at the wall clock's value and then only grows.
That mends the timers inside Twisted too: connection and idle timeouts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.errors import ShutdownRequested
from smapd.interfaces import IClock, ITimer
from smapd.values import wall_ms

from .guard import attempt

_log = Logger()

SHARED_S: Final = 1.0
"""Beats of so long an interval come at full seconds."""


@implementer(IClock)
class Clock:
    """Timers, in seconds of a monotonic clock, and the wall clock's milliseconds.

    Used on the reactor's thread, except ``seconds`` and ``wall_ms``, which any thread may call.
    A ``twisted.internet.task.Clock`` serves as the reactor in a test.
    """

    def __init__(self, reactor: IReactorTime, wall: Callable[[], int] = wall_ms) -> None:
        self._reactor = reactor
        self._wall = wall
        self._timers: set[Timer] = set()
        self._repeating: set[Repeating] = set()
        self._stopped = False
        if isinstance(reactor, ReactorBase):
            make_steady(reactor)
            self.seconds: Callable[[], float] = time.monotonic
        else:
            self.seconds = reactor.seconds

    def wall_ms(self) -> int:
        """Milliseconds since 1970 by the wall clock, which may jump; for stamps, never waits."""
        return self._wall()

    def later(self, delay_s: float, f: Callable[..., object], *a: Any) -> Timer:
        """Call ``f(*a)`` once, in ``delay_s`` seconds; what it raises is logged.

        :raises ShutdownRequested: after ``stop``.
        """
        if self._stopped:
            raise ShutdownRequested("no timer can be set: smapd is stopping")
        return Timer(self._reactor, self._timers, max(0.0, delay_s), f, a)

    def every(self, interval_s: float, f: Callable[..., object], *a: Any) -> Repeating:
        """Call ``f(*a)`` each ``interval_s`` seconds until ``stop()`` of what this returns.

        The first call comes after one interval; of one second or more, at the full second behind
        that, so that many wake the reactor once. Beats stay in phase with the start; one that
        comes too late, or while the Deferred of the last is open, is left out. What ``f`` raises
        is logged, and the next beat still comes.

        :raises ShutdownRequested: after ``stop``.
        """
        if not interval_s > 0:
            raise ValueError(f"the interval must be more than 0 seconds: got {interval_s}")
        repeating = Repeating(self, self._repeating, interval_s, f, a)
        repeating._arm()
        return repeating

    def sleep(self, delay_s: float) -> Deferred[None]:
        """A Deferred that fires in ``delay_s`` seconds; at ``stop`` it fails as cancelled."""
        done: Deferred[None] = Deferred(lambda _: timer.discard())
        timer = self.later(delay_s, done.callback, None)
        timer.when_dropped = done.cancel
        return done

    def background(
        self, work: Deferred[Any] | Coroutine[Deferred[Any], Any, Any], what: str
    ) -> None:
        """Nobody waits for ``work``: log its failure with ``what``, "it was doing this".

        A cancellation is not logged: that is how work ends at ``stop``.
        """
        deferred = work if isinstance(work, Deferred) else ensureDeferred(work)
        deferred.addErrback(_log_failure, what)

    def stop(self) -> None:
        """Cancel every timer that is left; fail every ``sleep``. Nothing can be set after it."""
        self._stopped = True
        for repeating in list(self._repeating):
            repeating.stop()
        for timer in list(self._timers):
            timer.discard()
            if timer.when_dropped is not None:
                timer.when_dropped()


@implementer(IDelayedCall, ITimer)
class Timer:
    """One call to come; an ``IDelayedCall`` that its clock knows of until it is over."""

    __slots__ = ("_a", "_call", "_f", "_timers", "when_dropped")

    def __init__(
        self,
        reactor: IReactorTime,
        timers: set[Timer],
        delay_s: float,
        f: Callable[..., object],
        a: tuple[Any, ...],
    ) -> None:
        self._f, self._a, self._timers = f, a, timers
        self.when_dropped: Callable[[], None] | None = None
        self._call: IDelayedCall = reactor.callLater(delay_s, self._fire)
        timers.add(self)

    def cancel(self) -> None:
        """It will not be called; raises AlreadyCalled or AlreadyCancelled as Twisted's do."""
        self._call.cancel()
        self._timers.discard(self)

    def discard(self) -> None:
        """As ``cancel``; nothing if it is over already."""
        if self._call.active():
            self.cancel()

    def active(self) -> bool:
        """Whether it is still to come."""
        return bool(self._call.active())

    def reset(self, secondsFromNow: float) -> None:
        """Let it come this many seconds from now instead."""
        self._call.reset(secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Let it come this many seconds later than set."""
        self._call.delay(secondsLater)

    def getTime(self) -> float:
        """When it is due, by the reactor's clock."""
        return float(self._call.getTime())

    def _fire(self) -> None:
        self._timers.discard(self)
        result = attempt(self._f, *self._a)
        if isinstance(result, Failure):
            _log.failure("a timed call failed", failure=result)


class Repeating:
    """A call that comes again and again, until ``stop``."""

    __slots__ = (
        "_a",
        "_all",
        "_beats",
        "_clock",
        "_f",
        "_from_s",
        "_interval_s",
        "_open",
        "_timer",
    )

    def __init__(
        self,
        clock: Clock,
        everyone: set[Repeating],
        interval_s: float,
        f: Callable[..., object],
        a: tuple[Any, ...],
    ) -> None:
        self._clock, self._all, self._interval_s = clock, everyone, interval_s
        self._f, self._a = f, a
        now_s = clock.seconds()
        self._from_s = math.ceil(now_s) if interval_s >= SHARED_S else now_s
        self._beats = 0
        self._open = False
        self._timer: Timer | None = None
        everyone.add(self)

    def stop(self) -> None:
        """No further call; may be called twice, and from inside the call."""
        self._all.discard(self)
        if self._timer is not None:
            self._timer.discard()
            self._timer = None

    def _arm(self) -> None:
        now_s = self._clock.seconds()
        self._beats = max(self._beats + 1, int((now_s - self._from_s) / self._interval_s))
        due_s = self._from_s + self._beats * self._interval_s
        if due_s <= now_s:
            self._beats += 1
            due_s += self._interval_s
        self._timer = self._clock.later(due_s - now_s, self._beat)

    def _beat(self) -> None:
        if not self._open:
            result = attempt(self._f, *self._a)
            if isinstance(result, Failure):
                _log.failure("a repeated call failed", failure=result)
            elif isinstance(result, Deferred):
                self._open = True
                result.addErrback(_log_failure, "a repeated call").addBoth(self._closed)
        if self in self._all:
            self._arm()

    def _closed(self, _: object) -> None:
        self._open = False


def make_steady(reactor: ReactorBase) -> None:
    """Let this reactor's ``seconds`` grow evenly, whatever is done to the wall clock.

    It goes on from the value it shows now, so that timers set before keep their time. Done once;
    a second call changes nothing.
    """
    if isinstance(reactor.seconds, _Steady):
        return
    steady = _Steady(reactor.seconds() - time.monotonic())
    setattr(reactor, "seconds", steady)  # noqa: B010 - a static method to the type checker
    for call in reactor.getDelayedCalls():
        setattr(call, "seconds", steady)  # noqa: B010 - read again by reset()


class _Steady:
    """Monotonic time, counted from where the wall clock stood."""

    __slots__ = ("_offset_s",)

    def __init__(self, offset_s: float) -> None:
        self._offset_s = offset_s

    def __call__(self) -> float:
        return time.monotonic() + self._offset_s


def _log_failure(failure: Failure, what: str) -> None:
    if not isinstance(failure.value, (CancelledError, ShutdownRequested)):
        _log.failure("{what} failed", failure=failure, what=what)

"""Parts that start one after another and stop in reverse, each under a time limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested

from .guard import failure_of

if TYPE_CHECKING:
    from .clock import Clock

_log = Logger()


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Child:
    """One part: how it starts and stops; either may give a Deferred or be an ``async def``.

    ``deadline_s`` is how long its stop may take; None: as long as it takes, because what it ends
    with (a last commit) must not be cut off.
    """

    name: str
    start: Callable[[], Any] = _nothing
    stop: Callable[[], Any] = _nothing
    deadline_s: float | None = 1.0


class OrderedService:
    """A row of children; everything on the reactor's thread.

    Each is started when the one before it is ready, and stopped when the one after it is gone. A
    child whose start fails frees what it took by itself: its stop is not called.
    """

    def __init__(self, clock: Clock, children: Iterable[Child] = ()) -> None:
        self._clock = clock
        self._children = list(children)
        self._started: list[Child] = []
        self._begun = False
        self._starting = ""
        self._asked = False
        self._hurried = False
        self._on_asked: Callable[[], None] | None = None
        self._on_hurried: Callable[[], None] | None = None
        self._overran: list[str] | None = None
        self._waiting: list[Deferred[list[str]]] = []

    def add(self, child: Child) -> None:
        """Append one more; before ``start``."""
        self._children.append(child)

    @property
    def started(self) -> tuple[str, ...]:
        """The names of the children that run, in order."""
        return tuple(child.name for child in self._started)

    @property
    def starting(self) -> str:
        """The name of the child that is starting now; "" if none is."""
        return self._starting

    def start(self) -> Deferred[None]:
        """Start them one after another; fires when the last is ready.

        If one fails, those that had started are stopped in reverse, then the Deferred fails with
        that first cause. If ``stop`` comes meanwhile it fails with ShutdownRequested.
        """
        if self._begun:
            raise RuntimeError("this service was started already")
        self._begun = True
        return Deferred.fromCoroutine(self._start())

    def stop(self) -> Deferred[list[str]]:
        """Stop them in reverse; fires with the names of those that took too long.

        Such a one is logged and abandoned. One that fails is logged, and the others are stopped.
        While a child is starting, it is waited for first, for as long as its own deadline. Each
        further call has the same answer.
        """
        answer: Deferred[list[str]] = Deferred()
        if self._overran is not None:
            answer.callback(list(self._overran))
            return answer
        self._waiting.append(answer)
        if not self._asked:
            self._asked = True
            if self._on_asked is not None:
                self._on_asked()
            elif not self._starting:
                self._clock.background(self._stop(), "stopping")
        return answer

    def hurry(self) -> None:
        """Go straight to the children without a deadline.

        The one that is being waited for is abandoned, and further ones with a deadline are not
        stopped at all. Those without are stopped as always.
        """
        self._hurried = True
        if self._on_hurried is not None:
            self._on_hurried()

    async def _start(self) -> None:
        cause: Failure | None = None
        for child in self._children:
            if self._asked:
                cause = failure_of(ShutdownRequested("smapd was stopped while it started"))
                break
            self._starting = child.name
            cause = await self._begin(child)
            if cause is not None:
                break
            self._started.append(child)
        self._starting = ""
        if cause is None and self._asked:
            cause = failure_of(ShutdownRequested("smapd was stopped while it started"))
        if cause is not None:
            self._asked = True
            await self._stop()
            cause.raiseException()

    async def _begin(self, child: Child) -> Failure | None:
        """Start it: what failed, or None. Gives up its deadline after ``stop`` was asked for."""
        over: Deferred[Failure | None] = Deferred()

        def give_up() -> None:
            _log.warn("{child} was still starting; it is abandoned", child=child.name)
            # a Failure as a plain value would run the error path
            over.errback(ShutdownRequested(f"{child.name} was stopped while it started"))

        def asked() -> None:
            limit_s = 0.0 if self._hurried else child.deadline_s
            if limit_s is not None:
                timers.append(self._clock.later(limit_s, give_up))

        timers: list[Any] = []
        starting = maybeDeferred(child.start)
        self._on_asked = asked
        self._on_hurried = lambda: give_up() if self._asked and not over.called else None
        starting.addCallbacks(
            lambda _: None if over.called else over.callback(None),
            lambda failure: (
                _late(child, "start", failure) if over.called else over.errback(failure)
            ),
        )
        outcome = await over.addErrback(_boxed)
        self._on_asked = self._on_hurried = None
        for timer in timers:
            timer.discard()
        return outcome.failure if isinstance(outcome, _Boxed) else None

    async def _stop(self) -> None:
        overran = []
        while self._started:
            child = self._started.pop()
            if self._hurried and child.deadline_s is not None:
                _log.warn("{child} is not stopped: hurrying", child=child.name)
                overran.append(child.name)
            elif not await self._end(child):
                overran.append(child.name)
        self._overran = overran
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.callback(list(overran))

    async def _end(self, child: Child) -> bool:
        """Stop it; whether it ended in time (badly, perhaps)."""
        over: Deferred[bool] = Deferred()

        def overrun() -> None:
            if not over.called:
                _log.warn(
                    "{child} did not stop within {deadline_s:g} s; it is abandoned",
                    child=child.name,
                    deadline_s=child.deadline_s,
                )
                over.callback(False)

        def ended(_: object) -> None:
            if not over.called:
                over.callback(True)

        timer = None
        if child.deadline_s is not None:
            timer = self._clock.later(child.deadline_s, overrun)
            self._on_hurried = overrun
        stopping = maybeDeferred(child.stop)
        stopping.addErrback(lambda failure: _late(child, "stop", failure)).addCallback(ended)
        in_time = await over
        self._on_hurried = None
        if timer is not None:
            timer.discard()
        return in_time


@dataclass(frozen=True, slots=True)
class _Boxed:
    failure: Failure


def _boxed(failure: Failure) -> Any:
    return _Boxed(failure)


def _late(child: Child, step: str, failure: Failure) -> None:
    _log.failure("{child}: its {step} failed", failure, LogLevel.error, child=child.name, step=step)

"""One function that is called again and again: what ``periodicCallInThread`` gives.

A call has one of three places to run: a thread of the poll pool, the reactor (a driver that asked
for it), or the users' asyncio loop (an ``async def``). It never overlaps itself, and those of one
driver that run on threads never overlap each other.
"""

from __future__ import annotations

import contextvars
import enum
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from smapd.errors import BadReading, DeviceUnavailable, ShutdownRequested
from smapd.values import Json

from .beat import Beat
from .guard import attempt, failure_of
from .hiding import Hide
from .pool import Lane
from .words import named, text_of

if TYPE_CHECKING:
    from .backoff import Backoff
    from .scheduler import Scheduler

HUNG_S = 10.0
"""A call is hung when it runs for longer than this, and longer than its interval."""


class State(enum.Enum):
    """What a call does now."""

    STOPPED = "stopped"
    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"


class CallHome(Protocol):
    """Who takes in a started call: a driver's ``CallOwner``, or the list of those that wait."""

    @property
    def name(self) -> str:
        """Put before the call's name; "" for none."""

    @property
    def path(self) -> str:
        """Where in the tree; "" for nowhere."""

    @property
    def lane(self) -> Lane | None:
        """What the call shares its thread with; None: it has its own."""

    @property
    def on_reactor(self) -> bool:
        """Whether its calls run on the reactor."""

    @property
    def reactor_s(self) -> float:
        """For how long its calls have held the reactor so far."""

    @property
    def hide(self) -> Hide:
        """Takes secrets out of what is told of its calls."""

    def took_here(self, seconds: float) -> None:
        """A call of it held the reactor for so long."""

    def begin_call(self, call: PeriodicCall, beat: Beat) -> None:
        """From any thread: let it run from now on."""

    def end_call(self, call: PeriodicCall) -> None:
        """From any thread: let it run no more."""


class PeriodicCall:
    """``fn(*args)``, again and again from ``start`` to ``stop``.

    ``util.periodicCallInThread`` makes one. What ``fn`` raises never ends it:
    ``DeviceUnavailable`` is logged once and the calls come at growing pauses until one works;
    ``BadReading`` is counted; anything else is logged with its traceback. ``ShutdownRequested``
    is no bug: a stop is how calls end.
    """

    __slots__ = (
        "__weakref__",
        "_args",
        "_backoff",
        "_base_s",
        "_beats",
        "_context",
        "_due_s",
        "_fn",
        "_home",
        "_is_async",
        "_off",
        "_order",
        "_scheduler",
        "_since_s",
        "_when_idle",
        "bad_readings",
        "beat",
        "error",
        "failed",
        "held",
        "hung",
        "lane",
        "late_s",
        "late_sum_s",
        "missed",
        "name",
        "not_before_s",
        "runs",
        "state",
        "took_s",
        "took_sum_s",
        "worst_late_s",
    )

    def __init__(self, fn: Callable[..., object], args: tuple[Any, ...], home: CallHome) -> None:
        if not callable(fn):
            raise TypeError(f"a periodic call needs a function to call: got {fn!r}")
        self._fn, self._args, self._home = fn, args, home
        own = _name_of(fn)
        self.name = f"{home.name} {own}" if home.name else own
        self.lane = home.lane if home.lane is not None else Lane()
        self._context = contextvars.copy_context()
        self._is_async = inspect.iscoroutinefunction(fn)
        self.beat: Beat | None = None
        self.state = State.STOPPED
        self._off = False
        # set by the scheduler
        self._scheduler: Scheduler | None = None
        self._order = 0
        self._base_s = 0.0
        self._beats = 0
        self._due_s = 0.0
        self._since_s = 0.0
        self._backoff: Backoff | None = None
        self._when_idle: Callable[[], None] | None = None
        self.not_before_s = 0.0
        # counters
        self.runs = self.missed = self.held = self.failed = self.bad_readings = 0
        self.took_s = self.late_s = self.worst_late_s = 0.0
        self.took_sum_s = self.late_sum_s = 0.0
        self.hung = False
        self.error = ""

    # --- for its user

    def start(
        self,
        interval_s: float,
        now: bool = True,
        *,
        align: float | None = None,
        spread: float | None = None,
    ) -> PeriodicCall:
        """Begin, from any thread; a second start replaces the interval. Gives itself back.

        ``interval_s``, ``align`` and ``spread`` are seconds; see ``Beat``. A call made in a
        driver's setup or start begins when the daemon polls; any other when the daemon runs.

        :raises ValueError: if the interval is not a positive number.
        :raises ShutdownRequested: if the driver was stopped.
        """
        self._home.begin_call(self, Beat.of(interval_s, bool(now), align, spread))
        self._off = False
        return self

    def stop(self) -> None:
        """No further call, from any thread; one that runs is left to end. May be repeated."""
        self._off = True
        self._home.end_call(self)

    @property
    def path(self) -> str:
        """Where in the tree its driver is; "" for none."""
        return self._home.path

    @property
    def on_reactor(self) -> bool:
        """Whether it runs on the reactor's thread."""
        return self._home.on_reactor

    @property
    def is_async(self) -> bool:
        """Whether ``fn`` is an ``async def``."""
        return self._is_async

    @property
    def limit_s(self) -> float:
        """How long it may run before it is called hung."""
        return max(self.beat.interval_s if self.beat is not None else 0.0, HUNG_S)

    def status(self, now_s: float) -> Json:
        """What ``/status`` shows of it."""
        shown: dict[str, Json] = {
            "name": self.name,
            "path": self.path,
            "state": self._word(now_s),
            "interval_s": self.beat.interval_s if self.beat is not None else None,
            "runs": self.runs,
            "missed": self.missed,
            "failed": self.failed,
            "bad_readings": self.bad_readings,
            "held_back": self.held,
            "took_s": round(self.took_s, 6),
            "late_s": round(self.late_s, 6),
            "worst_late_s": round(self.worst_late_s, 6),
        }
        if self.state is State.RUNNING:
            shown["running_s"] = round(now_s - self._since_s, 3)
        if self.on_reactor:
            shown["drivers_reactor_s"] = round(self._home.reactor_s, 3)
        if self.error:
            shown["error"] = self.error
        return shown

    def _word(self, now_s: float) -> str:
        if self.hung:
            return "hung"
        if self.state is State.WAITING and self.not_before_s > now_s:
            return "backing off"
        return self.state.value

    # --- for the pool and the scheduler

    def run(self) -> None:
        """One beat, on a thread of the pool."""
        scheduler = self._scheduler
        assert scheduler is not None
        since_s = scheduler.seconds()
        self._began(since_s)
        if self._order and not self._off:
            result: object = attempt(self._context.run, self._fn, *self._args)
            if isinstance(result, Deferred) or inspect.iscoroutine(result):
                result = self._refuse(result)
            self._finish(result, since_s)
        else:
            self._idle()

    def run_here(self) -> None:
        """One beat on the reactor's thread; a Deferred or coroutine that comes is waited for."""
        scheduler = self._scheduler
        assert scheduler is not None
        since_s = scheduler.seconds()
        self._began(since_s)
        result: object = attempt(self._context.run, self._fn, *self._args)
        if inspect.iscoroutine(result):
            result = self._context.run(ensureDeferred, result)
        self._home.took_here(scheduler.seconds() - since_s)
        self._await(result, since_s)

    def run_async(self, to_user_loop: Callable[[Any], Deferred[Any]]) -> None:
        """One beat on the users' asyncio loop."""
        scheduler = self._scheduler
        assert scheduler is not None
        since_s = scheduler.seconds()
        self._began(since_s)
        coro = attempt(self._context.run, self._fn, *self._args)
        result: object = coro
        if not isinstance(coro, Failure):
            result = attempt(self._context.run, to_user_loop, coro)
        self._await(result, since_s)

    def _await(self, result: object, since_s: float) -> None:
        if isinstance(result, Deferred):
            self._scheduler.opened(self)  # type: ignore[union-attr]
            result.addBoth(self._closed, since_s)
        else:
            self._finish(result, since_s)

    def _closed(self, result: object, since_s: float) -> None:
        self._scheduler.closed(self)  # type: ignore[union-attr]
        self._finish(result, since_s)

    def _began(self, since_s: float) -> None:
        self._since_s = since_s
        late_s = self.late_s = since_s - self._due_s
        self.late_sum_s += late_s
        if late_s > self.worst_late_s:
            self.worst_late_s = late_s
        self.state = State.RUNNING

    def _finish(self, result: object, since_s: float) -> None:
        told = attempt(self._ended, result, since_s)
        if isinstance(told, Failure):  # a bug of ours: the call goes on all the same
            self._scheduler.log.failure(  # type: ignore[union-attr]
                "what came of {call} cannot be told", told, call=self.name
            )
        self._idle()

    def _idle(self) -> None:
        self.state = State.WAITING if self._order else State.STOPPED
        when_idle = self._when_idle  # looked at after the state is set: who waits does the reverse
        if when_idle is not None:
            when_idle()

    def _ended(self, result: object, since_s: float) -> None:
        scheduler = self._scheduler
        assert scheduler is not None
        took_s = self.took_s = scheduler.seconds() - since_s
        self.took_sum_s += took_s
        self.runs += 1
        if self.hung:
            self.hung = False
            scheduler.log.info(
                "{call} came back after {took_s:.1f} s",
                call=self.name,
                took_s=took_s,
                driver=self.path,
            )
        if isinstance(result, Failure):
            self._fell(result, scheduler)
        elif self.error:
            self._rose(scheduler)

    # --- what was raised

    def _fell(self, failure: Failure, scheduler: Scheduler) -> None:
        problem = failure.value
        if isinstance(problem, ShutdownRequested) and not self._order:
            return  # it was under way when the stop came
        hide = self._home.hide
        self.error, said = hide(named(problem)), hide(text_of(problem))
        if isinstance(problem, DeviceUnavailable):
            self.failed += 1
            if self._backoff is None:
                self._backoff = scheduler.backoff()
            self.not_before_s = scheduler.seconds() + self._backoff.next()
            scheduler.faults.fault(
                (self.name, "device"),
                f"{self.name}: the device does not answer: {said}. Trying again, at "
                "pauses of up to 60 s.",
                same="device",
                driver=self.path,
            )
            return
        self._reached(scheduler)
        if isinstance(problem, BadReading):
            self.bad_readings += 1
            scheduler.faults.fault(
                (self.name, "reading"),
                f"{self.name}: no reading: {said}",
                driver=self.path,
            )
            return
        self.failed += 1
        if isinstance(problem, ShutdownRequested):  # of something that the driver uses
            scheduler.faults.fault((self.name, "bug"), f"{self.name}: {said}", driver=self.path)
            return
        scheduler.faults.fault(
            (self.name, "bug"),
            f"{self.name} failed: {self.error}. The next call still comes.",
            same=(type(problem), _line_of(failure)),
            failure=failure,
            level=LogLevel.error,
            driver=self.path,
            log_hide=hide,
        )

    def _rose(self, scheduler: Scheduler) -> None:
        self.error = ""
        self._reached(scheduler)
        scheduler.faults.cleared(
            (self.name, "reading"),
            "{call}: readings again, after {count} that were none in {for_s} s",
            call=self.name,
            driver=self.path,
        )
        scheduler.faults.cleared(
            (self.name, "bug"),
            "{call} works again, after {count} failures in {for_s} s",
            call=self.name,
            driver=self.path,
        )

    def _reached(self, scheduler: Scheduler) -> None:
        """The device answered, be it rightly or wrongly."""
        if self._backoff is None:
            return
        self._backoff = None
        self.not_before_s = 0.0
        scheduler.faults.cleared(
            (self.name, "device"),
            "{call}: the device answers again, after {count} failed polls in {for_s} s",
            call=self.name,
            driver=self.path,
        )

    def _refuse(self, result: object) -> Failure:
        if isinstance(result, Deferred):
            result.addErrback(lambda _: None)
            what = "a Deferred; a driver that uses Twisted says ON_REACTOR = True"
        else:
            result.close()  # type: ignore[attr-defined]
            what = "a coroutine; hand in the async function itself"
        return failure_of(TypeError(f"{self.name} ran on a poll thread and returned {what}"))


def _name_of(fn: Any) -> str:
    while hasattr(fn, "func"):  # functools.partial
        fn = fn.func
    return str(getattr(fn, "__qualname__", None) or type(fn).__qualname__)


def _line_of(failure: Failure) -> object:
    """Where it was raised: the same bug raises there each time, whatever its words are."""
    traceback = failure.value.__traceback__ if failure.value is not None else None
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return None
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno

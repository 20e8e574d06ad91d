"""One driver section from set-up to stop: retried while it fails, and no other section's trouble.

Set-up, start and stop run on the pool ``setup``, apart from the ``work`` pool: a driver that hangs
there must not hold up actuations. Those of ``ON_REACTOR`` drivers run on the reactor, those of an
``AsyncDriver`` on the users' asyncio loop. What this file decides runs on the reactor's thread.

A step that does not come back is waited for as long as it takes, and never run a second time beside
itself. It is shown as hung, and its thread no longer counts as one of the pool's: see ``PoolSize``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.errors import DriverFailed, ShutdownRequested, SmapError
from smapd.runtime import Backoff, CallOwner, Clock, FaultLog, PeriodicCall, Threads, Timer, attempt
from smapd.runtime.calls import HUNG_S
from smapd.runtime.guard import failure_of
from smapd.runtime.hiding import Hide, shown_as_is
from smapd.runtime.words import MOST_CHARACTERS, one_line, sentence_of, text_of
from smapd.values import Json

from .host import DriverHost, failed_step

SETUP_POOL = "setup"
POLLS_END_S = 3.0
"""How long a stop waits for polls that are under way."""
END_S = 3.8
"""How long a stop waits in all."""


@dataclass(frozen=True, slots=True)
class SettingUp:
    """``setup`` has not returned yet."""

    state: ClassVar[str] = "setting up"


@dataclass(frozen=True, slots=True)
class Ready:
    """Set up; waits for the daemon to let it start."""

    state: ClassVar[str] = "ready"


@dataclass(frozen=True, slots=True)
class Running:
    """``start`` has returned."""

    since_ms: int
    state: ClassVar[str] = "running"


@dataclass(frozen=True, slots=True)
class Failed:
    """A step raised; it is tried again."""

    step: str
    error: str
    failures: int
    retry_at_ms: int
    state: ClassVar[str] = "failed"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Stopped for good."""

    state: ClassVar[str] = "stopped"


SectionState = SettingUp | Ready | Running | Failed | Stopped


@dataclass(frozen=True, slots=True)
class Place:
    """What a section gives its driver, and what becomes of it in the tree.

    ``make`` builds host and owner anew for each set-up, on a thread of the pool: it may read files
    and raises SmapError. ``finish`` merges the section's metadata over what the driver set;
    ``clear`` takes out what a failed set-up made; ``show`` shows a sentence at the section's place,
    "" takes it away. These three run on the reactor's thread.
    """

    make: Callable[[], tuple[DriverHost, CallOwner]]
    finish: Callable[[], None]
    clear: Callable[[], None]
    show: Callable[[str], None]


@dataclass(slots=True)
class _Step:
    """One that is under way. ``since_s``: when it began; None while it waits for a thread."""

    name: str
    since_s: float | None = None
    told_hung: bool = False


@dataclass(frozen=True, slots=True)
class _Fell:
    failure: Failure


class DriverSection:
    """Drives one driver through its life; every method on the reactor's thread, none raises."""

    log = Logger()

    def __init__(
        self,
        path: str,
        type_name: str,
        place: Place,
        *,
        clock: Clock,
        threads: Threads,
        faults: FaultLog,
        backoff: Backoff,
        ready: tuple[DriverHost, CallOwner] | None = None,
    ) -> None:
        """``ready``: a host that was set up already, by ``loader.load``."""
        self.path, self.type_name = path, type_name
        self.state: SectionState = SettingUp() if ready is None else Ready()
        self._place = place
        self._clock, self._threads, self._faults = clock, threads, faults
        self._backoff = backoff
        self._host: DriverHost | None = None if ready is None else ready[0]
        self._owner: CallOwner | None = None if ready is None else ready[1]
        self._hide: Hide = shown_as_is if ready is None else ready[0].hide
        self._retry: Timer | None = None
        self._may_start = False
        self._failures = 0
        self._trouble = ""
        self._under_way: Deferred[None] | None = None
        self._now: _Step | None = None

    async def set_up(self) -> None:
        """Try set-up once; a failure is shown, and tried again later."""
        if not isinstance(self.state, SettingUp | Failed):
            return
        error = await self._tried("setup", self._set_up())
        if error is not None:
            self._abandon()
            if not self._is_stopped():
                self._clear()
                self._failed("setup", error, self.set_up)
            return
        if self._is_stopped():
            return
        self._recovered()
        self.state = Ready()
        if self._may_start:
            await self.start()

    async def start(self) -> None:
        """Let the driver read: now, or as soon as it is set up."""
        self._may_start = True
        may = isinstance(self.state, Ready) or (
            isinstance(self.state, Failed) and self.state.step == "start"
        )
        if not may or self._host is None or self._owner is None:
            return
        self._owner.begin()
        error = await self._tried("start", self._step("start"))
        if self._is_stopped():
            return
        if error is not None:
            self._failed("start", error, self.start)
        else:
            self._recovered()
            self.state = Running(self._clock.wall_ms())

    async def stop(self) -> list[str]:
        """No new beat, then the driver's ``stop``; the names of what would not end in time."""
        if self._is_stopped():
            return []
        host, owner = self._host, self._owner
        was_set_up = host is not None and not isinstance(self.state, SettingUp)
        self.state = Stopped()
        if self._retry is not None:
            self._retry.discard()
        if self._under_way is not None:
            self._under_way.cancel()
        if host is None or owner is None:
            return []
        ends_s = self._clock.seconds() + END_S
        polls = owner.stop(POLLS_END_S)
        if host.is_async and await self._late(self._cancel(host), ends_s):
            return [f"{self.type_name}, as its asyncio loop is blocked,"]
        hanging = await polls
        if was_set_up and await self._late(self._stop_driver(), ends_s):
            hanging.append(f"{self.type_name} stop")
        return hanging

    def look(self) -> None:
        """Show at the driver's place what hangs or fails in a poll; call it every so often."""
        trouble = self._hung_step()
        if not trouble:
            if not isinstance(self.state, Running) or self._owner is None:
                return
            for call in self._owner.calls:
                if call.error or call.hung:
                    trouble = _trouble(self.path, call)
                    break
        if trouble != self._trouble:
            self._trouble = trouble
            self._place.show(trouble)

    def status(self) -> dict[str, Json]:
        """The section's line in ``/status``."""
        line: dict[str, Json] = {
            "path": self.path,
            "type": self.type_name,
            "state": self.state.state,
        }
        line |= asdict(self.state)
        if not self._is_stopped():
            self.look()
            if self._trouble:
                line["error"] = self._trouble
        if self._owner is not None and self._owner.on_reactor:
            line["reactor_s"] = round(self._owner.reactor_s, 3)
            line["worst_reactor_s"] = round(self._owner.worst_reactor_s, 3)
        return line

    async def _tried(self, step: str, work: Coroutine[Any, Any, None]) -> SmapError | None:
        """What became of a step: None if it worked, or nobody waits for it any more.

        Whatever was raised: what is no ``Exception``, too, is a failure of this section alone.
        """
        now = self._now = _Step(step)
        # as a value: a GeneratorExit raised here would be taken for the end of this coroutine
        result: object = await Deferred.fromCoroutine(work).addErrback(_Fell)
        if self._now is now:  # not where a stop came meanwhile
            self._now = None
        if now.told_hung and now.since_s is not None:
            took_s = self._clock.seconds() - now.since_s
            text = "{driver}: its {step} came back after {took_s:.0f} s"
            self.log.info(text, step=step, took_s=took_s, driver=self.path)
        if not isinstance(result, _Fell):
            return None
        problem = result.failure.value
        if isinstance(problem, ShutdownRequested):  # raised by a driver, it has a DriverFailed
            self.state = Stopped()
            return None
        return (
            problem
            if isinstance(problem, SmapError)
            else failed_step(self.path, step, problem, self._hide)
        )

    async def _set_up(self) -> None:
        await self._on_thread("setup", self._make)
        if self._is_elsewhere() and not self._is_stopped():
            await self._step("setup")
        if not self._is_stopped():
            self._place.finish()

    def _make(self) -> None:
        self._host, self._owner = self._place.make()
        self._hide = self._host.hide
        if not self._is_elsewhere():
            self._host.setup()

    def _on_thread(self, step: str, work: Callable[[], None]) -> Deferred[None]:
        now = self._now

        def call() -> None:
            if now is not None:
                now.since_s = self._clock.seconds()
            work()

        call.__qualname__ = f"{step} of {self.path}"  # by which log and /status call it
        return self._threads.to_pool(SETUP_POOL, call)

    def _hung_step(self) -> str:
        now = self._now
        ran_s = 0.0 if now is None or now.since_s is None else self._clock.seconds() - now.since_s
        if now is None or ran_s <= HUNG_S:
            return ""
        if not now.told_hung:
            now.told_hung = True
            text = "{driver}: its {step} has not come back for {ran_s:.0f} s; the others go on"
            self.log.warn(text, step=now.name, ran_s=ran_s, driver=self.path)
        return f"[{self.path}] {now.name} hangs: it has not come back for more than {HUNG_S:g} s"

    def _is_elsewhere(self) -> bool:
        """Whether the driver's steps are not for a thread of the pool."""
        return self._host is not None and (self._host.is_async or self._host.is_for_reactor)

    async def _step(self, step: str) -> None:
        """One of the driver's steps, where it belongs.

        :raises DriverFailed: with what it raised as the cause.
        """
        host, owner, now = self._host, self._owner, self._now
        assert host is not None
        assert owner is not None
        if not (host.is_async or host.is_for_reactor):
            await self._on_thread(step, getattr(host, step))
            return
        if now is not None:
            now.since_s = self._clock.seconds()
        if host.is_async:
            self._under_way = owner.run(self._threads.to_user_loop, host.call_on_loop(step))
        else:
            self._under_way = host.call_on_reactor(step)
        try:
            await self._under_way
        except CancelledError:
            raise DriverFailed(self.path, step, "it was cancelled") from None
        finally:
            self._under_way = None

    async def _cancel(self, host: DriverHost) -> None:
        try:
            await self._threads.to_user_loop(host.cancel())
        except (SmapError, CancelledError) as error:
            self.log.error("{error}", error=self._hide(text_of(error)), driver=self.path)

    async def _stop_driver(self) -> None:
        error = await self._tried("stop", self._step("stop"))
        if error is not None:
            self.log.error("{error}", error=self._hide(text_of(error)), driver=self.path)

    async def _late(self, work: Coroutine[Any, Any, None], ends_s: float) -> bool:
        """Whether this was not over by then; it goes on, and nobody waits for it."""
        over: Deferred[bool] = Deferred()

        def settle(is_late: bool) -> None:
            if not over.called:
                over.callback(is_late)

        timer = self._clock.later(ends_s - self._clock.seconds(), settle, True)
        Deferred.fromCoroutine(work).addBoth(lambda _: settle(False))
        is_late = await over
        timer.discard()
        return is_late

    def _clear(self) -> None:
        cleared = attempt(self._place.clear)
        if isinstance(cleared, Failure):
            text = "{driver}: what its set-up made cannot be taken back"
            self.log.failure(text, cleared, driver=self.path)

    def _abandon(self) -> None:
        if self._owner is not None:
            self._clock.background(self._owner.stop(), f"ending the calls of {self.path}")
        self._host = self._owner = None

    def _failed(self, step: str, error: SmapError, again: Callable[[], Awaitable[None]]) -> None:
        self._failures += 1
        wait_s = self._backoff.next()
        hide = self._hide
        text = hide(self._sentence(error))
        self._place.show(text)
        self._trouble = text
        self._faults.fault(self._key, text, failure=_cause(error), driver=self.path, log_hide=hide)
        self.state = Failed(step, text, self._failures, self._clock.wall_ms() + int(wait_s * 1000))
        self._retry = self._clock.later(wait_s, self._again, again)

    def _sentence(self, error: SmapError) -> str:
        """What went wrong here, and what to do."""
        place, (text, hint) = f"[{self.path}] ", sentence_of(error)
        if not text.startswith(place):  # import failed, or never came to the driver's own code
            text = place + (text.partition("] ")[2] if text.startswith("[") else text)
        hint = f" {hint}" if hint else ""
        return one_line(text, MOST_CHARACTERS - len(hint)) + hint

    def _again(self, again: Callable[[], Any]) -> None:
        self._retry = None
        self._clock.background(Deferred.fromCoroutine(again()), f"retry of {self.path}")

    def _recovered(self) -> None:
        self._trouble = ""
        self._place.show("")  # also what loader.load showed
        if self._failures:
            self._faults.cleared(
                self._key, "{driver} is well again after {count} failures", driver=self.path
            )
        self._failures = 0
        self._backoff.reset()

    @property
    def _key(self) -> tuple[str, str]:
        return ("driver", self.path)

    def _is_stopped(self) -> bool:
        return isinstance(self.state, Stopped)


def _trouble(path: str, call: PeriodicCall) -> str:
    name = call.name.rpartition(" ")[2]
    if call.hung:
        return f"[{path}] {name} hangs: it has not come back for more than {call.limit_s:g} s"
    return f"[{path}] {name} failed: {call.error}"


def _cause(error: SmapError) -> Failure | None:
    """The traceback worth a place in the log: that of a bug, not of a device or a config."""
    cause = error.__cause__
    return None if cause is None or isinstance(cause, SmapError) else failure_of(cause)

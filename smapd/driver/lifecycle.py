"""One driver section from set-up to stop: retried while it fails, and no other section's trouble.

Set-up, start and stop run on the pool ``setup``, apart from the ``work`` pool: a driver that hangs
there must not hold up actuations. Those of ``ON_REACTOR`` drivers run on the reactor, those of an
``AsyncDriver`` on the users' asyncio loop. What this file decides runs on the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.errors import DriverFailed, SmapError
from smapd.runtime import Backoff, CallOwner, Clock, FaultLog, PeriodicCall, Threads, Timer
from smapd.runtime.guard import failure_of
from smapd.values import Json

from .host import DriverHost

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
        self._retry: Timer | None = None
        self._may_start = False
        self._failures = 0
        self._trouble = ""
        self._under_way: Deferred[None] | None = None

    async def set_up(self) -> None:
        """Try set-up once; a failure is shown, and tried again later."""
        if not isinstance(self.state, SettingUp | Failed):
            return
        try:
            await self._threads.to_pool(SETUP_POOL, self._make)
            if self._is_elsewhere() and not self._is_stopped():
                await self._step("setup")
            if self._is_stopped():
                return
            self._place.finish()
        except SmapError as error:
            self._abandon()
            if not self._is_stopped():
                self._place.clear()
                self._failed("setup", error, self.set_up)
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
        try:
            self._owner.begin()
            await self._step("start")
        except SmapError as error:
            if not self._is_stopped():
                self._failed("start", error, self.start)
            return
        if not self._is_stopped():
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
        """Show at the driver's place what is wrong with its polls; call it every so often."""
        if not isinstance(self.state, Running) or self._owner is None:
            return
        trouble = ""
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
        if isinstance(self.state, Running):
            self.look()
            if self._trouble:
                line["error"] = self._trouble
        if self._owner is not None and self._owner.on_reactor:
            line["reactor_s"] = round(self._owner.reactor_s, 3)
            line["worst_reactor_s"] = round(self._owner.worst_reactor_s, 3)
        return line

    def _make(self) -> None:
        self._host, self._owner = self._place.make()
        if not self._is_elsewhere():
            self._host.setup()

    def _is_elsewhere(self) -> bool:
        """Whether the driver's steps are not for a thread of the pool."""
        return self._host is not None and (self._host.is_async or self._host.is_for_reactor)

    async def _step(self, step: str) -> None:
        """One of the driver's steps, where it belongs.

        :raises DriverFailed: with what it raised as the cause.
        """
        host, owner = self._host, self._owner
        assert host is not None
        assert owner is not None
        if host.is_async:
            self._under_way = owner.run(self._threads.to_user_loop, host.call_on_loop(step))
        elif host.is_for_reactor:
            self._under_way = host.call_on_reactor(step)
        else:
            await self._threads.to_pool(SETUP_POOL, getattr(host, step))
            return
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
            self.log.error("{error}", error=str(error), driver=self.path)

    async def _stop_driver(self) -> None:
        try:
            await self._step("stop")
        except SmapError as error:
            self.log.error("{error}", error=str(error), driver=self.path)

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

    def _abandon(self) -> None:
        if self._owner is not None:
            self._clock.background(self._owner.stop(), f"ending the calls of {self.path}")
        self._host = self._owner = None

    def _failed(self, step: str, error: SmapError, again: Callable[[], Awaitable[None]]) -> None:
        self._failures += 1
        wait_s = self._backoff.next()
        text = self._sentence(error)
        self._place.show(text)
        self._trouble = text
        self._faults.fault(self._key, text, failure=_cause(error), driver=self.path)
        self.state = Failed(step, text, self._failures, self._clock.wall_ms() + int(wait_s * 1000))
        self._retry = self._clock.later(wait_s, self._again, again)

    def _sentence(self, error: SmapError) -> str:
        """What went wrong here, and what to do."""
        place, text = f"[{self.path}] ", str(error)
        if not text.startswith(place):  # import failed, or never came to the driver's own code
            text = place + (text.partition("] ")[2] if text.startswith("[") else text)
        return f"{text} {error.hint}" if error.hint else text

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

"""One driver section from set-up to stop: retried while it fails, and no other section's trouble.

Set-up, start and stop run on the pool ``setup``, apart from the ``work`` pool: a driver that hangs
there must not hold up actuations. What this file decides runs on the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.errors import SmapError
from smapd.interfaces import IThreads
from smapd.runtime import Backoff, CallOwner, Clock, FaultLog, Timer
from smapd.runtime.guard import failure_of
from smapd.values import Json

from .host import DriverHost

SETUP_POOL = "setup"
POLLS_END_S = 3.0
"""How long a stop waits for polls that are under way."""


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
        threads: IThreads,
        faults: FaultLog,
        backoff: Backoff,
        on_reactor: bool = False,
        ready: tuple[DriverHost, CallOwner] | None = None,
    ) -> None:
        """``ready``: a host that was set up already, by ``loader.load``."""
        self.path, self.type_name = path, type_name
        self.state: SectionState = SettingUp() if ready is None else Ready()
        self._place = place
        self._on_reactor = on_reactor
        self._clock, self._threads, self._faults = clock, threads, faults
        self._backoff = backoff
        self._host: DriverHost | None = None if ready is None else ready[0]
        self._owner: CallOwner | None = None if ready is None else ready[1]
        self._retry: Timer | None = None
        self._may_start = False
        self._failures = 0

    async def set_up(self) -> None:
        """Try set-up once; a failure is shown, and tried again later."""
        if not isinstance(self.state, SettingUp | Failed):
            return
        try:
            await self._call(self._make_and_set_up)
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
            await self._call(self._host.start)
        except SmapError as error:
            if not self._is_stopped():
                self._failed("start", error, self.start)
            return
        if not self._is_stopped():
            self._recovered()
            self.state = Running(self._clock.wall_ms())

    async def stop(self) -> list[str]:
        """No new beat, then the driver's ``stop``; the names of polls that would not end."""
        if self._is_stopped():
            return []
        was_set_up = self._host is not None and not isinstance(self.state, SettingUp)
        self.state = Stopped()
        if self._retry is not None:
            self._retry.discard()
        hanging: list[str] = []
        if self._owner is not None:
            hanging = await self._owner.stop(POLLS_END_S)
        if was_set_up and self._host is not None:
            try:
                await self._call(self._host.stop)
            except SmapError as error:
                self.log.error("{error}", error=str(error), driver=self.path)
        return hanging

    def status(self) -> dict[str, Json]:
        """The section's line in ``/status``."""
        line = {"path": self.path, "type": self.type_name, "state": self.state.state}
        return line | asdict(self.state)

    def _make_and_set_up(self) -> None:
        host, owner = self._place.make()
        self._host, self._owner = host, owner
        host.setup()

    def _call(self, step: Callable[[], None]) -> Awaitable[None]:
        if self._on_reactor:
            return _straight(step)
        return self._threads.to_pool(SETUP_POOL, step)

    def _abandon(self) -> None:
        if self._owner is not None:
            self._clock.background(self._owner.stop(), f"ending the calls of {self.path}")
        self._host = self._owner = None

    def _failed(self, step: str, error: SmapError, again: Callable[[], Awaitable[None]]) -> None:
        self._failures += 1
        wait_s = self._backoff.next()
        text = str(error)
        self._place.show(text)
        self._faults.fault(self._key, text, failure=_cause(error), driver=self.path)
        self.state = Failed(step, text, self._failures, self._clock.wall_ms() + int(wait_s * 1000))
        self._retry = self._clock.later(wait_s, self._again, again)

    def _again(self, again: Callable[[], Any]) -> None:
        self._retry = None
        self._clock.background(Deferred.fromCoroutine(again()), f"retry of {self.path}")

    def _recovered(self) -> None:
        if self._failures:
            self._place.show("")
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


async def _straight(step: Callable[[], None]) -> None:
    step()


def _cause(error: SmapError) -> Failure | None:
    """The traceback worth a place in the log: that of a bug, not of a device or a config."""
    cause = error.__cause__
    return None if cause is None or isinstance(cause, SmapError) else failure_of(cause)

"""An event log on fake time, for the tests of this folder.

Each event's data is its own offset, so that whoever finds it can tell whether it is right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smapd.runtime import PoolSize
from smapd.storage.events import POOL, EventLog, EventSettings
from smapd.testing import FakeRuntime
from smapd.values import EventRecord

PAD = b"x" * 300


def result(d: Deferred[Any]) -> Any:
    """What a Deferred that has fired gave."""
    found: list[Any] = []
    d.addBoth(found.append)
    assert found, "not fired"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


def event(offset: int, at_ms: int = 0, pad: bytes = b"") -> EventRecord:
    return EventRecord("E", 1, "s", 0, at_ms, "json", b"%d " % offset + pad)


class Life:
    """One life of a log in ``home``."""

    def __init__(self, home: Path, run: FakeRuntime | None = None, **more: Any) -> None:
        self.home = home
        self.run = run or FakeRuntime({POOL: PoolSize(1, 1, queue=1_000)})
        self.log = EventLog(
            home / "events",
            home / "quarantine",
            self.run.clock,
            self.run.threads,
            self.run.backoff(),
            self.run.faults,
            EventSettings(**{"min_free": 0, **more}),
        )
        self.store = self.log.store
        result(self.log.start())

    def result(self, d: Deferred[Any]) -> Any:
        self.run.advance(0.002)  # a commit may wait for those who were told of the last one
        return result(d)

    def publish(
        self, asset: str, count: int = 1, pad: bytes = b"", dedupe_id: str | None = None
    ) -> int:
        """Publish so many events together."""
        first = self.log.next_offset(asset)
        now = self.run.clock.wall_ms()
        events = [event(offset, now, pad) for offset in range(first, first + count)]
        offset: int = self.result(self.log.append(asset, events, dedupe_id))
        return offset

    def cursor(self, name: str, asset: str, *start: Any) -> Any:
        return self.result(self.log.cursor(name, asset, *start))

    def read(self, asset: str, offset: int = 0, **limits: Any) -> list[int]:
        """Offsets of what one read gives, each event checked."""
        found = self.result(self.log.read(asset, offset, **limits))
        for one in found:
            assert one.data.split()[0] == b"%d" % one.offset, one
        return [one.offset for one in found]

    def read_all(self, asset: str, limit: int = 1000) -> list[int]:
        """Offsets of all there is, by many reads."""
        offsets: list[int] = []
        place = 0
        while part := self.read(asset, place, limit=limit):
            assert part[0] >= place
            offsets += part
            place = part[-1] + 1
        return offsets

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.home / "events").glob("*.db*"))

    def stop(self) -> None:
        result(self.log.stop())

    def again(self, **more: Any) -> Life:
        """Stop, and another life on the same directory, at the same time of day."""
        self.stop()
        run = FakeRuntime({POOL: PoolSize(1, 1, queue=1_000)}, start_ms=self.run.clock.wall_ms())
        return Life(self.home, run, **more)

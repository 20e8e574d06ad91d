"""A journal on fake time with its tree, for the tests of this folder."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smapd.core import SmapInstance
from smapd.runtime import PoolSize
from smapd.storage.journal import POOL, Readings
from smapd.storage.settings import Settings
from smapd.testing import FakeRuntime
from smapd.values import JournalBatch, Limits, Position, Start

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
EVERYTHING = Limits(max_readings=None)


def result(d: Deferred[Any]) -> Any:
    """What a Deferred that has fired gave."""
    found: list[Any] = []
    d.addBoth(found.append)
    assert found, "not fired"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


class Life:
    """One life of a journal in ``home``, with a tree of ``streams`` long streams.

    Every reading's value is its seq.
    """

    def __init__(
        self,
        home: Path,
        streams: int = 5,
        runtime: FakeRuntime | None = None,
        settings: Settings | None = None,
        **more: Any,
    ) -> None:
        self.home = home
        self.run = runtime or FakeRuntime({POOL: PoolSize(1, 1, queue=1_000)})
        self.journal = Readings(
            home / "readings",
            home / "quarantine",
            self.run.clock,
            self.run.threads,
            self.run.backoff(),
            self.run.faults,
            settings or Settings(history_s=0, min_free=0),
            **more,
        )
        result(self.journal.start())
        self.tree = SmapInstance(ROOT, now=self.run.clock.wall_ms)
        self.tree.attach(self.journal)
        self.streams = [self.tree.add_timeseries(f"/s{i}", f"s{i}", "V") for i in range(streams)]

    def add(self, *indices: int, times: int = 1) -> None:
        """One more reading of these streams (all without), ``times`` over; not yet committed."""
        for _ in range(times):
            for i in indices or range(len(self.streams)):
                self.streams[i].add(self.streams[i].next_seq)
                self.tree.drain()

    def commit(self) -> None:
        """Let CommitInterval pass."""
        self.run.advance(self.journal.settings.commit_s)

    def read(self, cursor: Any, limit: int = 10_000, **more: Any) -> JournalBatch:
        batch: JournalBatch = result(cursor.read(limit, **more))
        return batch

    def stop(self) -> None:
        result(self.journal.stop())

    def crash(self) -> None:
        """Let go of the files as SIGKILL does: SQLite closes nothing. (The files stay open.)"""


class Seen:
    """What a cursor gave, stream by stream, checked on the way: dense, and each value its seq."""

    def __init__(self) -> None:
        self.readings: dict[str, int] = defaultdict(int)
        self.lost: dict[str, int] = defaultdict(int)
        self.why: dict[str, int] = defaultdict(int)
        self.nexts: dict[str, int] = {}

    def take(self, batch: JournalBatch) -> None:
        spans = [(r.path, r.first_seq, len(r.ms), None) for r in batch.runs]
        for run in batch.runs:
            assert run.values == list(range(run.first_seq, run.first_seq + len(run.ms))), run
            self.readings[run.path] += len(run.ms)
        for gap in batch.gaps:
            assert gap.from_seq is not None
            assert gap.to_seq is not None
            assert gap.count in (0, gap.to_seq - gap.from_seq + 1), gap
            spans.append((gap.path, gap.from_seq, gap.to_seq - gap.from_seq + 1, gap.why))
            self.lost[gap.path] += gap.count
            self.why[gap.why] += gap.count
        for path, seq, count, why in sorted(spans, key=lambda span: span[1]):
            known = self.nexts.setdefault(path, 0)
            assert seq == known, f"{path}: {seq} after {known} ({why})"
            self.nexts[path] = seq + count

    def drain(self, life: Life, cursor: Any, limit: int = 500) -> None:
        """Read and ack until nothing is left."""
        while True:
            batch = life.read(cursor, limit)
            if batch.end == batch.first:
                return
            self.take(batch)
            acked = cursor.ack(batch.end)
            life.commit()  # an ack of all there is waits for the next commit
            result(acked)


__all__ = ["EVERYTHING", "Life", "Position", "Seen", "Settings", "Start", "result"]

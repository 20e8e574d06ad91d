"""What the readings journal costs, beside the bare engine under it.

    python bench/journal.py [readings per run] [runs] [waiting]

The bare engine is SQLite with one packed blob a commit (WAL, synchronous=FULL): it packs the same
readings into three columns with a crc, and inserts. The journal gets them as the tree hands them
over, and does all of its work: groups by stream, seqs, checks for holes, counts, cursors. Goal:
append >= 0.5 x the bare engine. Then: reading it all by a cursor with acks; a start with `waiting`
readings against an empty one (goal: <= 1.5 x + 0.5 s); bytes and syncs of a slow day.
"""

import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
import zlib
from array import array
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
sys.path.insert(0, os.path.dirname(HERE))

from smapd.core import SmapInstance  # noqa: E402
from smapd.core.batches import Drained  # noqa: E402
from smapd.runtime import PoolSize  # noqa: E402
from smapd.storage import READINGS_POOL, Readings, Settings  # noqa: E402
from smapd.testing import FakeRuntime  # noqa: E402
from smapd.values import GOOD, Batch, Block, Limits, Reading, Start  # noqa: E402

STREAMS = 1_000
COMMIT = 2_000
ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
MS = 1_700_000_000_000


def bare(home, readings, batches):
    db = sqlite3.connect(home / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE flush(seq INTEGER PRIMARY KEY, n, crc, data BLOB)")
    wall, cpu = time.perf_counter(), time.process_time()
    for i in range(readings // COMMIT):
        rows = batches[i % len(batches)]
        numbers, ms, values = zip(*rows, strict=True)
        data = array("I", numbers).tobytes() + array("q", ms).tobytes()
        data += array("d", values).tobytes()
        db.execute("BEGIN")
        db.execute("INSERT INTO flush VALUES(?, ?, ?, ?)", (i, len(rows), zlib.crc32(data), data))
        db.execute("COMMIT")
    took = time.perf_counter() - wall, time.process_time() - cpu
    db.close()
    return took


class Home:
    """A journal with its tree, on fake time: every commit is made at once."""

    def __init__(self, home, streams=STREAMS, **settings):
        self.run = FakeRuntime({READINGS_POOL: PoolSize(1, 1, queue=10_000)})
        parts = (self.run.clock, self.run.threads, self.run.backoff(), self.run.faults)
        settings = Settings(**{"commit_readings": COMMIT, "min_free": 0, **settings})
        self.journal = Readings(home / "readings", home / "quarantine", *parts, settings)
        done(self.journal.start())
        self.tree = SmapInstance(ROOT)
        self.tree.attach(self.journal)
        self.streams = [
            self.tree.add_timeseries(f"/s{i}", f"s{i}", "V", data_type="double")
            for i in range(streams)
        ]


def done(d):
    found = []
    d.addBoth(found.append)
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


def singles(streams, seq):
    """COMMIT readings, stream after stream, as the tree's queue hands them over."""
    times = COMMIT // len(streams)
    each = [(stream, k) for k in range(times) for stream in streams]
    items = [part for stream, k in each for part in (stream, MS + k, 1.5 * k, None)]
    return Drained(items, [seq + k for _, k in each], None, COMMIT)


def blocks(streams, seq):
    ms = [MS + k for k in range(COMMIT)]
    return Batch([(streams[0], Block(ms, [0.5] * COMMIT, GOOD, seq))], COMMIT)


def append(home, readings, make, per_stream):
    life = Home(home, history_s=0)
    batches = [make(life.streams, i * per_stream) for i in range(readings // COMMIT)]
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        life.journal.append(batch)
    took = time.perf_counter() - wall, time.process_time() - cpu
    assert life.journal.committed == readings
    done(life.journal.stop())
    return took


def drain(home, readings):
    life = Home(home, history_s=0)
    cursor = life.journal.cursor("a", None, Start.OLDEST, Limits(max_readings=None))
    for i in range(readings // COMMIT):
        life.journal.append(singles(life.streams, i * 2))
    count, wall, cpu = 0, time.perf_counter(), time.process_time()
    while count < readings:
        batch = done(cursor.read(10_000))
        count += batch.count
        acked = cursor.ack(batch.end)
        life.run.advance(1)
        done(acked)
    return time.perf_counter() - wall, time.process_time() - cpu


def timed(f, *args):
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        return f(home, *args)
    finally:
        shutil.rmtree(home)


def start(waiting):
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        life = Home(home)
        life.journal.cursor("a", None, Start.OLDEST, Limits(max_readings=None))
        batches = singles(life.streams, 0)
        del batches
        for i in range(waiting // COMMIT):
            life.journal.append(singles(life.streams, i * 2))
        done(life.journal.stop())
        files = sum(p.stat().st_size for p in (home / "readings").iterdir())
        took = []
        for _ in range(3):
            began = time.perf_counter()
            life = Home(home, 0)
            cursor = life.journal.cursor("a", None, Start.OLDEST, Limits(max_readings=None))
            took.append(time.perf_counter() - began)
            assert cursor.waiting() == waiting // COMMIT * COMMIT
            began = time.perf_counter()
            done(cursor.read(10_000))
            first = time.perf_counter() - began
            done(life.journal.stop())
        return statistics.median(took), first, files / waiting
    finally:
        shutil.rmtree(home)


def written():
    with open("/proc/self/io") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("write_bytes"))


def day(commit_s, minutes=10):
    """Bytes to the disk per day, 1,000 streams at 10 s, one cursor that acks each commit."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        life = Home(home, commit_s=commit_s, commit_readings=10**6)
        cursor = life.journal.cursor("a", None, Start.NEWEST, Limits(max_readings=None))
        life.run.advance(1)
        before, commits = written(), life.journal.store.commits
        for second in range(60 * minutes):
            now = MS + 1000 * second
            part = life.streams[second % 10 :: 10]
            entries = [
                (s, Reading(now + i, 20 + i * 0.01, GOOD, second // 10)) for i, s in enumerate(part)
            ]
            life.journal.append(Batch(entries, len(entries)))
            life.run.advance(1)
            if (second + 1) % commit_s == 0:
                batch = done(cursor.read(10**6))
                if batch.end > batch.first:
                    cursor.ack(batch.end)
        factor = 1440 / minutes
        syncs = (life.journal.store.commits - commits) * factor
        return (written() - before) * factor / 1e6, syncs
    finally:
        shutil.rmtree(home)


def main():
    readings = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    waiting = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000_000
    rows = [(i % STREAMS, MS + i, 1.5 * i) for i in range(COMMIT)]
    cases = {
        "bare engine": (bare, readings, [rows]),
        "append, 1,000 streams": (append, readings, singles, 2),
        "append, blocks": (append, readings, blocks, COMMIT),
        "read and ack": (drain, readings),
    }
    seen = {name: [] for name in cases}
    for run in range(runs + 1):
        for name, (f, *args) in cases.items():
            took = timed(f, *args)
            if run:
                seen[name].append(took)
    median = {
        n: [statistics.median(c) for c in zip(*took, strict=True)] for n, took in seen.items()
    }
    base = median["bare engine"]
    print(f"{readings} readings a run, {COMMIT} a commit; medians of {runs}")
    for name, (wall, cpu) in median.items():
        print(
            f"{name:24}{readings / wall:12,.0f}/s{cpu / readings * 1e6:8.3f} CPU s per M"
            f"{base[0] / wall:8.2f} x bare{base[1] / cpu:8.2f} by CPU"
        )
    empty = start(COMMIT)
    full = start(waiting)
    print(f"open, one commit: {empty[0] * 1e3:.1f} ms")
    print(
        f"open, {waiting} waiting: {full[0]:.3f} s; first 10,000: {full[1] * 1e3:.1f} ms; "
        f"{full[2]:.1f} bytes a reading"
    )
    for commit_s in (1, 60):
        bytes_, syncs = day(commit_s)
        print(f"a day at CommitInterval {commit_s} s: {bytes_:.0f} MB, {syncs:,.0f} commits")


if __name__ == "__main__":
    main()

"""What publishing an event costs, beside a bare queue with group commit.

    python bench/events.py [seconds per run] [runs] [data directory]

The floor is the smallest honest log: threads put (event, Reply) into a queue, one thread takes all
that is there, inserts it into SQLite (WAL, synchronous=FULL), commits, and wakes them. Both wait
with a Reply, a bare lock: with a threading.Event the floor would be slower than it need be.
smapd's publishers go the way an embedded thing goes: from their thread to the reactor, into
`EventLog.append` with a dedupe id, and back when the Deferred fires; there the event is packed with
a checksum, gets its offset, and its id is kept. The publishers are threads of both, each with one
event under way. Then: the log alone, with as many appends under way on the reactor's own thread;
hand-over to one who follows; a start with many assets and cursors; reading it all back.

Goals: 64 threads >= 0.5 x the floor, 4 threads >= 0.5 x; hand-over p99 <= 20 ms beyond the commit.
"""

import os
import queue
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
sys.path.insert(0, os.path.dirname(HERE))

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.internet.threads import deferToThread  # noqa: E402

from smapd.runtime import PoolSize, make_runtime, pool_sizes  # noqa: E402
from smapd.runtime.program import Reply  # noqa: E402
from smapd.storage.events import POOL, EventLog, EventSettings  # noqa: E402
from smapd.values import EventRecord, wall_ms  # noqa: E402

DATA = b'{"bom":"4711-A","station":12,"parts":["p-100","p-101","p-102"],"ok":true,"torque":12.75}'
ASSETS = 8


def publishers(count, seconds, publish):
    """Threads that publish without a pause; (events a second, each call's seconds)."""
    ends = time.perf_counter() + seconds
    took = [[] for _ in range(count)]

    def run(i):
        n, mine = 0, took[i]
        began = time.perf_counter()
        while began < ends:
            publish(i, n)
            n += 1
            now = time.perf_counter()
            mine.append(now - began)
            began = now

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    calls = sorted(one for mine in took for one in mine)
    return len(calls) / wall, cpu / len(calls) * 1e6, calls[len(calls) * 99 // 100]


def bare(home, count, seconds):
    db = sqlite3.connect(home / "bare.db", isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE event(id INTEGER PRIMARY KEY, asset, name, ms, data)")
    waiting = queue.SimpleQueue()

    def write():
        while True:
            batch = [waiting.get()]
            while True:
                try:
                    batch.append(waiting.get_nowait())
                except queue.Empty:
                    break
            if None in batch:
                return
            db.execute("BEGIN")
            db.executemany(
                "INSERT INTO event(asset, name, ms, data) VALUES(?, ?, ?, ?)",
                [row for row, _ in batch],
            )
            db.execute("COMMIT")
            for _, durable in batch:
                durable.give(0)

    writer = threading.Thread(target=write)
    writer.start()

    def publish(i, n):
        durable = Reply()
        waiting.put(((f"asset-{i % ASSETS}", "BomBuiltSet", wall_ms(), DATA), durable))
        durable.take(30.0)

    found = publishers(count, seconds, publish)
    waiting.put(None)
    writer.join()
    db.close()
    return found


def record():
    now = wall_ms()
    return EventRecord("BomBuiltSet", 1, "bom", now, now, "json", DATA)


def varied(rng):
    """As real data are: the same keys, other values."""
    return (
        b'{"bom":"%d-A","station":%d,"parts":["p-%d","p-%d"],"ok":true,"torque":%.3f,"serial":"%x"}'
        % (
            rng.randrange(10_000),
            rng.randrange(40),
            rng.randrange(1_000),
            rng.randrange(1_000),
            rng.gauss(12, 2),
            rng.getrandbits(48),
        )
    )


class Life:
    """A log with its runtime; `close` before the next one."""

    def __init__(self, home, **settings):
        self.run = make_runtime(reactor, {**pool_sizes(), POOL: PoolSize(1, 1, 10_000)})
        self.run.threads.start()
        parts = (self.run.clock, self.run.threads, self.run.backoff(), self.run.faults)
        settings = EventSettings(**{"min_free": 0, **settings})
        self.log = EventLog(home / "events", home / "quarantine", *parts, settings)

    async def close(self):
        await self.log.stop()
        await self.run.threads.stop(1.0)


async def through_the_reactor(home, count, seconds):
    life = Life(home)
    await life.log.start()
    to_reactor, log = life.run.threads.to_reactor, life.log

    class Waiting:
        __slots__ = ("durable",)

        def __init__(self):
            self.durable = Reply()

        def begin(self, asset, event, dedupe_id):
            log.append(asset, [event], dedupe_id).addBoth(self.done)

        def done(self, offset):
            self.durable.give(offset)

    def publish(i, n):
        waiting = Waiting()
        asset, dedupe_id = f"asset-{i % ASSETS}", f"{i}-{n}"
        to_reactor(waiting.begin, asset, record(), dedupe_id, wait=False)
        assert waiting.durable.take(30.0) >= 0

    found = await deferToThread(publishers, count, seconds, publish)
    await life.close()
    return found


async def alone(home, count, seconds):
    """So many appends under way, without a thread for each."""
    life = Life(home)
    await life.log.start()
    log, ended, calls = life.log, Deferred(), 0
    ends = time.perf_counter() + seconds
    under_way = count

    def again(_offset, i):
        nonlocal calls, under_way
        calls += 1
        if time.perf_counter() < ends:
            log.append(f"asset-{i % ASSETS}", [record()], str(calls)).addCallback(again, i)
        else:
            under_way -= 1
            if not under_way:
                ended.callback(None)

    began, cpu = time.perf_counter(), time.process_time()
    for i in range(count):
        log.append(f"asset-{i % ASSETS}", [record()], f"first {i}").addCallback(again, i)
    await ended
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    await life.close()
    return calls / wall, cpu / calls * 1e6, 0.0


async def hand_over(home, events):
    """From the call's return to what a follower has read, at 200 events a second."""
    life = Life(home)
    await life.log.start()
    log, late = life.log, []
    durable = {}

    async def follow():
        cursor = await log.cursor("follower", "a")
        place = 0
        while place < events:
            await log.when_more("a", place)
            for event in await log.read("a", place):
                late.append(time.perf_counter() - durable[event.offset])
                place = event.offset + 1
                cursor.ack(place)

    following = Deferred.fromCoroutine(follow())
    for _ in range(events):
        offset = log.next_offset("a")
        appending = log.append("a", [record()])
        appending.addCallback(lambda _, o=offset: durable.setdefault(o, time.perf_counter()))
        durable.pop(offset, None)
        await appending
        await life.run.clock.sleep(0.005)
    await following
    await life.close()
    late.sort()
    return late[len(late) // 2], late[len(late) * 99 // 100]


async def start(home, assets, followers):
    """Seconds to make the cursors, to start again, and to have them again."""
    life = Life(home)
    await life.log.start()
    appends = [life.log.append(f"asset-{i}", [record()], str(i)) for i in range(assets)]
    for one in appends:
        await one
    began = time.perf_counter()
    made = [life.log.cursor(f"f{k}", f"asset-{i}") for i in range(assets) for k in range(followers)]
    for one in made:
        await one
    making = time.perf_counter() - began
    await life.close()
    life = Life(home)
    began = time.perf_counter()
    await life.log.start()
    opening = time.perf_counter() - began
    began = time.perf_counter()
    for i in range(assets):
        await life.log.cursor("f0", f"asset-{i}")
        await life.log.read(f"asset-{i}", 0)
    again = time.perf_counter() - began
    await life.close()
    return making, opening, again


async def read_back(home, events):
    """Events a second, from the disk; and bytes an event."""
    life = Life(home, recent_bytes=0)
    await life.log.start()
    rng = random.Random(1)
    for at in range(0, events, 100):
        many = [record()._replace(data=varied(rng)) for _ in range(100)]
        await life.log.append(f"asset-{at // 100 % ASSETS}", many)
    began, seen = time.perf_counter(), 0
    for asset in life.log.assets():
        place = 0
        while place < life.log.next_offset(asset):
            found = await life.log.read(asset, place)
            seen += len(found)
            place = found[-1].offset + 1
    took = time.perf_counter() - began
    assert seen == events
    size = sum(info.size for info in life.log.store.segments)
    await life.close()
    return events / took, size / events


async def measure(seconds, runs, where):
    async def timed(f, *a):
        home = Path(tempfile.mkdtemp(prefix="bench-", dir=where))
        try:
            if f is bare:
                return await deferToThread(f, home, *a)
            return await f(home, *a)
        finally:
            shutil.rmtree(home)

    for count in (4, 64):
        seen = {bare: [], through_the_reactor: [], alone: []}
        for run in range(runs + 1):
            for f, found in seen.items():
                one = await timed(f, count, seconds if run else 0.5)
                if run:
                    found.append(one)
        median = {f: [statistics.median(c) for c in zip(*v, strict=True)] for f, v in seen.items()}
        floor = median[bare][0]
        print(f"{count} publishers, one event each under way; medians of {runs}")
        for f, (rate, cpu, p99) in median.items():
            last = f"; p99 {p99 * 1e3:.1f} ms" if p99 else ""
            name = f.__name__.replace("_", " ")
            print(f"  {name:20}{rate:10,.0f}/s {rate / floor:6.2f} x {cpu:6.1f} us CPU{last}")
    median, p99 = await timed(hand_over, 1000)
    print(f"hand-over beyond the commit: {median * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")
    making, opening, again = await timed(start, 10_000, 1)
    print(
        f"10,000 assets x 1 follower: {making:.2f} s to make the cursors, {opening:.2f} s to "
        f"open, {again:.2f} s to have and read each"
    )
    rate, size = await timed(read_back, 100_000)
    print(f"read back from the disk: {rate:,.0f} events/s; {size:.0f} bytes an event in bursts")


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    where = sys.argv[3] if len(sys.argv) > 3 else None
    failures = []
    work = Deferred.fromCoroutine(measure(seconds, runs, where))
    work.addErrback(failures.append)
    work.addBoth(lambda _: reactor.callLater(0, reactor.stop))
    reactor.run()
    if failures:
        failures[0].printTraceback()
        sys.exit(1)


if __name__ == "__main__":
    main()

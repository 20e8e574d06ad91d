"""A process that publishes events and follows them until it is killed.

    python events_child.py DIRECTORY SEED

Every event's data is its own offset, and its dedupe id says it too. On standard output, a line
each: ``S asset next`` (where an asset goes on), ``R asset n offset`` (published again with the id
of n), ``P asset offset`` (its publish returned), ``F asset offset`` (a follower has it), ``K asset
place`` (and its ack is durable).
"""

import os
import random
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from smapd.runtime import PoolSize, make_runtime, pool_sizes
from smapd.storage.events import POOL, EventLog, EventSettings
from smapd.values import EventRecord, wall_ms

ASSETS = ("a", "b", "c")
SEGMENT = 128 * 1024


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def event(n, pad):
    now = wall_ms()
    return EventRecord("E", 1, "child", now, now, "json", b"%d " % n + pad)


async def publish(log, asset, rng):
    first = log.next_offset(asset)
    say("S", asset, first)
    for n in range(max(0, first - 5), first):
        say("R", asset, n, await log.append(asset, [event(n, b"again")], f"id {n}"))
    while True:
        pads = [b"x" * rng.choice((0, 30, 400, 3000)) for _ in range(rng.randrange(1, 8))]
        under_way = []
        for i, pad in enumerate(pads, first):
            appending = log.append(asset, [event(i, pad)], f"id {i}")
            under_way.append(appending.addCallback(lambda offset: say("P", asset, offset)))
        await gatherResults(under_way)
        first += len(pads)


async def follow(log, asset, rng):
    cursor = await log.cursor("follower", asset)
    place = cursor.place
    while True:
        await log.when_more(asset, place)
        for found in await log.read(asset, place, rng.randrange(1, 50)):
            assert found.offset == place, (asset, found.offset, place)
            assert found.data.split()[:1] == [b"%d" % place], found
            say("F", asset, place)
            place += 1
        cursor.ack(place)
        if rng.random() < 0.1:
            await cursor.flush()
            say("K", asset, place)


async def main(home, rng):
    run = make_runtime(reactor, {**pool_sizes(), POOL: PoolSize(1, 1, 10_000)})
    run.threads.start()
    log = EventLog(
        home / "events",
        home / "quarantine",
        run.clock,
        run.threads,
        run.backoff(),
        run.faults,
        EventSettings(segment_bytes=SEGMENT, recent_bytes=50_000, min_free=0),
    )
    await log.start()
    for asset in ASSETS:
        for work in (publish, follow):
            mine = random.Random(rng.random())
            Deferred.fromCoroutine(work(log, asset, mine)).addErrback(fail)


def fail(failure):
    failure.printTraceback(sys.stdout)
    sys.stdout.flush()
    os._exit(3)


if __name__ == "__main__":
    work = Deferred.fromCoroutine(main(Path(sys.argv[1]), random.Random(int(sys.argv[2]))))
    work.addErrback(fail)
    reactor.run()

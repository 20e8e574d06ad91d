"""A process that fills a journal and delivers from it until it is killed.

    python journal_child.py DIRECTORY SEED

Every value is its own seq, so that whoever finds it can tell whether it is right. On standard
output, a line each: ``A ms seq`` (the first stream has had readings up to seq added by then), ``C
readings`` (so many are durable), ``D flush offset flush offset path first count …`` (delivered,
from and to), ``K flush offset`` (acked).
"""

import os
import random
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from smapd.core import SmapInstance
from smapd.runtime import PoolSize, make_runtime, pool_sizes
from smapd.storage.journal import POOL, Readings
from smapd.storage.settings import Settings
from smapd.values import Limits, Start, wall_ms

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
STREAMS = 40
COMMIT_S = 0.1
SEGMENT = 256 * 1024


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def deliver(journal):
    cursor = journal.cursor("sink", None, Start.OLDEST, Limits(max_readings=None))
    while True:
        batch = await cursor.read(1_000)
        if not batch.runs and not batch.gaps:
            await cursor.when_more()
            continue
        words = []
        for run in batch.runs:
            assert run.values == list(range(run.first_seq, run.first_seq + len(run.ms))), run
            words += [run.path, run.first_seq, len(run.ms)]
        for gap in batch.gaps:
            say("G", gap.path, gap.from_seq, gap.to_seq, gap.count, gap.why)
        say("D", *batch.first, *batch.end, *words)
        await cursor.ack(batch.end)
        say("K", *batch.end)


async def main(home, rng):
    run = make_runtime(reactor, {**pool_sizes(), POOL: PoolSize(1, 1, 10_000)})
    run.threads.start()
    settings = Settings(commit_s=COMMIT_S, segment_bytes=SEGMENT, history_s=0, min_free=0)
    journal = Readings(
        home / "readings",
        home / "quarantine",
        run.clock,
        run.threads,
        run.backoff(),
        run.faults,
        settings,
    )
    await journal.start()
    tree = SmapInstance(ROOT)
    tree.settle(run.threads.to_reactor)
    tree.attach(journal)
    streams = [tree.add_timeseries(f"/s{i}", f"s{i}", "V") for i in range(STREAMS)]
    nexts = [stream.next_seq for stream in streams]
    say("R", *nexts)
    run.clock.background(Deferred.fromCoroutine(deliver(journal)), "delivering")

    def fill():
        for i, stream in enumerate(streams):
            if rng.random() < 0.5:
                stream.add(nexts[i])
                nexts[i] += 1
            elif rng.random() < 0.1:
                count = rng.randrange(1, 60)
                now = wall_ms() / 1000
                stream.add_many([now] * count, list(range(nexts[i], nexts[i] + count)))
                nexts[i] += count
        say("A", wall_ms(), nexts[0])
        say("C", journal.committed)

    run.clock.every(0.005, fill)


if __name__ == "__main__":
    work = Deferred.fromCoroutine(main(Path(sys.argv[1]), random.Random(int(sys.argv[2]))))
    work.addErrback(lambda failure: (failure.printTraceback(), os._exit(3)))
    reactor.run()

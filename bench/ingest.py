"""How fast readings come in from threads, beside a bare deque.

    python bench/ingest.py [readings per run] [runs]

The bare deque does the same look-up, the same check and the same stamp, appends, and is drained by
one callFromThread into a list; the tree gives each reading its seq, keeps the last one, and hands a
batch to a listener. Goal: add >= 0.5 x the bare deque, add_many >= 3 x add. Rates are readings per
second of wall time, from the first add until the last reading was taken; the ratio of CPU seconds
stands beside it, since other work on the machine disturbs it less. A batch makes its readings when
they are looked at; the last row has a listener that looks at each.
"""

import statistics
import sys
import threading
import time
from collections import deque

from twisted.internet import reactor

from smapd.core import SmapInstance
from smapd.core.fitting import fit_long
from smapd.values import wall_ms

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
STREAMS = 1000
BLOCK = 1000


def home(f, *args, wait=True):
    """The bench never waits; the real door does, where asked."""
    reactor.callFromThread(f, *args)


class Bare:
    """The least that takes readings from threads."""

    def __init__(self, paths):
        self.streams = {path: object() for path in paths}
        self.queue = deque()
        self.awake = False
        self.count = 0

    def add(self, path, value):
        stream = self.streams[path]
        self.queue.append((stream, wall_ms(), fit_long(value)))
        if not self.awake:
            self.awake = True
            reactor.callFromThread(self.drain)

    def drain(self):
        self.awake = False
        batch = []
        try:
            while True:
                batch.append(self.queue.popleft())
        except IndexError:
            pass
        self.count += len(batch)


class Counter:
    """A listener that looks at nothing but how many."""

    def __init__(self):
        self.count = 0

    def nodes_added(self, nodes):
        pass

    def readings_added(self, batch):
        self.count += len(batch)


class Reader(Counter):
    """A listener that looks at every reading: the batch makes them then."""

    def readings_added(self, batch):
        for _stream, _reading in batch:
            pass
        self.count += len(batch)


def one_by_one(add, paths, readings):
    for i in range(readings // len(paths)):
        for path in paths:
            add(path, i)


def in_blocks(add_many, paths, readings):
    values = list(range(BLOCK))
    times = [1_700_000_000 + i for i in values]
    for i in range(readings // BLOCK):
        add_many(paths[i % len(paths)], times, values)


def made(listener=Counter):
    """A bare deque and a tree with the same streams, and the tree's listener."""
    paths = [f"/hall/rack{i % 20}/s{i}" for i in range(STREAMS)]
    tree = SmapInstance(ROOT)
    for path in paths:
        tree.add_timeseries(path, path, "V")
    counter = listener()
    tree.attach(counter)
    tree.settle(home)
    return paths, Bare(paths), tree, counter


def timed(counted, threads, readings, f, *args):
    """Wall and CPU seconds until ``readings`` more were counted; not on the reactor's thread."""
    target = counted.count + readings
    work = [threading.Thread(target=f, args=(*args, readings // threads)) for _ in range(threads)]
    wall, cpu = time.perf_counter(), time.process_time()
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    while counted.count < target:
        time.sleep(0.0005)
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(readings, runs):
    paths, bare, tree, counter = made()
    _, _, read_tree, reader = made(Reader)
    cases = {
        "bare deque, 1 thread": (bare, 1, one_by_one, bare.add, paths),
        "add, 1 thread": (counter, 1, one_by_one, tree.add, paths),
        "bare deque, 4 threads": (bare, 4, one_by_one, bare.add, paths),
        "add, 4 threads": (counter, 4, one_by_one, tree.add, paths),
        f"add_many, blocks of {BLOCK}": (counter, 1, in_blocks, tree.add_many, paths),
        "add, listener reads each": (reader, 1, one_by_one, read_tree.add, paths),
    }
    seen = {name: [] for name in cases}
    for run in range(runs + 1):  # the first warms up
        for name, (counted, threads, *call) in cases.items():
            took = timed(counted, threads, readings, *call)
            if run:
                seen[name].append(took)
    assert tree.refused == tree.dropped == 0
    return {
        name: tuple(statistics.median(column) for column in zip(*took, strict=True))
        for name, took in seen.items()
    }


def report(readings, median):
    names = list(median)
    print(f"{readings} readings a run, {STREAMS} streams; medians")
    print(f"{'':28}{'readings/s':>12}{'CPU us':>9}")
    for name, (wall, cpu) in median.items():
        print(f"{name:28}{readings / wall:12,.0f}{cpu / readings * 1e6:9.3f}")
    print(f"{'ratio':28}{'rate':>12}{'CPU':>9}{'goal':>9}")
    for ours, other, goal in (
        (names[1], names[0], 0.5),
        (names[3], names[2], 0.5),
        (names[4], names[1], 3.0),
        (names[5], names[0], None),
    ):
        rate, cpu = (median[other][i] / median[ours][i] for i in (0, 1))
        print(f"{ours + ' / ' + other.split(',')[0]:28.28}{rate:12.2f}{cpu:9.2f}{goal or '-':>9}")


def main():
    readings = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5

    def work():
        try:
            report(readings, measure(readings, runs))
        finally:
            reactor.callFromThread(reactor.stop)

    reactor.callWhenRunning(lambda: threading.Thread(target=work).start())
    reactor.run()


if __name__ == "__main__":
    main()

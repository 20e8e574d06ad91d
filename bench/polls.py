"""Periodic calls: what they cost, how late they come, and whether a hung one delays another.

``python bench/polls.py`` prints, medians of five runs each:

- 10,000 calls a second: CPU of smapd's scheduler against the same heap that hands each call to a
  pool of threads (Twisted's ``ThreadPool``), and the lateness of the calls.
- 100 healthy drivers with and without as many that hang in every poll: the healthy ones' lateness.

Every run is a process of its own, so that none inherits another's threads.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from twisted.internet import reactor
from twisted.python.threadpool import ThreadPool

from smapd.runtime import CallOwner, Clock, PoolSize, Scheduler, Threads

CALLS = 10_000
INTERVAL_S = 1.0
SECONDS = 6.0
WARM_S = 1.5


class Meter:
    """Takes the time of each call; from any thread."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self.counting = False
        self.cpu_s = 0.0

    def begin(self) -> None:
        self.counting = True
        self.cpu_s = -_cpu_s()

    def end(self) -> None:
        self.cpu_s += _cpu_s()
        self.counting = False

    def result(self, seconds: float) -> dict[str, float]:
        late = sorted(self.late_s)
        n = max(1, len(late))
        return {
            "calls_per_s": len(late) / seconds,
            "cpu": self.cpu_s / seconds,
            "p50_ms": late[n // 2] * 1000 if late else 0.0,
            "p99_ms": late[min(n - 1, n * 99 // 100)] * 1000 if late else 0.0,
            "max_ms": late[-1] * 1000 if late else 0.0,
        }


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _poll(meter: Meter, base_s: float, interval_s: float) -> None:
    """A poll that does not block; its phase tells how late it is."""
    if meter.counting:
        meter.late_s.append((time.monotonic() - base_s) % interval_s)


def _run(meter: Meter, seconds: float = SECONDS) -> dict[str, float]:
    reactor.callLater(WARM_S, gc.collect)
    reactor.callLater(WARM_S + 0.01, gc.freeze)  # as the daemon does once its tree is made
    reactor.callLater(WARM_S + 0.5, meter.begin)
    reactor.callLater(WARM_S + 0.5 + seconds, meter.end)
    reactor.callLater(WARM_S + 0.5 + seconds, reactor.crash)
    reactor.run()
    return meter.result(seconds)


def floor(pool_threads: int = 20) -> dict[str, float]:
    """The same heap behind one ``callLater``; each call goes to a pool by itself."""
    meter = Meter()
    pool = ThreadPool(pool_threads, pool_threads)
    pool.start()
    heap: list[tuple[float, int, float, int]] = []
    start_s = time.monotonic() + 0.3
    for i in range(CALLS):
        heap.append((start_s + i * INTERVAL_S / CALLS, i, start_s + i * INTERVAL_S / CALLS, 0))
    heapq.heapify(heap)

    def fire() -> None:
        now_s = time.monotonic()
        while heap[0][0] <= now_s:
            _due_s, i, base_s, n = heap[0]
            heapq.heapreplace(heap, (base_s + (n + 1) * INTERVAL_S, i, base_s, n + 1))
            pool.callInThread(_poll, meter, base_s, INTERVAL_S)
        reactor.callLater(max(0.0, heap[0][0] - time.monotonic()), fire)

    reactor.callLater(0.3, fire)
    result = _run(meter)
    pool.stop()
    return result


def bare_heap() -> dict[str, float]:
    """The heap alone, each call on the reactor: what no hand-over costs."""
    meter = Meter()
    start_s = time.monotonic() + 0.3
    heap = [
        (start_s + i * INTERVAL_S / CALLS, i, start_s + i * INTERVAL_S / CALLS, 0)
        for i in range(CALLS)
    ]

    def fire() -> None:
        now_s = time.monotonic()
        while heap[0][0] <= now_s:
            _due_s, i, base_s, n = heap[0]
            heapq.heapreplace(heap, (base_s + (n + 1) * INTERVAL_S, i, base_s, n + 1))
            _poll(meter, base_s, INTERVAL_S)
        reactor.callLater(max(0.0, heap[0][0] - time.monotonic()), fire)

    reactor.callLater(0.3, fire)
    return _run(meter)


def _house() -> tuple[Clock, Threads, Scheduler]:
    clock = Clock(reactor)
    threads = Threads(reactor, clock, {"poll": PoolSize(20, 200, 100_000)})
    threads.start()
    return clock, threads, Scheduler(clock, threads)


def _start(owner: CallOwner, fn: Callable[..., None], *a: object, interval_s: float) -> None:
    owner.call(fn, *a).start(interval_s)
    owner.begin()


def ours(on_reactor: bool = False) -> dict[str, float]:
    """10,000 drivers of one call each."""
    meter = Meter()
    clock, _threads, scheduler = _house()

    def enrol(i: int) -> None:
        # a hundred a step: their phases are spread over the interval
        for k in range(i, i + 10):
            owner = CallOwner("", f"/d{k}", scheduler, on_reactor=on_reactor)
            _start(owner, _poll, meter, clock.seconds(), INTERVAL_S, interval_s=INTERVAL_S)
        if i + 10 < CALLS:
            reactor.callLater(max(0.0, begun + (i + 10) / CALLS - clock.seconds()), enrol, i + 10)

    begun = clock.seconds() + 0.1
    reactor.callLater(0.1, enrol, 0)
    return _run(meter)


def fairness(hung: int, healthy: int = 50, interval_s: float = 0.1) -> dict[str, float]:
    """Healthy drivers that sleep a little in each poll, beside some that never come back."""
    meter = Meter()
    clock, threads, scheduler = _house()
    never = threading.Event()

    def healthy_poll(base_s: float) -> None:
        _poll(meter, base_s, interval_s)
        time.sleep(0.001)  # a device that answers

    for i in range(max(hung, healthy)):
        if i < hung:
            owner = CallOwner("", f"/hung{i}", scheduler)
            _start(owner, never.wait, interval_s=interval_s)
        if i < healthy:
            owner = CallOwner("", f"/well{i}", scheduler)
            _start(owner, healthy_poll, clock.seconds(), interval_s=interval_s)
    result = _run(meter)
    result["threads"] = float(threads.status()["poll"]["busy"])
    return result


KINDS: dict[str, Callable[[], dict[str, float]]] = {
    "floor": floor,
    "bare heap": bare_heap,
    "smapd": ours,
    "smapd on the reactor": lambda: ours(on_reactor=True),
    "healthy alone": lambda: fairness(0),
    "healthy beside 50 hung": lambda: fairness(50),
}


def _median(kind: str, runs: int) -> dict[str, float]:
    results = []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, __file__, "--kind", kind], check=True, capture_output=True, text=True
        )
        results.append(json.loads(done.stdout))
    return {key: statistics.median(r[key] for r in results) for key in results[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", choices=list(KINDS), help="one run of this, as JSON")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    if options.kind:
        print(json.dumps(KINDS[options.kind]()))
        return
    medians = {kind: _median(kind, options.runs) for kind in KINDS}
    print(f"{'':24}{'calls/s':>9}{'CPU':>8}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}")
    for kind, m in medians.items():
        print(
            f"{kind:24}{m['calls_per_s']:9.0f}{m['cpu']:8.1%}{m['p50_ms']:8.2f}"
            f"{m['p99_ms']:8.2f}{m['max_ms']:8.2f}"
        )
    pooled = medians["smapd"]["cpu"] / medians["floor"]["cpu"]
    here = medians["smapd on the reactor"]["cpu"] / medians["bare heap"]["cpu"]
    alone, beside = medians["healthy alone"]["p99_ms"], medians["healthy beside 50 hung"]["p99_ms"]
    print(f"\nCPU, smapd / the same heap with a pool: {pooled:.2f} (goal: at most 1.5)")
    print(f"CPU, smapd on the reactor / bare heap: {here:.2f} (goal: at most 2)")
    print(f"p99 lateness at 10,000 calls/s: {medians['smapd']['p99_ms']:.2f} ms (goal: at most 20)")
    print(
        f"p99 lateness of healthy drivers: {alone:.2f} ms alone, {beside:.2f} ms beside 50 hung "
        "(goal: 10 % or 5 ms more, whichever is more)"
    )


if __name__ == "__main__":
    main()

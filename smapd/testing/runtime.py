"""A ``Runtime`` on fake time, without threads."""

from __future__ import annotations

from collections.abc import Mapping

from smapd.runtime import FaultLog, PoolSize, Runtime, Scheduler, Status

from .clocks import START_MS, FakeClock
from .threads import FakeThreads


class FakeRuntime(Runtime):
    """What ``make_runtime`` gives, for a test: ``advance`` lets time pass, calls run at once.

    The parts above the clock and the threads are the real ones. Random numbers are all 0.5, so a
    backoff waits exactly 1, 1.5, 2.25 … seconds.
    """

    clock: FakeClock
    threads: FakeThreads

    def __init__(
        self, pools: Mapping[str, PoolSize] | None = None, *, start_ms: int = START_MS
    ) -> None:
        """``pools`` beside poll, work and setup; ``start_ms``: what the wall clock shows."""
        clock = FakeClock(start_ms)
        threads = FakeThreads(clock)
        for name, size in (pools or {}).items():
            threads.add_pool(name, size)
        faults = FaultLog(clock.seconds)
        scheduler = Scheduler(clock, threads, faults=faults, rng=_half)
        status = Status()
        status.section("threads", threads.status)
        status.section("polls", scheduler.summary)
        status.section("faults", faults.status)
        super().__init__(clock, threads, scheduler, status, faults, _half)

    def advance(self, seconds: float) -> None:
        """Let time pass; every timer and beat on the way comes at its moment."""
        self.clock.advance(seconds)


def _half() -> float:
    return 0.5

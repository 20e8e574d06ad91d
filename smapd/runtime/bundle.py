"""What every room is handed of time and threads, in one piece."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime

from .backoff import Backoff
from .clock import Clock
from .faults import FaultLog
from .pool import PoolSize
from .scheduler import Scheduler
from .status import Status
from .threads import Threads

MOST_POLL_THREADS = 200
MOST_SETUP_THREADS = 64
SPARE_SETUP_THREADS = 960
SETUP_HANGS_S = 2.0
"""After so long a set-up no longer takes the place of another."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The clock, the threads and what stands on them. Made by ``make_runtime``."""

    clock: Clock
    threads: Threads
    scheduler: Scheduler
    status: Status
    faults: FaultLog
    rng: Callable[[], float] = random.random

    def backoff(self) -> Backoff:
        """A new one, of the daemon's one policy."""
        return Backoff(self.rng)


def pool_sizes(poll_threads: int = 20, work_threads: int = 8) -> dict[str, PoolSize]:
    """The pools that every daemon has.

    ``poll`` for periodic calls, ``work`` for actuations and receivers, ``setup`` for the drivers'
    setup, start and stop: a driver that hangs there must hold up neither of the others, nor other
    drivers.
    """
    return {
        "poll": PoolSize(poll_threads, max(poll_threads, MOST_POLL_THREADS), queue=100_000),
        "work": PoolSize(work_threads, work_threads, queue=10_000),
        "setup": PoolSize(
            0, MOST_SETUP_THREADS, 100_000, spare=SPARE_SETUP_THREADS, hung_s=SETUP_HANGS_S
        ),
    }


def make_runtime(
    reactor: Any,
    sizes: Mapping[str, PoolSize] | None = None,
    rng: Callable[[], float] = random.random,
) -> Runtime:
    """The runtime on this reactor, nothing started; ``sizes`` default to ``pool_sizes()``.

    ``reactor`` gives ``IReactorTime`` and ``IReactorFromThreads``. Its timers are made proof
    against steps of the wall clock (see ``Clock``). ``/status`` gets the sections threads, polls
    and faults.
    """
    clock = Clock(IReactorTime(reactor))
    threads = Threads(reactor, clock, sizes if sizes is not None else pool_sizes())
    faults = FaultLog(clock.seconds)
    scheduler = Scheduler(clock, threads, faults=faults, rng=rng)
    status = Status()
    status.section("threads", threads.status)
    status.section("polls", scheduler.summary)
    status.section("faults", faults.status)
    return Runtime(clock, threads, scheduler, status, faults, rng)

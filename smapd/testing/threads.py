"""Threads that are none: what is handed over is done at once, on the caller's thread."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from smapd.errors import Busy, ShutdownRequested
from smapd.runtime import Clock, PoolSize, Threads, attempt, pool_sizes
from smapd.runtime.pool import Job
from smapd.values import Json

T = TypeVar("T")


class FakeThreads(Threads):
    """The doors of ``Threads``, with its checks and errors, and no thread behind them.

    A pool in ``full`` answers Busy. A pool that is on ``hold`` keeps what it is given until
    ``let_go``, as when its threads block; what is kept counts as running.
    """

    def __init__(self, clock: Clock, pools: Mapping[str, PoolSize] | None = None) -> None:
        self._fake_clock = clock
        self._sizes: dict[str, PoolSize] = dict(pool_sizes() if pools is None else pools)
        self._done = dict.fromkeys(self._sizes, 0)
        self._held: dict[str, deque[tuple[float, Callable[[], None], Job | None, str]]] = {}
        self._stopped = False
        self.full: set[str] = set()
        """Names of pools whose queue has no room."""

    def start(self) -> None:
        """Nothing to start."""

    def stop(self, timeout_s: float) -> Deferred[list[str]]:
        """Take no more; answers at once, with the names of what is on hold."""
        if self._stopped:
            raise ShutdownRequested("the threads are stopped already")
        self._stopped = True
        return succeed([f"{pool}: {name}" for pool, q in self._held.items() for *_, name in q])

    def add_pool(self, name: str, size: PoolSize) -> None:
        """Add a pool.

        :raises ValueError: if there is one of that name.
        """
        if name in self._sizes:
            raise ValueError(f"there is a pool named {name} already")
        self._sizes[name] = size
        self._done[name] = 0

    # --- the test's side

    def hold(self, pool: str) -> None:
        """From now on keep what this pool is given: its threads block."""
        self._check(pool)
        self._held.setdefault(pool, deque())

    def let_go(self, pool: str) -> None:
        """Do what was kept, in order, and do the rest at once again."""
        while self._held.get(pool):
            _since_s, do, _job, _name = self._held[pool].popleft()
            do()
        self._held.pop(pool, None)

    # --- the doors

    def to_pool(self, name: str, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call it now; fails as the real one does."""
        self._check(name)
        what = str(getattr(f, "__qualname__", f))
        if self._stopped:
            return fail(ShutdownRequested(f"{what} was not begun: smapd is stopping"))
        if name in self.full:
            size = self._sizes[name].queue
            return fail(Busy(f"{what} was not begun: {size} calls wait for {name}"))
        done: Deferred[T] = Deferred()
        context = contextvars.copy_context()

        def do() -> None:
            result: Any = attempt(context.run, f, *a)
            if isinstance(result, Deferred):
                result = Failure(  # type: ignore[no-untyped-call]
                    TypeError(f"{what} ran on a pool's thread and returned a Deferred")
                )
            self._done[name] += 1
            if not done.called:
                done.callback(result)

        self._do(name, do, None, what)
        return done

    def to_reactor(self, f: Callable[..., T], *a: Any, wait: bool = True) -> T | None:
        """Call it now: the test's thread is the reactor's."""
        result = f(*a)
        return result if wait else None

    def to_loop(self, coro: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run it to its end now, on an asyncio loop of its own; awaits that wait really do."""
        if self._stopped:
            name = getattr(coro, "__qualname__", coro)
            coro.close()
            raise ShutdownRequested(f"{name} was not begun: smapd is stopping")
        result = attempt(asyncio.run, coro)
        done: Deferred[T] = Deferred()
        done.callback(result)
        return done

    def to_user_loop(self, coro: Coroutine[Any, Any, T]) -> Deferred[T]:
        """As ``to_loop``."""
        return self.to_loop(coro)

    def submit(self, name: str, jobs: Iterable[Job]) -> list[Job]:
        """Run each job now; those of one lane one after another."""
        self._check(name)
        if self._stopped or name in self.full:
            return list(jobs)
        for job in jobs:
            self._do(name, self._counted(name, job), job, job.name)
        return []

    # --- who watches

    def running(self, name: str) -> list[tuple[Job, float]]:
        """The jobs on hold, each with the time it was given."""
        self._check(name)
        return [(job, since) for since, _, job, _ in self._held.get(name, ()) if job is not None]

    def moved(self) -> dict[str, int]:
        """How many jobs each pool has done."""
        return dict(self._done)

    def status(self) -> dict[str, Json]:
        """As the real one's: each pool's counts."""
        now_s = self._fake_clock.seconds()
        shown: dict[str, Json] = {}
        for name, size in self._sizes.items():
            held = self._held.get(name, ())
            longest = {"name": held[0][3], "seconds": now_s - held[0][0]} if held else None
            shown[name] = {
                "idle": 0,
                "busy": len(held),
                "queued": 0,
                "kept": size.kept,
                "most": size.most,
                "done": self._done[name],
                "longest": longest,
            }
        for name in ("loop", "loop-user"):
            shown[name] = {"open": 0, "done": 0, "worst_block_s": 0.0}
        return shown

    # --- private

    def _check(self, name: str) -> None:
        if name not in self._sizes:
            known = ", ".join(sorted(self._sizes))
            raise ValueError(f"there is no pool {name}; there are {known}")

    def _do(self, pool: str, do: Callable[[], None], job: Job | None, name: str) -> None:
        held = self._held.get(pool)
        if held is None:
            do()
        else:
            held.append((self._fake_clock.seconds(), do, job, name))

    def _counted(self, pool: str, job: Job) -> Callable[[], None]:
        def do() -> None:
            job.run()
            self._done[pool] += 1

        return do

"""The three doors between threads, and the only file that makes threads, locks and loops' homes.

``to_pool`` takes a call from the reactor to a pool, ``to_reactor`` takes one from anywhere to the
reactor, ``to_loop`` and ``to_user_loop`` take a coroutine to one of the two asyncio loops. All
threads are daemons: a driver that never comes back cannot hold up the end of the process.

Twisted's own thread pool, where names are looked up, is left alone.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.errors import Busy, ShutdownRequested
from smapd.interfaces import IThreads
from smapd.values import Json

from .clock import Clock, Repeating
from .guard import attempt, failure_of
from .loops import AsyncLoop
from .pool import Job, Lane, Pool, PoolSize

T = TypeVar("T")
_log = Logger()

MAX_POSTED = 100_000
"""Calls on their way to the reactor; past that it stands still, and callers are told Busy."""

LOOK_S = 1.0
"""How often the pools with spare threads are looked at while jobs wait there."""

BLOCK_S = 1.0
"""A coroutine that keeps the users' loop longer than this is named in the log."""


@implementer(IThreads)
class Threads:
    """The pools, the two loops, and the way back to the reactor.

    ``reactor``: only its ``callFromThread`` is used. ``pools``: a size for each name; more come
    by ``add_pool``. Nothing runs before ``start``.
    """

    def __init__(
        self, reactor: IReactorFromThreads, clock: Clock, pools: Mapping[str, PoolSize]
    ) -> None:
        self._reactor, self._clock = reactor, clock
        self._pools: dict[str, Pool] = {}
        self._home: int | None = None
        self._stopped = False
        self._over = False
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._awake = False
        self._watch: Repeating | None = None
        self._look: Repeating | None = None
        self._ending: Deferred[None] | None = None
        self._loop = self._make_loop("loop")
        self._user_loop = self._make_loop("loop-user")
        self._live: set[object] = {self._loop, self._user_loop}
        for name, size in pools.items():
            self.add_pool(name, size)

    # --- life

    def start(self) -> None:
        """From now on the thread that calls this is the reactor's."""
        self._home = threading.get_ident()

    def add_pool(self, name: str, size: PoolSize) -> None:
        """Add a pool; its threads come with its jobs.

        :raises ValueError: if there is one of that name.
        """
        if name in self._pools:
            raise ValueError(f"there is a pool named {name} already")
        pool = Pool(
            name,
            size,
            spawn=_spawn,
            lock=threading.Lock,
            seconds=self._clock.seconds,
            emptied=lambda: self._post(self._ended, pool),
        )
        self._pools[name] = pool
        self._live.add(pool)

    def stop(self, timeout_s: float) -> Deferred[list[str]]:
        """Take no more work, and wait for what runs; on the reactor's thread.

        What was queued fails with ShutdownRequested. Fires with the names of the calls that were
        still running after ``timeout_s``: they are abandoned, and their Deferreds fail.
        """
        if self._stopped:
            raise ShutdownRequested("the threads are stopped already")
        self._stopped = True
        for watch in (self._watch, self._look):
            if watch is not None:
                watch.stop()
        waiting: Deferred[None] = Deferred()
        self._ending = waiting
        for pool in list(self._pools.values()):
            for job in pool.stop():
                if isinstance(job, _PoolCall):
                    job.drop(f"{job.name} was not begun: smapd is stopping")
        self._loop.stop()
        self._user_loop.stop()
        if not self._live:
            self._time_is_up()
        timer = self._clock.later(timeout_s, self._time_is_up)
        return waiting.addCallback(lambda _: timer.discard()).addCallback(self._abandon)

    def _ended(self, what: object) -> None:
        self._live.discard(what)
        if not self._live:
            self._time_is_up()

    def _time_is_up(self) -> None:
        if self._ending is not None and not self._ending.called:
            self._ending.callback(None)

    def _abandon(self, _: None) -> list[str]:
        names = []
        for pool in self._pools.values():
            for job, _since_s in pool.running():
                names.append(f"{pool.name}: {job.name}")
                if isinstance(job, _PoolCall):
                    job.drop(f"{job.name} was abandoned")
        for loop in (self._loop, self._user_loop):
            names += [f"{loop.name}: {name}" for name in loop.abandon()]
        self._drain()
        self._over = True
        return names

    # --- the doors

    def to_pool(self, name: str, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call ``f(*a)`` on a thread of that pool; on the reactor's thread.

        ``f`` sees the caller's context variables. Cancelling the Deferred keeps a call from
        beginning; one that runs is left to run, and its result is dropped.

        :raises ValueError: if there is no such pool.
        :raises Busy: (as a failure) if its queue is full.
        :raises ShutdownRequested: (as a failure) after ``stop``.
        """
        pool = self._pool(name)
        call: _PoolCall = _PoolCall(self, f, a)
        if pool.submit((call,)):
            if self._stopped:
                call.drop(f"{call.name} was not begun: smapd is stopping")
            else:
                call.done.errback(
                    Busy(f"{call.name} was not begun: {pool.size.queue} calls wait for {name}")
                )
        elif pool.size.spare and self._look is None:
            self._look = self._clock.every(LOOK_S, self._look_at_spare)
        return cast("Deferred[T]", call.done)

    def to_reactor(self, f: Callable[..., T], *a: Any, wait: bool = True) -> T | None:
        """Call ``f(*a)`` on the reactor's thread; from any thread.

        With ``wait`` the result comes back, or its exception is raised here. Without, None at
        once, and what it raises is logged. On the reactor's own thread, and before ``start``, it
        calls straight through. Calls of one thread come in their order.

        :raises ShutdownRequested: after ``stop`` has ended, from other threads.
        :raises Busy: if the reactor is far behind.
        """
        home = self._home
        if home is None or threading.get_ident() == home:
            result = f(*a)
            return result if wait else None
        if self._over:
            raise ShutdownRequested(f"{_name_of(f)} was not called: smapd has stopped")
        if len(self._posted) >= MAX_POSTED:
            raise Busy(f"{_name_of(f)} was not called: {MAX_POSTED} calls wait for the reactor")
        if not wait:
            self._post(f, *a)
            return None
        answer = _Answer(f, a)
        self._post(answer.fill)
        while not answer.ready.wait(1.0):
            if self._over and not answer.ready.is_set():
                raise ShutdownRequested(f"{_name_of(f)} was not called: smapd has stopped")
        return cast("T", answer.read())

    def to_loop(self, coro: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run a coroutine of ours on our asyncio loop; on the reactor's thread."""
        return self._loop.submit(coro)

    def to_user_loop(self, coro: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run a user's coroutine on the users' asyncio loop; on the reactor's thread.

        One that blocks the loop for more than a second is named in the log.
        """
        if self._watch is None:
            self._watch = self._clock.every(BLOCK_S / 2, self._user_loop.watch, BLOCK_S)
        return self._user_loop.submit(coro)

    def submit(self, name: str, jobs: Iterable[Job]) -> list[Job]:
        """Queue many jobs at once; the ones for which there is no room come back."""
        return self._pool(name).submit(jobs)

    # --- who watches

    def running(self, name: str) -> list[tuple[Job, float]]:
        """What a pool is doing: (job, the clock's seconds when it began), oldest first."""
        return self._pool(name).running()

    def moved(self) -> dict[str, int]:
        """How many jobs each pool has ended since the start; for the watchdog."""
        return {name: pool.done for name, pool in self._pools.items()}

    def status(self) -> dict[str, Json]:
        """What ``/status`` shows: each pool's threads and the longest call of each."""
        now_s = self._clock.seconds()
        shown: dict[str, Json] = {}
        for name, pool in self._pools.items():
            idle, busy, queued = pool.counts()
            running = pool.running()
            shown[name] = {
                "idle": idle,
                "busy": busy,
                "queued": queued,
                "kept": pool.size.kept,
                "most": pool.size.most,
                "done": pool.done,
                "longest": {
                    "name": running[0][0].name,
                    "seconds": round(now_s - running[0][1], 3),
                }
                if running
                else None,
            }
            if pool.size.spare:
                shown[name] |= {"spare": pool.size.spare, "hung": pool.hung()}
        for loop in (self._loop, self._user_loop):
            shown[loop.name] = {
                "open": loop.open,
                "done": loop.done,
                "worst_block_s": round(loop.worst_block_s, 3),
            }
        return shown

    # --- private

    def _look_at_spare(self) -> None:
        """Hung calls make room for waiting ones; nobody else looks while all threads hang."""
        waiting = [pool.look() for pool in self._pools.values() if pool.size.spare]
        if self._look is not None and not any(waiting):
            self._look.stop()
            self._look = None

    def _pool(self, name: str) -> Pool:
        pool = self._pools.get(name)
        if pool is None:
            raise ValueError(f"there is no pool {name}; there are {', '.join(sorted(self._pools))}")
        return pool

    def _make_loop(self, name: str) -> AsyncLoop:
        loop = AsyncLoop(
            name,
            spawn=_spawn,
            post=self._post,
            seconds=self._clock.seconds,
            where=_where,
            ended=lambda: self._ended(loop),
        )
        return loop

    def _post(self, f: Callable[..., object], *a: Any) -> None:
        """Queue a call for the reactor: one wake-up for all that come before it is there."""
        self._posted.append((f, a))
        if not self._awake:
            self._awake = True
            self._reactor.callFromThread(self._drain)

    def _drain(self) -> None:
        self._awake = False  # before the look: who comes after it wakes us again
        for _ in range(len(self._posted)):
            f, a = self._posted.popleft()
            result = attempt(f, *a)
            if isinstance(result, Failure):
                _log.failure("{name} failed on the reactor", result, name=_name_of(f))


class _PoolCall:
    """One ``to_pool``."""

    __slots__ = ("_a", "_context", "_dropped", "_f", "_threads", "done", "lane", "name")

    def __init__(self, threads: Threads, f: Callable[..., Any], a: tuple[Any, ...]) -> None:
        self.name = _name_of(f)
        self.lane: Lane | None = None
        self._threads, self._f, self._a = threads, f, a
        self._context = contextvars.copy_context()
        self._dropped = False
        self.done: Deferred[Any] = Deferred(self._cancelled)

    def run(self) -> None:
        if self._dropped:
            return
        result = attempt(self._context.run, self._f, *self._a)
        if isinstance(result, Deferred):
            result = failure_of(
                TypeError(f"{self.name} ran on a pool's thread and returned a Deferred")
            )
        self._threads._post(self._finish, result)

    def drop(self, why: str) -> None:
        """Fail it now; it is not begun any more, and what comes of it is not looked at."""
        self._dropped = True
        if not self.done.called:
            self.done.errback(ShutdownRequested(why))

    def _cancelled(self, _: Deferred[Any]) -> None:
        self._dropped = True

    def _finish(self, result: Any) -> None:
        if not self._dropped and not self.done.called:
            self.done.callback(result)


class _Answer:
    """What a thread waits for."""

    __slots__ = ("_a", "_f", "_result", "ready")

    def __init__(self, f: Callable[..., Any], a: tuple[Any, ...]) -> None:
        self._f, self._a = f, a
        self._result: Any = None
        self.ready = threading.Event()

    def fill(self) -> None:
        self._result = attempt(self._f, *self._a)
        self.ready.set()

    def read(self) -> Any:
        if isinstance(self._result, Failure):
            self._result.raiseException()
        return self._result


def all_stacks() -> str:
    """Where every thread of the process is right now, for the log."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        stack = "".join(traceback.format_stack(frame))
        parts.append(f"Thread {names.get(ident, ident)}:\n{stack}")
    return "\n".join(parts)


def _spawn(name: str, f: Callable[[], None]) -> None:
    threading.Thread(target=f, name=name, daemon=True).start()


def _where(thread_name: str) -> str:
    for thread in threading.enumerate():
        if thread.name == thread_name and thread.ident is not None:
            frame = sys._current_frames().get(thread.ident)
            if frame is not None:
                return f"{frame.f_code.co_filename}:{frame.f_lineno}, {frame.f_code.co_qualname}"
    return "a place unknown"


def _name_of(f: Callable[..., object]) -> str:
    while hasattr(f, "func"):  # functools.partial
        f = f.func
    return str(getattr(f, "__qualname__", None) or f)

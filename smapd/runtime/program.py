"""Threads, waits and an asyncio loop for code that has no reactor of its own.

An integrator or follower is written as a plain program: it blocks, waits and calls back. Whether it
runs in a process of its own or inside the daemon, it stands on what is here; the daemon's own parts
use `Threads`. All threads are daemons: code that never comes back cannot hold up the end.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.logger import Logger
from twisted.python.failure import Failure

from .guard import attempt

_log = Logger()
T = TypeVar("T")

seconds = time.monotonic
"""Seconds of a clock that only grows; for deadlines where there is no ``Clock``."""

thread_ident = threading.get_ident
"""A number for the thread that calls it, no other living one's; to see who waits for whom."""


def give_way() -> None:
    """Have this thread, and those that it starts, never take the CPU from one that is at work.

    To Linux they are "batch" then: they get their share of the CPU, but who wakes one goes on
    first. Of two threads of one interpreter the one that wakes the other has the lock that the
    other wants: to change over to it, and back, is in vain. Elsewhere nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class Flag:
    """Something that came true, and who waits for it; any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """It is so; whoever waits goes on."""
        self._event.set()

    def clear(self) -> None:
        """It is not so any more."""
        self._event.clear()

    def is_set(self) -> bool:
        """Whether it is so."""
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is so, at most so long; whether it is."""
        return self._event.wait(None if timeout_s is None else max(0.0, timeout_s))


class Reply(Generic[T]):
    """One answer from another thread. The first one counts, the others are dropped.

    A bare lock is all there is to it: a third of the price of an Event, and each event that is
    published needs one.
    """

    __slots__ = ("_done", "_problem", "_value", "_waits", "is_awaited", "turns")

    def __init__(self) -> None:
        self.is_awaited = False
        """Whether a thread is in ``take``."""
        self.turns: Turns | None = None
        """Whose turn it is to go on, where that matters; not changed once somebody waits."""
        self._waits = threading.Lock()
        self._waits.acquire()
        self._done = False
        self._value: T | None = None
        self._problem: BaseException | None = None

    def give(self, value: T) -> None:
        """This is the answer."""
        if not self._done:
            self._value, self._done = value, True
            if self.turns is None:
                self.release()
            else:
                self.turns.give(self)

    def fail(self, problem: BaseException) -> None:
        """There is none; ``take`` raises this."""
        if not self._done:
            self._problem, self._done = problem, True
            self.release()

    def take(self, timeout_s: float) -> T:
        """Wait for it; once, by one thread.

        :raises TimeoutError: if none came in time.
        """
        came = False
        self.is_awaited = True
        try:
            came = self._waits.acquire(timeout=max(0.0, timeout_s))
        finally:
            if self.turns is not None:
                self.turns.left(self, came)
        if not self._done:
            raise TimeoutError
        if self._problem is not None:
            raise self._problem
        return self._value  # type: ignore[return-value]

    def release(self) -> None:
        """Let who waits go on; for who gives the answer."""
        try:
            self._waits.release()
        except RuntimeError:  # two answers at the same moment
            return


class Turns:
    """Lets threads that got their answers go on one after another; any thread.

    Woken all at once they fight for the lock of the interpreter, and those that lose are put to
    sleep once more. So each wakes the next as the first thing that it does. ``release`` lets all go
    who wait for their turn: for whoever sees that it takes too long, since a thread that computes
    may keep the one whose turn it is from going on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: Reply[Any] | None = None
        self._waiting: collections.deque[Reply[Any]] = collections.deque()

    def give(self, reply: Reply[Any]) -> None:
        """This one has its answer: it goes on now, or in its turn."""
        with self._lock:
            if reply.is_awaited:  # else nobody would give the turn to the next
                if self._current is not None:
                    self._waiting.append(reply)
                    return
                self._current = reply
        reply.release()

    def left(self, reply: Reply[Any], came: bool) -> None:
        """Its thread goes on; ``came``: because it was released."""
        following = None
        with self._lock:
            reply.is_awaited = False
            if self._current is reply:
                following = self._waiting.popleft() if self._waiting else None
                self._current = following
            elif not came and reply in self._waiting:
                self._waiting.remove(reply)
        if following is not None:
            following.release()

    def release(self) -> None:
        """Let all go on at once."""
        with self._lock:
            waiting, self._waiting = self._waiting, collections.deque()
            self._current = None
        for reply in waiting:
            reply.release()


class Mailbox(Generic[T]):
    """What one thread is to deal with, in order. ``put`` is safe even in a destructor."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[T] = queue.SimpleQueue()

    def put(self, item: T) -> None:
        """Add one; never blocks."""
        self._queue.put(item)

    def take(self, timeout_s: float | None = None) -> T:
        """The next one; waits for it.

        :raises TimeoutError: if none came in time.
        """
        try:
            return self._queue.get(timeout=None if timeout_s is None else max(0.0, timeout_s))
        except queue.Empty:
            raise TimeoutError from None

    def __len__(self) -> int:
        return self._queue.qsize()


class Monitor:
    """A lock with one waiting room: change what it guards inside ``with``, and ``wake`` after."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *_: object) -> None:
        self._condition.release()

    def wake(self) -> None:
        """Let all who wait look again; inside ``with``."""
        self._condition.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait to be woken; inside ``with``, in a loop that looks again. False: it took too long.

        The lock is free meanwhile.
        """
        return self._condition.wait(None if timeout_s is None else max(0.0, timeout_s))


class ProgramThread:
    """A thread that runs one function; made by ``spawn``."""

    def __init__(self, name: str, f: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=f, name=name, daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """As it was given."""
        return self._thread.name

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def is_current(self) -> bool:
        """Whether the caller is on it."""
        return self._thread is threading.current_thread()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its end, at most so long; whether it has ended. On itself: False at once."""
        if self.is_current():
            return False
        self._thread.join(None if timeout_s is None else max(0.0, timeout_s))
        return not self._thread.is_alive()


def spawn(name: str, f: Callable[[], object]) -> ProgramThread:
    """Run ``f()`` on a thread of its own; what it raises is for ``f`` to catch."""
    return ProgramThread(name, f)


class ProgramLoop:
    """An asyncio loop on a thread of its own; it ends with the coroutine it was made for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._thread: ProgramThread | None = None

    def start(self, main: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Run this coroutine on a thread of its own; the loop is closed behind it."""
        self._thread = spawn(self._name, lambda: self._run(main))

    def call(self, f: Callable[..., object], *a: Any) -> bool:
        """Call ``f(*a)`` on the loop; from any thread. False: it has ended, or was never begun."""
        if self._thread is None:
            return False
        try:
            self._loop.call_soon_threadsafe(f, *a)
        except RuntimeError:  # closed
            return False
        return True

    def is_current(self) -> bool:
        """Whether the caller is on its thread."""
        return self._thread is not None and self._thread.is_current()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; whether it has ended."""
        if self._thread is None:
            self._loop.close()
            return True
        return self._thread.join(timeout_s)

    def _run(self, main: Callable[[], Coroutine[Any, Any, object]]) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            for step in (main, self._loop.shutdown_asyncgens):
                result = attempt(lambda step=step: self._loop.run_until_complete(step()))
                if isinstance(result, Failure):
                    _log.failure("{loop} failed", result, loop=self._name)
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

"""An asyncio loop in a thread of its own, and a watch on who blocks it.

The reactor is Twisted's default one and shares no loop: asyncio libraries run on ``loop``, the
users' coroutines on ``loop-user``, so that neither can hold up the other or the reactor.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested

from .guard import attempt, failure_of

T = TypeVar("T")
_log = Logger()


class AsyncLoop:
    """One loop; the thread begins with the first coroutine. Methods on the reactor's thread."""

    def __init__(
        self,
        name: str,
        *,
        spawn: Callable[[str, Callable[[], None]], None],
        post: Callable[..., None],
        seconds: Callable[[], float],
        where: Callable[[str], str],
        ended: Callable[[], None],
    ) -> None:
        """Everything of threads is handed in.

        ``post(f, *a)`` calls f on the reactor's thread. ``where(thread name)`` says at which
        line that thread is. ``ended`` is called, on the reactor's thread, when after ``stop``
        the thread is gone.
        """
        self.name = name
        self.done = 0
        self.worst_block_s = 0.0
        self._spawn, self._post, self._seconds = spawn, post, seconds
        self._where, self._ended = where, ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[Deferred[Any], asyncio.Task[Any] | None] = {}
        self._names: dict[Deferred[Any], str] = {}
        self._pinged_s: float | None = None
        self._reported = False
        self._stopped = False
        self._closing: asyncio.Task[None] | None = None  # asyncio keeps no task by itself

    @property
    def open(self) -> int:
        """How many coroutines are under way."""
        return len(self._names)

    def open_names(self) -> list[str]:
        """The names of the coroutines under way."""
        return sorted(self._names.values())

    def submit(self, coro: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run it; cancelling the Deferred cancels its task."""
        if self._stopped:
            coro.close()
            raise ShutdownRequested(f"{_name_of(coro)} was not begun: smapd is stopping")
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.new_event_loop()
            self._spawn(self.name, self._main)
        done: Deferred[T] = Deferred(self._cancel)
        self._names[done] = _name_of(coro)
        loop.call_soon_threadsafe(self._begin, done, coro, context=contextvars.copy_context())
        return done

    def stop(self) -> None:
        """Cancel all tasks; the loop's thread ends when they have ended."""
        self._stopped = True
        if self._loop is None:
            self._ended()
        else:
            self._loop.call_soon_threadsafe(self._wind_up)

    def abandon(self) -> list[str]:
        """Fail what has not ended; its names."""
        names = self.open_names()
        for done in list(self._names):
            self._finish(done, failure_of(ShutdownRequested(f"{self._names[done]} was abandoned")))
        return names

    def watch(self, limit_s: float) -> None:
        """Call this every so often: names, once, what blocks the loop for more than a limit."""
        if self._loop is None or self._stopped:
            return
        now_s = self._seconds()
        if self._pinged_s is None:
            if self._names:
                self._pinged_s, self._reported = now_s, False
                self._loop.call_soon_threadsafe(self._post, self._pong, now_s)
            return
        blocked_s = now_s - self._pinged_s
        if blocked_s > limit_s and not self._reported:
            self._reported = True
            task = asyncio.current_task(self._loop)
            coro = task.get_coro() if task is not None else None
            _log.warn(
                "{loop}: {name} has blocked every other coroutine for {blocked_s:.1f} s at "
                "{where}. Await there, or do it with asyncio.to_thread().",
                loop=self.name,
                name=_name_of(coro) if coro is not None else "a callback",
                blocked_s=blocked_s,
                where=self._where(self.name),
            )

    def _pong(self, pinged_s: float) -> None:
        self.worst_block_s = max(self.worst_block_s, self._seconds() - pinged_s)
        self._pinged_s = None

    # --- on the loop's thread

    def _main(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        while True:
            result = attempt(loop.run_forever)
            if not isinstance(result, Failure):
                break
            _log.failure(
                "{loop}: a coroutine asked to exit; the loop goes on", result, loop=self.name
            )
        result = attempt(loop.close)
        if isinstance(result, Failure):
            _log.failure("{loop} could not be closed", result, loop=self.name)
        self._post(self._ended)

    def _begin(self, done: Deferred[T], coro: Coroutine[Any, Any, T]) -> None:
        loop = self._loop
        assert loop is not None
        task = loop.create_task(coro)
        self._tasks[done] = task
        task.add_done_callback(lambda task: self._over(done, task))

    def _over(self, done: Deferred[Any], task: asyncio.Task[Any]) -> None:
        self._tasks.pop(done, None)
        if task.cancelled():
            result: Any = failure_of(CancelledError())
        else:
            problem = task.exception()
            result = task.result() if problem is None else failure_of(problem)
        self._post(self._finish, done, result)

    def _cancel(self, done: Deferred[Any]) -> None:
        def cancel() -> None:
            task = self._tasks.get(done)
            if task is not None:
                task.cancel()

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(cancel)

    def _wind_up(self) -> None:
        loop = self._loop
        assert loop is not None
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()

        async def end() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)
            await loop.shutdown_asyncgens()
            loop.stop()

        self._closing = loop.create_task(end())

    # --- on the reactor's thread

    def _finish(self, done: Deferred[Any], result: Any) -> None:
        if self._names.pop(done, None) is None:
            return
        self.done += 1
        if not done.called:
            done.callback(result)


def _name_of(coro: Any) -> str:
    return str(getattr(coro, "__qualname__", None) or coro)

"""Calls of handlers: publishes one at a time and in order, queries beside each other."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from types import CoroutineType
from typing import Any, TypeAlias, cast

from .crossing import Crossing
from .errors import SourceClosed, VantiqConnectorException
from .logs import FailureLines
from .states import Counters

Handler: TypeAlias = Callable[..., Awaitable[None]]
Work: TypeAlias = Callable[[], Coroutine[Any, Any, object]]

_IN_HANDLER: ContextVar[asyncio.Task[Any] | None] = ContextVar("_IN_HANDLER", default=None)


class HandlerCalls:
    """Calls what the user wrote, on the loop that is meant for it; on one asyncio loop.

    What a handler raises is logged and counted here, and is no reason to end anything.
    """

    def __init__(
        self, source: str, crossing: Crossing, log: logging.Logger, counters: Counters
    ) -> None:
        self._source, self._log, self._counters = source, log, counters
        self._to_handlers, self._failures = crossing.to_handlers, FailureLines(log)

    async def call(self, name: str, handler: Handler, *args: Any) -> BaseException | None:
        """Call it and wait for it; what it raised, None if nothing."""
        failed = await self._to_handlers(_guarded(handler, args))
        if isinstance(failed, SourceClosed):
            self._log.info(
                "source %s: the %s handler ended with the source: %s", self._source, name, failed
            )
        elif failed is not None:
            self._counters.handler_failures += 1
            now_s = asyncio.get_running_loop().time()
            what = f"source {self._source}: the {name} handler failed"
            self._failures.failed(what, failed, now_s)
        return failed


def in_handler() -> bool:
    """Whether the caller is a handler itself, and not a task that it made."""
    task = _IN_HANDLER.get()
    return task is not None and task is asyncio.current_task()


def handler_waits() -> bool:
    """Whether a handler that is under way may wait for the caller: itself, or a task it made."""
    task = _IN_HANDLER.get()
    return task is not None and not task.done()


class InOrder:
    """Work that is done one piece after another; on one asyncio loop."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._queue: deque[tuple[Work, int]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether ``wait_for_room`` would wait."""
        return len(self._queue) >= self._most or self._bytes >= self._most_bytes

    @property
    def is_busy(self) -> bool:
        """Whether something of it is being done, or waits."""
        return self._task is not None

    def add(self, work: Work, size: int) -> None:
        """Do it after all that was added before."""
        self._queue.append((work, size))
        self._bytes += size
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def wait_for_room(self) -> None:
        """Return when less waits than may."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    async def stop(self, within_s: float) -> int:
        """Drop what has not begun, and give the rest its time; how many were dropped."""
        dropped = len(self._queue)
        self._queue.clear()
        self._bytes = 0
        self._room.set()
        if self._task is not None:
            await end_tasks([self._task], within_s)
        return dropped

    async def _run(self) -> None:
        try:
            while self._queue:
                work, size = self._queue.popleft()
                self._bytes -= size
                if not self.is_full:
                    self._room.set()
                await work()
        finally:
            self._task = None


class Beside:
    """Work that is done at the same time, up to a number of pieces; on one asyncio loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: dict[int, asyncio.Task[Any] | None] = {}
        self._queue: deque[tuple[Any, ...]] = deque()
        self._number = 0

    def __len__(self) -> int:
        return len(self._running) + len(self._queue)

    def has_room(self) -> bool:
        """Whether work would be begun at once."""
        return len(self._running) < self._most

    def add(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Begin ``work(*args)`` now, or when another one has ended."""
        if not self.has_room():
            self._queue.append((work, *args))
            return
        self._number = number = self._number + 1
        self._running[number] = asyncio.create_task(self._run(number, work, args))

    async def run_here(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Do it in the caller's task; there has to be room."""
        self._number = number = self._number + 1
        self._running[number] = asyncio.current_task()
        await self._run(number, work, args)

    async def stop(self, within_s: float) -> int:
        """Drop what has not begun, and give the rest its time; how many were dropped."""
        dropped = len(self._queue)
        self._queue.clear()
        running = [task for task in self._running.values() if task is not None]
        await end_tasks(running, within_s)
        return dropped

    async def _run(
        self, number: int, work: Callable[..., Awaitable[None]], args: tuple[Any, ...]
    ) -> None:
        try:
            await work(*args)
        finally:
            del self._running[number]
            if self._queue:
                self.add(*self._queue.popleft())


async def end_tasks(
    tasks: list[asyncio.Task[Any]], within_s: float, then_s: float | None = None
) -> None:
    """Wait for these so long, cancel them, and wait (as long) again; never for the caller's own."""
    tasks = [task for task in tasks if task is not asyncio.current_task()]
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=within_s)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=within_s if then_s is None else then_s)


async def _guarded(handler: Handler, args: tuple[Any, ...]) -> BaseException | None:
    """Runs on the handlers' loop."""
    task = asyncio.current_task()
    before = _IN_HANDLER.set(task)
    try:
        result = handler(*args)
        if type(result) is CoroutineType or inspect.isawaitable(result):
            await result
    except asyncio.CancelledError as error:
        if task is None or task.cancelling():
            raise
        return error  # something that it awaited was cancelled, not the handler
    except Exception as error:  # noqa: BLE001  the net below what users write; logged by call()
        return error
    finally:
        _IN_HANDLER.reset(before)
    return None


def checked(handler: Any, name: str) -> Handler | None:
    """A handler, or None for none.

    :raises VantiqConnectorException: if it cannot be called.
    """
    if handler is not None and not callable(handler):
        raise VantiqConnectorException(
            f"the {name} handler is a {type(handler).__name__}. "
            "Give a coroutine function (async def), or None for none."
        )
    return cast("Handler | None", handler)

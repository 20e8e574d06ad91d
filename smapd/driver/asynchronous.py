"""The base class of drivers written as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar

from twisted.logger import Logger

from smapd.errors import SmapError
from smapd.options import Option, duration
from smapd.runtime.guard import failure_of
from smapd.runtime.periodic import periodic_call
from smapd.runtime.words import text_of

from .base import SmapDriver

_log = Logger()

RATE_S = 30.0
CANCEL_S = 1.0
"""How long what is cancelled at a stop may take to end."""


class AsyncDriver(SmapDriver):
    """A driver whose ``setup``, ``start``, ``read`` and ``stop`` are ``async def``.

    They run on the asyncio loop of the users' code, in a thread of its own, which all such drivers
    share: a coroutine that blocks it for more than a second is named in the log, so what blocks
    belongs into ``asyncio.to_thread``. ``read`` is called each ``Rate``, never twice at once, and
    may raise what a poll may: ``DeviceUnavailable``, ``BadReading``. At the stop it is cancelled.

    A subclass that has a ``setup`` awaits ``super().setup(opts)`` in it, and one with options of
    its own declares ``OPTIONS = (*AsyncDriver.OPTIONS, …)``. What belongs to a loop, like a session
    or a task, is made in ``start``: a tree that ``loader.load`` makes is set up before there is
    one.
    """

    OPTIONS: ClassVar[tuple[Option, ...] | None] = (
        Option("Rate", duration, f"{RATE_S:g}s", "time between two readings", at_least="10ms"),
    )

    rate: float = RATE_S
    """Seconds between two calls of ``read``; from Rate."""

    _smapd_stopping = False

    async def setup(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Takes its Rate out of ``opts``, as ``setup(opts)`` or ``setup(inst, opts)``.

        :raises SmapError: for a Rate that was not checked by a table, and is wrong.
        """
        rate = (args[-1] if args else kwargs.get("opts", {})).get("Rate", RATE_S)
        try:
            self.rate = duration(rate) if isinstance(rate, str) else float(rate)
        except ValueError as error:
            raise SmapError(f"Rate = {rate}: {error}") from error
        self._smapd_is_set_up = True

    async def start(self) -> None:  # type: ignore[override]
        """Call ``read`` now, and each ``Rate`` from then on."""
        name = type(self).__qualname__
        if type(self).read is AsyncDriver.read:
            raise TypeError(f"{name} has neither async def read(self) nor a start of its own")
        if not hasattr(self, "_smapd_is_set_up"):
            raise TypeError(f"{name}.setup does not take its Rate: await super().setup(opts) in it")

        async def beat() -> None:
            await self._smapd_cancellable(self.read())

        beat.__qualname__ = type(self).read.__qualname__  # by which log and /status call it
        periodic_call(beat, ()).start(self.rate)

    async def read(self) -> None:
        """One beat: ask the device and add what it says."""

    async def stop(self) -> None:  # type: ignore[override]
        """Let go of the device; what ``spawn`` and ``read`` ran is cancelled, and over, before."""

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine beside the others until it ends or the driver is stopped; on the loop.

        For a driver that listens rather than asks. What it raises is logged; it is not run again.
        """
        task = asyncio.get_running_loop().create_task(coroutine)
        self._smapd_tasks.add(task)
        task.add_done_callback(self._smapd_ended)
        return task

    # --- for the host

    @property
    def _smapd_tasks(self) -> set[asyncio.Task[Any]]:
        """Those under way; made when first asked for, as nobody need call ``__init__``."""
        tasks: set[asyncio.Task[Any]] = self.__dict__.setdefault("_smapd_open", set())
        return tasks

    async def _smapd_cancellable(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._smapd_tasks.add(task)
        try:
            await coroutine
        except asyncio.CancelledError:
            if not self._smapd_stopping:
                raise
        finally:
            self._smapd_tasks.discard(task)

    def _smapd_ended(self, task: asyncio.Task[Any]) -> None:
        self._smapd_tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        name = getattr(task.get_coro(), "__qualname__", "a task")
        if isinstance(problem, SmapError):
            _log.warn("{name} ended: {error}", name=name, error=text_of(problem))
        elif problem is not None:
            _log.failure("{name} ended", failure_of(problem), name=name)

    async def _smapd_cancel(self, for_good: bool) -> None:
        """Cancel what is under way, and wait for its end, but not for long."""
        self._smapd_stopping = True
        tasks = self._smapd_tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_S)
        self._smapd_stopping = for_good

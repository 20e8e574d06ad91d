"""The way between the loop of the sockets and the loop of the handlers.

Run by itself a connector has one loop. In the daemon the sockets are on our loop, where nobody's
code can hold them up, and handlers that somebody else wrote are on the users' loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from smapd.runtime import attempt

from .errors import LinkLost

T = TypeVar("T")
Coro = Coroutine[Any, Any, T]


class Crossing(Protocol):
    """Carries a coroutine to the other loop, and its result back."""

    def to_handlers(self, coro: Coro[T]) -> Awaitable[T]:
        """Run it where handlers run; called and awaited where the sockets are."""
        ...

    def to_sockets(self, coro: Coro[T]) -> Awaitable[T]:
        """Run it where the sockets are; called and awaited where handlers run."""
        ...


class OneLoop:
    """Both are the same loop."""

    def to_handlers(self, coro: Coro[T]) -> Awaitable[T]:
        """The coroutine itself."""
        return coro

    def to_sockets(self, coro: Coro[T]) -> Awaitable[T]:
        """The coroutine itself."""
        return coro


class Doors(Protocol):
    """What of ``runtime.Threads`` is used."""

    def to_reactor(self, f: Callable[..., T], *a: Any, wait: bool = True) -> T | None: ...
    def to_loop(self, coro: Coro[T]) -> Deferred[T]: ...
    def to_user_loop(self, coro: Coro[T]) -> Deferred[T]: ...


class ThreadCrossing:
    """From ``loop`` to ``loop-user`` and back, through the daemon's doors.

    Each way goes over the reactor, which alone may hand work to a loop.
    """

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def to_handlers(self, coro: Coro[T]) -> Awaitable[T]:
        """On ``loop``."""
        return self._carry(coro, self._doors.to_user_loop, self._doors.to_loop)

    def to_sockets(self, coro: Coro[T]) -> Awaitable[T]:
        """On ``loop-user``."""
        return self._carry(coro, self._doors.to_loop, self._doors.to_user_loop)

    async def _carry(
        self,
        coro: Coro[T],
        there: Callable[[Coro[T]], Deferred[T]],
        back: Callable[[Coro[None]], Deferred[None]],
    ) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        under_way: list[Deferred[T]] = []

        def begin() -> None:
            done = attempt(there, coro)
            if isinstance(done, Failure):  # it ends, or has ended
                tell(done)
                return
            under_way.append(done)
            done.addBoth(tell)

        def tell(result: T | Failure) -> None:
            told = attempt(back, _settle(answer, result))
            if isinstance(told, Deferred):
                told.addErrback(lambda _: None)  # nobody is left there to be told

        def cancel() -> None:
            for done in under_way:
                done.cancel()

        try:
            self._doors.to_reactor(begin, wait=False)
        except BaseException:
            coro.close()
            raise
        try:
            return await answer
        except asyncio.CancelledError:
            self._doors.to_reactor(cancel, wait=False)
            raise


async def _settle(answer: asyncio.Future[T], result: T | Failure) -> None:
    if answer.done():
        return
    if isinstance(result, Failure):
        answer.set_exception(_as_exception(result))
    else:
        answer.set_result(result)


def _as_exception(failure: Failure) -> BaseException:
    error = failure.value
    # raised here it would read as the end of the task that asked
    cancelled = isinstance(error, asyncio.CancelledError | CancelledError)
    if cancelled or not isinstance(error, Exception):
        return LinkLost("it was cancelled on its own loop")
    return error

"""Reads that wait for the disk: one at a time, so that a commit waits for one of them at most."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail

from smapd.errors import Busy, SmapError, StorageFull

MOST_WAITING: Final = 100_000

T = TypeVar("T")


class Reads:
    """``ask(f, *a)`` calls it on the disk's thread. ``looked``: called after each."""

    def __init__(
        self, ask: Callable[..., Deferred[Any]], looked: Callable[[], None] = lambda: None
    ) -> None:
        self._ask, self._looked = ask, looked
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...], Deferred[Any]]] = deque()
        self._is_reading = False
        self._error: SmapError | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """What ``f(*a)`` gives there, once its turn comes; may be cancelled."""
        if self._error is not None:
            return fail(self._error)
        if len(self._waiting) >= MOST_WAITING:
            return fail(Busy(f"{MOST_WAITING} reads of events wait for the disk."))
        done: Deferred[T] = Deferred()
        self._waiting.append((f, a, done))
        if not self._is_reading:
            self._next()
        return done

    def stop(self, error: SmapError) -> None:
        """Begin no more; those that wait fail with this."""
        self._error = error
        while self._waiting:
            _f, _a, done = self._waiting.popleft()
            if not done.called:
                done.errback(error)

    def _next(self) -> None:
        while self._waiting and self._error is None:
            f, a, done = self._waiting.popleft()
            if done.called:
                continue  # cancelled
            self._is_reading = True
            asking = self._ask(f, *a)
            asking.addCallbacks(self._found, self._failed, (done,), errbackArgs=(done,))
            return

    def _found(self, result: Any, done: Deferred[Any]) -> None:
        if not done.called:
            done.callback(result)
        self._go_on()

    def _failed(self, failure: Any, done: Deferred[Any]) -> None:
        error = failure.value
        if done.called:
            pass  # cancelled
        elif isinstance(error, OSError | sqlite3.Error):
            hint = "Look at the disk of the data directory."
            done.errback(StorageFull(f"The event log cannot be read: {error}.", hint=hint))
        else:
            done.errback(failure)
        self._go_on()

    def _go_on(self) -> None:
        self._is_reading = False
        self._looked()
        self._next()

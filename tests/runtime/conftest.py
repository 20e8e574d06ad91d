"""Fixtures of the runtime's tests: real threads under control, and what is logged."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from smapd.runtime import PoolSize, Threads
from smapd.testing import FakeClock

LIMIT_S = 10.0
"""How long a thread is waited for before the test fails; none takes so long on a sound machine."""


class Pump:
    """A reactor's ``callFromThread``: the test itself runs what comes, in ``until``."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = (
            queue.SimpleQueue()
        )
        self.wakes = 0

    def callFromThread(self, f: Callable[..., object], *a: Any) -> None:
        self._calls.put((f, a))

    def until(self, holds: Callable[[], object]) -> None:
        """Run what comes until this holds."""
        end_s = time.monotonic() + LIMIT_S
        while not holds():
            try:
                f, a = self._calls.get(timeout=0.01)
            except queue.Empty:
                assert time.monotonic() < end_s, "it did not come about"
                continue
            self.wakes += 1
            f(*a)


class Live:
    """Real threads on a fake clock, with gates that hold a call until the test opens them."""

    def __init__(self, **pools: PoolSize) -> None:
        self.pump = Pump()
        self.clock = FakeClock()
        self.threads = Threads(self.pump, self.clock, pools)  # type: ignore[arg-type]
        self.threads.start()
        self.until = self.pump.until
        self._gates: list[threading.Event] = []

    def gate(self) -> threading.Event:
        """Closed; opened at the end of the test at the latest."""
        self._gates.append(threading.Event())
        return self._gates[-1]

    def close(self) -> None:
        """Let every thread end."""
        for gate in self._gates:
            gate.set()
        if not self.threads._stopped:
            over = self.threads.stop(1)
            self.until(lambda: over.called)
        self.clock.stop()


@pytest.fixture
def live() -> Iterator[Callable[..., Live]]:
    """Makes ``Live`` threads, and ends them with the test."""
    made: list[Live] = []

    def make(**pools: PoolSize) -> Live:
        made.append(Live(**pools))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Events(list[dict[str, Any]]):
    """Log events."""

    def texts(self, level: str = "") -> list[str]:
        """Their texts; of one level alone if it is named."""
        return [formatEvent(e) for e in self if level in ("", e["log_level"].name)]


@pytest.fixture
def logged() -> Iterator[Events]:
    """Every event that is logged meanwhile, from any thread."""
    events = Events()
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)

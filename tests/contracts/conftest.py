"""The engines that keep events: each runs the whole suite.

A new engine is one more class here. It may take its time: ``result`` waits for what a Deferred
gives, however that is done, and ``restart`` is a new life on what was durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smapd.interfaces import IEventLog
from smapd.runtime import PoolSize
from smapd.storage.events import POOL, EventLog, EventSettings
from smapd.testing import FakeRuntime, MemoryEventLog


class Engine(Protocol):
    """One engine under test."""

    log: Any

    def result(self, d: Deferred[Any]) -> Any:
        """What it gives, or raises."""

    def restart(self) -> None:
        """Stop, and begin again: another ``log``."""

    def hold(self) -> None:
        """Nothing becomes durable until ``let_go``."""

    def let_go(self) -> None:
        """What was held becomes durable."""

    def fill(self) -> None:
        """The disk takes nothing, until ``free``."""

    def free(self) -> None:
        """There is space again."""

    def close(self) -> None:
        """Stop."""


def fired(d: Deferred[Any]) -> Any:
    """What a Deferred that has fired gave."""
    found: list[Any] = []
    d.addBoth(found.append)
    assert found, "not fired"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


class Memory:
    """``smapd.testing.MemoryEventLog``."""

    def __init__(self, home: Path) -> None:
        self.log = MemoryEventLog()

    result = staticmethod(fired)

    def restart(self) -> None:
        self.log = self.log.restart()

    def hold(self) -> None:
        self.log.hold()

    def let_go(self) -> None:
        self.log.let_go()

    def fill(self) -> None:
        self.log.fill()

    def free(self) -> None:
        self.log.error = None

    def close(self) -> None:
        self.log.stop()


class Embedded:
    """``smapd.storage.EventLog`` on fake time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.free_bytes = 2**40
        self._start()

    def _start(self) -> None:
        self.run = FakeRuntime({POOL: PoolSize(1, 1, queue=1_000)})
        self.log = EventLog(
            self.home / "events",
            self.home / "quarantine",
            self.run.clock,
            self.run.threads,
            self.run.backoff(),
            self.run.faults,
            EventSettings(),
        )
        self.log.store.free_bytes = lambda path: self.free_bytes
        fired(self.log.start())

    def result(self, d: Deferred[Any]) -> Any:
        self.run.advance(0.002)  # a commit may wait for those who were told of the last one
        return fired(d)

    def restart(self) -> None:
        self.close()
        self._start()

    def hold(self) -> None:
        self.run.threads.hold(POOL)

    def let_go(self) -> None:
        self.run.threads.let_go(POOL)
        self.run.advance(0)

    def fill(self) -> None:
        self.free_bytes = 0
        self.run.advance(1)  # the disk is asked once a second

    def free(self) -> None:
        self.free_bytes = 2**40

    def close(self) -> None:
        fired(self.log.stop())


ENGINES = {"memory": Memory, "embedded": Embedded}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made: Engine = ENGINES[request.param](tmp_path)
    assert IEventLog.providedBy(made.log)
    yield made
    made.close()

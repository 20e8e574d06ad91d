"""A house with lamps: a tree on fake time, its actuators open, and no thread behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smapd.actuate import BinaryActuator
from smapd.actuation import POOL, Actuators
from smapd.core import SmapInstance, Timeseries
from smapd.runtime import PoolSize
from smapd.testing import FakeRuntime, MemoryReadings

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class Lamp(BinaryActuator):
    """A device that does what it is told; ``broken`` is raised by every call."""

    def __init__(self, state: Any = 0) -> None:
        self.state = state
        self.calls: list[Any] = []
        self.broken: BaseException | None = None

    def get_state(self) -> Any:
        self.calls.append("get")
        if self.broken is not None:
            raise self.broken
        return self.state

    def set_state(self, state: Any) -> None:
        self.calls.append(state)
        if self.broken is not None:
            raise self.broken
        self.state = state


class House:
    """The tree, its actuators and the time."""

    def __init__(self) -> None:
        self.runtime = FakeRuntime(pools={POOL: PoolSize(kept=0, most=8)})
        self.clock, self.threads = self.runtime.clock, self.runtime.threads
        self.tree = SmapInstance(ROOT, now=self.clock.wall_ms, home=self.threads.to_reactor)
        self.journal = MemoryReadings()
        self.tree.attach(self.journal)
        self.actuators = Actuators(
            self.tree,
            self.threads,
            self.clock,
            self.runtime.faults,
            user_loop=self.threads.to_user_loop,
        )
        self.actuators.open()

    def lamp(self, path: str = "/lamp", **options: Any) -> Lamp:
        """A lamp at that place."""
        lamp = Lamp()
        self.tree.add_actuator(path, "on/off", lamp, **options)
        return lamp

    def series(self, path: str = "/lamp") -> Timeseries:
        found = self.tree.get_timeseries(path)
        assert found is not None
        return found

    def value(self, done: Deferred[Any]) -> Any:
        """What it gave: a reading's value, or what it is; raises what it failed with."""
        result = self.result(done)
        return getattr(result, "value", result)

    def result(self, done: Deferred[Any]) -> Any:
        results: list[Any] = []
        done.addBoth(results.append)
        assert results, "it has not ended yet"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def readings(self, path: str = "/lamp") -> list[tuple[int, Any]]:
        """What was added to the stream."""
        self.tree.drain()
        return self.journal.readings(path)

    def error_of(self, f: Callable[..., Any], *a: Any) -> Exception:
        """What ``f(*a)`` failed with."""
        failures: list[Failure] = []
        f(*a).addErrback(failures.append)
        assert failures, "it has not failed"
        value = failures[0].value
        assert isinstance(value, Exception)
        return value


@pytest.fixture
def house() -> Iterator[House]:
    """A house whose time stands at 2023-11-14T22:13:20Z until it is moved."""
    house = House()
    yield house
    house.clock.stop()


@pytest.fixture
def lamp_class() -> type[Lamp]:
    """The class of the lamps, to be derived from."""
    return Lamp

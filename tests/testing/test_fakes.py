"""testing/: the fakes have the signatures, the checks and the errors of the real ones."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from zope.interface.verify import verifyClass, verifyObject

from smapd.core import SmapInstance
from smapd.errors import Busy, ShutdownRequested
from smapd.interfaces import IThreads, ITreeListener
from smapd.runtime import Clock, PoolSize, Runtime, Threads, make_runtime
from smapd.testing import (
    START_MS,
    FakeClock,
    FakeRuntime,
    FakeThreads,
    MemoryReadings,
    RecordingListener,
)

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


def public(cls: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(f)
        for name, f in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


def outcome(d: Deferred[Any]) -> Any:
    seen: list[Any] = []
    d.addBoth(seen.append)
    return seen[0]


@pytest.mark.parametrize(("fake", "real"), [(FakeClock, Clock), (FakeThreads, Threads)])
def test_every_public_method_has_the_real_signature(fake: type, real: type) -> None:
    mine, theirs = public(fake), public(real)

    assert {name: mine[name] for name in theirs} == theirs


@pytest.mark.parametrize("name", list(public(Threads)))
def test_no_door_of_the_fake_is_the_real_one(name: str) -> None:
    assert getattr(FakeThreads, name) is not getattr(Threads, name)


def test_fakes_are_what_the_interfaces_ask_for() -> None:
    assert verifyClass(IThreads, FakeThreads)
    assert verifyObject(ITreeListener, MemoryReadings())
    assert verifyObject(ITreeListener, RecordingListener())


def test_fake_runtime_has_every_part_of_the_real_one() -> None:
    fake, real = FakeRuntime(), make_runtime(MemoryReactorClock())

    assert isinstance(fake, Runtime)
    assert set(fake.status.snapshot()) == set(real.status.snapshot())
    assert fake.threads.status().keys() == real.threads.status().keys()
    assert fake.threads.status()["poll"].keys() == real.threads.status()["poll"].keys()
    assert fake.backoff().next() == 1.0


def test_to_pool_answers_at_once_with_the_errors_of_the_real_one() -> None:
    threads = FakeThreads(FakeClock(), {"work": PoolSize(1, 1, queue=5)})

    assert outcome(threads.to_pool("work", divmod, 7, 2)) == (3, 1)
    assert outcome(threads.to_pool("work", lambda: 1 / 0)).type is ZeroDivisionError
    assert outcome(threads.to_pool("work", succeed, 1)).type is TypeError
    threads.full.add("work")
    busy = outcome(threads.to_pool("work", int))
    assert busy.type is Busy
    assert str(busy.value) == "int was not begun: 5 calls wait for work"
    with pytest.raises(ValueError, match="there is no pool x; there are work"):
        threads.to_pool("x", int)
    with pytest.raises(ValueError, match="there is a pool named work already"):
        threads.add_pool("work", PoolSize(1, 1))


def test_after_stop_the_fake_takes_nothing_more() -> None:
    threads = FakeThreads(FakeClock())
    threads.hold("work")
    threads.to_pool("work", int)

    assert outcome(threads.stop(1)) == ["work: int"]
    assert outcome(threads.to_pool("work", int)).type is ShutdownRequested
    with pytest.raises(ShutdownRequested):
        threads.stop(1)
    with pytest.raises(ShutdownRequested):
        threads.to_loop(asyncio.sleep(0))


def test_what_is_on_hold_is_running_until_let_go() -> None:
    clock = FakeClock()
    threads = FakeThreads(clock)
    threads.hold("work")
    held = threads.to_pool("work", int)
    clock.advance(3)

    shown = threads.status()["work"]
    before = held.called
    threads.let_go("work")

    assert (shown["busy"], shown["longest"]) == (1, {"name": "int", "seconds": 3.0})
    assert (before, outcome(held)) == (False, 0)


def test_coroutines_run_to_their_end() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    async def fail() -> None:
        raise KeyError("x")

    threads = FakeThreads(FakeClock())

    assert outcome(threads.to_loop(answer())) == 42
    assert outcome(threads.to_user_loop(fail())).type is KeyError


def test_advance_fires_each_timer_at_its_moment() -> None:
    clock = FakeClock()
    seen: list[tuple[float, int]] = []
    for s in (0.1, 0.2, 0.3):
        clock.later(s, lambda: seen.append((clock.seconds(), clock.wall_ms() - START_MS)))

    clock.advance(0.25)

    assert seen == [(0.1, 100), (0.2, 200)]
    assert (clock.seconds(), clock.pending) == (0.25, 1)


def test_jump_fires_them_late() -> None:
    clock = FakeClock()
    seen: list[float] = []
    clock.later(1, lambda: seen.append(clock.seconds()))

    clock.jump(5)

    assert seen == [5]


def test_listeners_keep_what_the_tree_tells() -> None:
    inst = SmapInstance(ROOT, now=lambda: 5)
    listener, readings = RecordingListener(), MemoryReadings()
    inst.attach(listener)
    inst.attach(readings)
    listener.take()

    inst.add_timeseries("/a/b", "b", "V")
    inst.add("/a/b", 1)
    inst.drain()
    inst.set_metadata("/a", {"Extra/X": "y"})
    inst.remove("/a")

    kinds = [kind for kind, _ in listener.told]
    assert ("readings", [("/a/b", 5, 1)]) in listener.told
    assert kinds.index("readings") < kinds.index("metadata") < kinds.index("removed")
    assert listener.told[-1] == ("removed", ["/a/b", "/a"])
    assert readings.readings("/a/b") == [(5, 1)]
    assert len(readings) == 1
    assert readings.whole("/a/b")[0].seq is not None
    readings.clear()
    assert len(readings) == 0

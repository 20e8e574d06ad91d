"""Scheduler and pool together, on real threads: who hangs holds up nobody."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from smapd.runtime import CallOwner, PoolSize, Scheduler

pytestmark = pytest.mark.real

Make = Callable[..., Any]
POLL = PoolSize(20, 200, 100_000)


def test_fifty_hung_drivers_delay_no_beat_of_fifty_healthy_ones(live: Make, logged: Any) -> None:
    """Fairness: each beat of the healthy ones is made, and the hung ones are named."""
    here = live(poll=POLL)
    scheduler = Scheduler(here.clock, here.threads)
    gate = here.gate()
    runs: Counter[int] = Counter()

    def hangs() -> None:
        gate.wait()

    for i in range(50):
        for fn, args, name in ((hangs, (), "hung"), (runs.update, ([i],), "well")):
            owner = CallOwner(f"{name}{i}", f"/{name}{i}", scheduler)
            owner.call(fn, *args).start(1)
            owner.begin()
    calls = list(scheduler._calls)
    for beat in range(12):
        here.until(
            lambda beat=beat: (
                sum(runs.values()) == 50 * beat
                and all(c.state.value == "waiting" for c in calls if "well" in c.name or not beat)
                and sum(c.state.value == "running" for c in calls) == 50 * bool(beat)
            )
        )
        here.clock.advance(1 if beat else 0)

    here.until(lambda: sum(runs.values()) == 600)
    assert set(runs.values()) == {12}
    assert all(call.missed == 0 for call in calls if "well" in call.name)
    assert len(scheduler.hung()) == 50
    assert sum("has not come back" in text for text in logged.texts("warn")) == 50
    gate.set()
    here.until(lambda: scheduler.hung() == [])


def test_no_driver_ever_holds_two_threads_and_no_call_overlaps_itself(live: Make) -> None:
    """ARCHITECTURE 9.6, under calls that take longer than their interval."""
    here = live(poll=POLL)
    scheduler = Scheduler(here.clock, here.threads)
    now: Counter[int] = Counter()
    worst: Counter[int] = Counter()
    made: Counter[int] = Counter()

    def poll(i: int) -> None:
        now[i] += 1
        worst[i] = max(worst[i], now[i])
        threading.Event().wait(0.0005)
        now[i] -= 1
        made[i] += 1

    owners = [CallOwner("", f"/d{i}", scheduler) for i in range(20)]
    for i, owner in enumerate(owners):
        for _ in range(5):
            owner.call(poll, i).start(0.01)
        owner.begin()
    for beat in range(40):
        here.clock.advance(0.01)
        here.until(lambda beat=beat: sum(made.values()) > 20 * beat)

    over = scheduler.stop(60)
    here.until(lambda: over.called)

    assert set(worst.values()) == {1}
    assert len(worst) == 20


def test_stop_waits_for_a_poll_that_runs_on_a_thread(live: Make) -> None:
    here = live(poll=POLL)
    scheduler = Scheduler(here.clock, here.threads)
    gate, begun = here.gate(), here.gate()
    owner = CallOwner("meter", "/meter", scheduler)
    owner.call(lambda: (begun.set(), gate.wait())).start(1)
    owner.begin()
    here.clock.advance(0)
    begun.wait(5)

    over = owner.stop(4)
    before = over.called
    gate.set()
    here.until(lambda: over.called)

    assert (before, over.result) == (False, [])

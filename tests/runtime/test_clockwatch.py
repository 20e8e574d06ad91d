"""runtime/clockwatch.py: a step of the wall clock is noticed, recorded and silences nothing."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.core import SmapInstance
from smapd.runtime import ClockWatch
from smapd.testing import START_MS, FakeClock, MemoryReadings
from smapd.values import ClockStep, Level, Quality


def test_a_step_is_kept_logged_and_told_within_a_second(logged: Any) -> None:
    """N-05."""
    clock = FakeClock()
    told: list[ClockStep] = []
    watch = ClockWatch(clock, told.append)
    watch.start()
    clock.advance(5.5)

    clock.step_wall(3600)
    clock.advance(1)

    [step] = watch.steps
    assert told == [step]
    assert (step.before_ms, step.step_ms) == (START_MS + 6000, 3_600_000)
    assert step.monotonic_s == 6.0
    assert "the wall clock was set by +3600.000 s" in logged.texts("warn")[0]
    assert watch.status() == {
        "steps": 1,
        "last": [
            {"before_ms": START_MS + 6000, "after_ms": START_MS + 3_606_000, "step_s": 3600.0}
        ],
    }


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 0.5, -0.5])
def test_forward_and_back_from_half_a_second_on(seconds: float) -> None:
    clock = FakeClock()
    watch = ClockWatch(clock)

    clock.step_wall(seconds)
    watch.look()

    assert [step.step_ms for step in watch.steps] == [seconds * 1000]


def test_small_corrections_are_no_step_however_many() -> None:
    clock = FakeClock()
    watch = ClockWatch(clock)
    watch.start()

    for _ in range(1000):
        clock.step_wall(-0.4)
        clock.advance(1)

    assert watch.count == 0


def test_readings_of_ten_seconds_carry_both_clocks() -> None:
    """N-05: readings around a step carry both times."""
    clock = FakeClock()
    watch = ClockWatch(clock)
    before = watch.note()

    clock.step_wall(3600)
    first = watch.note()
    clock.advance(9.9)
    last = watch.note()
    clock.advance(0.2)

    assert before is None
    assert first == Quality(Level.GOOD, f"clock stepped by +3600.000 s; unstepped {START_MS}")
    assert last is not None
    assert last.reason.endswith(f"unstepped {START_MS + 9900}")
    assert watch.note() is None


def test_two_steps_in_a_row_are_told_by_the_clock_before_both(logged: Any) -> None:
    """N-05: the note is of both together and says so, and the log gives the same sum."""
    clock = FakeClock()
    watch = ClockWatch(clock)
    clock.step_wall(3600)
    watch.look()
    clock.advance(5)

    clock.step_wall(-1800)

    assert watch.note() == Quality(
        Level.GOOD, f"clock stepped by +1800.000 s in 2 steps; unstepped {START_MS + 5000}"
    )
    first, second = logged.texts("warn")
    assert first.startswith("the wall clock was set by +3600.000 s; readings")
    assert second.startswith("the wall clock was set by -1800.000 s (+1800.000 s in 2 steps); ")


def test_a_step_after_the_note_of_another_has_ended_stands_alone() -> None:
    clock = FakeClock()
    watch = ClockWatch(clock)
    for step in (10, 20):
        clock.step_wall(step)
        watch.look()
    clock.advance(11)

    clock.step_wall(60)

    note = watch.note()
    assert note is not None
    assert note.reason.startswith("clock stepped by +60.000 s; unstepped")


def test_a_reading_added_after_a_step_says_so_in_the_tree() -> None:
    """N-05: through the tree, from the first reading after the step on."""
    clock = FakeClock()
    inst = SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92", now=clock.wall_ms)
    inst.stamp_note = ClockWatch(clock).note
    readings = MemoryReadings()
    inst.attach(readings)
    inst.add_timeseries("/x", "x", "V")

    inst.add("/x", 1)
    inst.drain()
    clock.step_wall(-60)
    inst.add("/x", 2)
    inst.drain()

    first, second = readings.whole("/x")
    assert first.quality.reason == ""
    assert second.quality == Quality(
        Level.GOOD, f"clock stepped by -60.000 s; unstepped {START_MS}"
    )


def test_the_list_is_bounded() -> None:
    clock = FakeClock()
    watch = ClockWatch(clock)

    for _ in range(250):
        clock.step_wall(10)
        watch.look()

    assert (watch.count, len(watch.steps)) == (250, 100)


def test_who_is_told_and_fails_is_logged(logged: Any) -> None:
    clock = FakeClock()

    def fail(step: ClockStep) -> None:
        raise KeyError("x")

    watch = ClockWatch(clock, fail)
    clock.step_wall(10)

    assert watch.note() is not None
    assert logged.texts("critical") == ["a step of the wall clock could not be told"]


def test_stop_looks_no_more() -> None:
    clock = FakeClock()
    watch = ClockWatch(clock)
    watch.start()
    watch.start()

    watch.stop()

    assert clock.pending == 0

"""runtime/lag.py: how late the reactor is."""

from __future__ import annotations

from smapd.runtime.lag import RECENT, ReactorLag
from smapd.testing import FakeClock


def test_an_idle_reactor_is_not_late() -> None:
    """P-12."""
    clock = FakeClock()
    lag = ReactorLag(clock)
    lag.start()

    clock.advance(10)

    shown = lag.status()
    assert (shown["count"], shown["sum_s"], shown["recent_worst_s"]) == (10, 0.0, 0.0)


def test_what_held_the_reactor_is_measured_whole_beats_too() -> None:
    """P-12: 2.3 s late is not 0.3 s late."""
    clock = FakeClock()
    lag = ReactorLag(clock)
    lag.start()
    clock.advance(5)

    clock.jump(3.3)

    shown = lag.status()
    assert (shown["last_s"], shown["worst_s"], shown["count"]) == (2.3, 2.3, 6)
    assert dict(map(tuple, shown["at_most"]))[1.0] == 5


def test_the_recent_worst_is_forgotten_after_a_minute_the_worst_is_not() -> None:
    clock = FakeClock()
    lag = ReactorLag(clock)
    lag.start()
    clock.jump(5)

    clock.advance(RECENT - 1)
    assert lag.status()["recent_worst_s"] == 4.0
    clock.advance(1)

    assert lag.status()["recent_worst_s"] == 0.0
    assert lag.status()["worst_s"] == 4.0


def test_a_second_start_changes_nothing_and_stop_leaves_no_timer() -> None:
    clock = FakeClock()
    lag = ReactorLag(clock)

    lag.start()
    lag.start()
    assert clock.pending == 1
    lag.stop()
    lag.stop()

    assert clock.pending == 0


def test_a_step_of_the_wall_clock_is_no_lag() -> None:
    """N-05."""
    clock = FakeClock()
    lag = ReactorLag(clock)
    lag.start()

    clock.step_wall(3600)
    clock.advance(2)

    assert lag.status()["worst_s"] == 0.0

"""runtime/clock.py: timers that no step of the wall clock moves, and that end at stop."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from twisted.internet.base import DelayedCall
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import AlreadyCancelled
from twisted.trial.unittest import SynchronousTestCase

from smapd.errors import ShutdownRequested
from smapd.runtime import Clock
from smapd.testing import FakeClock


class Timers(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = FakeClock()
        self.seen: list[Any] = []

    def test_later_calls_once_with_its_arguments(self) -> None:
        self.clock.later(2, self.seen.append, "x")

        self.clock.advance(1.9)
        before = list(self.seen)
        self.clock.advance(10)

        self.assertEqual((before, self.seen), ([], ["x"]))

    def test_cancelled_timer_does_not_come_and_is_forgotten(self) -> None:
        timer = self.clock.later(1, self.seen.append, "x")

        timer.cancel()
        self.clock.advance(2)

        self.assertEqual((self.seen, timer.active(), self.clock._timers), ([], False, set()))
        self.assertRaises(AlreadyCancelled, timer.cancel)
        timer.discard()

    def test_timer_can_be_moved(self) -> None:
        first = self.clock.later(1, self.seen.append, "reset")
        second = self.clock.later(1, self.seen.append, "delayed")

        first.reset(3)
        second.delay(1)
        self.clock.advance(2)

        self.assertEqual(self.seen, ["delayed"])
        self.assertEqual(first.getTime(), 3.0)

    def test_what_a_timed_call_raises_is_logged(self) -> None:
        self.clock.later(1, lambda: 1 / 0)

        self.clock.advance(1)

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_every_keeps_its_phase(self) -> None:
        def slow() -> None:
            self.seen.append(self.clock.seconds())
            self.clock.timers.rightNow += 0.3

        self.clock.every(1, slow)

        self.clock.advance(5)

        self.assertEqual(self.seen, [1.0, 2.0, 3.0, 4.0, 5.0])

    def test_every_leaves_out_beats_that_come_too_late(self) -> None:
        self.clock.every(1, lambda: self.seen.append(self.clock.seconds()))

        self.clock.jump(3.5)
        self.clock.advance(1)

        self.assertEqual(self.seen, [3.5, 4.0])

    def test_every_goes_on_after_an_exception_and_stops_when_told(self) -> None:
        def once_more() -> None:
            self.seen.append(1)
            if len(self.seen) == 2:
                repeating.stop()
            raise KeyError("x")

        repeating = self.clock.every(1, once_more)

        self.clock.advance(9)
        repeating.stop()

        self.assertEqual((len(self.seen), self.clock.pending), (2, 0))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_every_waits_for_the_deferred_of_the_last_beat(self) -> None:
        waiting: list[Deferred[None]] = []

        def begin() -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        self.clock.every(1, begin)
        self.clock.advance(3)
        before = len(waiting)
        waiting[0].errback(KeyError("x"))
        self.clock.advance(1)

        self.assertEqual((before, len(waiting)), (1, 2))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_an_interval_of_nothing_is_refused(self) -> None:
        self.assertRaisesRegex(ValueError, "more than 0 seconds", self.clock.every, 0, print)

    def test_sleep_fires_after_its_time_and_may_be_cancelled(self) -> None:
        short, long = self.clock.sleep(1), self.clock.sleep(100)

        self.clock.advance(1)
        long.cancel()

        self.assertIsNone(self.successResultOf(short))
        self.failureResultOf(long, CancelledError)
        self.assertEqual(self.clock.pending, 0)

    def test_background_logs_what_fails_and_says_what_it_was(self) -> None:
        self.clock.background(fail(KeyError("x")), "counting sheep")

        [failure] = self.flushLoggedErrors(KeyError)
        self.assertIn("x", str(failure.value))

    def test_background_takes_a_coroutine_and_keeps_silent_of_a_cancellation(self) -> None:
        async def nap() -> None:
            await self.clock.sleep(10)
            self.seen.append("slept")

        self.clock.background(nap(), "napping")
        self.clock.background(nap(), "napping")
        self.clock.advance(10)
        self.clock.background(nap(), "napping")
        self.clock.stop()

        self.assertEqual(self.seen, ["slept", "slept"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stop_leaves_no_timer_and_takes_none(self) -> None:
        """SM-09: what is left at shutdown is cancelled."""
        self.clock.later(1, self.seen.append, 1)
        self.clock.every(1, self.seen.append, 2)
        sleeping = self.clock.sleep(1)

        self.clock.stop()
        self.clock.advance(5)

        self.failureResultOf(sleeping, CancelledError)
        self.assertEqual((self.seen, self.clock.pending), ([], 0))
        self.assertRaises(ShutdownRequested, self.clock.later, 1, print)
        self.assertRaises(ShutdownRequested, self.clock.every, 1, print)


class Jumping(EPollReactor):
    """A reactor of its own (never run here) whose time is a wall clock that the test sets."""

    wall_s = 1_700_000_000.0

    def seconds(self) -> float:  # type: ignore[override]
        return self.wall_s

    def go(self) -> None:
        """What the reactor's loop does with timers, once."""
        self.runUntilCurrent()


@pytest.fixture
def jumping() -> Any:
    reactor = Jumping()
    yield reactor
    reactor.removeAll()
    for fd in (reactor.waker.i, reactor.waker.o):
        os.close(fd)
    reactor._poller.close()


def test_setting_the_wall_clock_forward_fires_no_timer(jumping: Jumping) -> None:
    """N-05: all intervals are monotonic."""
    seen: list[str] = []
    Clock(jumping).later(60, seen.append, "early")

    jumping.wall_s += 3600
    jumping.go()

    assert seen == []
    assert 59 < jumping.timeout() <= 60


def test_setting_the_wall_clock_back_delays_no_timer(jumping: Jumping) -> None:
    """N-05: the reactor does not sleep for the hour that was taken back."""
    seen: list[str] = []
    Clock(jumping).later(0.02, seen.append, "due")

    jumping.wall_s -= 3600
    assert jumping.timeout() <= 0.02
    time.sleep(0.03)
    jumping.go()

    assert seen == ["due"]


def test_timers_set_before_the_clock_keep_their_time(jumping: Jumping) -> None:
    """N-05: also those of Twisted's own protocols."""
    early = jumping.callLater(50, lambda: None)
    assert isinstance(early, DelayedCall)

    Clock(jumping)
    Clock(jumping)
    jumping.wall_s -= 3600

    assert 49 < jumping.timeout() <= 50
    early.reset(10)
    assert 9 < jumping.timeout() <= 10


def test_wall_clock_is_the_one_given() -> None:
    clock = FakeClock(1_000)

    clock.advance(2)
    clock.step_wall(-1)

    assert (clock.seconds(), clock.wall_ms()) == (2.0, 2_000)

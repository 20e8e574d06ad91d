"""runtime/scheduler.py and calls.py: when a call comes, and what becomes of what it raises."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smapd.errors import BadReading, DeviceUnavailable, ShutdownRequested
from smapd.runtime import CallOwner, ClockWatch, PeriodicCall
from smapd.testing import FakeRuntime


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.runtime = FakeRuntime()
        self.scheduler = self.runtime.scheduler
        self.owner = CallOwner("meter", "/hall/meter", self.scheduler)
        self.owner.begin()
        self.at: list[float] = []

    def note(self) -> None:
        self.at.append(round(self.runtime.clock.seconds(), 6))

    def call(self, fn: Any = None, *args: Any) -> PeriodicCall:
        return self.owner.call(fn if fn is not None else self.note, *args)

    def texts(self) -> list[str]:
        return [fault["text"] for fault in self.runtime.faults.status()]


class Beats(Case):
    def test_first_at_once_and_then_each_interval(self) -> None:
        """SM-08."""
        self.call().start(2)

        self.runtime.advance(5)

        self.assertEqual(self.at, [0, 2, 4])

    def test_now_false_waits_one_interval(self) -> None:
        """SM-08."""
        self.call().start(2, False)

        self.runtime.advance(5)

        self.assertEqual(self.at, [2, 4])

    def test_arguments_are_given(self) -> None:
        seen: list[Any] = []
        self.call(lambda *a: seen.append(a), 1, "x").start(1)

        self.runtime.advance(0)

        self.assertEqual(seen, [(1, "x")])

    def test_stop_ends_it_and_start_begins_it_again(self) -> None:
        """SM-09."""
        call = self.call().start(1)
        self.runtime.advance(1)

        call.stop()
        call.stop()
        self.runtime.advance(5)
        call.start(2)
        self.runtime.advance(2)

        self.assertEqual(self.at, [0, 1, 6, 8])

    def test_a_second_start_replaces_the_interval(self) -> None:
        call = self.call().start(1)
        self.runtime.advance(1)

        call.start(10)
        self.runtime.advance(12)

        self.assertEqual(self.at, [0, 1, 1, 11])
        self.assertEqual(self.owner.calls, (call,))

    def test_a_call_that_is_started_anew_while_it_runs_does_not_overlap_itself(self) -> None:
        call = self.call().start(10)
        self.runtime.threads.hold("poll")
        self.runtime.advance(0)
        call._began(0.0)

        call.stop()
        call.start(1)
        self.runtime.advance(3)

        self.assertEqual(len(self.runtime.threads.running("poll")), 1)
        self.runtime.threads.let_go("poll")

    def test_a_call_may_stop_itself(self) -> None:
        def once() -> None:
            self.note()
            call.stop()

        call = self.call(once).start(1)

        self.runtime.advance(5)

        self.assertEqual(self.at, [0])
        self.assertEqual(call.status(0)["state"], "stopped")

    def test_phase_error_never_accumulates(self) -> None:
        """SM-08: a beat that comes late moves none after it."""
        self.call().start(1)
        clock = self.runtime.clock

        for _ in range(50):
            clock.jump(1.3)
            clock.advance(0.7)

        self.assertTrue(all(t % 1 < 1e-6 or abs(t % 2 - 1.3) < 1e-6 for t in self.at), self.at)
        self.assertIn(100.0, self.at)

    def test_a_reactor_held_up_for_many_beats_makes_one_call_and_counts_the_rest(self) -> None:
        call = self.call().start(1)
        self.runtime.advance(0)

        self.runtime.clock.jump(10.5)
        self.runtime.advance(0.5)

        self.assertEqual(self.at, [0, 10.5, 11])
        self.assertEqual((call.runs, call.missed), (3, 9))
        self.assertEqual(round(call.worst_late_s, 6), 9.5)

    def test_align_comes_at_multiples_of_the_wall_clock(self) -> None:
        """SM-08: the wall clock begins at 22:13:20 here."""
        self.call().start(60, align=60)

        self.runtime.advance(161)

        self.assertEqual(self.at, [40, 100, 160])

    def test_align_follows_a_step_of_the_wall_clock_and_plain_calls_do_not(self) -> None:
        """N-05: intervals are monotonic; what is aligned to the wall is aligned anew."""
        plain: list[float] = []
        watch = ClockWatch(self.runtime.clock, self.scheduler.clock_stepped)
        self.call().start(60, align=60)
        self.call(lambda: plain.append(self.runtime.clock.seconds())).start(50, False)
        self.runtime.advance(50)

        self.runtime.clock.step_wall(-3595)
        watch.look()
        self.runtime.advance(50)

        self.assertEqual(self.at, [40, 95])
        self.assertEqual([round(t, 6) for t in plain], [50, 100])

    def test_spread_shifts_each_call_by_a_part_of_its_own_that_stays(self) -> None:
        """SM-08."""

        def firsts() -> list[float]:
            runtime = FakeRuntime()
            seen: list[float] = []
            for i in range(20):
                owner = CallOwner("d", f"/d{i}", runtime.scheduler)
                owner.call(lambda: seen.append(runtime.clock.seconds())).start(100, spread=10)
                owner.begin()
            runtime.advance(15)
            return seen

        once, again = firsts(), firsts()

        self.assertEqual(once, again)
        self.assertEqual(len(once), 20)
        self.assertTrue(0 <= min(once) < 3 and 7 < max(once) < 10, once)

    def test_calls_that_come_together_are_handed_over_together(self) -> None:
        for i in range(100):
            owner = CallOwner("", f"/d{i}", self.scheduler)
            owner.call(self.note).start(1)
            owner.begin()
        handed: list[int] = []
        submit = self.runtime.threads.submit
        self.runtime.threads.submit = lambda name, jobs: (  # type: ignore[method-assign]
            handed.append(len(jobs)) or submit(name, jobs)  # type: ignore[func-returns-value]
        )

        self.runtime.advance(2)

        self.assertEqual(handed[-1], 100)
        self.assertEqual(len(self.at), 300)

    def test_calls_closer_than_the_grain_share_a_wake_up(self) -> None:
        for i in range(100):
            owner = CallOwner("", f"/d{i}", self.scheduler)
            owner.call(self.note).start(1)
            owner.begin()
            self.runtime.clock.advance(0.0001)
        self.at.clear()

        self.runtime.advance(1.01)

        self.assertEqual(len(self.at), 100)
        self.assertLessEqual(len(set(self.at)), 4)

    def test_stopped_calls_leave_nothing_in_the_heap(self) -> None:
        for _ in range(1000):
            self.call().start(3600, False).stop()

        self.assertLess(len(self.scheduler._heap), 200)
        self.assertEqual(self.scheduler.status(), [])

    def test_restarts_leave_nothing_in_the_heap(self) -> None:
        call = self.call()

        for _ in range(1000):
            call.start(3600, False)

        self.assertLess(len(self.scheduler._heap), 200)


@given(
    st.floats(0.01, 5),
    st.lists(st.floats(0.0001, 20), min_size=1, max_size=30),
)
def test_every_beat_is_made_or_counted_whatever_holds_the_reactor_up(
    interval_s: float, pieces: list[float]
) -> None:
    """SM-08: missed beats are counted, and no beat comes before its time."""
    runtime = FakeRuntime()
    owner = CallOwner("d", "/d", runtime.scheduler)
    at: list[float] = []
    call = owner.call(lambda: at.append(runtime.clock.seconds())).start(interval_s)
    owner.begin()

    for piece in pieces:
        runtime.clock.jump(piece)
    runtime.clock.advance(interval_s)

    due = math.floor(runtime.clock.seconds() / interval_s + 1e-6) + 1
    assert abs(call.runs + call.missed - due) <= 1
    assert len(at) == call.runs


class Overlap(Case):
    def test_a_call_never_overlaps_itself_and_its_missed_beats_are_counted(self) -> None:
        """SM-08, SM-09."""
        call = self.call().start(1)
        self.runtime.threads.hold("poll")
        self.runtime.advance(5)

        self.runtime.threads.let_go("poll")
        self.runtime.advance(1)

        self.assertEqual((call.runs, call.missed), (2, 5))
        self.assertEqual(self.at, [5, 6])

    def test_a_call_past_its_interval_and_ten_seconds_is_hung_and_said_so_once(self) -> None:
        call = self.call().start(1)
        self.runtime.threads.hold("poll")
        told = self.logged()

        self.runtime.advance(0)
        call._began(0.0)  # its thread has begun it
        self.runtime.advance(9)
        before = call.hung
        self.runtime.advance(60)

        self.assertEqual((before, call.hung), (False, True))
        self.assertEqual(self.scheduler.hung(), ["meter Case.note"])
        self.assertEqual(call.status(69)["state"], "hung")
        self.assertEqual(call.status(69)["running_s"], 69)
        self.assertEqual(sum("has not come back" in text for text in told), 1)
        self.runtime.threads.let_go("poll")
        self.assertEqual(self.scheduler.hung(), [])
        self.assertIn("came back after", told[-1])

    def test_a_long_interval_gives_a_call_that_long(self) -> None:
        call = self.call().start(3600)
        self.runtime.threads.hold("poll")
        self.runtime.advance(0)
        call._began(0.0)

        self.runtime.advance(3599)
        before = call.hung
        self.runtime.advance(3)

        self.assertEqual((before, call.hung), (False, True))

    def test_a_full_pool_leaves_the_beat_out_and_counts_it(self) -> None:
        call = self.call().start(1)
        self.runtime.threads.full.add("poll")
        self.runtime.advance(2)

        self.runtime.threads.full.clear()
        self.runtime.advance(1)

        self.assertEqual((call.runs, call.missed, self.scheduler.busy), (1, 3, 3))
        self.assertIn("the queue of the poll threads is full", self.texts()[0])

    def logged(self) -> list[str]:
        from twisted.logger import formatEvent, globalLogPublisher

        told: list[str] = []

        def observe(event: Any) -> None:
            told.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return told


class Raised(Case):
    def test_a_call_that_the_stop_cuts_short_is_no_fault(self) -> None:
        """SM-07: ShutdownRequested is how calls end."""

        def cut() -> None:
            call.stop()
            raise ShutdownRequested("smapd has stopped")

        call = self.call(cut).start(1)

        self.runtime.advance(0)

        self.assertEqual(self.runtime.faults.status(), [])
        self.assertEqual((call.failed, call.error), (0, ""))

    def test_a_shutdown_of_something_a_driver_uses_is_told_once_without_a_traceback(self) -> None:
        def ended() -> None:
            raise ShutdownRequested("the client was stopped")

        self.call(ended).start(1)

        self.runtime.advance(2)

        [fault] = self.runtime.faults.status()
        self.assertIn("the client was stopped", fault["text"])
        self.assertEqual(fault["count"], 3)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_an_exception_whose_text_cannot_be_made_is_one_fault_as_any_other(self) -> None:
        class Odd(Exception):
            def __str__(self) -> str:
                raise KeyError("no text")

        def odd() -> None:
            self.note()
            raise Odd

        self.call(odd).start(1)

        self.runtime.advance(2)

        self.assertEqual(self.at, [0, 1, 2])
        [call] = self.runtime.scheduler.status()
        self.assertEqual(
            call["error"], "Odd: (its text cannot be made: its __str__ raised KeyError)"
        )
        self.assertEqual(call["failed"], 3)
        self.assertEqual(self.flushLoggedErrors(KeyError), [])
        self.assertEqual(len(self.flushLoggedErrors(Odd)), 1)

    def test_a_bug_is_logged_with_its_traceback_once_and_the_next_beat_comes(self) -> None:
        """SM-08."""

        def bug() -> None:
            self.note()
            raise KeyError(len(self.at))

        call = self.call(bug).start(1)

        self.runtime.advance(3)

        [failure] = self.flushLoggedErrors(KeyError)
        self.assertIn("in bug", failure.getTraceback())
        self.assertEqual((self.at, call.failed), ([0, 1, 2, 3], 4))
        self.assertEqual(call.status(3)["error"], "KeyError: 4")

    def test_another_bug_of_the_same_call_is_logged_too(self) -> None:
        def bugs() -> None:
            self.note()
            if len(self.at) < 3:
                raise KeyError("first")
            raise IndexError("second")

        self.call(bugs).start(1)

        self.runtime.advance(5)

        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)

    def test_a_lasting_bug_is_logged_again_each_day(self) -> None:
        def bug() -> None:
            raise KeyError("x")

        self.call(bug).start(3600)

        self.runtime.advance(3 * 86_400)

        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 4)

    def test_sys_exit_in_a_poll_is_a_bug_like_any_other(self) -> None:
        call = self.call(exit).start(1)

        self.runtime.advance(1)

        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
        self.assertEqual(call.runs, 2)

    def test_an_unavailable_device_backs_off_and_is_told_on_loss_and_on_return(self) -> None:
        """STYLE 4: logged once, backs off, logged again on return."""
        told = Overlap.logged(self)  # type: ignore[arg-type]

        def poll() -> None:
            self.note()
            if self.runtime.clock.seconds() < 20:
                raise DeviceUnavailable(f"no answer from 10.0.0.7 at {len(self.at)}")

        call = self.call(poll).start(1)

        self.runtime.advance(40)

        self.assertEqual(self.at[:6], [0, 1, 3, 6, 10, 16])  # pauses of 1, 1.5, 2.25, 3.4, 5.1 s
        self.assertEqual(self.at[6:9], [24, 25, 26])
        self.assertEqual(len(told), 2)
        self.assertIn("meter Raised.test", told[0])
        self.assertIn("the device does not answer: no answer from 10.0.0.7 at 1.", told[0])
        self.assertIn("answers again, after 6 failed polls in 24.0 s", told[1])
        self.assertEqual((call.failed, call.missed), (6, 0))
        self.assertEqual(call.held, 41 - len(self.at))
        self.assertEqual(self.texts(), [])

    def test_backoff_is_shown(self) -> None:
        def poll() -> None:
            raise DeviceUnavailable("gone")

        call = self.call(poll).start(1)

        self.runtime.advance(3.5)

        self.assertEqual(call.status(3.5)["state"], "backing off")
        self.assertEqual(call.status(3.5)["error"], "DeviceUnavailable: gone")

    def test_a_bad_reading_is_counted_and_the_polls_go_on(self) -> None:
        def poll() -> None:
            self.note()
            if len(self.at) in (2, 3):
                raise BadReading("checksum")

        call = self.call(poll).start(1)

        self.runtime.advance(4)

        self.assertEqual(self.at, [0, 1, 2, 3, 4])
        self.assertEqual((call.bad_readings, call.failed, call.error), (2, 0, ""))

    def test_a_deferred_on_a_poll_thread_is_a_mistake_that_says_what_to_do(self) -> None:
        self.call(Deferred).start(1)

        self.runtime.advance(0)

        [failure] = self.flushLoggedErrors(TypeError)
        self.assertIn("ON_REACTOR = True", str(failure.value))

    def test_a_coroutine_on_a_poll_thread_is_a_mistake_that_says_what_to_do(self) -> None:
        async def poll() -> None: ...

        self.call(lambda: poll()).start(1)

        self.runtime.advance(0)

        [failure] = self.flushLoggedErrors(TypeError)
        self.assertIn("hand in the async function itself", str(failure.value))


class Elsewhere(Case):
    def test_an_async_function_runs_on_the_users_loop(self) -> None:
        async def poll() -> None:
            self.note()

        self.call(poll).start(1)

        self.runtime.advance(2)

        self.assertEqual(self.at, [0, 1, 2])
        self.assertEqual(self.runtime.threads.moved()["poll"], 0)

    def test_an_async_functions_failure_is_logged_and_the_next_beat_comes(self) -> None:
        async def poll() -> None:
            self.note()
            raise KeyError("x")

        self.call(poll).start(1)

        self.runtime.advance(2)

        self.assertEqual(len(self.at), 3)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_on_reactor_calls_take_no_thread_and_their_time_is_charged(self) -> None:
        """SM-08: a driver with ON_REACTOR = True asked otherwise."""
        owner = CallOwner("meter", "/m", self.scheduler, on_reactor=True)
        owner.begin()
        self.runtime.threads.full.add("poll")

        def poll() -> None:
            self.note()
            self.runtime.clock.timers.rightNow += 0.25

        owner.call(poll).start(1)
        self.runtime.advance(2)

        self.assertEqual(self.at, [0, 1, 2])
        self.assertEqual((owner.reactor_s, owner.worst_reactor_s), (0.75, 0.25))
        self.assertEqual(self.scheduler.status()[0]["drivers_reactor_s"], 0.75)

    def test_on_reactor_a_deferred_is_waited_for_before_the_next_beat(self) -> None:
        owner = CallOwner("meter", "/m", self.scheduler, on_reactor=True)
        owner.begin()
        waiting: list[Deferred[None]] = []

        def poll() -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        call = owner.call(poll).start(1)
        self.runtime.advance(20)
        hung, begun = call.hung, len(waiting)
        waiting[0].callback(None)
        self.runtime.advance(1)

        self.assertEqual((hung, begun, call.hung, len(waiting)), (True, 1, False, 2))

    def test_on_reactor_an_async_def_is_twisteds(self) -> None:
        owner = CallOwner("meter", "/m", self.scheduler, on_reactor=True)
        owner.begin()

        async def poll() -> None:
            await self.runtime.clock.sleep(0.5)
            self.note()

        owner.call(poll).start(1)
        self.runtime.advance(2.6)

        self.assertEqual(self.at, [0.5, 1.5, 2.5])


class Ends(Case):
    def test_stop_ends_every_call_and_waits_for_those_that_run(self) -> None:
        """SM-09: both are stopped at shutdown."""
        call = self.call().start(1)
        self.runtime.threads.hold("poll")
        self.runtime.advance(0)
        call._began(0.0)

        over = self.scheduler.stop(4)
        self.runtime.advance(3)
        before = over.called
        self.runtime.threads.let_go("poll")

        self.assertEqual((before, self.successResultOf(over)), (False, []))
        self.assertEqual((self.runtime.clock.pending, self.scheduler.status()), (0, []))

    def test_stop_names_what_it_abandons(self) -> None:
        call = self.call().start(1)
        self.runtime.threads.hold("poll")
        self.runtime.advance(0)
        call._began(0.0)

        over = self.scheduler.stop(4)
        self.runtime.advance(4)

        self.assertEqual(self.successResultOf(over), ["meter Case.note"])
        self.runtime.threads.let_go("poll")

    def test_a_beat_that_is_queued_when_its_call_is_stopped_is_not_made(self) -> None:
        call = self.call().start(1)
        self.runtime.threads.hold("poll")
        self.runtime.advance(0)

        call.stop()
        self.runtime.threads.let_go("poll")

        self.assertEqual((self.at, call.runs), ([], 0))

    def test_summary_adds_up_and_status_shows_trouble_first(self) -> None:
        def bad() -> None:
            raise BadReading("x")

        self.call().start(1)
        self.call(bad).start(1)
        self.runtime.advance(2)

        summary = self.scheduler.summary()

        self.assertEqual((summary["calls"], summary["runs"], summary["bad_readings"]), (2, 6, 3))
        self.assertIn("bad", summary["first"][0]["name"])
        self.assertEqual(len(self.scheduler.status(1)), 1)


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, 0.0001])
def test_an_interval_that_is_none_is_refused(wrong: float) -> None:
    owner = CallOwner("meter", "/m", FakeRuntime().scheduler)

    with pytest.raises(ValueError, match="interval of a periodic call must be a number of seconds"):
        owner.call(print).start(wrong)


def test_what_cannot_be_called_is_refused() -> None:
    owner = CallOwner("meter", "/m", FakeRuntime().scheduler)

    with pytest.raises(TypeError, match="needs a function to call: got 5"):
        owner.call(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got 'soon'"):
        owner.call(print).start("soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got True"):
        owner.call(print).start(True)
    with pytest.raises(ValueError, match="align of a periodic call"):
        owner.call(print).start(1, align=0)
    with pytest.raises(ValueError, match="spread of a periodic call"):
        owner.call(print).start(1, spread=-1)

"""runtime/service.py: parts start in order and stop in reverse, each under its deadline."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from smapd.errors import ShutdownRequested
from smapd.runtime import Child, OrderedService
from smapd.testing import FakeClock


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = FakeClock()
        self.did: list[str] = []
        self.told: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: Any) -> None:
        self.told.append(formatEvent(event))

    def child(
        self, name: str, start: Any = None, stop: Any = None, deadline_s: float | None = 1.0
    ) -> Child:
        def begin() -> Any:
            self.did.append(f"+{name}")
            return start

        def end() -> Any:
            self.did.append(f"-{name}")
            return stop

        return Child(name, begin, end, deadline_s)

    def service(self, *children: Child) -> OrderedService:
        return OrderedService(self.clock, children)


class Starts(Case):
    def test_each_starts_when_the_one_before_is_ready(self) -> None:
        ready: Deferred[None] = Deferred()
        service = self.service(self.child("a", ready), self.child("b"))

        over = service.start()
        before = (list(self.did), service.starting, over.called)
        ready.callback(None)

        self.assertEqual(before, (["+a"], "a", False))
        self.assertEqual((self.did, service.started), (["+a", "+b"], ("a", "b")))
        self.assertIsNone(self.successResultOf(over))

    def test_async_functions_serve(self) -> None:
        async def nap() -> None:
            await self.clock.sleep(1)
            self.did.append("slept")

        service = self.service(Child("a", nap, nap), self.child("b"))

        over = service.start()
        self.clock.advance(1)
        self.successResultOf(over)

        self.assertEqual(self.did, ["slept", "+b"])

    def test_a_failed_start_stops_what_had_started_and_raises_the_first_cause(self) -> None:
        service = self.service(
            self.child("a", stop=fail(KeyError("later"))),
            self.child("b"),
            self.child("c", fail(OSError("port in use"))),
            self.child("d"),
        )

        failure = self.failureResultOf(service.start(), OSError)

        self.assertEqual(str(failure.value), "port in use")
        self.assertEqual(self.did, ["+a", "+b", "+c", "-b", "-a"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_start_that_raises_at_once_is_the_same(self) -> None:
        service = self.service(self.child("a"), Child("b", lambda: 1 / 0))

        self.failureResultOf(service.start(), ZeroDivisionError)

        self.assertEqual(self.did, ["+a", "-a"])

    def test_a_second_start_is_refused(self) -> None:
        service = self.service()
        service.start()

        self.assertRaises(RuntimeError, service.start)

    def test_added_children_start_last(self) -> None:
        service = self.service(self.child("a"))

        service.add(self.child("b"))
        service.start()

        self.assertEqual(self.did, ["+a", "+b"])


class Stops(Case):
    def test_in_reverse_each_after_the_other_has_ended(self) -> None:
        gone: Deferred[None] = Deferred()
        service = self.service(self.child("a"), self.child("b", stop=gone))
        service.start()

        over = service.stop()
        before = list(self.did[2:])
        gone.callback(None)

        self.assertEqual((before, self.did[2:]), (["-b"], ["-b", "-a"]))
        self.assertEqual(self.successResultOf(over), [])
        self.assertEqual(self.clock.pending, 0)

    def test_what_overruns_its_deadline_is_named_and_abandoned(self) -> None:
        """ARCHITECTURE 4."""
        service = self.service(self.child("a"), self.child("b", stop=Deferred(), deadline_s=4))
        service.start()

        over = service.stop()
        self.clock.advance(3.9)
        before = over.called
        self.clock.advance(0.2)

        self.assertEqual((before, self.successResultOf(over)), (False, ["b"]))
        self.assertEqual(self.did[2:], ["-b", "-a"])
        self.assertIn("b did not stop within 4 s; it is abandoned", self.told)

    def test_a_step_of_the_wall_clock_moves_no_deadline(self) -> None:
        """N-05."""
        service = self.service(self.child("a", stop=Deferred(), deadline_s=4))
        service.start()

        over = service.stop()
        self.clock.step_wall(3600)
        self.clock.advance(1)

        self.assertNoResult(over)

    def test_what_ends_with_a_commit_takes_as_long_as_it_takes(self) -> None:
        gone: Deferred[None] = Deferred()
        service = self.service(self.child("journal", stop=gone, deadline_s=None))
        service.start()

        over = service.stop()
        self.clock.advance(3600)
        service.hurry()
        before = over.called
        gone.callback(None)

        self.assertEqual((before, self.successResultOf(over)), (False, []))

    def test_one_that_fails_is_logged_and_the_rest_is_stopped(self) -> None:
        service = self.service(self.child("a"), self.child("b", stop=fail(KeyError("x"))))
        service.start()

        self.assertEqual(self.successResultOf(service.stop()), [])

        self.assertEqual(self.did[2:], ["-b", "-a"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_one_that_fails_after_it_was_abandoned_is_logged(self) -> None:
        gone: Deferred[None] = Deferred()
        service = self.service(self.child("a", stop=gone))
        service.start()
        service.stop()
        self.clock.advance(1)

        gone.errback(KeyError("x"))

        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_every_caller_has_the_same_answer(self) -> None:
        service = self.service(self.child("a", stop=Deferred()))
        service.start()

        first, second = service.stop(), service.stop()
        self.clock.advance(1)
        third = service.stop()

        self.assertEqual(
            [self.successResultOf(d) for d in (first, second, third)], [["a"], ["a"], ["a"]]
        )
        self.assertEqual(self.did, ["+a", "-a"])

    def test_stop_without_start_has_nothing_to_do(self) -> None:
        self.assertEqual(self.successResultOf(self.service(self.child("a")).stop()), [])
        self.assertEqual(self.did, [])

    def test_hurry_goes_straight_to_the_journals(self) -> None:
        """ARCHITECTURE 4: a second SIGTERM."""
        service = self.service(
            self.child("lock", deadline_s=None),
            self.child("journal", stop=succeed(None), deadline_s=None),
            self.child("reports", deadline_s=2),
            self.child("drivers", stop=Deferred(), deadline_s=4),
        )
        service.start()

        over = service.stop()
        service.hurry()

        self.assertEqual(self.successResultOf(over), ["drivers", "reports"])
        self.assertEqual(self.did[4:], ["-drivers", "-journal", "-lock"])


class StopsWhileItStarts(Case):
    def test_the_child_under_way_is_waited_for_then_all_are_stopped(self) -> None:
        ready: Deferred[None] = Deferred()
        service = self.service(self.child("a"), self.child("b", ready), self.child("c"))
        started = service.start()

        over = service.stop()
        ready.callback(None)

        self.failureResultOf(started, ShutdownRequested)
        self.assertEqual(self.successResultOf(over), [])
        self.assertEqual(self.did, ["+a", "+b", "-b", "-a"])

    def test_one_that_never_gets_ready_is_abandoned_at_its_deadline(self) -> None:
        service = self.service(self.child("a"), self.child("b", Deferred(), deadline_s=3))
        started = service.start()

        over = service.stop()
        self.clock.advance(3)

        self.failureResultOf(started, ShutdownRequested)
        self.assertEqual(self.successResultOf(over), [])
        self.assertEqual(self.did, ["+a", "+b", "-a"])
        self.assertIn("b was still starting; it is abandoned", self.told)

    def test_hurry_abandons_it_at_once(self) -> None:
        service = self.service(self.child("a", deadline_s=None), self.child("b", Deferred()))
        started = service.start()

        over = service.stop()
        service.hurry()

        self.failureResultOf(started, ShutdownRequested)
        self.assertEqual(self.successResultOf(over), [])
        self.assertEqual(self.did, ["+a", "+b", "-a"])

    def test_one_that_fails_after_that_is_logged(self) -> None:
        ready: Deferred[None] = Deferred()
        service = self.service(self.child("b", ready))
        started = service.start()
        service.stop()
        self.clock.advance(1)
        self.failureResultOf(started, ShutdownRequested)

        ready.errback(KeyError("x"))

        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_stop_from_inside_a_start_breaks_it_off(self) -> None:
        answers: list[Deferred[list[str]]] = []
        service = self.service(self.child("a"))
        service.add(Child("b", lambda: answers.append(service.stop())))
        service.add(self.child("c"))

        self.failureResultOf(service.start(), ShutdownRequested)

        self.assertEqual(self.did, ["+a", "-a"])
        self.assertEqual(self.successResultOf(answers[0]), [])

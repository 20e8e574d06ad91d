"""One driver section, step by step on fake time: what it becomes after each success and failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smapd.core import SmapInstance
from smapd.driver import DeviceUnavailable, SmapDriver
from smapd.driver.host import DriverHost
from smapd.driver.lifecycle import DriverSection, Place
from smapd.runtime import CallOwner
from smapd.testing import FakeRuntime
from smapd.util import periodicCallInThread

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class Counter(SmapDriver):
    """Fails as often as its class is told to, then counts once a second."""

    setups_that_fail = 0
    starts_that_fail = 0
    stops: list[str] = []

    def setup(self, opts: Any) -> None:
        cls = type(self)
        self.add_timeseries("/n", "n", "V")
        if cls.setups_that_fail:
            cls.setups_that_fail -= 1
            raise DeviceUnavailable("10.0.0.7 does not answer")

    def start(self) -> None:
        cls = type(self)
        if cls.starts_that_fail:
            cls.starts_that_fail -= 1
            raise DeviceUnavailable("not yet")
        self.count = 0
        periodicCallInThread(self.read).start(1)

    def read(self) -> None:
        self.count += 1
        self.add("/n", self.count)

    def stop(self) -> None:
        self.stops.append("stopped")


class Sections(SynchronousTestCase):
    def setUp(self) -> None:
        self.run_ = FakeRuntime()
        self.inst = SmapInstance(ROOT, now=self.run_.clock.wall_ms)
        self.inst.add_collection("/meter")
        self.finished = 0
        Counter.setups_that_fail = Counter.starts_that_fail = 0
        Counter.stops = []

    def section(self, make: Callable[[], Any] | None = None) -> DriverSection:
        def host() -> tuple[DriverHost, CallOwner]:
            owner = CallOwner("Counter", "/meter", self.run_.scheduler)
            scope = self.inst.scope("/meter", self.inst.uuid("/meter"))
            return DriverHost(Counter, scope, {}, owner), owner

        def clear() -> None:
            self.inst.remove("/meter/n")

        def finish() -> None:
            self.finished += 1

        place = Place(make or host, finish, clear, lambda t: self.inst.set_error("/meter", t))
        return DriverSection(
            "/meter",
            "Counter",
            place,
            clock=self.run_.clock,
            threads=self.run_.threads,
            faults=self.run_.faults,
            backoff=self.run_.backoff(),
        )

    def wait(self, coroutine: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def error(self) -> str:
        return str(self.inst.get("/meter").as_json().get("Error", ""))  # type: ignore[union-attr]

    def test_set_up_then_start_runs_the_polls(self) -> None:
        """SM-14: ready after set-up, running after start, one reading a second from then on."""
        section = self.section()

        self.wait(section.set_up())
        states = [section.status()["state"]]
        self.wait(section.start())
        states.append(section.status()["state"])
        self.run_.advance(2.5)

        self.assertEqual(states, ["ready", "running"])
        self.assertEqual(self.inst.get_timeseries("/meter/n")["Readings"][-1][1], 3)  # type: ignore[index]
        self.assertEqual(self.finished, 1)

    def test_a_failed_setup_leaves_no_streams_and_is_tried_again(self) -> None:
        """SM-36: after 1 s, then 1.5 s; shown meanwhile, and gone from the tree when it works."""
        Counter.setups_that_fail = 2
        section = self.section()
        self.wait(section.set_up())
        self.wait(section.start())

        self.assertEqual(section.status()["state"], "failed")
        self.assertIn("10.0.0.7 does not answer", self.error())
        self.assertIsNone(self.inst.get("/meter/n"))
        self.run_.advance(1.0)
        self.assertEqual(section.status()["failures"], 2)
        self.run_.advance(1.5)

        self.assertEqual(section.status()["state"], "running")
        self.assertEqual(self.error(), "")
        self.assertIsNotNone(self.inst.get("/meter/n"))

    def test_a_failed_start_is_tried_again_without_a_new_setup(self) -> None:
        """SM-36: the streams stay, and so does what consumers know of them."""
        Counter.starts_that_fail = 1
        section = self.section()
        self.wait(section.set_up())
        stream = self.inst.get("/meter/n")
        self.wait(section.start())
        self.assertIn("not yet", self.error())

        self.run_.advance(1.0)

        self.assertEqual(section.status()["state"], "running")
        self.assertIs(self.inst.get("/meter/n"), stream)
        self.run_.advance(1.0)
        self.assertEqual(stream.as_json()["Readings"][-1][1], 2)  # type: ignore[union-attr]

    def test_it_does_not_start_before_it_is_told_to(self) -> None:
        """The daemon opens its port before the first poll."""
        section = self.section()
        self.wait(section.set_up())

        self.run_.advance(5)

        self.assertEqual(self.inst.taken, 0)

    def test_stop_ends_the_polls_and_calls_stop_once(self) -> None:
        """SM-07: no reading after it, and a second stop is nothing."""
        section = self.section()
        self.wait(section.set_up())
        self.wait(section.start())
        taken = self.inst.taken

        self.assertEqual(self.wait(section.stop()), [])
        self.assertEqual(self.wait(section.stop()), [])
        self.run_.advance(10)

        self.assertEqual(self.inst.taken, taken)
        self.assertEqual(Counter.stops, ["stopped"])
        self.assertEqual(section.status()["state"], "stopped")

    def test_stop_while_it_waits_for_a_retry_tries_no_more(self) -> None:
        """SM-07: nothing of a stopped section comes back."""
        Counter.setups_that_fail = 1
        section = self.section()
        self.wait(section.set_up())

        self.wait(section.stop())
        self.run_.advance(120)

        self.assertEqual(section.status()["state"], "stopped")
        self.assertIsNone(self.inst.get("/meter/n"))
        self.assertEqual(Counter.stops, [])

"""driver/lifecycle.py after the start: what fails in a poll or at the stop is shown."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smapd.driver import DeviceUnavailable, SmapDriver
from smapd.driver.lifecycle import END_S
from smapd.testing import RecordingListener
from smapd.util import periodicCallInThread
from tests.driver.places import Section


class Meter(SmapDriver):
    """Raises what ``trouble`` holds."""

    trouble: Exception | None = None

    def setup(self, opts: Any) -> None:
        self.add_timeseries("/n", "n", "V")

    def start(self) -> None:
        periodicCallInThread(self.read).start(1)

    def read(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.add("/n", 1)


class OnReactor(Meter):
    ON_REACTOR = True


class Shown(SynchronousTestCase):
    def begin(self, cls: type[Any]) -> Section:
        place = Section(cls)
        self.wait(place.section.set_up())
        self.wait(place.section.start())
        return place

    def wait(self, coroutine: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def test_a_poll_that_fails_is_shown_in_the_tree_until_it_works(self) -> None:
        """SM-36: a driver that fails later is marked with its error, as one that fails in setup."""
        place = self.begin(Meter)
        place.hosts[0].driver.trouble = DeviceUnavailable("10.0.0.7 does not answer")
        place.run.advance(1)
        place.section.look()
        failing = place.error()

        place.hosts[0].driver.trouble = None
        place.run.advance(3)
        place.section.look()

        self.assertEqual(
            failing, "[/meter] Meter.read failed: DeviceUnavailable: 10.0.0.7 does not answer"
        )
        self.assertEqual(place.error(), "")

    def test_a_poll_that_fails_is_in_the_sections_status(self) -> None:
        """SM-36: the section runs, and says what is wrong."""
        place = self.begin(Meter)
        before = place.section.status()
        place.hosts[0].driver.trouble = ValueError("a bug")
        place.run.advance(1)
        self.flushLoggedErrors(ValueError)

        status = place.section.status()

        self.assertNotIn("error", before)
        self.assertEqual(status["state"], "running")
        self.assertEqual(status["error"], "[/meter] Meter.read failed: ValueError: a bug")
        self.assertEqual(place.error(), status["error"])

    def test_a_poll_that_hangs_is_shown(self) -> None:
        place = self.begin(Meter)
        for call in place.hosts[0]._owner.calls:  # type: ignore[union-attr]
            call.hung = True

        place.section.look()

        self.assertEqual(
            place.error(), "[/meter] Meter.read hangs: it has not come back for more than 10 s"
        )

    def test_the_same_error_does_not_change_the_tree_again(self) -> None:
        """Subscribers and ETags would see a change at each look."""
        place = self.begin(Meter)
        place.hosts[0].driver.trouble = DeviceUnavailable("gone")
        place.run.advance(1)
        place.section.look()
        revision = place.inst.revision

        place.run.advance(30)
        place.section.look()

        self.assertEqual(place.inst.revision, revision)

    def test_what_loading_showed_is_gone_when_setup_works(self) -> None:
        """SM-01: loader.load marks what fails; server.run tries it again."""
        place = Section(Meter)
        place.inst.set_error("/meter", "[/meter] setup failed: not yet")

        self.wait(place.section.set_up())

        self.assertEqual(place.error(), "")

    def test_an_error_carries_what_to_do(self) -> None:
        class Needs(Meter):
            def setup(self, opts: Any) -> None:
                raise DeviceUnavailable("no bus.", hint="Is it plugged in?")

        place = Section(Needs)

        self.wait(place.section.set_up())

        self.assertEqual(place.error(), "[/meter] setup failed: no bus. Is it plugged in?")

    def test_a_stop_that_hangs_is_named_and_not_waited_for(self) -> None:
        """SM-07."""

        class Hangs(Meter):
            def stop(self) -> None: ...

        place = self.begin(Hangs)
        place.run.threads.hold("setup")

        stopping = Deferred.fromCoroutine(place.section.stop())
        self.assertNoResult(stopping)
        place.run.advance(END_S)

        self.assertEqual(self.successResultOf(stopping), ["Hangs stop"])

    def test_what_stop_raises_is_one_line_and_stops_nobody(self) -> None:
        class Raises(Meter):
            def stop(self) -> None:
                raise OSError("already closed")

        place = self.begin(Raises)

        self.assertEqual(self.wait(place.section.stop()), [])
        self.assertEqual(place.section.status()["state"], "stopped")

    def test_time_on_the_reactor_is_in_the_sections_status(self) -> None:
        """SM-14: ON_REACTOR end to end."""

        class Slow(OnReactor):
            clock: Any = None

            def read(self) -> None:
                if self.clock is not None:
                    self.clock.jump(0.5)
                super().read()

        place = self.begin(Slow)
        place.run.advance(0)  # the first beat
        place.hosts[0].driver.clock = place.run.clock
        place.run.advance(1)

        status = place.section.status()

        self.assertEqual(status["reactor_s"], 0.5)
        self.assertEqual(status["worst_reactor_s"], 0.5)
        self.assertEqual(place.run.threads.moved()["poll"], 0)
        self.assertNotIn("reactor_s", self.begin(Meter).section.status())

    def test_setup_on_the_reactor_is_ready_when_its_deferred_fires(self) -> None:
        """SM-14, SM-36: and failed when that fails."""
        waiting: list[Deferred[None]] = []

        class Slow(OnReactor):
            def setup(self, opts: Any) -> Deferred[None]:  # type: ignore[override]
                super().setup(opts)
                waiting.append(Deferred())
                return waiting[-1]

        place = Section(Slow)
        first = Deferred.fromCoroutine(place.section.set_up())
        states = [place.section.status()["state"]]
        waiting[0].errback(DeviceUnavailable("no route"))
        self.successResultOf(first)
        states.append(place.section.status()["state"])
        error = place.error()
        place.run.advance(1)
        waiting[1].callback(None)
        states.append(place.section.status()["state"])

        self.assertEqual(states, ["setting up", "failed", "ready"])
        self.assertEqual(error, "[/meter] setup failed: no route")
        self.assertIsNotNone(place.inst.get("/meter/n"))

    def test_a_setup_on_the_reactor_that_waits_is_cancelled_at_the_stop(self) -> None:
        cancelled: list[object] = []

        class Slow(OnReactor):
            def setup(self, opts: Any) -> Deferred[None]:  # type: ignore[override]
                return Deferred(cancelled.append)

        place = Section(Slow)
        setting_up = Deferred.fromCoroutine(place.section.set_up())

        self.assertEqual(self.wait(place.section.stop()), [])

        self.assertEqual(len(cancelled), 1)
        self.successResultOf(setting_up)


class Discovers(SmapDriver):
    """Has a stream for each device on its bus."""

    def setup(self, opts: Any) -> None:
        self.bus: dict[str, float] = {}

    def start(self) -> None:
        periodicCallInThread(self.read).start(1)

    def read(self) -> None:
        known = self.get_collection("/")
        there = set(known.children) if known is not None else set()
        for name in there - self.bus.keys():
            self.remove(f"/{name}")
        for name, value in self.bus.items():
            if name not in there:
                self.add_timeseries(f"/{name}/value", f"{name}:value", "V", data_type="double")
            self.add(f"/{name}/value", value)


class OnReactorDiscovers(Discovers):
    ON_REACTOR = True


class Discovery(SynchronousTestCase):
    def play(self, cls: type[Any]) -> list[tuple[str, list[object]]]:
        place = Section(cls)
        told = RecordingListener()
        place.inst.attach(told)
        for step in (place.section.set_up(), place.section.start()):
            self.successResultOf(Deferred.fromCoroutine(step))
        place.run.advance(0)  # the first beat
        told.take()
        bus = place.hosts[0].driver.bus

        bus["a"] = 1.0
        place.run.advance(1)
        place.inst.drain()
        uuid = place.inst.get("/meter/a/value").uuid  # type: ignore[union-attr]
        bus.clear()
        place.run.advance(1)
        place.inst.drain()
        bus["a"] = 2.0
        place.run.advance(1)
        place.inst.drain()

        self.assertEqual(place.inst.get("/meter/a/value").uuid, uuid)  # type: ignore[union-attr]
        return [
            (kind, [w[0] if kind == "readings" else w for w in what]) for kind, what in told.told
        ]  # type: ignore[index]

    def test_streams_come_and_go_while_it_runs_and_listeners_are_told(self) -> None:
        """SM-37: and a device that comes back has the stream that it had."""
        wanted = [
            ("added", ["/meter/a", "/meter/a/value"]),
            ("readings", ["/meter/a/value"]),
            ("removed", ["/meter/a/value", "/meter/a"]),
            ("added", ["/meter/a", "/meter/a/value"]),
            ("readings", ["/meter/a/value"]),
        ]

        self.assertEqual(self.play(Discovers), wanted)
        self.assertEqual(self.play(OnReactorDiscovers), wanted)

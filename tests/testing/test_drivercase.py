"""testing/drivercase.py: the frame of a driver's tests, tried by driving drivers in it."""

from __future__ import annotations

from typing import Any

from smapd.driver import Option, SmapDriver, duration
from smapd.errors import ConfigError, DriverFailed
from smapd.testing import START_MS, DriverCase
from smapd.util import periodicCallInThread


class Counter(SmapDriver):
    OPTIONS = (
        Option("Rate", duration, "1s", "time between two readings"),
        Option("First", int, 0, "the first value"),
    )
    stopped = False

    def setup(self, opts: Any) -> None:
        self.n, self.every_s = opts["First"], opts["Rate"]
        self.add_timeseries("/count", "count", "")

    def start(self) -> None:
        self.call = periodicCallInThread(self.read)
        self.call.start(self.every_s)

    def stop(self) -> None:
        self.stopped = True

    def read(self) -> None:
        self.add("/count", self.n)
        self.n += 1


class OnReactor(Counter):
    ON_REACTOR = True


class Broken(Counter):
    def start(self) -> None:
        raise KeyError("no such device")


class Frame(DriverCase):
    def test_a_driver_runs_on_fake_time(self) -> None:
        """P-15."""
        self.load(Counter, Rate="10s", First=7)

        self.advance(25)

        self.assertEqual(
            self.readings("/count"),
            [(START_MS, 7), (START_MS + 10_000, 8), (START_MS + 20_000, 9)],
        )

    def test_options_are_checked_as_in_a_config_file(self) -> None:
        with self.assertRaisesRegex(ConfigError, r"Rat: no such key of Counter. Did you mean Rate"):
            self.load(Counter, Rat="10s")

    def test_unload_stops_it_as_the_daemon_does(self) -> None:
        driver = self.load(Counter)

        self.unload()
        self.advance(5)

        self.assertTrue(driver.stopped)
        self.assertEqual(len(self.readings("/count")), 1)

    def test_what_its_start_raises_comes_out(self) -> None:
        self.assertRaisesRegex(DriverFailed, "no such device", self.load, Broken)

    def test_a_driver_on_the_reactor_takes_no_thread(self) -> None:
        self.load(OnReactor)

        self.advance(2)

        self.assertEqual(len(self.readings("/count")), 3)
        self.assertEqual(self.runtime.threads.moved()["poll"], 0)


class AtTheRoot(DriverCase):
    path = "/"

    def test_paths_are_the_drivers_own(self) -> None:
        self.load(Counter)

        self.advance(1)

        self.assertEqual([v for _, v in self.readings("/count")], [0, 1])
        self.assertIsNotNone(self.inst.get("/count"))

"""driver/asynchronous.py: drivers of coroutines, hosted on fake time and on the real loop."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smapd.core import SmapInstance
from smapd.driver import (
    AsyncDriver,
    BadReading,
    DeviceUnavailable,
    DriverFailed,
    DriverHost,
    Option,
)
from smapd.testing import DaemonProcess, DriverCase
from tests.driver.places import Section

ROOT = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n"


class Meter(AsyncDriver):
    OPTIONS = (*(AsyncDriver.OPTIONS or ()), Option("First", int, 0, "the first value"))

    async def setup(self, opts: Any) -> None:
        await super().setup(opts)
        self.n = opts["First"]
        self.thread = threading.current_thread()
        self.add_timeseries("/n", "n", "V")
        self.stopped = False

    async def read(self) -> None:
        await asyncio.sleep(0)
        self.add("/n", self.n)
        self.n += 1

    async def stop(self) -> None:
        self.stopped = True


class Frame(DriverCase):
    """In the frame that every driver's tests have."""

    def poll(self) -> Any:
        (status,) = self.runtime.scheduler.status()
        return status

    def test_read_is_called_each_rate(self) -> None:
        """SM-14: setup, start, read and stop as coroutines."""
        driver = self.load(Meter, Rate="10s", First=7)

        self.advance(20)
        self.unload()

        self.assertEqual([v for _, v in self.readings("/n")], [7, 8, 9])
        self.assertTrue(driver.stopped)

    def test_rate_has_a_default_and_is_checked(self) -> None:
        driver = self.load(Meter)
        self.assertEqual(driver.rate, 30.0)

        class Old(Meter):
            OPTIONS = None  # type: ignore[assignment]

        with self.assertRaisesRegex(DriverFailed, "setup failed: Rate = 5x: not a duration"):
            self.load(Old, Rate="5x", First="1")

    def test_setup_may_take_inst_and_be_left_out(self) -> None:
        class Both(Meter):
            async def setup(self, inst: Any, opts: Any) -> None:  # type: ignore[override]
                await super().setup(opts)
                inst.add_timeseries("/m", "m", "V")

        class Neither(AsyncDriver):
            async def read(self) -> None:
                raise BadReading("nothing to read")

        self.load(Both, Rate="1s")
        self.load(Neither, Rate="1s")

        self.assertIsNotNone(self.scope.get_timeseries("/m"))
        self.assertEqual(self.poll()["error"], "BadReading: nothing to read")

    def test_a_device_that_does_not_answer_backs_off(self) -> None:
        class Gone(Meter):
            tries = 0

            async def read(self) -> None:
                self.tries += 1
                raise DeviceUnavailable("10.0.0.7 does not answer")

        driver = self.load(Gone, Rate="1s")
        self.advance(60)

        self.assertLess(driver.tries, 15)
        self.assertEqual(self.poll()["error"], "DeviceUnavailable: 10.0.0.7 does not answer")

    def test_a_call_is_known_by_the_drivers_own_name(self) -> None:
        """By which the log names what blocks the loop."""
        self.load(Meter)

        self.assertEqual(self.poll()["name"], "/driver Meter.read")

    def test_setup_that_forgets_the_base_class_is_told_what_to_write(self) -> None:
        class Forgets(AsyncDriver):
            async def setup(self, opts: Any) -> None:
                self.add_timeseries("/n", "V")

            async def read(self) -> None: ...

        with self.assertRaisesRegex(DriverFailed, r"await super\(\)\.setup\(opts\) in it"):
            self.load(Forgets)

    def test_driver_without_read_is_told_so(self) -> None:
        class Empty(AsyncDriver):
            pass

        with self.assertRaisesRegex(DriverFailed, "Empty has neither async def read"):
            self.load(Empty)

    def test_twisted_code_is_no_async_driver(self) -> None:
        class Both(Meter):
            ON_REACTOR = True

        with self.assertRaisesRegex(DriverFailed, "Both is an AsyncDriver, .* it can be one of"):
            self.load(Both)

    def test_plain_steps_serve_too(self) -> None:
        class Plain(Meter):
            def stop(self) -> None:  # type: ignore[override]
                self.stopped = True

        driver = self.load(Plain)
        self.unload()

        self.assertTrue(driver.stopped)


class Sections(SynchronousTestCase):
    """As a section of a daemon; the loop is that of the fake threads."""

    def test_its_life_is_that_of_any_driver(self) -> None:
        """SM-14, SM-36."""

        class Fails(Meter):
            tries = 0

            async def setup(self, opts: Any) -> None:
                type(self).tries += 1
                await super().setup(opts)
                if type(self).tries == 1:
                    raise DeviceUnavailable("not yet")

        place = Section(Fails, {"Rate": 1.0, "First": 1})
        section = place.section

        self.successResultOf(Deferred.fromCoroutine(section.set_up()))
        self.successResultOf(Deferred.fromCoroutine(section.start()))
        failed = section.status()
        place.run.advance(1.0)
        running = section.status()
        place.run.advance(2.0)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(section.stop())), [])

        self.assertEqual(failed["state"], "failed")
        self.assertEqual(failed["error"], "[/meter] setup failed: not yet")
        self.assertEqual(running["state"], "running")
        self.assertEqual(place.values("/meter/n"), [1, 2, 3])
        self.assertTrue(place.hosts[-1].driver.stopped)


def test_what_a_failed_start_has_spawned_is_cancelled_and_a_second_one_works() -> None:
    """SM-36: a start is tried again, and must not leave its tasks behind each time."""

    class Spawns(AsyncDriver):
        tries = 0
        ended = 0

        async def start(self) -> None:
            self.tries += 1
            self.spawn(self.listen())
            await asyncio.sleep(0)
            if self.tries == 1:
                raise DeviceUnavailable("not yet")

        async def listen(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.ended += 1

    async def play() -> tuple[int, int, int]:
        host = DriverHost(Spawns, inst.scope("/m", inst.uuid("/m")), {})
        await host.call_on_loop("setup")
        with pytest.raises(DriverFailed, match="start failed: not yet"):
            await host.call_on_loop("start")
        after_failure = host.driver.ended
        await host.call_on_loop("start")
        under_way = len(host.driver._smapd_tasks)
        await host.cancel()
        return after_failure, under_way, host.driver.ended

    inst = SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
    inst.add_collection("/m")

    assert asyncio.run(play()) == (1, 1, 2)


def test_loaded_before_there_is_a_loop_it_is_set_up_all_the_same() -> None:
    """SM-01: loader.load sets drivers up on the main thread, ahead of server.run."""
    inst = SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
    inst.add_collection("/m")
    host = DriverHost(Meter, inst.scope("/m", inst.uuid("/m")), {"Rate": 1.0, "First": 0})

    host.setup()

    assert inst.get_timeseries("/m/n") is not None


DRIVERS = '''
import asyncio, threading, time
from smapd.driver import AsyncDriver


class Counts(AsyncDriver):
    """Notes the loop and thread of every step."""

    async def setup(self, opts):
        await super().setup(opts)
        self.homes = {(id(asyncio.get_running_loop()), threading.current_thread().name)}
        self.add_timeseries("/n", "n", "V")
        self.add_timeseries("/heard", "heard", "V")

    async def start(self):
        await super().start()
        self.queue = asyncio.Queue()
        self.spawn(self.listen())
        self.homes.add((id(asyncio.get_running_loop()), threading.current_thread().name))
        self.n = 0

    async def read(self):
        self.homes.add((id(asyncio.get_running_loop()), threading.current_thread().name))
        self.n += 1
        self.add("/n", self.n)
        await self.queue.put(self.n)

    async def listen(self):
        try:
            while True:
                self.add("/heard", await self.queue.get())
        except asyncio.CancelledError:
            print("listen was cancelled", flush=True)
            raise

    async def stop(self):
        self.homes.add((id(asyncio.get_running_loop()), threading.current_thread().name))
        print("homes", len(self.homes), {name for _, name in self.homes}, flush=True)


class Waits(AsyncDriver):
    """A read that waits for ever."""

    async def read(self):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("read was cancelled", flush=True)
            raise

    async def stop(self):
        print("Waits stopped", flush=True)


class Blocks(AsyncDriver):
    """Blocks the loop of everybody, once."""

    done = False

    async def read(self):
        if not self.done:
            self.done = True
            time.sleep(2.5)


class Ends(AsyncDriver):
    async def start(self):
        self.spawn(self.listen())

    async def listen(self):
        raise ValueError("a bug in listen")


class BlocksForEver(AsyncDriver):
    async def read(self):
        time.sleep(3600)
'''


def eventually(what: Any, limit_s: float = 15.0) -> None:
    """Wait for the world; a fixed number of looks, each 50 ms apart."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@pytest.fixture
def drivers(tmp_path: Any) -> Any:
    (tmp_path / "site_async.py").write_text(DRIVERS)
    return tmp_path


@pytest.mark.real
def test_all_steps_run_on_one_loop_in_a_thread_of_its_own(drivers: Any) -> None:
    """SM-14: and what is under way is cancelled at the stop, before stop() is called."""
    config = ROOT + "[/a]\ntype = site_async.Counts\nRate = 50ms\n[/w]\ntype = site_async.Waits\n"
    with DaemonProcess(config, path=[drivers]) as daemon:
        eventually(lambda: daemon.get("/data/a/heard").json()["Readings"])
        since = time.monotonic()
        assert daemon.stop(12) == 0
        took_s = time.monotonic() - since
        text = daemon.text()

    assert "homes 1 {'loop-user'}" in text
    assert "listen was cancelled" in text
    assert text.index("read was cancelled") < text.index("Waits stopped")
    assert "Traceback" not in text
    assert "abandoned" not in text
    assert took_s < 2.5


@pytest.mark.real
def test_who_blocks_the_loop_is_named_and_a_task_that_ends_too(drivers: Any) -> None:
    """SM-14: with the driver's path, and its own name."""
    config = ROOT + (
        "[/b]\ntype = site_async.Blocks\nRate = 1h\n[/e]\ntype = site_async.Ends\n"
        "[/a]\ntype = site_async.Counts\nRate = 50ms\n"
    )
    with DaemonProcess(config, path=[drivers]) as daemon:
        eventually(lambda: "has blocked every other coroutine" in daemon.text())
        eventually(lambda: "a bug in listen" in daemon.text())
        assert daemon.get("/readyz").status == 200
        eventually(lambda: daemon.get("/data/a/heard").json()["Readings"])
        text = daemon.text()
        assert daemon.stop(12) == 0

    assert "loop-user: Blocks.read has blocked" in text
    assert "[driver=/e]" in next(line for line in text.splitlines() if "Ends.listen ended" in line)


@pytest.mark.real
def test_a_loop_that_is_blocked_for_ever_costs_the_stop_its_deadline(drivers: Any) -> None:
    """SM-07: it is named, and the others are stopped."""
    config = ROOT + "[/b]\ntype = site_async.BlocksForEver\n[/w]\ntype = site_async.Waits\n"
    with DaemonProcess(config, path=[drivers]) as daemon:
        eventually(lambda: "has blocked every other coroutine" in daemon.text())
        since = time.monotonic()
        assert daemon.stop(12) == 0

        assert time.monotonic() - since < 10
        assert "BlocksForEver, as its asyncio loop is blocked, is still under way" in daemon.text()

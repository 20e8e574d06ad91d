"""The house put together on fake time, without sockets: one section at a time."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from smapd.assembly import TABLES, Daemon, Settings, build
from smapd.assembly.planting import PATIENCE_ALONE_S
from smapd.config import Plan, load_text
from smapd.driver import SmapDriver
from smapd.testing import FakeRuntime

BASE = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/stays]
type = smap.driver.BaseDriver
"""
MORE = (
    BASE
    + """
[/comes]
type = smap.driver.BaseDriver
Metadata/Extra/Who = me
[/series]
type = Timeseries
Properties/UnitofMeasure = V
"""
)


class Hangs(SmapDriver):
    """Its start never ends."""

    OPTIONS = ()
    ON_REACTOR = True

    def setup(self, inst: Any, opts: Any) -> None:
        """There is nothing to set up."""

    def start(self) -> Any:
        return Deferred()


class OneSection(SynchronousTestCase):
    def setUp(self) -> None:
        self.run_ = FakeRuntime()
        folder = Path(self.mktemp_folder())
        settings = Settings(data_dir=folder, serve_http=False)
        self.daemon: Daemon = build(self.plan(BASE), self.run_, None, settings)
        self.successResultOf(self.daemon.start())
        self.addCleanup(self.stop)

    def mktemp_folder(self) -> str:
        import tempfile

        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        return home.name + "/data"

    def plan(self, text: str) -> Plan:
        return load_text(text, "test.ini", tables=TABLES)

    def stop(self) -> None:
        stopped = self.daemon.stop()
        self.run_.advance(15)
        self.successResultOf(stopped)

    def wait(self, coroutine: Any) -> None:
        done = Deferred.fromCoroutine(coroutine)
        self.run_.advance(5)
        self.successResultOf(done)

    def count(self, path: str) -> int:
        readings = self.daemon.inst.get_timeseries(path)["Readings"]  # type: ignore[index]
        return int(readings[-1][1])

    def test_a_section_is_attached_to_the_running_daemon_alone(self) -> None:
        """P-14: the driver is set up and polls; the others go on as they were."""
        before = self.daemon.inst.get("/stays/sensor0")
        for path in ("/comes", "/series"):
            section = self.plan(MORE).section(path)
            assert section is not None
            self.wait(self.daemon.attach(section))

        self.run_.advance(3)

        self.assertGreaterEqual(self.count("/comes/sensor0"), 3)
        self.assertIsNotNone(self.daemon.inst.get_timeseries("/series"))
        self.assertIs(self.daemon.inst.get("/stays/sensor0"), before)
        comes = self.daemon.inst.get("/comes")
        assert comes is not None
        self.assertEqual(comes.as_json()["Metadata"], {"Extra": {"Who": "me"}})

    def test_a_section_is_detached_alone_and_may_come_again(self) -> None:
        """P-14: no reading of it after that; its uuid is the same when it comes back."""
        section = self.plan(MORE).section("/comes")
        assert section is not None
        self.wait(self.daemon.attach(section))
        uuid = self.daemon.inst.get_timeseries("/comes/sensor0").uuid  # type: ignore[union-attr]

        self.wait(self.daemon.detach("/comes"))
        before = self.count("/stays/sensor0")
        self.run_.advance(4)

        self.assertIsNone(self.daemon.inst.get("/comes"))
        self.assertEqual(self.count("/stays/sensor0"), before + 4)
        self.wait(self.daemon.attach(section))
        again = self.daemon.inst.get_timeseries("/comes/sensor0")
        self.assertEqual(again.uuid, uuid)  # type: ignore[union-attr]

    def attach(self, path: str, text: str = MORE) -> Deferred[None]:
        section = self.plan(text).section(path)
        assert section is not None
        return Deferred.fromCoroutine(self.daemon.attach(section))

    def state(self, path: str) -> str:
        return self.daemon.sections[path].state.state

    def test_a_section_whose_setup_hangs_is_attached_in_a_second_and_named(self) -> None:
        """P-14: as at the start of the daemon; it polls once its setup has returned."""
        self.run_.threads.hold("setup")

        with capturedLogs() as logs:
            attached = self.attach("/comes")
            self.run_.advance(PATIENCE_ALONE_S - 0.1)
            self.assertNoResult(attached)
            self.run_.advance(0.1)
            self.successResultOf(attached)

        [line] = [text for log in logs if "/comes" in (text := formatEvent(log))]
        self.assertEqual(
            line, "[/comes] is attached, but its setup has not returned yet; all else goes on"
        )
        self.assertEqual(self.state("/comes"), "setting up")
        self.run_.threads.let_go("setup")
        self.run_.advance(3)
        self.assertEqual(self.state("/comes"), "running")
        self.assertGreaterEqual(self.count("/comes/sensor0"), 3)

    def test_a_section_whose_setup_hangs_can_be_detached(self) -> None:
        self.run_.threads.hold("setup")
        attached = self.attach("/comes")
        self.run_.advance(1)
        self.successResultOf(attached)

        self.wait(self.daemon.detach("/comes"))
        self.run_.threads.let_go("setup")
        self.run_.advance(3)

        self.assertIsNone(self.daemon.inst.get("/comes"))

    def test_a_part_of_others_code_whose_stop_fails_is_named_and_stops_no_other(self) -> None:
        async def fails() -> None:
            raise ValueError("cannot stop")

        self.patch(self.daemon.twins, "stop", fails)

        with capturedLogs() as logs:
            self.stop()

        [line] = [formatEvent(log) for log in logs if log.get("log_failure")]
        self.assertEqual(line, "a part of others' code: its stop failed")
        [failure] = self.flushLoggedErrors(ValueError)
        self.assertEqual(str(failure.value), "cannot stop")

    def test_what_took_the_place_of_one_that_hung_stays(self) -> None:
        """P-14: the set-up that comes back late takes out what it made, nobody else's nodes."""
        self.run_.threads.hold("setup")
        attached = self.attach("/comes")
        self.run_.advance(1)
        self.successResultOf(attached)
        self.wait(self.daemon.detach("/comes"))
        text = BASE + "[/comes]\ntype = Collection\nMetadata/Extra/Who = new\n"
        self.successResultOf(self.attach("/comes", text))

        self.run_.threads.let_go("setup")
        self.run_.advance(3)

        comes = self.daemon.inst.get("/comes")
        assert comes is not None
        self.assertEqual(comes.as_json()["Metadata"], {"Extra": {"Who": "new"}})

    def test_a_section_whose_start_hangs_is_named_with_that_step(self) -> None:
        module = types.ModuleType("hanging_start")
        module.Hangs = Hangs  # type: ignore[attr-defined]
        self.patch(sys, "modules", {**sys.modules, "hanging_start": module})

        with capturedLogs() as logs:
            attached = self.attach("/comes", BASE + "[/comes]\ntype = hanging_start.Hangs\n")
            self.run_.advance(PATIENCE_ALONE_S)
            self.successResultOf(attached)

        [line] = [text for log in logs if "/comes" in (text := formatEvent(log))]
        self.assertIn("[/comes] is attached, but its start has not returned yet", line)

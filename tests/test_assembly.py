"""The house put together on fake time, without sockets: one section at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smapd.assembly import TABLES, Daemon, Settings, build
from smapd.config import Plan, load_text
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

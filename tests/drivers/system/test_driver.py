"""drivers/system/driver.py: each folder of testcases/ is a config, what psutil answers, and what
comes of it: expected.json has one object a beat, {path: value}."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher

from smapd.config import find_driver, load_plan
from smapd.drivers.system import SystemDriver
from smapd.drivers.system.driver import MOST_DEVICES
from smapd.drivers.system.machine import Choice, Machine
from smapd.testing import DriverCase
from smapd.values import Batch

from .recorded import Recorded

TESTCASES = pathlib.Path(__file__).parent / "testcases"
HERE_S = 1_700_003_600


def replayed(looks: list[dict[str, Any]]) -> type[SystemDriver]:
    """The driver, on a machine that answers these looks one after another."""
    library = Recorded(looks)

    class Replayed(SystemDriver):
        def open(self, choice: Choice) -> Machine:
            return Machine(library, choice, is_directory=lambda _: True, wall_s=lambda: HERE_S)

        def read(self) -> None:
            try:
                super().read()
            finally:
                library.next()

    return Replayed


class Beats:
    """A listener that keeps, beat by beat, the last value of each path."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {}

    def nodes_added(self, nodes: Any) -> None: ...

    def nodes_removed(self, nodes: Any) -> None: ...

    def metadata_changed(self, node: Any) -> None: ...

    def readings_added(self, batch: Batch) -> None:
        for stream, reading in batch:
            value = reading.value
            self.now[stream.path] = value if value is not None else f"bad: {reading.quality.reason}"

    def take(self) -> dict[str, Any]:
        """What came since the last call."""
        taken, self.now = self.now, {}
        return taken


class SystemCases(DriverCase):
    """P-07: host metrics."""

    def play(self, case: pathlib.Path) -> list[dict[str, Any]]:
        looks = json.loads((case / "device.json").read_text())
        plan = load_plan(case / "conf.ini", tables=(), drivers=find_driver)
        section = plan.section("/host")
        assert section is not None
        beats = Beats()
        self.inst.attach(beats)
        self.load(replayed(looks), **{k: v for k, v in section.raw.items() if k != "type"})
        seen = []
        for n in range(len(looks)):
            self.advance(section.options["Rate"] if n else 0)
            prefix = self.scope.path.rstrip("/")
            seen.append({p.removeprefix(prefix): v for p, v in sorted(beats.take().items())})
        return seen

    def test_every_stream_has_unit_and_stable_key(self) -> None:
        case = TESTCASES / "every group"
        self.play(case)

        streams = self.scope.streams

        self.assertTrue(all(s.unit for s in streams))
        self.assertEqual({s.uuid for s in streams}, {self.scope.uuid(str(s.key)) for s in streams})

    def test_too_many_devices_are_left_out_with_one_line(self) -> None:
        counters = dict.fromkeys(("bytes_recv", "bytes_sent"), 1)
        looks = [{"net_io_counters": {f"ppp{n}": counters for n in range(MOST_DEVICES + 5)}}]

        self.load(replayed(looks), Metrics=["network"])
        self.advance(30)

        network = self.scope.get_collection("/network")
        assert network is not None
        self.assertEqual(len(network.children), MOST_DEVICES)

    def test_disk_that_is_mounted_later_carries_what_is_mounted_then(self) -> None:
        self.play(TESTCASES / "unmounted disk")

        disk = self.scope.get_collection("/disk/mnt_usb")

        assert disk is not None
        self.assertEqual(
            disk.metadata,
            {"Extra": {"MountPoint": "/mnt/usb", "Device": "/dev/sdc1", "FileSystem": "vfat"}},
        )

    def test_group_that_setup_cannot_read_comes_when_it_can(self) -> None:
        refused = {"raises": "PermissionError", "text": "no"}
        looks = [{"getloadavg": refused}, {"getloadavg": [1.0, 2.0, 3.0]}]

        self.load(replayed(looks), Metrics="load")
        self.advance(5)

        self.assertEqual([v for _, v in self.readings("/load/1min")], [1.0])

    def test_beats_follow_rate(self) -> None:
        looks = [{"getloadavg": [1.0, 2.0, 3.0]}]

        self.load(replayed(looks), Metrics="load", Rate="30s")
        self.advance(60)

        self.assertEqual(len(self.readings("/load/1min")), 3)

    def test_named_device_that_is_missing_counts_as_a_bad_reading_each_time(self) -> None:
        looks = [{"net_io_counters": {}}]

        self.load(replayed(looks), Metrics="network", Interfaces="eth0")
        self.advance(10)

        (status,) = self.runtime.scheduler.status()
        self.assertEqual((status["bad_readings"], status["failed"]), (3, 0))
        self.assertEqual(status["error"], "BadReading: cannot read network eth0 (not there)")

    def test_device_that_nobody_named_may_go_without_a_bad_reading(self) -> None:
        looks = [{"net_io_counters": {"ppp0": {"bytes_recv": 1}}}, {"net_io_counters": {}}]

        self.load(replayed(looks), Metrics="network")
        self.advance(10)

        (status,) = self.runtime.scheduler.status()
        self.assertEqual(status["bad_readings"], 0)

    def test_one_log_line_on_loss_and_one_on_return(self) -> None:
        there, gone = {"eth0": {"bytes_recv": 1}}, {}
        looks = [{"net_io_counters": c} for c in (there, gone, gone, gone, there, there)]
        lines: list[str] = []
        observer = lambda event: lines.append(formatEvent(event))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

        self.load(replayed(looks), Metrics="network")
        self.advance(25)

        self.assertEqual(lines, ["lost network eth0: not there", "network eth0 is back"])

    def test_disk_carries_where_it_is_mounted(self) -> None:
        self.play(TESTCASES / "every group")

        disk = self.scope.get_collection("/disk/srv_data")

        assert disk is not None
        self.assertEqual(
            disk.metadata,
            {"Extra": {"MountPoint": "/srv/data", "Device": "/dev/vdb", "FileSystem": "xfs"}},
        )


def _test(case: pathlib.Path) -> Callable[[SystemCases], None]:
    def test(self: SystemCases) -> None:
        seen = self.play(case)

        expected = case / "expected.json"
        if os.environ.get("SMAPD_RECORD") == "1":
            expected.write_text(json.dumps(seen, indent=1) + "\n")
        self.assertEqual(seen, json.loads(expected.read_text()))

    return test


for _case in sorted(TESTCASES.iterdir()):
    setattr(SystemCases, "test_" + _case.name.replace(" ", "_"), _test(_case))

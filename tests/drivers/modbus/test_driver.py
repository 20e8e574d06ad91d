"""drivers/modbus/driver.py: each folder of testcases/ is a config, a map, what goes over the wire
(see replay.py), and what comes of it: expected.json has one object a poll, {path: value};
expected.err what /status, or the failed setup, says at the end."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher

from smapd.config import find_driver, load_plan
from smapd.driver import DriverFailed
from smapd.drivers.modbus import ModbusDriver
from smapd.drivers.modbus.driver import MOST_PROBES
from smapd.testing import DriverCase
from smapd.values import Batch

from .replay import ReplayLink, map_file, polls

TESTCASES = pathlib.Path(__file__).parent / "testcases"


def replayed(link: ReplayLink) -> type[ModbusDriver]:
    """The driver, on a device that is this link."""

    class Replayed(ModbusDriver):
        def link(self, host: str, port: int) -> ReplayLink:
            link.name = f"{host}:{port}"
            return link

    return Replayed


class Beats:
    """A listener that keeps the values of each path since it was last asked."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {}

    def nodes_added(self, nodes: Any) -> None: ...

    def nodes_removed(self, nodes: Any) -> None: ...

    def metadata_changed(self, node: Any) -> None: ...

    def readings_added(self, batch: Batch) -> None:
        for stream, reading in batch:
            value = reading.value
            assert stream.path not in self.now, "two readings of one poll"
            self.now[stream.path] = value if value is not None else f"bad: {reading.quality.reason}"

    def take(self) -> dict[str, Any]:
        taken, self.now = self.now, {}
        return taken


class ModbusCases(DriverCase):
    """P-01, U-02, U-03, U-05: Modbus/TCP maps."""

    path = "/device"

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        observer = lambda event: self.lines.append(formatEvent(event))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def status(self) -> Any:
        (status,) = self.runtime.scheduler.status()
        return status

    def play(self, case: pathlib.Path) -> list[dict[str, Any]]:
        """What each poll of a case adds."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(case)  # where its map is
        plan = load_plan(case / "conf.ini", tables=(), drivers=find_driver)
        section = plan.section("/device")
        assert section is not None
        beats = Beats()
        self.inst.attach(beats)
        link = ReplayLink()
        seen = []
        for n, lines in enumerate(polls((case / "device.txt").read_text())):
            link.play(lines)
            if n:
                self.advance(section.options["Rate"])
            else:
                opts = {k: v for k, v in section.raw.items() if k != "type"}
                self.load(replayed(link), **opts)
            link.play(())
            seen.append({p.removeprefix("/device"): v for p, v in sorted(beats.take().items())})
        return seen

    def run_map(self, link: ReplayLink, rows: str, **opts: Any) -> None:
        """The driver with a map of these rows: path, table, address, type."""
        folder = map_file(rows)
        self.addCleanup(folder.cleanup)
        self.load(replayed(link), Map=f"{folder.name}/m.csv", Address="device", **opts)

    def test_every_stream_has_unit_and_stable_key(self) -> None:
        link = ReplayLink(["refuses"])

        self.load(replayed(link), Map="three-phase-meter", Address="device")

        streams = self.scope.streams
        self.assertEqual(len(streams), 21)
        self.assertTrue(all(s.unit for s in streams))
        self.assertEqual({s.uuid for s in streams}, {self.scope.uuid(str(s.key)) for s in streams})

    def test_one_log_line_on_loss_and_one_on_return(self) -> None:
        self.play(TESTCASES / "refused connection")

        lost, back = self.lines
        self.assertIn("the device does not answer: cannot connect to device:502", lost)
        self.assertIn("the device answers again, after 3 failed polls", back)

    def test_one_log_line_for_a_bad_register_and_one_when_it_is_good(self) -> None:
        self.play(TESTCASES / "one bad register")

        bad, good = self.lines
        self.assertIn("no reading: holding 3 (/d): illegal data address (exception 2)", bad)
        self.assertIn("readings again", good)

    def test_device_that_is_away_at_the_start_has_its_streams(self) -> None:
        link = ReplayLink(["refuses"])

        self.run_map(link, "/a,holding,0,int16,V")

        (reading,) = self.journal.whole("/device/a")
        self.assertEqual(reading.value, None)
        self.assertEqual(reading.quality.reason, "cannot connect to device:502: Connection refused")
        self.assertEqual(self.status()["failed"], 1)

    def test_stop_ends_the_connection_for_good(self) -> None:
        link = ReplayLink(["refuses"])
        self.run_map(link, "/a,holding,0,int16,V")

        self.unload()

        self.assertTrue(link.stopped)

    def test_search_for_bad_registers_is_bounded_in_each_poll(self) -> None:
        link = Refusing({n for n in range(100) if n % 2})
        self.run_map(link, "".join(f"/r{n},holding,{n},int16,V\n" for n in range(100)))

        self.assertLessEqual(link.sent, 1 + MOST_PROBES)
        for _ in range(8):
            self.advance(30)
        good = [n for n in range(100) if self.readings(f"/r{n}")[-1][1] is not None]
        self.assertEqual(good, list(range(0, 100, 2)))
        self.assertTrue(self.status()["error"].endswith("; and 45 more"), self.status()["error"])

    def test_reading_is_stamped_when_its_block_is_answered(self) -> None:
        link = Refusing(set())
        link.on_answer = lambda: self.runtime.clock.advance(1.5)

        self.run_map(link, "/a,holding,0,int16,V\n/b,holding,9,int16,V")

        (a_ms, _), (b_ms, _) = self.readings("/a")[0], self.readings("/b")[0]
        self.assertEqual(b_ms - a_ms, 1500)

    def test_same_reason_is_said_once(self) -> None:
        link = Refusing({0})
        self.run_map(link, "/a,holding,0,int16,V")

        self.advance(300)

        self.assertEqual(len(self.readings("/a")), 1)
        self.assertEqual(self.status()["bad_readings"], 11)

    def test_path_below_that_of_another_value_is_named(self) -> None:
        with self.assertRaises(DriverFailed) as caught:
            self.run_map(ReplayLink(), "/a,holding,0,int16,V\n/a/b,holding,1,int16,V")

        self.assertIn("holding 1: ", str(caught.exception))

    def test_device_is_told_in_the_metadata(self) -> None:
        self.run_map(ReplayLink(["refuses"]), "/a,holding,0,int16,V", Port=5020, Unit=3)

        place = self.scope.get_collection("/")
        assert place is not None
        extra = {"ModbusAddress": "device:5020", "ModbusUnit": "3"}
        self.assertEqual(place.metadata, {"Extra": extra})


class Refusing(ReplayLink):
    """A device of holding registers, whose value is their address; it refuses some."""

    def __init__(self, bad: set[int]) -> None:
        super().__init__()
        self.bad = bad
        self.sent = 0
        self.answer = b""
        self.on_answer: Callable[[], None] = lambda: None

    def open(self, timeout_s: float) -> None:
        self.is_open = True

    def send(self, data: bytes, timeout_s: float) -> None:
        self.sent += 1
        first, count = int.from_bytes(data[8:10], "big"), int.from_bytes(data[10:12], "big")
        asked = range(first, first + count)
        words = b"".join(n.to_bytes(2, "big") for n in asked)
        message = bytes([3, len(words)]) + words
        if self.bad & set(asked):
            message = bytes([0x83, 2])
        self.answer = data[:4] + (len(message) + 1).to_bytes(2, "big") + data[6:7] + message
        self.on_answer()

    def receive(self, timeout_s: float) -> bytes:
        answer, self.answer = self.answer, b""
        if not answer:
            raise TimeoutError
        return answer


def _test(case: pathlib.Path) -> Callable[[ModbusCases], None]:
    def test(self: ModbusCases) -> None:
        values, error = case / "expected.json", case / "expected.err"
        try:
            seen = self.play(case)
            said = str(self.status().get("error", ""))
        except DriverFailed as e:
            seen, said = [], str(e)

        if os.environ.get("SMAPD_RECORD") == "1":
            if seen:
                rows = ",\n ".join(json.dumps(poll) for poll in seen)
                values.write_text(f"[{rows}]\n")
            if said:
                error.write_text(said + "\n")
        self.assertEqual(seen, json.loads(values.read_text()) if values.exists() else [])
        self.assertEqual(said, error.read_text().rstrip("\n") if error.exists() else "")

    return test


for _case in sorted(TESTCASES.iterdir()):
    setattr(ModbusCases, "test_" + _case.name.replace(" ", "_"), _test(_case))

"""example/hall-lighting as its README tells it: deploy, drift, repair, rollback, over HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from smapd.drivers.modbus.codec import Codec
from smapd.drivers.modbus.registers import Table
from smapd.drivers.modbus.transport import TcpLink, Transport
from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

SOURCE = Path(__file__).parents[2] / "example" / "hall-lighting"
LAMP = "smap::Actuator[hall3,path=/hall/bus/lamp07/level]"
ENOUGH_S = 30.0
FITTERS = (33, 34)
LAMPS = range(1, 41)


class Hall:
    """The example in a folder of its own: simulator, daemon, and the commands of its README."""

    def __init__(self, home: Path) -> None:
        self.home = home / "hall-lighting"
        shutil.copytree(SOURCE, self.home, ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "smapd.drivers.modbus.simulator", "--port", "0"]
        self.bus = subprocess.Popen(
            [*command, "--map", str(self.home / "luminaires.csv")],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.bus.stdout is not None
        self.port = int(self.bus.stdout.readline().rpartition(b":")[2])
        config = (self.home / "hall.ini").read_text("utf-8")
        config = config.replace("Map = ", f"Map = {self.home}/").replace("15040", str(self.port))
        config = config.replace("RepairInterval = 10s", "RepairInterval = 1s")
        self.daemon = DaemonProcess(config, data_dir=home / "data")

    def close(self) -> None:
        self.daemon.close()
        self.bus.kill()
        self.bus.wait()
        assert self.bus.stdout is not None
        self.bus.stdout.close()

    def desired(self, *words: str, status: int = 0, scene: str = "day") -> str:
        """`smapd desired …`; what it prints."""
        command = [sys.executable, "-m", "smapd", "desired", *words, "--url", self.daemon.url]
        done = subprocess.run(
            command,
            cwd=self.home,
            env={**os.environ, "SCENE": scene},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == status, done.stdout + done.stderr + self.daemon.text()
        return done.stdout

    def switch(self, *words: str) -> None:
        """Somebody at the wall."""
        command = [sys.executable, "switch.py", *words, "--port", str(self.port)]
        subprocess.run(command, cwd=self.home, check=True, timeout=30)

    def levels(self) -> dict[int, float]:
        """What the gateway itself has, in percent; 0 for a lamp that is off."""
        device = Transport(TcpLink("127.0.0.1", self.port), Codec(), timeout_s=5.0)
        try:
            words = device.read(1, Table.HOLDING, 0, 40)
            bits = device.read(1, Table.COIL, 0, 40)
        finally:
            device.stop()
        return {n: words[n - 1] / 10 * bits[n - 1] for n in LAMPS}

    def actions(self, kind: str) -> list[Any]:
        """What was done to lamp 7, over HTTP, newest first or last as the daemon has it."""
        path = f"/desired/resources/{quote(LAMP, safe=':,=')}/actions?kind={kind}"
        return list(self.daemon.get(path).json()["actions"])

    def drift(self) -> list[Any]:
        """The last reading of each resource's timeseries of drift."""
        found = self.daemon.get("/data/desired/+").json()
        return [node["Readings"][-1][1] for node in found.values() if node.get("Readings")]


def lit(window: float, wall: float) -> dict[int, float]:
    return {n: 0.0 if n in FITTERS else window if n <= 20 else wall for n in LAMPS}


def eventually(what: Callable[[], object], hall: Hall) -> None:
    """Wait for the world; a fixed number of looks."""
    for _ in range(int(ENOUGH_S / 0.1)):
        if what():
            return
        time.sleep(0.1)
    raise AssertionError(f"it did not happen:\n{hall.levels()}\n{hall.daemon.text()}")


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path)
    try:
        made.daemon.start()
        yield made
    finally:
        made.close()


def test_the_hall_is_lit_mended_and_rolled_back(hall: Hall) -> None:
    """U-12, IM-11, IM-17, IM-19, IM-23, IM-31, IM-32: the whole way, from the model to the bus."""
    notice = hall.home / "notice.txt"
    assert "version 1: 77 resources" in hall.desired("export", "model.py")

    assert "77 would change" in hall.desired("deploy", "--dry-run")
    assert hall.levels() == dict.fromkeys(LAMPS, 0.0)
    assert not notice.exists()

    assert "77 deployed; 77 changed" in hall.desired("deploy")
    assert hall.levels() == lit(40, 100)
    assert notice.read_text() == "day: 40 % at the windows, 100 % at the wall\n"
    assert "77 deployed; 0 changed" in hall.desired("deploy")
    shown = hall.daemon.get("/data/hall/bus/lamp07/level").json()
    assert shown["Readings"][-1][1] == 40.0
    assert hall.daemon.get("/desired/resources?state=failed").json()["resources"] == []

    hall.switch("7", "15")
    hall.switch("8")
    assert hall.levels() != lit(40, 100)
    eventually(lambda: hall.levels() == lit(40, 100), hall)
    eventually(lambda: any(one["changes"] for one in hall.actions("repair")), hall)
    (found,) = [one for one in hall.actions("repair") if one["changes"]]
    assert found["changes"] == {"state": {"current": 15.0, "desired": 40}}
    assert (found["status"], found["change"]) == ("deployed", "updated")
    told = hall.daemon.get("/assets/hall3/events").json()["events"]
    seven = next(one["data"] for one in told if one["data"]["resource"] == LAMP)
    assert seven["changes"] == {"state": {"current": "15.0", "desired": "40"}}
    assert (seven["status"], seven["desired_version"]) == ("deployed", 1)
    said = [log["message"] for log in found["logs"]]
    assert "/hall/bus/lamp07/level was set to 40, and reads 40.0" in said
    eventually(lambda: len(hall.drift()) == 77, hall)
    assert "was set to 40" in hall.desired("history", LAMP)

    hall.desired("export", "model.py", scene="evening")
    plan = hall.desired("plan")
    assert re.search(r"lamp07/level", plan)
    assert "77 deployed; 39 changed" in hall.desired("deploy")
    assert hall.levels() == lit(20, 60)
    assert "77 deployed; 39 changed" in hall.desired("rollback", "1")
    assert hall.levels() == lit(40, 100)
    assert notice.read_text().startswith("day:")


def test_what_changed_while_smapd_was_dead_is_mended_when_it_is_back(hall: Hall) -> None:
    """U-12: kill -9, and somebody dims a lamp meanwhile."""
    hall.desired("export", "model.py")
    hall.desired("deploy")

    hall.daemon.kill()
    hall.switch("7", "15")
    hall.daemon.start()

    eventually(lambda: hall.levels() == lit(40, 100), hall)


def test_a_gateway_that_is_away_fails_its_lamps_and_is_followed_when_it_is_back(hall: Hall) -> None:
    """IM-32, U-12: the level waits for the output, and both come by themselves."""
    hall.desired("export", "model.py")
    hall.bus.kill()
    hall.bus.wait()

    told = json.loads(hall.desired("deploy", "--json", status=1))

    assert told["counts"] == {"failed": 38, "skipped": 39}
    assert hall.bus.stdout is not None
    hall.bus.stdout.close()
    command = [sys.executable, "-m", "smapd.drivers.modbus.simulator", "--port", str(hall.port)]
    hall.bus = subprocess.Popen(
        [*command, "--map", str(hall.home / "luminaires.csv")],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert hall.bus.stdout is not None
    hall.bus.stdout.readline()
    eventually(lambda: hall.levels() == lit(40, 100), hall)
    eventually(lambda: (hall.home / "notice.txt").exists(), hall)


def test_the_readme_names_what_is_there() -> None:
    readme = (SOURCE / "README.md").read_text("utf-8")

    files = {p.name for p in SOURCE.iterdir() if p.suffix in (".py", ".ini", ".csv")}
    assert set(re.findall(r"^\| `([\w.]+)` \|", readme, re.MULTILINE)) == files
    assert max(len(line) for line in readme.splitlines() if "curl" not in line) <= 120

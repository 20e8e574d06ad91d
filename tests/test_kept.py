"""What a daemon keeps through its end, good or bad: a real process, killed and started again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

CONFIG = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/x]
type = Timeseries
key = x
Properties/UnitofMeasure = V
Properties/ReadingType = double
[server]
CommitInterval = 100ms
"""


def post(daemon: DaemonProcess, first: int, count: int) -> None:
    readings = [[1_700_000_000_000 + n * 1000, n + 0.5] for n in range(first, first + count)]
    body = json.dumps({"/x": {"Readings": readings}}).encode()
    answer = daemon.request("POST", "/readings", body, {"Content-Type": "application/json"})
    assert answer.status == 200, answer.body


def past(daemon: DaemonProcess, query: str = "from=0") -> list[list[float]]:
    readings: list[list[float]] = daemon.get(f"/data/x?{query}").json()["Readings"]
    return readings


def committed(daemon: DaemonProcess, readings: int) -> None:
    for _ in range(200):
        if daemon.get("/status").json()["journal"]["committed"] >= readings:
            return
        time.sleep(0.05)  # for the commit, which begins 0.1 s after the first reading
    raise AssertionError("not committed")


def test_readings_are_there_after_a_clean_stop_and_after_kill_9(tmp_path: Path) -> None:
    """SM-07, SM-29: what was committed is read back, in order, and numbers go on densely."""
    with DaemonProcess(CONFIG, data_dir=tmp_path / "data") as daemon:
        post(daemon, 0, 5)
        assert daemon.stop() == 0

        daemon.start()
        post(daemon, 5, 5)
        committed(daemon, 5)
        daemon.kill()

        daemon.start()
        assert past(daemon) == [[1_700_000_000_000 + n * 1000, n + 0.5] for n in range(10)]
        post(daemon, 10, 1)
        committed(daemon, 1)
        quality = daemon.get("/data/x?from=0&quality=1").json()["Quality"]
        assert [seq for _level, _reason, seq in quality] == list(range(11))


def test_what_was_answered_200_is_there_after_kill_9(tmp_path: Path) -> None:
    """SM-35: POST /readings answers after the commit, however long the interval is."""
    config = CONFIG.replace("CommitInterval = 100ms", "CommitInterval = 10m")
    with DaemonProcess(config, data_dir=tmp_path / "data") as daemon:
        post(daemon, 0, 3)
        daemon.kill()

        daemon.start()
        assert [value for _, value in past(daemon)] == [0.5, 1.5, 2.5]


def test_a_range_is_read_in_pages_and_backwards(tmp_path: Path) -> None:
    """P-09: from, to, limit and order; Next says where more begin."""
    with DaemonProcess(CONFIG, data_dir=tmp_path / "data") as daemon:
        post(daemon, 0, 25)
        committed(daemon, 25)
        first = daemon.get("/data/x?limit=10").json()
        second = daemon.get(f"/data/x?limit=10&from={first['Next']}").json()
        last = daemon.get("/data/x?limit=3&order=desc").json()

        assert [v for _, v in first["Readings"] + second["Readings"]] == [
            n + 0.5 for n in range(20)
        ]
        assert [v for _, v in last["Readings"]] == [24.5, 23.5, 22.5]
        assert past(daemon, "from=1700000003000&to=1700000005000") == [
            [1_700_000_003_000, 3.5],
            [1_700_000_004_000, 4.5],
        ]
        assert daemon.get("/data/?from=0").status == 400
        assert daemon.get("/data/x?from=soon").status == 400

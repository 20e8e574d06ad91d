"""An import, and all that stands around it: a daemon that is killed, a report, a sink."""

from __future__ import annotations

import os
import select
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from smapd.testing import DaemonProcess
from tests.cli.receiver import ReceiverProcess

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent.parent
CONFIG = """\
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/a]
Properties/UnitofMeasure = n
[report 0]
ReportDeliveryLocation = {url}
ReportResource = /+
Sequence = yes
"""
ROWS, START = 40_000, 1_790_000_000


def arrived(file: Path) -> list[tuple[int, int, int]]:
    """(ms, seq, value) of all that the sink has, by their numbers."""
    with sqlite3.connect(file) as db:
        found = db.execute("SELECT ms, seq, value FROM reading ORDER BY seq, ms").fetchall()
    db.close()
    return found


def test_all_of_an_import_reaches_the_sink_in_order_and_nothing_is_pushed_out(
    tmp_path: Path,
) -> None:
    """SM-35: four times what a report keeps for a stream; and a daemon that is killed meanwhile."""
    lines = ["t,v", *(f"{START + i},{i}" for i in range(ROWS))]
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "map.ini").write_text("[time]\nColumn = t\nFormat = s\n[/a]\nColumn = v\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    with ReceiverProcess(tmp_path / "sink.db") as sink:
        config = CONFIG.format(url=sink.url + "/")
        with DaemonProcess(config, data_dir=tmp_path / "data", args=["--port", "0"]) as daemon:
            port = daemon.url.rpartition(":")[2]
            daemon.args = ["--port", port]
            child = subprocess.Popen(
                [sys.executable, "-m", "smapd", "load-csv", "d.csv", "--mapping", "map.ini"]
                + ["--url", daemon.url],
                cwd=tmp_path,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(1000):
                if arrived(sink.file):
                    break
                select.select([], [], [], 0.01)  # until the first of it has gone all the way
            assert child.poll() is None
            daemon.kill()
            daemon.start()
            said, _ = child.communicate(timeout=120)
            for _ in range(2000):
                if len(arrived(sink.file)) >= ROWS:
                    break
                select.select([], [], [], 0.01)  # the last report is still under way
            kept = arrived(sink.file)
            told = daemon.get("/status").json()["reports"]
            assert daemon.stop() == 0

    assert child.returncode == 0, said
    values = [value for _, _, value in kept]
    assert sorted(set(values)) == list(range(ROWS))
    assert values == sorted(values)
    assert len(values) == ROWS, said
    assert [one["gaps"] for one in told] == [{}]

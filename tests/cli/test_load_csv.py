"""``smapd load-csv`` into real daemons: killed, run again, beside one that runs and without."""

from __future__ import annotations

import gzip
import json
import os
import random
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smapd.cli import main
from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent.parent
CONFIG = """\
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/power]
Properties/ReadingType = double
Properties/UnitofMeasure = kW
[/count]
Properties/UnitofMeasure = n
[server]
Port = 0
DataDir = data
"""
MAPPING = """\
[csv]
Delimiter = ;
DecimalComma = yes
[time]
Column = time
Format = s
[/power]
Column = P
[/count]
Column = n
"""
ROWS = 30_000
START = 1_790_000_000


def content(rows: int = ROWS) -> bytes:
    lines = ["time;P;n"] + [f"{START + i};{i},5;{i}" for i in range(rows)]
    return "\n".join(lines).encode() + b"\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMAPD_TOKEN", raising=False)
    (tmp_path / "map.ini").write_text(MAPPING)
    (tmp_path / "smapd.ini").write_text(CONFIG)
    (tmp_path / "d.csv").write_bytes(content())
    return tmp_path


@pytest.fixture
def daemon(here: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(CONFIG, data_dir=here / "data") as process:
        yield process


def held(daemon: DaemonProcess, path: str) -> list[list[Any]]:
    """All readings that the daemon has of a stream, by time."""
    found: list[list[Any]] = []
    start = 0
    while True:
        answer = daemon.get(f"/data{path}?from={start}&limit=10000").json()
        found += answer["Readings"]
        if "Next" not in answer:
            return found
        start = answer["Next"]


def load(*arguments: str) -> int:
    return main(["load-csv", "d.csv", "--mapping", "map.ini", "--data-dir", "data", *arguments])


def test_a_file_is_loaded_beside_a_running_daemon_and_not_twice(
    daemon: DaemonProcess, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-35"""
    assert load() == 0
    assert load() == 0
    assert load("--again") == 0

    said = capsys.readouterr().out.splitlines()
    assert said == [
        "d.csv: 30000 rows, 60000 readings added.",
        "d.csv: 0 rows, 0 readings added.",
        "d.csv: 30000 rows, 0 readings added, 60000 were there.",
    ]
    assert held(daemon, "/power") == [[(START + i) * 1000, i + 0.5] for i in range(ROWS)]
    assert held(daemon, "/count") == [[(START + i) * 1000, i] for i in range(ROWS)]


def test_a_lost_progress_file_loads_nothing_twice(daemon: DaemonProcess, here: Path) -> None:
    assert load() == 0
    os.unlink("d.csv.progress")

    assert load() == 0

    assert len(held(daemon, "/power")) == ROWS


def test_killed_at_random_moments_it_goes_on_and_nothing_is_missing_or_twice(
    daemon: DaemonProcess, here: Path
) -> None:
    """SM-35: resumable after kill -9; ten kills with a fixed seed."""
    random_ = random.Random(35)
    command = [sys.executable, "-m", "smapd", "load-csv", "d.csv", "--mapping", "map.ini"]
    command += ["--data-dir", "data"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    kills = 0
    for _ in range(10):
        child = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # a moment after it has noted something: between two batches, or within one
        for _ in range(200):
            select.select([], [], [], 0.01)
            if child.poll() is not None or (here / "d.csv.progress").exists():
                break
        select.select([], [], [], random_.random() * 0.15)
        child.kill()
        kills += child.wait(20) != 0

    assert load() == 0

    assert kills >= 3
    assert held(daemon, "/power") == [[(START + i) * 1000, i + 0.5] for i in range(ROWS)]
    assert held(daemon, "/count") == [[(START + i) * 1000, i] for i in range(ROWS)]


def test_what_is_added_to_the_file_is_loaded_the_next_time(
    daemon: DaemonProcess, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "d.csv").write_bytes(content(10) + b"17900")
    assert load("--growing") == 0
    (here / "d.csv").write_bytes(content(20))
    assert load("--growing") == 0

    assert len(held(daemon, "/power")) == 20
    said = capsys.readouterr().out
    assert "10 rows, 20 readings added." in said
    assert "were there" not in said


def test_another_file_of_that_name_is_refused(
    daemon: DaemonProcess, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load() == 0
    (here / "d.csv").write_bytes(content().replace(b";7,5;", b";8,5;"))

    assert load() == 1

    said = capsys.readouterr().err
    assert "d.csv is not the file that the import was begun with." in said
    assert "with --again it begins anew" in said


def test_bad_rows_are_kept_apart_and_can_be_mended_and_loaded(
    daemon: DaemonProcess, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = content(5).replace(b"3,5;3", b"3,5;three").replace(b"1790000001", b"yesterday")
    (here / "d.csv").write_bytes(bad)
    assert load() == 1

    rejects = here / "d.csv.rejects"
    assert rejects.read_text() == (
        "time;P;n\n"
        "# line 3: the time 'yesterday' is no number\n"
        "yesterday;1,5;1\n"
        "# line 5: /count takes a whole number (long), not 'three'\n"
        "1790000003;3,5;three\n"
    )
    assert "smapd: 2 rows left out; see d.csv.rejects." in capsys.readouterr().err
    mended = rejects.read_text().replace("yesterday", "1790000001").replace("three", "3")
    (here / "mended.csv").write_text(mended)

    assert main(["load-csv", "mended.csv", "--mapping", "map.ini", "--data-dir", "data"]) == 0

    assert held(daemon, "/count") == [[(START + i) * 1000, i] for i in range(5)]
    assert len(held(daemon, "/power")) == 5


def test_a_wrong_mapping_ends_it_early(
    daemon: DaemonProcess, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "map.ini").write_text(MAPPING.replace("Format = s", "Format = iso\nZone = UTC"))

    assert load() == 1

    said = capsys.readouterr().err
    assert "none of the first 1000 rows can be read; the first: d.csv:2:" in said
    assert "Is the mapping right?" in said


def test_gzip_from_stdin_is_loaded(daemon: DaemonProcess, here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smapd", "load-csv", "-", "--mapping", "map.ini"]
        + ["--data-dir", "data"],
        input=gzip.compress(content(100)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, b"stdin: 100 rows, 200 readings added.\n")
    assert len(held(daemon, "/count")) == 100


def test_a_dry_run_adds_nothing(
    daemon: DaemonProcess, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load("--dry-run") == 0

    assert held(daemon, "/count") == []
    assert not (here / "d.csv.progress").exists()
    assert capsys.readouterr().out == (
        "d.csv: 30000 rows, 60000 readings, 0 rows with something wrong.\n"
    )


def test_where_no_daemon_runs_one_runs_for_the_import(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-35: into the data directory of a config file, and out of it again."""
    command = ["load-csv", "d.csv", "--mapping", "map.ini", "--config", "smapd.ini"]
    assert main(command) == 0
    assert main(["journal", "verify", "data"]) == 0
    assert main(["journal", "export", "data", "-o", "out.csv"]) == 0

    assert len((here / "out.csv").read_text().splitlines()) == 2 * ROWS
    with DaemonProcess(CONFIG, data_dir=here / "data") as daemon:
        assert len(held(daemon, "/power")) == ROWS
        # what was exported is what is there
        capsys.readouterr()
        assert main(["load-csv", "out.csv", "--data-dir", "data"]) == 0
        assert capsys.readouterr().out == (
            f"out.csv: {2 * ROWS} rows, 0 readings added, {2 * ROWS} were there.\n"
        )


def test_without_a_daemon_it_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load() == 1

    assert "no daemon runs on the data directory data" in capsys.readouterr().err


def test_the_progress_file_says_how_far_it_is(daemon: DaemonProcess, here: Path) -> None:
    assert load() == 0

    last = json.loads((here / "d.csv.progress").read_text().splitlines()[-1])
    assert (last["line"], last["bytes"]) == (ROWS + 1, len(content()))

"""``smapd load``: drivers that can tell the past, beside a running daemon and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smapd.cli import load, main
from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

DRIVER = '''
from datetime import timedelta
from pathlib import Path

from smapd.driver import AsyncDriver, SmapDriver, bad
from smapd.util import periodicCallInThread


class Recorder(SmapDriver):
    """A logger that keeps a value for each hour, and tells which hours it was asked for."""

    def setup(self, opts):
        self.fails = opts.get("Fails")
        self.add_timeseries("t", "C", data_type="double")
        periodicCallInThread(self.poll).start(0.05)

    def start(self):
        periodicCallInThread(self.poll).start(0.05)

    def poll(self):
        Path("polled").touch()

    def load(self, start, end):
        with open("asked", "a") as f:
            f.write(f"{start:%dT%H} {end:%dT%H}\\n")
        when = start
        while when <= end:  # one too many
            self.add("t", when, when.hour + 0.5)
            if self.fails and start.day == int(self.fails):
                raise OSError("the logger does not answer")
            when += timedelta(hours=1)


class Waiting(AsyncDriver):
    async def setup(self, opts):
        await super().setup(opts)
        self.add_timeseries("t", "C", data_type="double")

    async def load(self, start, end):
        self.add("t", start, 1.5)
        self.add("t", start + (end - start) / 2, None, quality=bad("no wire"))


class Live(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("t", "C")
'''
CONFIG = """\
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/recorder]
type = past.Recorder
{fails}
[/waiting]
type = past.Waiting
[/live]
type = past.Live
[server]
Port = 0
DataDir = data
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMAPD_TOKEN", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "past.py").write_text(DRIVER)
    config(tmp_path)
    return tmp_path


def config(where: Path, fails: str = "") -> Path:
    (where / "smapd.ini").write_text(CONFIG.format(fails=fails))
    return where / "smapd.ini"


def held(daemon: DaemonProcess, path: str) -> list[list[Any]]:
    found: list[list[Any]] = daemon.get(f"/data{path}?from=0&limit=10000").json()["Readings"]
    return found


def test_the_past_is_loaded_where_no_daemon_runs_and_nothing_is_polled(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-35"""
    assert main(["load", "smapd.ini", "2026-11-01", "2026-11-03"]) == 0
    out, err = capsys.readouterr()
    assert main(["load", "smapd.ini", "2026-11-01", "2026-11-03"]) == 0

    assert out == "2 drivers, 52 readings added.\n"
    assert "2 readings outside of the time asked for: left out." in err
    assert capsys.readouterr().out == "2 drivers, 0 readings added.\n"
    assert (here / "asked").read_text() == "01T00 02T00\n02T00 03T00\n"
    assert not (here / "polled").exists()
    with DaemonProcess(here / "smapd.ini", data_dir=here / "data", path=[here]) as daemon:
        found = held(daemon, "/recorder/t")
        assert len(found) == 48
        assert [value for _, value in found] == [hour + 0.5 for _ in range(2) for hour in range(24)]


def test_a_later_end_continues_and_other_sections_are_left_alone(here: Path) -> None:
    assert main(["load", "smapd.ini", "2026-11-01", "2026-11-02", "/recorder"]) == 0
    assert main(["load", "smapd.ini", "2026-10-31T12:00Z", "2026-11-03", "/recorder"]) == 0

    assert (here / "asked").read_text().splitlines() == [
        "01T00 02T00",
        "31T12 01T00",
        "02T00 03T00",
    ]
    assert main(["journal", "export", "data", "-o", "out.csv", "--stream", "/waiting/+"]) == 0
    assert (here / "out.csv").read_text() == ""


def test_beside_a_running_daemon_it_goes_to_that_one_and_not_twice(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-35: idempotent, also without its progress file."""
    with DaemonProcess(here / "smapd.ini", data_dir=here / "data", path=[here]) as daemon:
        assert main(["load", "smapd.ini", "2026-11-01", "2026-11-03"]) == 0
        (here / "smapd.ini.progress").unlink()
        capsys.readouterr()
        assert main(["load", "smapd.ini", "2026-11-01", "2026-11-03"]) == 0

        assert capsys.readouterr().out == "2 drivers, 0 readings added, 52 were there.\n"
        assert len(held(daemon, "/recorder/t")) == 48
        told = daemon.get("/data/waiting/t?from=0&quality=1").json()
        assert [value for _, value in told["Readings"]] == [1.5, None, 1.5, None]


def test_a_driver_that_fails_leaves_the_others_and_goes_on_from_there(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config(here, "Fails = 2")
    assert main(["load", "smapd.ini", "2026-11-01", "2026-11-03"]) == 1
    out, err = capsys.readouterr()
    config(here)
    assert main(["load", "smapd.ini", "2026-11-01", "2026-11-03"]) == 0

    assert "[/recorder] load failed: OSError: the logger does not answer" in err
    assert "2 drivers, 28 readings added." in out
    assert (here / "asked").read_text().splitlines()[-1] == "02T00 03T00"
    assert capsys.readouterr().out == "2 drivers, 24 readings added.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "2026-11-02"], "smapd: x: not a time. Write one like 2026-11-01T06:00:00Z.\n"),
        (["2026-11-02", "2026-11-02"], "there is nothing to load"),
        (["2026-11-01", "2026-11-02", "--step", "x"], "--step: not a duration"),
        (["2026-11-01", "2026-11-02", "--zone", "Berlin"], "--zone: no such zone"),
        (["2026-11-01", "2026-11-02", "/live"], "[/live] past.Live has nothing to load.\n"),
        (["2026-11-01", "2026-11-02", "/no"], "[/no] no such section"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(
    here: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", "smapd.ini", *arguments]) != 0

    assert said in capsys.readouterr().err
    assert not (here / "data").exists()


def test_what_is_left_of_a_span_is_what_was_not_done() -> None:
    assert list(load._left([], 0, 10)) == [(0, 10)]
    assert list(load._left([[2, 4], [6, 8]], 0, 10)) == [(0, 2), (4, 6), (8, 10)]
    assert list(load._left([[0, 12]], 0, 10)) == []
    assert list(load._left([[-5, 2], [20, 30]], 0, 10)) == [(2, 10)]
    assert load._joined([[4, 6], [0, 2], [2, 4], [8, 9]]) == [[0, 6], [8, 9]]
    assert list(load._steps(5, 25, 10)) == [(5, 10), (10, 20), (20, 25)]

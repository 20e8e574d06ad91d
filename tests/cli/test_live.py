"""The commands beside a running daemon."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smapd.cli import jprint, main
from smapd.storage import read_daemon
from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent.parent
CONFIG = """\
[/]
type = Collection
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92

[/instrument0]
type = Collection
Metadata/Instrument/Manufacturer = sMAP Implementer Forum

[/instrument0/sensor0]
type = Timeseries
Properties/UnitofMeasure = V

[/double]
Properties/ReadingType = double
[/text]
Properties/ReadingType = string
"""
PRINTED = """\
{
  "Properties": {
    "ReadingType": "long",
    "Timezone": "America/Los_Angeles",
    "UnitofMeasure": "V"
  },
  "Readings": [],
  "uuid": "c2f2cb69-25cc-544c-87cc-3b807c58f63a"
}
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    with DaemonProcess(CONFIG) as process:
        yield process


def command(daemon: DaemonProcess, *arguments: str) -> int:
    return main([arguments[0], "--data-dir", str(daemon.data_dir), *arguments[1:]])


def test_curl_to_jprint_prints_what_the_tutorial_prints(
    daemon: DaemonProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SM-21"""
    body = daemon.get("/data/instrument0/sensor0").body
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))

    assert jprint([]) == 0

    assert capsys.readouterr().out == PRINTED


@pytest.mark.parametrize(
    ("path", "text", "shown"),
    [
        ("/double", "21.5", [1000, 21.5]),
        ("/double", "-inf", [1000, None]),
        ("/text", "17", [1000, "17"]),
    ],
)
def test_what_is_added_is_served(
    daemon: DaemonProcess, path: str, text: str, shown: list[object]
) -> None:
    assert command(daemon, "add", path, text, "--time", "1") == 0

    assert daemon.get("/data" + path).json()["Readings"] == [shown]


def test_add_to_what_is_not_there_is_one_sentence(
    daemon: DaemonProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(daemon, "add", "/nope", "1") == 1

    assert capsys.readouterr().err.startswith("smapd: No such timeseries or collection: /nope")


def test_status_shows_the_running_daemon(
    daemon: DaemonProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(daemon, "status", "--json") == 0

    assert json.loads(capsys.readouterr().out).keys() == daemon.get("/status").json().keys()
    assert command(daemon, "status") == 0
    assert capsys.readouterr().out.startswith(daemon.url + "\n")


def test_a_second_start_on_its_data_directory_names_its_pid(daemon: DaemonProcess) -> None:
    """SM-40"""
    second = DaemonProcess(CONFIG, data_dir=daemon.data_dir)
    second.spawn()

    status = second.wait()

    said = second.text()
    second.close()
    assert status == 1
    assert f"is in use by the smapd with pid {daemon.pid}." in said
    assert "Traceback" not in said
    assert read_daemon(daemon.data_dir).pid == daemon.pid


def test_a_daemon_of_its_own_directory_runs_beside_it(daemon: DaemonProcess) -> None:
    """SM-40"""
    with DaemonProcess(CONFIG) as other:
        assert other.get("/data/double").status == 200
        assert daemon.get("/data/double").status == 200
        assert other.url != daemon.url
        assert other.stop() == 0


def test_without_http_it_is_found_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """SM-38"""
    with DaemonProcess(CONFIG, args=["--no-http"]) as other:
        assert command(other, "status") == 1
        pid = other.pid
        assert other.stop() == 0

    assert f"the daemon with pid {pid} has no HTTP, or not yet." in capsys.readouterr().err


def test_after_the_stop_it_is_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    with DaemonProcess(CONFIG) as other:
        assert other.stop() == 0

        assert command(other, "status") == 1

    assert "no daemon runs on the data directory" in capsys.readouterr().err


def test_twist_runs_the_same_daemon() -> None:
    """SM-38"""
    with DaemonProcess(CONFIG) as process:
        process.stop()
        arguments = ["smapd", "--port", "0", "--data-dir", str(process.data_dir)]
        process.env["PYTHONPATH"] = str(ROOT)

        process.run([sys.executable, "-m", "twisted", *arguments, str(process.config)])

        process.url = read_daemon(process.data_dir).url
        assert process.get("/data/double").status == 200
        process.stop()
        assert "Traceback" not in process.text()


def test_run_driver_serves_one_driver_as_the_root() -> None:
    with DaemonProcess(CONFIG) as process:
        process.stop()
        code = "import sys; from smapd.cli import run_driver; sys.exit(run_driver())"
        arguments = ["smapd.drivers.example.Driver", "-d", str(process.data_dir), "-p", "0"]

        process.run([sys.executable, "-c", code, *arguments])

        process.url = read_daemon(process.data_dir).url
        assert process.get("/data").json()["Contents"] == ["sensor0"]
        assert process.stop() == 0


def test_a_config_with_errors_ends_with_78_and_leaves_nothing(tmp_path: Path) -> None:
    """P-13"""
    (tmp_path / "bad.ini").write_text(CONFIG + "BufferSise = 1\n")

    done = subprocess.run(
        [sys.executable, "-m", "smapd", "run", "bad.ini"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("bad.ini:")
    assert os.listdir(tmp_path) == ["bad.ini"]

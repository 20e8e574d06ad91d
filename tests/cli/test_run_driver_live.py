"""``run-driver`` as a process: what a terminal, a pipe and a shell see of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smapd.storage import read_daemon
from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

COMMAND = [sys.executable, "-c", "import sys; from smapd.cli import run_driver as r; sys.exit(r())"]
EXAMPLE = "smapd.drivers.example.Driver"
FAILING = """\
from smapd.driver import DeviceUnavailable, SmapDriver
from smapd.util import periodicCallInThread

class Gone(SmapDriver):
    OPTIONS = ()
    def setup(self, opts):
        self.add_timeseries("/x", "V")
    def start(self):
        periodicCallInThread(self.read).start(1)
    def read(self):
        print("asked")
        raise DeviceUnavailable("nobody answers")

class Floods(Gone):
    def read(self):
        self.add_many("/x", range(20000), range(20000))
"""


def run(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_once_prints_one_line_a_stream_and_nothing_else(tmp_path: Path) -> None:
    """SM-18"""
    done = run(EXAMPLE, "--once", "StartVal=7", "Rate=10ms", cwd=tmp_path)

    (line,) = done.stdout.splitlines()
    path, _, value, unit = line.split("\t")
    assert (path, value, unit) == ("/sensor0", "7", "V")
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(tmp_path) == []


def test_once_ends_with_1_when_the_device_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)

    done = run("failing.Gone", "--once", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody answers" in done.stderr
    assert " asked\n" in done.stderr
    assert done.stderr.endswith("run-driver: the first poll failed: failing.Gone Gone.read.\n")


def test_readings_alone_are_on_stdout_and_a_reader_may_go_away(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, EXAMPLE, "-p", "0", "Rate=10ms"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        first = [child.stdout.readline().split("\t")[2] for _ in range(3)]
        assert child.stderr is not None
        said = ""
        while "is ready." not in said:  # under load three readings are faster than that
            line = child.stderr.readline()
            assert line, said
            said += line
        child.stdout.close()
        status = child.wait(30)
        said += child.stderr.read()

    assert first == ["0", "1", "2"]
    assert status == 141
    assert "Traceback" not in said


def test_a_pager_that_stands_still_holds_up_neither_http_nor_the_end(tmp_path: Path) -> None:
    """The pipe is full at once; all else goes on."""
    (tmp_path / "failing.py").write_text(FAILING)
    fifo = tmp_path / "pager"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    process = DaemonProcess("", path=[tmp_path])
    try:
        arguments = ["failing.Floods", "-d", str(process.data_dir), "-p", "0"]
        process.run(["/bin/sh", "-c", f'exec "$@" >"{fifo}"', "sh", *COMMAND, *arguments])

        process.url = read_daemon(process.data_dir).url
        asked = process.get("/data/x")
        status = process.stop(10)
    finally:
        process.close()
        os.close(reader)

    assert (asked.status, status) == (200, 0)

"""The daemon's life as its operator sees it: a real process, real signals, real ports."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

ROOT = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
"""
ONE = ROOT + "[/x]\ntype = Timeseries\nProperties/UnitofMeasure = V\n"

DRIVERS = '''
import os, sys, threading, time
from smapd.driver import SmapDriver
from smapd.util import periodicCallInThread


class Healthy(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")

    def start(self):
        self.count = 0
        periodicCallInThread(self.read).start(0.05)

    def read(self):
        self.count += 1
        self.add("/n", self.count)

    def stop(self):
        print("stopped", flush=True)


class FailsUntil(SmapDriver):
    """setup raises until the file named by Flag exists."""

    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")
        if not os.path.exists(opts["Flag"]):
            raise RuntimeError("no flag yet")


class HangsInSetup(SmapDriver):
    def setup(self, opts):
        time.sleep(3600)


class HangsInPoll(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")

    def start(self):
        periodicCallInThread(self.read).start(0.05)

    def read(self):
        self.add("/n", 1)
        time.sleep(3600)


class FailsInPoll(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")

    def start(self):
        self.count = 0
        periodicCallInThread(self.read).start(0.05)

    def read(self):
        self.count += 1
        self.add("/n", self.count)
        raise ValueError("a bug in the driver")
'''


@pytest.fixture
def drivers(tmp_path: Path) -> Path:
    (tmp_path / "site_drivers.py").write_text(DRIVERS)
    return tmp_path


def eventually(what: Callable[[], bool], limit_s: float = 15.0) -> None:
    """Wait for the world; a fixed number of looks, each 50 ms apart."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def newest(daemon: DaemonProcess, path: str) -> int:
    readings = daemon.get("/data" + path).json()["Readings"]
    return int(readings[-1][1]) if readings else 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(number: signal.Signals, drivers: Path) -> None:
    """SM-07: exit status 0, drivers stopped, the lock free for the next start."""
    config = ONE + "[/h]\ntype = site_drivers.Healthy\n"
    with DaemonProcess(config, path=[drivers]) as daemon:
        eventually(lambda: newest(daemon, "/h/n") > 2)
        os.kill(daemon.pid, number)

        assert daemon.wait(10) == 0
        assert "stopped" in daemon.text()
        assert "Traceback" not in daemon.text()

        daemon.start()
        assert daemon.get("/readyz").status == 200


def test_stop_ends_in_time_with_a_poll_that_hangs(drivers: Path) -> None:
    """SM-07: a hung device costs the stop its deadline, not for ever, and is named."""
    config = ROOT + "[/hung]\ntype = site_drivers.HangsInPoll\n"
    with DaemonProcess(config, path=[drivers]) as daemon:
        eventually(lambda: newest(daemon, "/hung/n") == 1)
        begin = time.monotonic()

        assert daemon.stop(12) == 0
        assert time.monotonic() - begin < 10
        assert "/hung" in daemon.text()


def test_a_second_daemon_on_one_data_directory_is_refused(tmp_path: Path) -> None:
    """SM-40: one sentence, naming the pid of the first, exit status 1."""
    with DaemonProcess(ONE) as first:
        second = DaemonProcess(ONE, data_dir=first.data_dir)
        try:
            second.spawn()

            assert second.wait() == 1
            assert str(first.pid) in second.text()
            assert "Traceback" not in second.text()
            assert first.get("/data/x").status == 200
        finally:
            second.close()


def test_after_kill_9_the_next_start_gets_the_data_directory() -> None:
    """SM-40: a lock left behind by a killed daemon stops nobody."""
    with DaemonProcess(ONE) as daemon:
        daemon.kill()
        daemon.start()

        assert daemon.get("/data/x").status == 200


def test_a_port_in_use_is_one_sentence_and_exit_status_1() -> None:
    """SM-07: no half-started daemon stays behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = DaemonProcess(ONE, args=["--port", str(port)])
        try:
            daemon.spawn()

            assert daemon.wait() == 1
            assert str(port) in daemon.text()
            assert "in use" in daemon.text()
            assert "Traceback" not in daemon.text()
        finally:
            daemon.close()


def test_a_secret_of_the_server_that_cannot_be_read_ends_with_78(tmp_path: Path) -> None:
    """SM-13, P-22: starting again without a change is of no use, and nothing is served."""
    daemon = DaemonProcess(ONE + f"[server]\nToken = file:{tmp_path}/token\n")
    try:
        daemon.spawn()

        assert daemon.wait() == 78
        assert "token" in daemon.text()
        assert "Traceback" not in daemon.text()
    finally:
        daemon.close()


def test_a_signal_during_the_start_is_harmless(drivers: Path) -> None:
    """SM-07: whenever it comes, the daemon ends, and not by a traceback."""
    config = ONE + "[/hung]\ntype = site_drivers.HangsInSetup\n"
    for _ in range(3):
        daemon = DaemonProcess(config, path=[drivers])
        try:
            daemon.spawn()
            eventually(lambda: (daemon.data_dir / "LOCK").exists())  # noqa: B023
            os.kill(daemon.pid, signal.SIGTERM)

            assert daemon.wait(12) == 0
            assert "Traceback" not in daemon.text()
        finally:
            daemon.close()


def test_a_setup_that_fails_is_shown_retried_and_stops_nobody(drivers: Path) -> None:
    """SM-36, SM-13: marked in the tree and in /status, and running once its cause is gone."""
    flag = drivers / "flag"
    config = ROOT + (
        f"[/bad]\ntype = site_drivers.FailsUntil\nFlag = {flag}\n"
        "[/bad/n]\nMetadata/Extra/Tag = mine\n"
        "[/good]\ntype = site_drivers.Healthy\n"
    )
    with DaemonProcess(config, path=[drivers]) as daemon:
        shown = daemon.get("/data/bad").json()
        status = {d["path"]: d for d in daemon.get("/status").json()["drivers"]}

        assert "no flag yet" in shown["Error"]
        assert shown["Contents"] == []
        assert status["/bad"]["state"] == "failed"
        assert "no flag yet" in status["/bad"]["error"]
        eventually(lambda: newest(daemon, "/good/n") > 2)

        flag.touch()
        eventually(lambda: daemon.get("/data/bad/n").status == 200)

        assert "Error" not in daemon.get("/data/bad").json()
        assert daemon.get("/data/bad/n").json()["Metadata"] == {"Extra": {"Tag": "mine"}}


def test_a_setup_that_hangs_stops_nobody(drivers: Path) -> None:
    """SM-36: the start goes on without it, and says so."""
    config = ROOT + (
        "".join(f"[/hung{i}]\ntype = site_drivers.HangsInSetup\n" for i in range(10))
        + "[/good]\ntype = site_drivers.Healthy\n"
    )
    with DaemonProcess(config, path=[drivers]) as daemon:
        eventually(lambda: newest(daemon, "/good/n") > 2)
        status = {d["path"]: d for d in daemon.get("/status").json()["drivers"]}

        assert status["/hung0"]["state"] == "setting up"
        assert daemon.stop(12) == 0


def test_a_data_directory_that_goes_away_is_noticed(tmp_path: Path) -> None:
    """SM-40: within ten seconds, by a line of the log and by /healthz, until it is back."""
    with DaemonProcess(ONE) as daemon:
        here, aside = daemon.data_dir, tmp_path / "aside"
        here.rename(aside)
        eventually(lambda: daemon.get("/healthz").status == 503)
        unwell = daemon.get("/healthz").body.decode()
        aside.rename(here)
        eventually(lambda: daemon.get("/healthz").status == 200)

        assert "was removed or moved away" in unwell
        assert daemon.text().count("was removed or moved away") == 1
        assert f"data directory {here} is back" in daemon.text()
        assert daemon.stop(12) == 0


def test_a_poll_that_raises_is_called_again(drivers: Path) -> None:
    """SM-08: its traceback is in the log, and the next beat still comes."""
    with DaemonProcess(ROOT + "[/f]\ntype = site_drivers.FailsInPoll\n", path=[drivers]) as daemon:
        eventually(lambda: newest(daemon, "/f/n") > 3)

        assert "a bug in the driver" in daemon.text()
        assert "Traceback" in daemon.text()


def test_it_runs_though_nobody_reads_its_output(tmp_path: Path) -> None:
    """SM-07: a closed pipe or a full device at stdout stops no daemon."""
    daemon = DaemonProcess(ONE)
    try:
        command = f"{sys.executable} -m smapd run {daemon.config} --data-dir {daemon.data_dir}"
        daemon.run(["/bin/sh", "-c", f"exec {command} --port 0 > /dev/full"])
        daemon.find()

        assert daemon.get("/data/x").status == 200
        assert daemon.stop() == 0
    finally:
        daemon.close()


FIRST = """
import sys
from smapd import core, server, util
inst = core.SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
my_timeseries = inst.add_timeseries("/sensor0", "sensor0", "V")
assert inst.get_timeseries("/sensor0") is my_timeseries
counter = 1
def read():
    global counter
    inst.add("/sensor0", counter)
    counter += 1
util.periodicCallInThread(read).start(0.05)
server.run(inst, port=int(sys.argv[1]))
print("after the run")
"""

SECOND = """
import sys
from smapd import core, driver, server
inst = core.SmapInstance("75503ac2-abf0-11e0-b7d6-0026bb56ec92")
drv = driver.BaseDriver()
drv.setup(inst, {})
drv.start()
server.run(inst, port=int(sys.argv[1]))
"""

THIRD = """
import sys
from smapd import loader, server
inst = loader.load("conf.ini")
server.run(inst, port=int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("program", "path"),
    [(FIRST, "/sensor0"), (SECOND, "/sensor0"), (THIRD, "/instrument0/sensor0")],
    ids=["by hand", "driver", "loaded"],
)
def test_the_tutorials_programs_serve_and_stop(program: str, path: str, tmp_path: Path) -> None:
    """SM-01, SM-05, SM-07, SM-08, SM-10, SM-14: made by hand, by a driver, from a file."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    daemon = DaemonProcess(ONE)
    try:
        (daemon.home / "program.py").write_text(program)
        (daemon.home / "conf.ini").write_text(
            ROOT + "[/instrument0]\ntype = smap.driver.BaseDriver\n"
        )
        daemon.run([sys.executable, str(daemon.home / "program.py"), str(port)])
        daemon.url = f"http://127.0.0.1:{port}"

        eventually(lambda: len(daemon.get("/data" + path).json()["Readings"]) > 0)
        if program is FIRST:
            uuid = daemon.get("/data/sensor0").json()["uuid"]
            assert uuid == "b37e5c5f-e9b0-59a6-8275-08729beeff46"
            eventually(lambda: newest(daemon, "/sensor0") > 2)
        assert daemon.stop(12) == 0
        assert ("after the run" in daemon.text()) == (program is FIRST)
        assert "Traceback" not in daemon.text()
    finally:
        daemon.close()

"""Everything a driver can do wrong, in one daemon: each has its sentence, and the rest runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

ROOT = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n"

DRIVERS = """
import asyncio
import sys
from twisted.internet.defer import Deferred, fail
from smapd.driver import (
    AsyncDriver, BadReading, DeviceUnavailable, FetchDriver, MissingExtra, Option, SmapDriver,
)
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


class NoArguments(SmapDriver):
    def setup(self): ...


class ThreeArguments(SmapDriver):
    def setup(self, a, b, c): ...


class WantsInit(SmapDriver):
    def __init__(self, port): ...


class NoBase:
    def setup(self, opts): ...


class SetupRaises(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")
        raise KeyError("Address")


class SetupExits(SmapDriver):
    def setup(self, opts):
        sys.exit("usage: meter PORT")


class SetupTwice(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")
        self.add_timeseries("/m", "n", "V")


class SetupMissing(SmapDriver):
    def setup(self, opts):
        raise MissingExtra("Meter needs pymeter.", hint="Install it: pip install pymeter")


class SetupAwaits(SmapDriver):
    async def setup(self, opts): ...


class StartRaises(Healthy):
    def start(self):
        raise OSError(111, "Connection refused")


class StartDefers(Healthy):
    def start(self):
        return Deferred()


class PollRaises(Healthy):
    def read(self):
        raise ZeroDivisionError("division by zero")


class PollDevice(Healthy):
    def read(self):
        raise DeviceUnavailable("10.0.0.7:502 does not answer")


class PollBad(Healthy):
    def read(self):
        raise BadReading("register 7 holds 65535")


class PollUnknownPath(Healthy):
    def read(self):
        self.add("/nowhere", 1)


class PollArity(Healthy):
    def read(self, value): ...


class SetupCancelled(SmapDriver):
    def setup(self, opts):
        raise asyncio.CancelledError


class StartInterrupted(Healthy):
    def start(self):
        raise KeyboardInterrupt


class Mute(Exception):
    def __str__(self):
        raise KeyError("no text")


class PollMute(Healthy):
    def read(self):
        raise Mute


class PollDumps(Healthy):
    def read(self):
        raise ValueError("line 1\\nline 2 \\x1b[2J" + "x" * 1_000_000)


class PollExits(Healthy):
    def read(self):
        sys.exit(3)


class StopRaises(Healthy):
    def stop(self):
        raise RuntimeError("cannot close the port")


class TwistedSetup(Healthy):
    ON_REACTOR = True

    def setup(self, opts):
        return fail(OSError("no route to host"))


class TwistedPoll(Healthy):
    ON_REACTOR = True

    def read(self):
        return fail(ValueError("not a number"))


class AsyncSetup(AsyncDriver):
    async def setup(self, opts):
        raise ConnectionError("broker is away")


class AsyncRead(AsyncDriver):
    async def read(self):
        raise DeviceUnavailable("broker does not answer")


class Fetches(FetchDriver):
    def setup(self, opts):
        super().setup(opts)
        self.add_timeseries("/n", "n", "V")

    def process(self, data):
        self.add("/n", int(data))


class Picky(SmapDriver):
    OPTIONS = (Option("Level", int, 0, "a whole number"),)

    def setup(self, opts): ...


class BadTable(SmapDriver):
    OPTIONS = (Option("Level", int, 0, "one"), Option("Level", int, 0, "two"))

    def setup(self, opts): ...


class NoSetup:
    def start(self): ...
"""

SENTENCES = {
    "site_faults.NoArguments": "setup failed: NoArguments has setup(self); a driver's is "
    "setup(self, opts) or setup(self, inst, opts)",
    "site_faults.ThreeArguments": "setup failed: ThreeArguments has setup(self, a, b, c); a "
    "driver's is setup(self, opts) or setup(self, inst, opts)",
    "site_faults.WantsInit": "setup failed: TypeError: WantsInit.__init__() missing 1 required "
    "positional argument: 'port'",
    "site_faults.NoBase": "NoBase has setup(self, opts) but is no SmapDriver, so it cannot reach",
    "site_faults.SetupRaises": "setup failed: KeyError: 'Address'",
    "site_faults.SetupExits": "setup failed: SystemExit: usage: meter PORT",
    "site_faults.SetupTwice": "setup failed: /site_faults_SetupTwice/m: its uuid ",
    "site_faults.SetupMissing": "setup failed: Meter needs pymeter. Install it: pip "
    "install pymeter",
    "site_faults.SetupAwaits": "setup failed: setup is async def; write a plain def, or class "
    "X(AsyncDriver)",
    "site_faults.StartRaises": "start failed: ConnectionRefusedError: [Errno 111] Connection",
    "site_faults.StartDefers": "start failed: start returned a Deferred; Twisted code needs "
    "ON_REACTOR = True",
    "site_faults.PollRaises": "PollRaises.read failed: ZeroDivisionError: division by zero",
    "site_faults.PollDevice": "DeviceUnavailable: 10.0.0.7:502 does not answer",
    "site_faults.PollBad": "PollBad.read failed: BadReading: register 7 holds 65535",
    "site_faults.PollUnknownPath": "PollUnknownPath.read failed: NoSuchPath: ",
    "site_faults.PollArity": "PollArity.read() missing 1 required positional argument: 'value'",
    "site_faults.SetupCancelled": "setup failed: CancelledError",
    "site_faults.StartInterrupted": "start failed: KeyboardInterrupt",
    "site_faults.PollMute": "PollMute.read failed: Mute: (its text cannot be made: its __str__ "
    "raised KeyError)",
    "site_faults.PollDumps": "PollDumps.read failed: ValueError: line 1 line 2 \\x1b[2Jxxx",
    "site_faults.PollExits": "PollExits.read failed: SystemExit: 3",
    "site_faults.TwistedSetup": "setup failed: OSError: no route to host",
    "site_faults.TwistedPoll": "TwistedPoll.read failed: ValueError: not a number",
    "site_faults.AsyncSetup": "setup failed: ConnectionError: broker is away",
    "site_faults.AsyncRead": "AsyncRead.read failed: DeviceUnavailable: broker does not answer",
    "site_faults.Fetches": "Fetches.update failed: DeviceUnavailable: /no/such/file: No such file "
    "or directory",
    "site_needs.Driver": "site_needs.Driver needs the package pymeter_plus, which is not "
    "installed. Install it, or what it belongs to, with pip: pymeter_plus",
    "site_breaks.Driver": "import failed: ValueError: at import",
    "site_syntax.Driver": "import failed: SyntaxError: ",
    "site_exits.Driver": "import failed: SystemExit: 2",
}


def eventually(what: Callable[[], bool], limit_s: float = 15.0) -> None:
    """Wait for the world; a fixed number of looks, each 50 ms apart."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def place(driver: str) -> str:
    return "/" + driver.replace(".", "_")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("drivers")
    (made / "site_faults.py").write_text(DRIVERS)
    (made / "site_needs.py").write_text("import pymeter_plus\nclass Driver: ...\n")
    (made / "site_breaks.py").write_text("raise ValueError('at import')\n")
    (made / "site_syntax.py").write_text("class Driver(:\n")
    (made / "site_exits.py").write_text("import sys\nsys.exit(2)\n")
    return made


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[DaemonProcess]:
    config = ROOT + "[/good]\ntype = site_faults.Healthy\n"
    for driver in SENTENCES:
        config += f"[{place(driver)}]\ntype = {driver}\n"
        if driver.endswith("Fetches"):
            config += "Uri = file:///no/such/file\n"
    config += "[/stops]\ntype = site_faults.StopRaises\n[/last]\ntype = site_faults.Healthy\n"
    with DaemonProcess(config, path=[folder]) as daemon:
        # polls have to fail first, and the tree is told of that every two seconds
        eventually(lambda: "Error" in daemon.get(f"/data{place('site_faults.PollRaises')}").json())
        yield daemon


@pytest.mark.parametrize("driver", SENTENCES)
def test_each_fault_has_its_sentence_in_the_tree_and_in_status(
    driver: str, daemon: DaemonProcess
) -> None:
    """SM-36: what is wrong, where, and what to do, in one line."""
    eventually(lambda: "Error" in daemon.get(f"/data{place(driver)}").json(), 5)
    shown = daemon.get(f"/data{place(driver)}").json()["Error"]
    status: Any = {s["path"]: s for s in daemon.get("/status").json()["drivers"]}[place(driver)]

    assert SENTENCES[driver] in shown
    assert SENTENCES[driver] in status["error"]
    assert shown.startswith(f"[{place(driver)}] ")
    assert "\n" not in shown
    assert len(shown) < 1_100
    assert "Traceback" not in shown


def test_the_rest_runs(daemon: DaemonProcess) -> None:
    """SM-36: the first and the last of the file, and the daemon says that it is ready."""
    for path in ("/good/n", "/last/n", "/stops/n"):
        first = daemon.get(f"/data{path}").json()["Readings"][-1][1]
        eventually(lambda: daemon.get(f"/data{path}").json()["Readings"][-1][1] > first)  # noqa: B023

    assert daemon.get("/readyz").status == 200
    assert daemon.get("/healthz").status == 200


def test_what_failed_is_tried_again(daemon: DaemonProcess) -> None:
    """SM-36: with backoff; nothing that a failed set-up made stays."""
    path = place("site_faults.SetupRaises")

    def failures() -> int:
        status = {s["path"]: s for s in daemon.get("/status").json()["drivers"]}
        return int(status[path]["failures"])

    eventually(lambda: failures() >= 2)
    assert daemon.get(f"/data{path}").json()["Contents"] == []


def test_each_fault_is_told_once_in_the_log(daemon: DaemonProcess) -> None:
    eventually(lambda: "register 7 holds" in daemon.text())

    assert daemon.text().count("register 7 holds 65535") == 1
    assert daemon.text().count("10.0.0.7:502 does not answer") == 1
    assert daemon.text().count("setup failed: KeyError: 'Address'") == 1
    assert daemon.text().count("Mute: (its text cannot be made") == 1
    assert max(map(len, daemon.text().splitlines())) < 66 * 1024


def test_a_stop_that_raises_stops_nobody_from_stopping(folder: Path) -> None:
    """SM-07: one sentence, exit status 0."""
    config = ROOT + "[/s]\ntype = site_faults.StopRaises\n[/good]\ntype = site_faults.Healthy\n"
    with DaemonProcess(config, path=[folder]) as daemon:
        assert daemon.stop(12) == 0

        assert "[/s] stop failed: RuntimeError: cannot close the port" in daemon.text()


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            "type = site_faults.Picky\nLevel = high",
            "Level = high: not a whole number. Write digits, like 30.",
        ),
        (
            "type = site_faults.NoSetup",
            "site_faults.NoSetup is no driver: a driver is a class with setup and start.",
        ),
        ("type = site_faults.BadTable", "the driver's own OPTIONS are wrong: option Level"),
        ("type = site_faults.Fetches", "Uri: missing. It is what to fetch: http, https or file."),
        (
            "type = site_faults.Fetches\nUri = gopher://x",
            "Uri = gopher://x: not an address to fetch. Write one like https://host/path or",
        ),
    ],
)
def test_what_is_wrong_in_the_text_starts_nothing(
    section: str, sentence: str, folder: Path
) -> None:
    """SM-12: a mistake of the config file is known before anything runs; exit status 78."""
    daemon = DaemonProcess(f"{ROOT}[/x]\n{section}\n", path=[folder])
    try:
        daemon.spawn()

        assert daemon.wait() == 78
        assert sentence in daemon.text()
        assert "test.ini:" in daemon.text()
        assert "Traceback" not in daemon.text()
    finally:
        daemon.close()


STREAMS = '''
from smapd.driver import SmapDriver
from smapd.util import periodicCallInThread


class Bus(SmapDriver):
    """A device that comes and goes, five beats each."""

    def setup(self, opts):
        self.n = 0

    def start(self):
        periodicCallInThread(self.read).start(0.1)

    def read(self):
        self.n += 1
        there = self.get_timeseries("/pump/speed") is not None
        if self.n % 10 < 5:
            if not there:
                self.add_timeseries("/pump/speed", "pump:speed", "rpm")
                self.set_metadata("/pump", {"Extra/Found": str(self.n)})
            self.add("/pump/speed", self.n)
        elif there:
            self.remove("/pump")
'''


def test_streams_come_and_go_while_the_daemon_runs(tmp_path: Path) -> None:
    """SM-37: seen over HTTP; the uuid is the same each time."""
    (tmp_path / "site_bus.py").write_text(STREAMS)
    with DaemonProcess(ROOT + "[/bus]\ntype = site_bus.Bus\n", path=[tmp_path]) as daemon:
        uuids = []
        for _ in range(2):
            eventually(lambda: bool(daemon.get("/data/bus/pump/speed").status == 200))
            uuids.append(daemon.get("/data/bus/pump/speed").json().get("uuid"))
            eventually(lambda: daemon.get("/data/bus/pump").status == 404)

        assert daemon.get("/data/bus").json()["Contents"] == []
        assert uuids[0] == uuids[1]
        assert "Traceback" not in daemon.text()

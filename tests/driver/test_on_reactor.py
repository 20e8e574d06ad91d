"""ON_REACTOR = True in a real daemon: every step and beat on the reactor, and what that costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

ROOT = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n"

DRIVERS = '''
import threading, time
from twisted.internet import reactor
from twisted.internet.task import deferLater
from smapd.driver import SmapDriver
from smapd.util import periodicCallInThread


class OnReactor(SmapDriver):
    """Every step is a Deferred or a coroutine that takes its time, and notes its thread."""

    ON_REACTOR = True

    def setup(self, opts):
        self.threads = {threading.current_thread() is threading.main_thread()}
        self.add_timeseries("/n", "n", "V")
        self.is_set_up = False
        return deferLater(reactor, 0.05, setattr, self, "is_set_up", True)

    async def start(self):
        assert self.is_set_up
        await deferLater(reactor, 0.05, lambda: None)
        self.note()
        self.n = 0
        periodicCallInThread(self.read).start(0.05)

    def note(self):
        self.threads.add(threading.current_thread() is threading.main_thread())

    async def read(self):
        await deferLater(reactor, 0.01, lambda: None)
        self.note()
        self.n += 1
        self.add("/n", self.n)

    def stop(self):
        self.note()
        return deferLater(reactor, 0.05, print, "stopped", self.threads, flush=True)


class Slow(SmapDriver):
    """Holds the reactor for 0.2 s in its start and 0.3 s in its first beat."""

    ON_REACTOR = True

    def setup(self, opts):
        self.done = False

    def start(self):
        time.sleep(0.2)
        periodicCallInThread(self.read).start(0.05)

    def read(self):
        if not self.done:
            self.done = True
            time.sleep(0.3)
'''


def eventually(what: Callable[[], Any], limit_s: float = 15.0) -> None:
    """Wait for the world; a fixed number of looks, each 50 ms apart."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_every_step_runs_on_the_reactor_and_is_waited_for(tmp_path: Path) -> None:
    """SM-14: and so does each beat; a poll thread is never taken."""
    (tmp_path / "site_twisted.py").write_text(DRIVERS)
    with DaemonProcess(ROOT + "[/t]\ntype = site_twisted.OnReactor\n", path=[tmp_path]) as daemon:
        eventually(lambda: (daemon.get("/data/t/n").json()["Readings"] or [[0, 0]])[-1][1] > 3)
        threads = daemon.get("/status").json()["threads"]
        assert daemon.stop(12) == 0

        assert threads["poll"]["done"] == 0
        assert "stopped {True}" in daemon.text()
        assert "Traceback" not in daemon.text()


def test_time_on_the_reactor_is_charged_to_the_driver(tmp_path: Path) -> None:
    """SM-14: whoever slows all others is found in /status."""
    (tmp_path / "site_twisted.py").write_text(DRIVERS)
    config = ROOT + "[/slow]\ntype = site_twisted.Slow\n[/t]\ntype = site_twisted.OnReactor\n"
    with DaemonProcess(config, path=[tmp_path]) as daemon:
        eventually(lambda: (daemon.get("/data/t/n").json()["Readings"] or [[0, 0]])[-1][1] > 3)
        status = {s["path"]: s for s in daemon.get("/status").json()["drivers"]}

    assert status["/slow"]["reactor_s"] >= 0.5
    assert 0.3 <= status["/slow"]["worst_reactor_s"] < 0.5
    assert status["/t"]["reactor_s"] < 0.2

"""Fifty drivers that hang in every poll, in a real daemon: what they cost everybody else."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

DRIVERS = """
import time
from smapd.driver import SmapDriver
from smapd.util import periodicCallInThread


class Hangs(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")

    def start(self):
        periodicCallInThread(time.sleep, 3600).start(0.2)


class Counts(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")

    def start(self):
        self.count = 0
        periodicCallInThread(self.read).start(0.2)

    def read(self):
        self.count += 1
        self.add("/n", self.count)
"""


def test_drivers_that_hang_touch_neither_names_nor_disk_nor_http(tmp_path: Path) -> None:
    """SM-08, SM-36: a name is looked up, readings are committed and delivered; they are named."""
    (tmp_path / "site_fair.py").write_text(DRIVERS)
    heard = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as consumer:

        def listen() -> None:
            connection, _ = consumer.accept()
            with connection:
                connection.recv(65536)
                heard.set()

        threading.Thread(target=listen, daemon=True).start()
        config = (
            "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n"
            + "".join(f"[/hung{i}]\ntype = site_fair.Hangs\n" for i in range(50))
            + "[/good]\ntype = site_fair.Counts\n[report 0]\nReportResource = /good\n"
            # by name, so that it has to be looked up
            f"ReportDeliveryLocation = http://localhost:{consumer.getsockname()[1]}/\n"
        )
        with DaemonProcess(config, path=[tmp_path]) as daemon:
            assert heard.wait(20)
            for _ in range(200):
                if len(daemon.get("/status").json()["polls"]["hung"]) == 50:
                    break
                time.sleep(0.1)  # a call counts as hung after 10 s
            status = daemon.get("/status").json()
            began = time.monotonic()
            for _ in range(50):
                assert daemon.get("/data/good/n").status == 200
            took_s = time.monotonic() - began

            assert len(status["polls"]["hung"]) == 50
            assert status["journal"]["committed"] > 20
            assert daemon.get("/data/good/n").json()["Readings"][0][1] > 40
            assert took_s < 5
            assert "/hung49" in daemon.text()
            assert (
                'smapd_driver_trouble{driver="/hung49"} 1.0' in daemon.get("/metrics").body.decode()
            )

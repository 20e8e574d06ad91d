"""The example packages of the guides: built, installed, run as processes, each killed in turn."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smapd.testing import DaemonProcess

from .conftest import PACKAGES, ROOT, check

pytestmark = pytest.mark.real

CONFIG = (ROOT / "example" / "dt" / "daemon.ini").read_text("utf-8")
ASSETS = ("1000021", "1000022")


class Program:
    """One console script of the example, with its output in a file."""

    def __init__(self, bin_: Path, name: str, url: str, home: Path) -> None:
        self.command = [str(bin_ / f"acmecorp-dt-{name}-example"), str(home / f"{name}.ini")]
        self.output = home / f"{name}.log"
        text = (ROOT / "example" / "dt" / f"{name}.ini").read_text("utf-8")
        text = text.replace("http://localhost:8080", url).replace("LoopTime = 5", "LoopTime = 0.2")
        (home / f"{name}.ini").write_text(text)
        self.home = home
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.child = subprocess.Popen(
                self.command, cwd=self.home, stdout=output, stderr=output, start_new_session=True
            )

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child.wait(20)

    def text(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def close(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.kill()


def eventually(what: Callable[[], object], seen: Callable[[], str], limit_s: float = 30.0) -> None:
    """Wait for the world; a fixed number of looks."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not happen:\n{seen()}")


def events(daemon: DaemonProcess, asset: str) -> list[Any]:
    return list(daemon.get(f"/assets/{asset}/events?limit=1000").json()["events"])


def test_the_three_run_as_processes_and_come_through_the_kill_of_each(
    installed: Path, tmp_path: Path
) -> None:
    """IN-36 to IN-38, FO-37, FO-39, FO-40: nothing is lost, nothing acknowledged comes again."""
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "small.pdf").write_bytes(b"%PDF" + bytes(3_000_000))
    env = {"PATH": f"{installed}:{os.environ['PATH']}"}
    links = [str(path) for path in (installed.parent.parent / "example" / "dt").glob("*.events")]
    data = tmp_path / "data"
    with DaemonProcess(CONFIG, path=links, env=env, data_dir=data) as daemon:
        integrator = Program(installed, "integrator", daemon.url, tmp_path)
        follower = Program(installed, "follower", daemon.url, tmp_path)
        port = daemon.url.rsplit(":", 1)[1].strip("/")

        def seen() -> str:
            return f"{daemon.text()}\n--\n{integrator.text()}\n--\n{follower.text()}"

        def follower_has(text: str, after: str = "") -> bool:
            return text in follower.text()[len(after) :]

        try:
            follower.start()
            integrator.start()
            fetched = "small.pdf of 1000022 has 3000004 bytes"
            eventually(lambda: follower_has(fetched), seen)
            eventually(lambda: follower_has("1000021 is built of 2 parts (#"), seen)
            eventually(lambda: follower_has("NewDocumentSet (from acmecorp-integrator)"), seen)

            integrator.kill()
            eventually(lambda: follower_has("T2 request not handled by provider"), seen)
            before = follower.text()
            integrator.start()
            eventually(lambda: follower_has(fetched, before), seen)
            for asset in ASSETS:  # its start tells again what was built
                eventually(lambda a=asset: len(events(daemon, a)) >= 4, seen)  # type: ignore[misc]

            third = "[1000022] #3", "1000022 is built of 2 parts (#3)"
            eventually(lambda: any(map(follower_has, third)), seen)
            follower.kill()
            before = follower.text()
            body = b'{"name": "NewDocumentSet", "data": {"name": "late.pdf", "size": 1}}'
            kind = {"Content-Type": "application/json"}
            made = daemon.request("POST", "/assets/1000021/events", body, kind)
            assert made.status == 201
            follower.start()
            eventually(lambda: follower_has("late.pdf", before), seen)
            assert not follower_has("(#0)", before)

            count = {asset: len(events(daemon, asset)) for asset in ASSETS}
            daemon.kill()
            before = follower.text()
            daemon.args = ["--port", port]
            daemon.start()
            for asset in ASSETS:
                kept = events(daemon, asset)
                assert len(kept) >= count[asset]
                assert [one["offset"] for one in kept] == list(range(len(kept)))
            eventually(lambda: follower_has(fetched, before), seen)

            for program in (integrator, follower):
                assert program.child is not None
                program.child.send_signal(signal.SIGINT)
                assert program.child.wait(20) == 0, seen()
        finally:
            integrator.close()
            follower.close()


def test_the_same_classes_run_inside_the_daemon(installed: Path, tmp_path: Path) -> None:
    """The class is unchanged: a section of the daemon's own file names it."""
    (tmp_path / "small.pdf").write_bytes(b"%PDF" + bytes(1000))
    config = CONFIG + (
        "[integrator acmecorp-integrator]\n"
        "type = acmecorp.integrator.example.IntegratorExample\n"
        f"T2 = yes\nEventModules = acmecorp.dt.events,\nLoopTime = 1\nDocuments = {tmp_path}\n"
        "[follower acmecorp-follower]\ntype = acmecorp.follower.example.FollowerExample\n"
        "T2 = yes\nEventModules = acmecorp.dt.events,\nLoopTime = 0.2\n"
    )
    links = [str(path) for path in (installed.parent.parent / "example" / "dt").glob("acmecorp.*")]
    with DaemonProcess(config, path=links) as daemon:
        eventually(lambda: "small.pdf of 1000022 has 1004 bytes" in daemon.text(), daemon.text)
        eventually(lambda: "1000021 is built of 2 parts (#" in daemon.text(), daemon.text)
        things = daemon.get("/status").json()["things"]
    assert [thing["state"] for thing in things] == ["running", "running"]


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_passes_its_static_tests(installed: Path, name: str) -> None:
    """IN-39, FO-38: the shell script, with the checks of setup.py in it; the other is there."""
    folder = installed.parent.parent / "example" / "dt" / f"acmecorp.dt.{name}"
    python = str(installed / "python")
    check(["env", f"PYTHON={python}", "sh", "./static_tests.sh"], folder)
    assert b"setup.py -q check -mrs" in (folder / "static_tests.cmd").read_bytes()


def test_the_events_package_makes_its_sdist_where_the_guide_says(installed: Path) -> None:
    """FO-38: ``python3 setup.py -q sdist -d ../dist``."""
    folder = installed.parent.parent / "example" / "dt" / "acmecorp.dt.events"
    check([str(installed / "python"), "setup.py", "-q", "sdist", "-d", "../dist"], folder)
    assert len(list((folder.parent / "dist").glob("acmecorp*events-0.1.0.tar.gz"))) == 1

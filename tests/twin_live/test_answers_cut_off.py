"""Streamed requests between programs of their own: every kill has an end that the others see."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

CONFIG = """
[/]
uuid = 75503ac2-abf0-11f0-b4d8-8b6b4f7d2c13
[/press]
type = Collection
asset = press
"""
PROVIDER = """
import sys, threading
from smapd.twin import Integrator, IntegratorCallbacks, T2ResponseFailure, ThingRunner


class Provider(IntegratorCallbacks, ThingRunner):
    def __init__(self, url):
        config = {"name": "provider", "url": url, "integrator": {"t2": True}}
        super().__init__(config=config)
        self.api = Integrator(config["integrator"], self.client, self)
        self.kept = []

    def on_startup(self):
        self.api.start()

    def main(self):
        self.wait_for_shutdown()

    def on_shutdown(self, exc_info):
        self.api.stop()

    def on_asset_created(self, asset_id):
        print("ready", flush=True)

    def on_asset_deleted(self, asset_id):
        pass

    def on_t2_request(self, request):
        if request.type_ == "Silent":
            self.kept.append(request)
            print("asked", flush=True)
        elif request.type_ == "Echo":
            self.api.t2_respond(request, "text/plain", request.data)
        else:
            threading.Thread(target=self.megabytes, args=(request,)).start()

    def megabytes(self, request):
        try:
            with self.api.t2_respond_streamed(request, "application/x-megabytes") as write:
                for _ in range(int(request.data)):
                    write(bytes(2**20))
                if request.type_ == "Stuck":
                    print("stuck", flush=True)
                    self.wait_for_shutdown()
        except T2ResponseFailure as error:
            print(f"told: {error}", flush=True)


Provider(*sys.argv[1:]).run()
"""
ASKER = """
import sys, threading
from collections import Counter
from smapd.twin import Follower, FollowerCallbacks, ThingRunner


class Asker(FollowerCallbacks, ThingRunner):
    def __init__(self, url, what):
        config = {"name": "asker", "url": url, "follower": {"t2": True}}
        super().__init__(config=config)
        self.api, self.what = Follower(config["follower"], self.client, self), what

    def on_startup(self):
        self.api.start()

    def main(self):
        if self.what == "many":
            seen = Counter()

            def one(n):
                data = b"%06d" % n * 5000
                answer = self.api.t2_request("press", "Echo", data, timeout=20)
                seen[b"".join(chunk for _, chunk in answer) == data] += 1

            threads = [threading.Thread(target=one, args=(n,)) for n in range(500)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(dict(seen), flush=True)
        else:
            try:
                for mime, chunk in self.api.t2_request("press", self.what, b"1", timeout=30):
                    print("chunk", flush=True)
            except Exception as error:
                print(type(error).__name__, error, flush=True)
        self.wait_for_shutdown()

    def on_shutdown(self, exc_info):
        self.api.stop()

    def on_asset_created(self, asset_id):
        pass

    def on_asset_deleted(self, asset_id):
        pass

    def on_event(self, event):
        pass


Asker(*sys.argv[1:]).run()
"""
MIB = 2**20


class Program:
    """One of the two, with its output in a file."""

    def __init__(self, home: Path, code: str, *args: str) -> None:
        script = home / f"{len(list(home.iterdir()))}.py"
        script.write_text(code)
        self.output = script.with_suffix(".log")
        with self.output.open("wb") as output:
            self.child = subprocess.Popen(
                [sys.executable, str(script), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def says(self, text: str, limit_s: float = 20.0) -> str:
        """Wait until it has said that: all it said."""
        eventually(lambda: text in self.output.read_text(), self.output.read_text, limit_s)
        return self.output.read_text()

    def kill(self) -> None:
        self.child.kill()
        self.child.wait(20)


def eventually(what: Callable[[], object], seen: Callable[[], str], limit_s: float = 20.0) -> None:
    """Wait for the world; a fixed number of looks."""
    for _ in range(int(limit_s / 0.02)):
        if what():
            return
        time.sleep(0.02)
    raise AssertionError(f"it did not happen:\n{seen()}")


class Asked:
    """A request over HTTP, and its answer as it comes."""

    def __init__(self, url: str, type_: str, data: bytes, headers: dict[str, str]) -> None:
        where = urlsplit(url)
        self.connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
        path = f"/assets/press/requests/{type_}?timeout=30"
        self.connection.request("POST", path, data, headers)
        self.response: http.client.HTTPResponse | None = None

    def answer(self) -> http.client.HTTPResponse:
        if self.response is None:
            self.response = self.connection.getresponse()
        return self.response

    def close(self) -> None:
        if self.response is not None:
            self.response.close()
        self.connection.close()


class Stage:
    """A daemon, its provider, and who asks."""

    def __init__(self, daemon: DaemonProcess, home: Path) -> None:
        self.daemon, self.home = daemon, home
        self.programs: list[Program] = []
        self.asked: list[Asked] = []
        self.provider = self.start(PROVIDER)
        self.provider.says("ready")

    def start(self, code: str, *args: str) -> Program:
        self.programs.append(Program(self.home, code, self.daemon.url, *args))
        return self.programs[-1]

    def ask(self, type_: str, data: bytes = b"", **headers: str) -> Asked:
        self.asked.append(Asked(self.daemon.url, type_, data, headers))
        return self.asked[-1]

    def open(self) -> Any:
        return self.daemon.get("/status").json()["assets"]["requests"]["open"]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with DaemonProcess(CONFIG, data_dir=tmp_path / "data") as daemon:
        home = tmp_path / "programs"
        home.mkdir()
        made = Stage(daemon, home)
        try:
            yield made
        finally:
            for asked in made.asked:
                asked.close()
            for program in made.programs:
                program.kill()


def test_a_provider_killed_before_it_answers_is_502_at_once(stage: Stage) -> None:
    """IN-34, FO-32: not at the timeout; and the next one is told that nobody serves it."""
    asked = stage.ask("Silent")
    stage.provider.says("asked")
    began = time.monotonic()

    stage.provider.kill()

    answer = asked.answer()
    assert (answer.status, json.loads(answer.read())["reason"]) == (502, "PROVIDER_FAILED")
    assert time.monotonic() - began < 5
    answer = stage.ask("Silent").answer()
    assert (answer.status, json.loads(answer.read())["reason"]) == (501, "REQ_UNHANDLED")


def test_a_provider_killed_in_the_middle_is_no_whole_answer(stage: Stage) -> None:
    """IN-30: cut off as bytes; as lines, the last one says it."""
    plain = stage.ask("Stuck", b"1").answer()
    lines = stage.ask("Stuck", b"1", Accept="application/x-ndjson").answer()
    follower = stage.start(ASKER, "Stuck")
    follower.says("chunk")
    assert plain.read(1) == b"\0"
    assert "data" in json.loads(lines.readline())

    stage.provider.kill()

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        plain.read()
    assert json.loads(lines.read().splitlines()[-1])["reason"] == "PROVIDER_FAILED"
    assert "T2ResponseException" in follower.says("PROVIDER_FAILED")
    assert stage.open() == 0


def test_a_requester_that_is_killed_lets_the_provider_go(stage: Stage) -> None:
    """IN-33: the thread that writes is not held for ever."""
    follower = stage.start(ASKER, "Stuck")
    follower.says("chunk")
    big = stage.ask("Big", b"10240")
    assert big.answer().read(1) == b"\0"
    assert stage.open() == 2

    follower.kill()
    big.close()

    eventually(lambda: stage.open() == 0, stage.daemon.text)
    stage.provider.says("told: The request is over")
    assert stage.ask("Echo", b"x").answer().read() == b"x"


def test_a_daemon_that_is_killed_ends_what_both_sides_wait_for(stage: Stage) -> None:
    """FO-35: NotConnected, not the timeout; afterwards all goes on."""
    stage.daemon.args = ["--port", stage.daemon.url.rsplit(":", 1)[1].strip("/")]
    follower = stage.start(ASKER, "Silent")
    stage.provider.says("asked")
    endless = stage.ask("Big", b"10240")
    assert endless.answer().read(1) == b"\0"

    stage.daemon.kill()

    assert "NotConnected" in follower.says("lost its connection", 5)
    stage.provider.says("told: The request is over", 5)
    stage.daemon.start()
    eventually(
        lambda: stage.ask("Echo", b"x").answer().status == 200, stage.provider.output.read_text
    )


def test_five_hundred_requests_of_one_program_do_not_mix(stage: Stage) -> None:
    """FO-30: between two processes."""
    assert "{True: 500}" in stage.start(ASKER, "many").says("True", 60)


def test_a_large_answer_of_a_program_holds_little_in_the_daemon(stage: Stage) -> None:
    """FO-29: 256 MiB from one process through the daemon to another that is slow at first."""
    process = psutil.Process(stage.daemon.pid)
    before = process.memory_info().rss
    asked = stage.ask("Big", b"256")
    answer = asked.answer()
    size, most = 0, before
    while data := answer.read(MIB):
        size += len(data)
        if size <= 8 * MIB:
            time.sleep(0.05)  # while the provider would send more
        most = max(most, process.memory_info().rss)

    assert size == 256 * MIB
    assert most - before < 32 * MIB

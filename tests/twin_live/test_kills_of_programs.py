"""Programs of their own and their daemon, killed at random: what is lost, what is told twice.

One integrator publishes numbers with ``retry=True`` and notes each offset it was given; one
follower notes each event and acknowledges it. Both go on where their notes end. At the end the log
is held against the notes of both.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smapd.testing import DaemonProcess

pytestmark = pytest.mark.real

ASSETS = ("press", "oven")
CONFIG = """
[/]
uuid = 75503ac2-abf0-11f0-b4d8-8b6b4f7d2c13
[/press]
type = Collection
asset = press
[/oven]
type = Collection
asset = oven
"""
COUNTED = """
from smapd.twin import AssetEvent, field


class Counted(AssetEvent):
    @classmethod
    def _known_versions(cls):
        return {1: {"type": "record", "name": "Counted", "fields": [field("n", "long")]}}
"""
COUNTER = """
import os, sys
from counted import Counted
from smapd.twin import Integrator, IntegratorCallbacks, ThingRunner


class Counter(IntegratorCallbacks, ThingRunner):
    def __init__(self, url, notes):
        config = {"name": "counter", "url": url, "integrator": {}}
        super().__init__(config=config)
        self.api = Integrator(config["integrator"], self.client, self)
        self.notes = os.open(notes, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        noted = [line.split() for line in os.read(self.notes, 2**26).decode().splitlines()]
        self.n = max((int(line[1]) + 1 for line in noted if line[0] != "start"), default=0)
        os.write(self.notes, f"start {self.n}\\n".encode())

    def on_startup(self):
        self.api.start()

    def main(self):
        while not self.wait_for_shutdown(0.002):
            asset = ("press", "oven")[self.n % 2]
            offset = self.api.publish_event(Counted(asset, data={"n": self.n}), retry=True)
            os.write(self.notes, f"{asset} {self.n} {offset}\\n".encode())
            self.n += 1

    def on_shutdown(self, exc_info):
        self.api.stop()

    def on_asset_created(self, asset_id):
        pass

    def on_asset_deleted(self, asset_id):
        pass


Counter(*sys.argv[1:]).run()
"""
NOTER = """
import os, sys
from smapd.twin import Follower, FollowerCallbacks, NamedEventMixin, ThingRunner


class Noter(NamedEventMixin, FollowerCallbacks, ThingRunner):
    def __init__(self, url, notes):
        config = {"name": "noter", "url": url, "follower": {"event_modules": ["counted"]}}
        super().__init__(config=config)
        self.api = Follower(config["follower"], self.client, self)
        self.notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(self.notes, b"start\\n")

    def on_startup(self):
        self.api.start()

    def main(self):
        self.wait_for_shutdown()

    def on_shutdown(self, exc_info):
        self.api.stop()

    def on_asset_created(self, asset_id):
        pass

    def on_asset_deleted(self, asset_id):
        pass

    def do_counted(self, event):
        os.write(self.notes, f"{event.asset} {event.offset} {event.data['n']}\\n".encode())
        self.api.ack_event(event)


Noter(*sys.argv[1:]).run()
"""
KILLS = ("daemon", "counter", "noter") * 3
MOST_AGAIN = 250
"""Events that may come again after a kill: a second of acknowledgements, of 250 a second."""


class Program:
    """A program in a process of its own, with its notes in a file."""

    def __init__(self, home: Path, name: str, code: str) -> None:
        self.script, self.notes = home / f"{name}.py", home / f"{name}.notes"
        self.output = home / f"{name}.log"
        self.script.write_text(code)
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, url: str) -> None:
        command = [sys.executable, str(self.script), url, str(self.notes)]
        with self.output.open("ab") as output:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait(20)

    def lines(self) -> list[list[str]]:
        """What it noted; a line that the kill cut short is none."""
        if not self.notes.exists():
            return []
        text = self.notes.read_text()
        return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[dict[str, Program]]:
    (tmp_path / "counted.py").write_text(COUNTED)
    made = {
        "counter": Program(tmp_path, "counter", COUNTER),
        "noter": Program(tmp_path, "noter", NOTER),
    }
    yield made
    for program in made.values():
        program.kill()


def eventually(what: Callable[[], object], seen: Callable[[], str], limit_s: float = 30.0) -> None:
    """Wait for the world; a fixed number of looks."""
    for _ in range(int(limit_s / 0.05)):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not happen:\n{seen()}")


def log_of(daemon: DaemonProcess, asset: str) -> list[int]:
    """The numbers in the asset's log, in the order of their offsets, which have no gap."""
    numbers: list[int] = []
    while True:
        page: Any = daemon.get(f"/assets/{asset}/events?from={len(numbers)}&limit=1000").json()
        if not page["events"]:
            return numbers
        for event in page["events"]:
            assert event["offset"] == len(numbers)
            numbers.append(event["data"]["n"])


def test_kills_of_daemon_integrator_and_follower_lose_nothing_and_publish_nothing_twice(
    programs: dict[str, Program], tmp_path: Path
) -> None:
    """IN-18, FO-14, FO-17, FO-19, FO-20, FO-23, FO-40: with programs outside of the daemon."""
    counter, noter = programs["counter"], programs["noter"]
    chance = random.Random(5)
    with DaemonProcess(CONFIG, data_dir=tmp_path / "data") as daemon:
        daemon.args = ["--port", daemon.url.rsplit(":", 1)[1].strip("/")]

        def seen() -> str:
            return f"{daemon.text()}\n--\n" + "\n--\n".join(
                one.output.read_text()[-3000:] for one in (counter, noter)
            )

        counter.start(daemon.url)
        noter.start(daemon.url)
        for victim in KILLS:
            published, noted = len(counter.lines()), len(noter.lines())
            eventually(lambda a=published: len(counter.lines()) > a + 20, seen)  # type: ignore[misc]
            eventually(lambda a=noted: len(noter.lines()) > a + 20, seen)  # type: ignore[misc]
            time.sleep(chance.uniform(0.0, 0.4))  # so that it strikes anywhere
            if victim == "daemon":
                daemon.kill()
                daemon.start()
            else:
                programs[victim].kill()
                programs[victim].start(daemon.url)

        published = len(counter.lines())
        eventually(lambda: len(counter.lines()) > published + 20, seen)
        counter.kill()
        logs = {asset: log_of(daemon, asset) for asset in ASSETS}
        ends = {asset: str(len(log) - 1) for asset, log in logs.items()}
        eventually(
            lambda: all([a, e] in [x[:2] for x in noter.lines()] for a, e in ends.items()), seen
        )

    unsure = set()
    for first, *rest in counter.lines():
        if first == "start":
            unsure.add(int(rest[0]))  # killed between the offset and the note of it
        else:
            assert logs[first][int(rest[1])] == int(rest[0])  # what it was told is so
    numbers = Counter(logs["press"] + logs["oven"])
    assert set(numbers) == set(range(max(numbers) + 1))
    assert {n for n, count in numbers.items() if count > 1} <= unsure
    assert max(numbers.values()) <= 2
    next_new = dict.fromkeys(ASSETS, 0)
    was_at = dict.fromkeys(ASSETS, -1)
    for line in noter.lines():
        if line == ["start"]:
            continue
        asset, offset, n = line[0], int(line[1]), int(line[2])
        assert logs[asset][offset] == n
        assert offset <= next_new[asset]  # never one before those below it
        assert was_at[asset] - offset < MOST_AGAIN
        next_new[asset] = max(next_new[asset], offset + 1)
        was_at[asset] = offset
    assert next_new == {asset: len(log) for asset, log in logs.items()}

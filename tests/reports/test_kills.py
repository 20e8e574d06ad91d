"""Readings of a daemon that is killed again and again: what its consumer got, and what it did not.

The driver notes each value it adds, with the time, in a file of its own. Value = life * 1,000,000 +
count, so that a consumer's readings can be held against the notes of every life.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smapd.testing import DaemonProcess
from tests.reports.consumer import Consumer, running

pytestmark = pytest.mark.real

COMMIT_S = 0.2
WINDOW_S = 0.6
"""The commit interval, and time for a commit on a busy machine."""

DRIVER = """
import os, time
from smapd.driver import SmapDriver
from smapd.util import periodicCallInThread


class Noting(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")
        self.life = int(os.environ["LIFE"])
        self.notes = open(opts["Notes"], "a", buffering=1)
        self.count = 0

    def start(self):
        periodicCallInThread(self.read).start(0.005)

    def read(self):
        value = self.life * 1_000_000 + self.count
        self.count += 1
        self.add("/n", value)
        self.notes.write(f"{value} {time.monotonic()}\\n")
"""

CONFIG = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/d]
type = noting.Noting
Notes = {notes}
[server]
CommitInterval = 200ms
[report 0]
ReportDeliveryLocation = http://127.0.0.1:{port}/a
ReportResource = /+
Sequence = yes
"""


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    with running() as consumer:
        yield consumer


def lives(consumer: Consumer, home: Path, kills: int, seed: int) -> None:
    """Live and be killed so often, then hold what arrived against what was added."""
    (home / "noting.py").write_text(DRIVER)
    notes = home / "notes"
    config = CONFIG.format(notes=notes, port=consumer.port)
    chance = random.Random(seed)
    killed_at: list[float] = []
    for life in range(kills):
        daemon = DaemonProcess(config, path=[home], data_dir=home / "data", env={"LIFE": str(life)})
        with daemon:
            time.sleep(0.2 + 1.8 * chance.random())  # the moment of the kill is what is tried
            daemon.kill()
            killed_at.append(time.monotonic())
    with DaemonProcess(
        config, path=[home], data_dir=home / "data", env={"LIFE": str(kills)}
    ) as last:
        backlog = last.get("/status").json()["journal"]["newest"]
        assert backlog > 0
        for _ in range(100):
            if any(value >= kills * 1_000_000 for _seq, value in received(consumer)):
                break
            time.sleep(0.1)  # for the delivery of what the last life found and added
        assert last.stop() == 0
    judge(received(consumer), notes, killed_at, len(consumer.bodies), kills)


def received(consumer: Consumer) -> list[tuple[int, int]]:
    got = []
    for body in list(consumer.bodies):
        part = body.get("/d/n", {})
        for i, reading in enumerate(part.get("Readings", ())):
            got.append((part["First"] + i, reading[1]))
    return got


def judge(
    got: list[tuple[int, int]], notes: Path, killed_at: list[float], bodies: int, kills: int
) -> None:
    by_seq: dict[int, int] = {}
    for seq, value in got:
        assert by_seq.setdefault(seq, value) == value, f"{seq} came as two values"

    # numbers without a hole, values of each life without one: nothing was lost in between
    assert sorted(by_seq) == list(range(len(by_seq)))
    values = [by_seq[seq] for seq in range(len(by_seq))]
    for before, after in zip(values, values[1:], strict=False):
        same_life = after // 1_000_000 == before // 1_000_000
        assert after == before + 1 if same_life else after % 1_000_000 == 0

    # what was added longer before the kill than the commit window has arrived
    arrived = set(values)
    for line in notes.read_text().splitlines():
        parts = line.split()
        if len(parts) == 2:
            value, at = int(parts[0]), float(parts[1])
            life = value // 1_000_000
            if life < kills and at < killed_at[life] - COMMIT_S - WINDOW_S:
                assert value in arrived, f"{value}, added long before the kill, is lost"

    # at most one body is sent again for each kill
    firsts = [seq for seq, _ in got]
    turns_back = sum(b <= a for a, b in zip(firsts, firsts[1:], strict=False))
    assert turns_back <= kills, f"{turns_back} bodies came again after {kills} kills"
    assert bodies > 0


def test_twenty_kills_lose_nothing_committed_and_repeat_at_most_one_body(
    consumer: Consumer, tmp_path: Path
) -> None:
    """SM-29, SM-30, N-01: real kills of a real daemon under load, told by its own consumer."""
    lives(consumer, tmp_path, kills=20, seed=20261120)


@pytest.mark.soak
def test_two_hundred_kills(consumer: Consumer, tmp_path: Path) -> None:
    """SM-29, SM-30: the full count."""
    lives(consumer, tmp_path, kills=200, seed=4711)

"""SIGKILL of a real process that publishes and follows: what it was told is durable is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.storage.events_life import Life

ASSETS = ("a", "b", "c")
CHILD = Path(__file__).with_name("events_child.py")


def live_and_die(home: Path, seed: int) -> list[list[str]]:
    """Start the child, kill it at a moment that the seed gives; the lines it wrote."""
    after_s = random.Random(seed).uniform(0.01, 0.6)
    output = home / "output"
    with output.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(home), str(seed)], stdout=out, stderr=subprocess.STDOUT
        )
        try:
            ends = time.monotonic() + 20
            while b"\nP " not in output.read_bytes() and time.monotonic() < ends:
                assert child.poll() is None, output.read_text()
                time.sleep(0.01)
            time.sleep(after_s)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(10)
    lines = output.read_text().splitlines(keepends=True)
    return [line.split() for line in lines if line.endswith("\n")]


class Ledger:
    """What was told over all lives of the process."""

    def __init__(self) -> None:
        self.told = dict.fromkeys(ASSETS, 0)
        self.seen = dict.fromkeys(ASSETS, 0)
        self.acked = dict.fromkeys(ASSETS, 0)

    def check(self, lines: list[list[str]]) -> None:
        is_first = dict.fromkeys(ASSETS, True)
        for kind, asset, *numbers in lines:
            assert kind in "SRPFK", (kind, asset, numbers)  # no traceback
            offset = int(numbers[0])
            if kind == "S":
                assert offset >= self.told[asset], "an event whose publish returned is lost"
                self.told[asset] = offset
            elif kind == "R":
                assert offset == int(numbers[1]), "the same id was kept twice"
            elif kind == "P":
                assert offset == self.told[asset], "offsets are not dense"
                self.told[asset] += 1
            elif kind == "F":
                if is_first[asset]:
                    assert self.acked[asset] <= offset <= self.seen[asset]
                    is_first[asset] = False
                else:
                    assert offset == self.seen[asset]
                self.seen[asset] = offset + 1
            else:
                self.acked[asset] = offset


def run_lives(home: Path, seeds: range) -> Ledger:
    ledger = Ledger()
    for seed in seeds:
        ledger.check(live_and_die(home, seed))
    assert not (home / "quarantine").exists()
    life = Life(home)
    for asset, following in ledger.told.items():
        assert life.log.next_offset(asset) >= following
        assert life.read_all(asset) == list(range(life.log.next_offset(asset)))
    life.stop()
    return ledger


@pytest.mark.real
def test_an_event_whose_publish_returned_survives_a_kill(tmp_path: Path) -> None:
    """FO-20, FO-23, FO-40: 20 lives of one log, each ended by SIGKILL."""
    ledger = run_lives(tmp_path, range(20))

    assert sum(ledger.told.values()) > 2_000
    assert sum(ledger.acked.values()) > 500


@pytest.mark.real
@pytest.mark.soak
def test_two_hundred_kills_of_one_event_log(tmp_path: Path) -> None:
    """FO-20, FO-23: the full count."""
    run_lives(tmp_path, range(1000, 1200))

"""A disk that refuses writes, syncs or reads for a while, under a daemon that delivers."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

import pytest

from smapd.testing import DaemonProcess
from tests.reports.consumer import Consumer, running
from tests.storage.test_real_damage import CONFIG, readings, wait_for

pytestmark = pytest.mark.real

WRITES, SYNCS, READS = 0, 1, 2

DRIVER = """
import os, time
from smapd.driver import SmapDriver
from smapd.util import periodicCallInThread


class Counting(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")
        self.value = 0

    def start(self):
        periodicCallInThread(self.read).start(float(os.environ["EVERY_S"]))

    def read(self):
        count = int(os.environ["AT_ONCE"])
        values = list(range(self.value, self.value + count))
        self.add_many("/n", [time.time()] * count, values)
        self.value += count
"""


class Disk:
    """The switch of shim.c: what fails of what the process asks of its data directory."""

    def __init__(self, home: Path) -> None:
        self.path = home / "switch"
        self.path.write_bytes(bytes(32))

    def fail(self, *what: int, error: int = errno.EIO) -> None:
        """From now on these fail, and nothing else."""
        with self.path.open("r+b") as f:
            f.write(bytes(error if n in what else 0 for n in range(4)))

    @property
    def failures(self) -> int:
        return int.from_bytes(self.path.read_bytes()[8:16], "little")


def daemon(home: Path, shim: Path, consumer: Consumer, every_s: float, at_once: int) -> Any:
    (home / "counting.py").write_text(DRIVER)
    data = home / "data"
    data.mkdir()
    env = {
        "LD_PRELOAD": str(shim),
        "SHIM_ROOT": str(data),
        "SHIM_SWITCH": str(home / "switch"),
        "EVERY_S": str(every_s),
        "AT_ONCE": str(at_once),
    }
    config = CONFIG.format(port=consumer.port).replace("1000000", "100000000")
    return DaemonProcess(config, path=[home], data_dir=data, env=env)


def latest(life: DaemonProcess) -> int:
    """The newest value by HTTP; the answer takes less than a second."""
    began_s = time.monotonic()
    (reading,) = life.get("/data/d/n").json()["Readings"]
    assert time.monotonic() - began_s < 1.0
    return int(reading[1])


def judge(consumer: Consumer) -> int:
    """Every number came with its value, or is in a gap of the disk; how many are in gaps."""
    known: set[int] = set()
    lost: set[int] = set()
    counted = 0
    for body in consumer.bodies:
        for seq, value in readings(body):
            assert seq == value
            known.add(seq)
        for gap in body.get("/d/n", {}).get("Gaps", ()):
            assert gap["Why"] == "disk", gap
            lost.update(range(gap["From"][0], gap["To"][0] + 1))
            counted += gap["Count"]
    assert not known & lost
    assert len(known) + len(lost) == max(known) + 1
    assert counted == len(lost)
    return counted


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ((WRITES,), errno.EIO, "disk I/O error"),
        ((WRITES,), errno.ENOSPC, "full"),
        ((SYNCS,), errno.EIO, "disk I/O error"),
        ((WRITES, SYNCS, READS), errno.EIO, "disk I/O error"),
    ],
)
def test_nothing_is_lost_while_a_disk_fails_for_some_seconds(
    tmp_path: Path, shim: Path, what: tuple[int, ...], error: int, said: str
) -> None:
    """SM-29, N-02: polls and HTTP go on, and delivery resumes alone."""
    disk = Disk(tmp_path)
    with running() as consumer, daemon(tmp_path, shim, consumer, 0.01, 20) as life:
        wait_for(consumer, 1_000)

        disk.fail(*what, error=error)
        before = latest(life)
        ends = time.monotonic() + 2.5  # the outage
        while time.monotonic() < ends:
            time.sleep(0.1)
            latest(life)
        status = life.get("/status").json()
        assert latest(life) > before + 1_000
        assert said in status["journal"]["error"]
        assert disk.failures
        disk.fail()

        wait_for(consumer, latest(life) + 1)
        status = life.get("/status").json()
        assert status["journal"]["error"] == ""
        assert life.stop() == 0
        assert judge(consumer) == 0
        assert not (tmp_path / "data" / "quarantine").exists()


def test_what_cannot_be_read_is_delivered_when_it_can(tmp_path: Path, shim: Path) -> None:
    """SM-29, N-02: more waits than SQLite has in memory; none of it is taken for damaged."""
    disk = Disk(tmp_path)
    with running() as consumer, daemon(tmp_path, shim, consumer, 0.1, 50_000) as life:
        consumer.is_up = False
        ends = time.monotonic() + 60
        while life.get("/status").json()["journal"]["readings"] < 1_000_000:
            assert time.monotonic() < ends
            time.sleep(0.1)  # for the readings to come

        disk.fail(READS)
        consumer.is_up = True
        while not disk.failures:
            assert time.monotonic() < ends
            time.sleep(0.1)  # until the next attempt of the report
            latest(life)
        time.sleep(1.0)  # the outage
        disk.fail()

        wait_for(consumer, latest(life) + 1)
        assert life.stop() == 0
        assert judge(consumer) == 0
        assert not (tmp_path / "data" / "quarantine").exists()


def test_what_does_not_fit_into_memory_meanwhile_is_counted_exactly(
    tmp_path: Path, shim: Path
) -> None:
    """SM-29, N-02: 16 MiB wait; the oldest beyond that are a gap, told to the consumer."""
    disk = Disk(tmp_path)
    with running() as consumer, daemon(tmp_path, shim, consumer, 0.1, 60_000) as life:
        wait_for(consumer, 100_000)

        disk.fail(WRITES)
        ends = time.monotonic() + 60
        while not life.get("/status").json()["journal"]["lost_uncommitted"]:
            assert time.monotonic() < ends
            time.sleep(0.1)  # until more came than 16 MiB hold
            latest(life)
        disk.fail()

        wait_for(consumer, latest(life) + 1)
        journal = life.get("/status").json()["journal"]
        assert life.stop() == 0
        lost = judge(consumer)
        assert lost > 0
        assert lost == journal["dropped"]["disk"] == journal["lost_uncommitted"]

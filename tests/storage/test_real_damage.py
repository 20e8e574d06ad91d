"""A bit flipped anywhere in the data directory of a daemon that was killed; then a real start."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from smapd.testing import DaemonProcess
from tests.reports.consumer import Consumer, running
from tests.storage.images import Image

pytestmark = pytest.mark.real

START_S = 5.0
LATE_S = 20.0
LIFE = 10_000_000
"""A value is its number in the stream; a later life begins here, with its own."""

DRIVER = """
import os
from smapd.driver import SmapDriver
from smapd.util import periodicCallInThread


class Counting(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/n", "n", "V")
        self.value = int(os.environ["FIRST"])

    def start(self):
        periodicCallInThread(self.read).start(0.01)

    def read(self):
        for _ in range(int(os.environ["AT_ONCE"])):
            self.add("/n", self.value)
            self.value += 1
"""

CONFIG = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
[/d]
type = counting.Counting
[server]
CommitInterval = 100ms
[report 0]
ReportDeliveryLocation = http://127.0.0.1:{port}/a
ReportResource = /+
Sequence = yes
Gaps = yes
MaxReadings = 1000000
"""


def life(home: Path, consumer: Consumer, data: Path, **env: int) -> DaemonProcess:
    (home / "counting.py").write_text(DRIVER)
    config = CONFIG.format(port=consumer.port)
    named = {name: str(value) for name, value in env.items()}
    return DaemonProcess(config, path=[home], data_dir=data, env=named)


def killed(home: Path, consumer: Consumer) -> Image:
    """What a daemon leaves whose consumer was down but for its first and its last second."""
    data = home / "data"
    with life(home, consumer, data, FIRST=0, AT_ONCE=200) as daemon:
        wait_for(consumer, 200)
        consumer.is_up = False
        made = daemon.get("/status").json()["journal"]["readings"]
        for _ in range(400):
            if daemon.get("/status").json()["journal"]["readings"] > made + 60_000:
                break
            time.sleep(0.02)  # for the readings to come
        daemon.kill()
    consumer.is_up = True
    return Image(data)


def wait_for(consumer: Consumer, value: int) -> None:
    """Until the consumer has got that value, or a later one."""
    ends = time.monotonic() + LATE_S
    while time.monotonic() < ends:
        if any(v >= value for body in consumer.bodies[-3:] for _, v in readings(body)):
            return
        time.sleep(0.02)  # for the delivery
    raise AssertionError(f"no value from {value} on after {LATE_S} s")


def readings(body: dict[str, Any]) -> list[tuple[int, int]]:
    """(seq, value) of the readings in a body."""
    part = body.get("/d/n", {})
    jumps = dict(part.get("Jumps", ()))
    found = []
    seq = part.get("First", 0)
    for i, (_ms, value) in enumerate(part.get("Readings", ())):
        seq = jumps.get(i, seq)
        found.append((seq, value))
        seq += 1
    return found


def judge(before: list[dict[str, Any]], after: list[dict[str, Any]], where: str) -> int:
    """Every number came, with its value, or is in a gap; the readings lost."""
    known: dict[int, int] = {}
    for body in (*before, *after):
        for seq, value in readings(body):
            assert known.setdefault(seq, value) == value, (where, seq)
    lost: set[int] = set()
    for body in after:
        for gap in body.get("/d/n", {}).get("Gaps", ()):
            assert gap["Why"] == "damage", (where, gap)
            lost.update(range(gap["From"][0], gap["To"][0] + 1))
    assert sorted({*known, *lost}) == list(range(max(known) + 1)), where
    first = min(seq for seq, value in known.items() if value >= LIFE)
    for seq, value in known.items():
        assert value == (seq if seq < first else LIFE + seq - first), (where, seq, value)
    return len(lost - set(known))


def flips(home: Path, seeds: range) -> tuple[int, float]:
    """(starts that lost readings, the longest start in seconds)."""
    lossy, slowest_s = 0, 0.0
    with running() as consumer:
        image = killed(home, consumer)
        before = list(consumer.bodies)
        for seed in seeds:
            name, at, bit = image.any_bit(random.Random(seed))
            where = f"seed {seed}: bit {bit} of byte {at} of {name}"
            image.lay(home / "data", {name: image.flipped(name, at, bit)})
            consumer.bodies.clear()
            began_s = time.monotonic()
            with life(home, consumer, home / "data", FIRST=LIFE, AT_ONCE=1) as daemon:
                took_s = time.monotonic() - began_s
                assert took_s < START_S, (where, took_s)
                slowest_s = max(slowest_s, took_s)
                wait_for(consumer, LIFE)
                assert daemon.stop() == 0, where
            lossy += bool(judge(before, consumer.bodies, where))
    return lossy, slowest_s


def test_a_daemon_starts_on_damaged_files_and_delivers_the_rest(tmp_path: Path) -> None:
    """SM-29, N-02: five bits, each followed by a start within 5 s."""
    flips(tmp_path, range(5))


@pytest.mark.soak
def test_a_hundred_starts_on_damaged_files(tmp_path: Path) -> None:
    """SM-29: the full count."""
    lossy, _ = flips(tmp_path, range(100, 200))

    assert lossy > 5  # the flips do hit

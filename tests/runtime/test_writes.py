"""runtime/writes.py: bytes given to the disk, and how many that makes in a day."""

from __future__ import annotations

from pathlib import Path

import pytest

from smapd.runtime.writes import DAY_S, LOOK_S, DiskWrites
from smapd.testing import FakeClock


class Counted:
    """A file like /proc/self/io."""

    def __init__(self, path: Path) -> None:
        self.path = path / "io"
        self.put(0)

    def put(self, written: int) -> None:
        self.path.write_text(f"rchar: 5\nwchar: 9\nwrite_bytes: {written}\ncancelled: 1\n")


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


def test_a_days_bytes_are_scaled_while_less_than_a_day_is_known(counted: Counted) -> None:
    """U-10, P-12: 1 MB in the first hour is 24 MB a day."""
    clock = FakeClock()
    writes = DiskWrites(clock, counted.path)
    writes.start()

    counted.put(1_000_000)
    clock.advance(3600)

    assert writes.status() == {"bytes": 1_000_000, "bytes_per_day": 24_000_000, "over_s": 3600.0}


def test_of_a_longer_run_the_last_day_counts(counted: Counted) -> None:
    """A start that wrote much is forgotten after a day; what is kept is bounded."""
    clock = FakeClock()
    writes = DiskWrites(clock, counted.path)
    writes.start()
    counted.put(10**9)
    clock.advance(LOOK_S)

    for i in range(1, 3 * 144):
        counted.put(10**9 + i * 1000)
        clock.advance(LOOK_S)

    shown = writes.status()
    assert shown["bytes_per_day"] == 144_000
    assert shown["over_s"] == DAY_S


def test_the_first_minutes_say_nothing_of_a_day(counted: Counted) -> None:
    clock = FakeClock()
    writes = DiskWrites(clock, counted.path)
    writes.start()
    counted.put(500_000)
    clock.advance(LOOK_S - 1)

    assert writes.status()["bytes"] == 500_000
    assert writes.status()["bytes_per_day"] is None


@pytest.mark.parametrize("text", [None, "", "write_bytes: many\n", "rchar: 1\n"])
def test_where_the_system_does_not_say_nothing_is_shown(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "io"
    if text is not None:
        path.write_text(text)
    clock = FakeClock()
    writes = DiskWrites(clock, path)
    writes.start()

    clock.advance(2 * LOOK_S)

    assert writes.status() == {}


def test_before_the_start_nothing_is_shown_and_stop_leaves_no_timer(counted: Counted) -> None:
    clock = FakeClock()
    writes = DiskWrites(clock, counted.path)
    assert writes.status() == {}

    writes.start()
    writes.start()
    assert clock.pending == 1
    writes.stop()
    writes.stop()

    assert clock.pending == 0


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def fault(self, key: object, text: str, **more: object) -> None:
        self.said.append(text)

    def cleared(self, key: object, text: str, **more: object) -> None:
        self.said.append(text)


def test_a_budget_is_shown_beside_and_told_when_it_is_passed(counted: Counted) -> None:
    """U-10: after an hour at the earliest, for a start writes more than its share."""
    clock, told = FakeClock(), Told()
    writes = DiskWrites(clock, counted.path, budget=24_000_000, faults=told)
    writes.start()

    counted.put(900_000)
    clock.advance(1800)
    assert told.said == []
    assert writes.status()["budget"] == 24_000_000

    counted.put(1_000_100)
    clock.advance(1800)
    assert told.said == ["24002400 bytes a day are written; WriteBudget is 24000000"]

    counted.put(1_000_200)
    clock.advance(3600)
    assert told.said[-1] == "the disk is written within WriteBudget again"

"""Two cursors that look like one."""

from __future__ import annotations

from typing import Any

from smapd.core import SmapInstance
from smapd.storage import FreshFirst, fresh_names
from smapd.testing import FakeClock, MemoryReadings
from smapd.values import JournalBatch, Limits, Start

from .pumps import ROOT


class Lanes:
    """A journal, and a cursor that parts from 500 readings on (a rate of 100/s)."""

    def __init__(self, journal: MemoryReadings | None = None, may_part: bool = True) -> None:
        self.clock = FakeClock()
        self.journal = MemoryReadings() if journal is None else journal
        self.tree = SmapInstance(ROOT)
        self.tree.attach(self.journal)
        self.tree.add_timeseries("/s", "s", "V")
        main = self.journal.cursor("r", None, Start.OLDEST, Limits(max_readings=None))
        self.cursor = FreshFirst(
            self.journal, main, None, clock=self.clock, rate=100.0, may_part=may_part
        )

    def add(self, first: int, count: int) -> None:
        found = range(first, first + count)
        self.tree.add_many("/s", found, found)

    def read(self, most: int = 100) -> JournalBatch:
        results: list[JournalBatch] = []
        self.cursor.read(most).addCallback(results.append)
        return results[0]

    def take(self, most: int = 100) -> list[Any]:
        batch = self.read(most)
        self.cursor.ack(batch.end)
        return [value for run in batch.runs for value in run.values]


def test_a_short_backlog_is_read_in_order() -> None:
    """U-04: as one cursor."""
    lanes = Lanes()
    lanes.add(0, 200)

    assert lanes.take() + lanes.take() == list(range(200))
    assert not lanes.cursor.is_apart


def test_with_a_long_one_fresh_readings_overtake_and_nothing_is_lost() -> None:
    """U-04: old ones at their rate, then one cursor again."""
    lanes = Lanes()
    lanes.add(0, 600)
    assert lanes.take() == list(range(100))
    lanes.add(600, 5)

    assert lanes.take() == list(range(600, 605))
    assert lanes.take() == []  # the old ones must wait for their second
    old: list[Any] = []
    for _ in range(10):
        lanes.clock.advance(1.0)
        old += lanes.take()

    assert old == list(range(100, 600))
    assert not lanes.cursor.is_apart
    assert lanes.journal.cursors() == ["r"]
    assert lanes.cursor.waiting() == 0


def test_the_same_is_read_again_until_it_is_acked() -> None:
    """SM-30: also when something fresh comes meanwhile; so halving stays on one side."""
    lanes = Lanes()
    lanes.add(0, 600)
    first = lanes.read()
    lanes.add(600, 5)

    again = lanes.read(10)

    assert again.runs[0].values == first.runs[0].values[:10]


def test_a_restart_finds_both() -> None:
    """U-04, SM-29: the second one's name says where it began."""
    lanes = Lanes()
    lanes.add(0, 600)
    lanes.take()
    lanes.add(600, 5)
    lanes.take()
    assert len(fresh_names(lanes.journal, "r")) == 1

    after = Lanes(lanes.journal, may_part=False)
    found: list[Any] = []
    for _ in range(10):
        found += after.take()
        after.clock.advance(1.0)

    assert found == list(range(100, 600))
    assert after.journal.cursors() == ["r"]


def test_when_more_waits_for_the_turn_of_the_old_ones() -> None:
    """U-04: and is there at once for what is fresh."""
    lanes = Lanes()
    lanes.add(0, 600)
    lanes.take()
    heard: list[None] = []
    lanes.take()
    lanes.cursor.when_more().addCallback(heard.append)
    assert heard == []

    lanes.add(600, 1)
    assert heard == [None]

    lanes.take()
    lanes.cursor.when_more().addCallback(heard.append)
    lanes.clock.advance(1.0)
    assert len(heard) == 2


def test_without_the_order_fresh_it_never_parts() -> None:
    """U-04: Order = oldest."""
    lanes = Lanes(may_part=False)
    lanes.add(0, 600)

    assert lanes.take() == list(range(100))
    assert not lanes.cursor.is_apart

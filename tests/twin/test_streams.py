"""Readers of streams: each at its own pace, a few reads at a time, and never twice the same."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail

from smapd.errors import Busy
from smapd.testing import FakeRuntime
from smapd.testing.eventlog import MemoryEventLog
from smapd.twin.streams import Streams, Tail, Turns
from smapd.values import EventRecord

from .things import result


class SlowLog(MemoryEventLog):
    """Reads wait until the test lets them go; ``refuse`` fails the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Deferred[list[EventRecord]], list[EventRecord]]] = []
        self.refuse = False
        self.is_slow = False

    def read(
        self, asset: str, offset: int, limit: int = 1000, limit_bytes: int = 2**22
    ) -> Deferred[list[EventRecord]]:
        if self.refuse:
            return fail(Busy())
        found = super().read(asset, offset, limit, limit_bytes)
        if not self.is_slow:
            return found
        held: Deferred[list[EventRecord]] = Deferred()
        self.waiting.append((held, result(found)))
        return held

    def go(self) -> None:
        held, found = self.waiting.pop(0)
        held.callback(found)


class Reader:
    """One reader with room for so many."""

    def __init__(self, streams: Streams, stream: str = "a", turns: Turns | None = None) -> None:
        self.room = 1000
        self.seen: list[int] = []
        self.moves = 0
        self.tail = Tail(
            streams,
            turns or Turns(),
            stream,
            0,
            lambda: (self.room, 10**6),
            self.take,
            self.moved,
        )
        self.tail.kick()

    def take(self, records: Sequence[EventRecord]) -> None:
        self.seen += [record.offset for record in records]
        self.room -= len(records)

    def moved(self) -> None:
        self.moves += 1


def record() -> EventRecord:
    return EventRecord("Said", 1, "s", 0, 0, "json", b"{}")


class House:
    def __init__(self) -> None:
        self.run = FakeRuntime()
        self.log = SlowLog()
        self.streams = Streams(self.log, self.run.clock, self.run.faults)

    def publish(self, stream: str = "a", count: int = 1, dedupe: str | None = None) -> None:
        records = [record() for _ in range(count)]
        self.streams.expect(stream)
        first = result(self.log.append(stream, records, dedupe))
        self.streams.published(stream, first, records)
        self.run.advance(0)


def test_what_is_there_then_what_comes() -> None:
    house = House()
    house.publish(count=3)

    reader = Reader(house.streams)
    house.publish()

    assert reader.seen == [0, 1, 2, 3]


def test_events_of_another_publisher_come_too() -> None:
    house = House()
    reader = Reader(house.streams)

    result(house.log.append("a", [record()]))
    house.run.advance(0)

    assert reader.seen == [0]


def test_a_repeated_publish_is_passed_on_once() -> None:
    house = House()
    reader = Reader(house.streams)

    house.publish(dedupe="x")
    house.publish(dedupe="x")

    assert reader.seen == [0]


def test_what_was_durable_before_is_never_passed_on_directly() -> None:
    house = House()
    result(house.log.append("a", [record()], "x"))
    house.log.is_slow = True
    reader = Reader(house.streams)

    house.publish(dedupe="x")  # what comes back is the offset of then
    house.log.go()

    assert reader.seen == [0]


def test_without_room_nothing_is_taken_until_it_is_kicked() -> None:
    house = House()
    reader = Reader(house.streams)
    reader.room = 2

    house.publish(count=5)
    assert len(reader.seen) <= 2
    reader.room = 10
    reader.tail.kick()
    house.run.advance(0)

    assert reader.seen == [0, 1, 2, 3, 4]


def test_what_comes_while_it_reads_is_read_after_it() -> None:
    house = House()
    house.publish()
    house.log.is_slow = True
    reader = Reader(house.streams)

    house.publish()
    assert reader.seen == []
    while house.log.waiting:
        house.log.go()

    assert reader.seen == [0, 1]


def test_a_failed_read_is_tried_again() -> None:
    house = House()
    house.publish()
    house.log.refuse = True
    reader = Reader(house.streams)
    assert reader.seen == []

    house.log.refuse = False
    house.run.advance(1.1)

    assert reader.seen == [0]


def test_closed_it_takes_nothing_more() -> None:
    house = House()
    house.publish()
    house.log.is_slow = True
    reader = Reader(house.streams)
    reader.tail.close()
    reader.tail.close()

    house.log.go()
    house.publish()

    assert reader.seen == []
    assert house.log._waiters.get("a", []) == []


def test_only_a_few_read_at_a_time_and_the_others_in_turn() -> None:
    house = House()
    names = [f"s{n}" for n in range(10)]
    for name in names:
        house.publish(name)
    house.log.is_slow = True
    turns = Turns(2)

    readers = [Reader(house.streams, name, turns) for name in names]

    assert len(house.log.waiting) == 2
    while house.log.waiting:
        house.log.go()
        assert len(house.log.waiting) <= 2
    assert all(reader.seen == [0] for reader in readers)


def test_who_closes_waits_for_no_read_and_frees_its_turn() -> None:
    """A thing that starts and stops again and again leaves no reads behind for others to wait."""
    house = House()
    house.publish(count=3)
    house.publish("b", count=3)
    house.log.is_slow = True
    turns = Turns(1)
    first, second = Reader(house.streams, turns=turns), Reader(house.streams, "b", turns)
    assert len(house.log.waiting) == 1

    first.tail.close()

    held, _found = house.log.waiting.pop(0)
    assert held.called
    assert len(house.log.waiting) == 1
    house.log.go()
    assert (first.seen, second.seen) == ([], [0, 1, 2])


def test_thousands_that_are_gone_lose_no_turn() -> None:
    """FO-12: assets that were deleted while their events waited to be read."""
    house = House()
    for stream in ("a", "b", *(f"gone-{n}" for n in range(3000))):
        house.publish(stream)
    house.log.is_slow = True
    turns = Turns(1)
    first = Reader(house.streams, turns=turns)
    gone = [Reader(house.streams, f"gone-{n}", turns) for n in range(3000)]
    last = Reader(house.streams, "b", turns)
    for one in gone:
        one.tail.close()

    house.log.go()
    house.log.go()

    assert (first.seen, last.seen) == ([0], [0])
    again = Reader(house.streams, turns=turns)
    house.log.go()
    assert again.seen == [0]


def test_a_consumer_that_is_gone_begins_no_read() -> None:
    """The end of one stream's read is no other's turn then."""
    house = House()
    turns = Turns(1)
    for stream in ("a", "b"):
        house.publish(stream)
    house.log.is_slow = True
    readers = [Reader(house.streams, stream, turns) for stream in ("a", "b")]
    turns.close()
    for one in readers:
        one.tail.close()
    Reader(house.streams, turns=turns)

    assert len(house.log.waiting) == 1
    assert house.log.waiting[0][0].called

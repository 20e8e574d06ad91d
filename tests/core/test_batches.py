"""A batch's readings in columns: which can stand there, and that none is lost or out of order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smapd.core import SmapInstance
from smapd.values import GOOD, Batch, Block, Level, Quality, Reading, bad, uncertain

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
PATHS = ("/a", "/b", "/c")
ADDS = ("stamped", "timed", "numbered", "uncertain", "bad", "block", "unfit")


class Listener:
    """Keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def nodes_added(self, nodes: Any) -> None:
        """Not asked for."""

    def readings_added(self, batch: Batch) -> None:
        self.batches.append(batch)


def made() -> tuple[SmapInstance, Listener]:
    tree, listener = SmapInstance(ROOT, now=lambda: 1_700_000_000_123), Listener()
    for path in PATHS:
        tree.add_timeseries(path, "V")
    tree.attach(listener)  # type: ignore[arg-type]
    tree.settle(lambda f, *args, wait=True: f(*args) if wait else None)
    return tree, listener


def put(tree: SmapInstance, what: str, path: str, value: int) -> None:
    match what:
        case "stamped":
            tree.add(path, value)
        case "timed":
            tree.add(path, 1_700_000_000 + value, value)
        case "numbered":
            tree.add(path, 1_700_000_000, value, 77)
        case "uncertain":
            tree.add(path, value, quality=uncertain("cold"))
        case "bad":
            tree.add(path, value, quality=bad("broken"))
        case "block":
            tree.add_many(path, [1, 2, 3], [value, value + 1, value + 2])
        case "unfit":
            tree.add(path, "no number")


def by_stream(found: Iterable[tuple[Any, Reading]]) -> dict[str, list[Reading]]:
    readings = defaultdict(list)
    for stream, reading in found:
        readings[stream.path].append(reading)
    return dict(readings)


def of_parts(batch: Batch, odd: set[Any]) -> dict[str, list[Reading]]:
    """What `split` gives, put together again; no stream may stand in both parts."""
    plain, entries = batch.split(odd)
    in_columns = {stream.path for stream in plain.streams}
    assert in_columns.isdisjoint({stream.path for stream, _ in entries})
    assert in_columns.isdisjoint({stream.path for stream in odd})
    columns = zip(plain.streams, plain.ms, plain.values, plain.seqs, strict=True)
    found = [(stream, Reading(ms, value, GOOD, seq)) for stream, ms, value, seq in columns]
    for stream, entry in entries:
        readings = entry.readings() if isinstance(entry, Block) else [entry]
        found += [(stream, reading) for reading in readings]
    return by_stream(found)


@given(
    st.lists(st.tuples(st.sampled_from(ADDS), st.sampled_from(PATHS)), min_size=1, max_size=20),
    st.booleans(),
    st.sampled_from(["", *PATHS]),
)
def test_no_reading_is_lost_or_moved_on_its_way_into_columns(
    adds: list[tuple[str, str]], is_noted: bool, more: str
) -> None:
    """P-12: each stream's readings, in their order, stand in one of the two parts."""
    tree, listener = made()
    if is_noted:
        tree.stamp_note = lambda: Quality(Level.GOOD, "stepped")
    for i, (what, path) in enumerate(adds):
        put(tree, what, path, i)
    tree.drain()

    for batch in listener.batches:
        odd = batch.odd()
        if more:
            odd = odd | {tree.get_timeseries(more)}
        assert of_parts(batch, odd) == by_stream(batch)
        as_entries = Batch(batch.entries, batch.count)
        assert of_parts(as_entries, as_entries.odd()) == by_stream(batch)


def test_readings_that_are_good_and_without_a_number_are_not_odd() -> None:
    """P-12: what most drivers add is never made into an object each."""
    tree, listener = made()
    for path in PATHS:
        tree.add(path, 1)
    tree.drain()
    for path in PATHS:
        tree.add(path, 1_700_000_000, 1)
    tree.drain()
    tree.add("/a", 1)
    tree.add("/a", 1_700_000_000, 1)
    tree.drain()

    for batch in listener.batches:
        assert batch.odd() == set()
        plain, entries = batch.split(set())
        assert len(plain.streams) == batch.count
        assert entries == []


def test_what_was_refused_or_is_gone_takes_no_place() -> None:
    """P-12: the columns hold what the batch counts."""
    tree, listener = made()
    tree.add("/a", 1)
    tree.add("/b", "no number")
    tree.add("/c", 2)
    tree.remove("/c")
    tree.add("/a", 3)
    tree.drain()

    plain = [batch.split(batch.odd())[0] for batch in listener.batches]
    assert [value for part in plain for value in part.values] == [1, 2, 3]


def test_one_odd_reading_does_not_take_the_others_along() -> None:
    """P-12: one uncertain stream among many costs what one stream costs."""
    tree, listener = made()
    tree.add("/a", 1)
    tree.add("/b", 2, quality=uncertain("cold"))
    tree.add("/c", 3)
    tree.drain()

    (batch,) = listener.batches
    odd = batch.odd()
    plain, entries = batch.split(odd)
    assert {stream.path for stream in odd} == {"/b"}
    assert [stream.path for stream in plain.streams] == ["/a", "/c"]
    assert [stream.path for stream, _ in entries] == ["/b"]

"""From batches to rows and back: nothing lost, nothing out of order, holes told, rows bounded."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.core import SmapInstance
from smapd.storage import packing
from smapd.storage.names import Names
from smapd.storage.packed import Packed
from smapd.storage.packing import Numbers, pack_batches
from smapd.storage.reading import LARGE, Window
from smapd.storage.rows import Data, Head
from smapd.values import (
    GOOD,
    Batch,
    JournalBatch,
    OneEach,
    Position,
    Quality,
    Reading,
    Run,
    Value,
    uncertain,
)

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
STREAMS = 4
ADDS = ("plain", "plain", "plain", "uncertain", "numbered", "block", "lost")

Model = dict[int, list[tuple[int, int, Value, Quality, int | None]]]
"""By stream: (seq, ms, value, quality, the driver's number), in order."""


class Tree:
    """A tree whose batches are kept, and the numbers of its streams."""

    def __init__(self, streams: int = STREAMS) -> None:
        self.numbers, self.batches = Numbers(), list[Batch]()
        self.tree = SmapInstance(ROOT, now=lambda: 1_700_000_000_000)
        self.tree.attach(self)  # type: ignore[arg-type]
        self.streams = [
            self.tree.add_timeseries(f"/s{i}", f"s{i}", "V", data_type="double")
            for i in range(streams)
        ]
        self.tree.settle(lambda f, *args, wait=True: f(*args) if wait else None)

    def nodes_added(self, nodes: Any) -> None:
        for node in nodes:
            if hasattr(node, "next_seq"):
                self.numbers.add(node)

    def readings_added(self, batch: Batch) -> None:
        self.batches.append(batch)

    def put(self, what: str, which: int, value: float) -> None:
        path = f"/s{which}"
        match what:
            case "plain":
                self.tree.add(path, value)
            case "uncertain":
                self.tree.add(path, value, quality=uncertain("cold"))
            case "numbered":
                self.tree.add(path, 1_700_000_000, value, 7)
            case "block":
                self.tree.add_many(path, [1.0, 2.0, 3.0], [value, value + 1, value + 2])
            case "lost":  # as when the queue was full: the seq goes on without it
                self.tree.drain()
                self.streams[which].next_seq += 2

    def drain(self) -> list[Batch]:
        self.tree.drain()
        batches, self.batches = self.batches, []
        return batches


def model_of(batches: list[Batch], numbers: Numbers) -> Model:
    found: Model = defaultdict(list)
    for batch in batches:
        for stream, (ms, value, quality, seq, seqno) in batch:
            assert seq is not None
            found[numbers.of(stream)].append((seq, ms, value, quality, seqno))
    return dict(found)


def sealed(rows: list[Any]) -> list[tuple[Head, bytes]]:
    made = []
    for flush, (packed, gaps) in enumerate(rows, 1):
        assert isinstance(packed, Packed)
        head, data = packed.seal(flush, 0, gaps)
        made.append((Head(head), data))
    return made


def read(rows: list[tuple[Head, bytes]], names: dict[int, tuple[str, str]], **how: Any) -> Any:
    window = Window(
        how.pop("first", Position(1)), Names(names), until=Position(len(rows) + 1), **how
    )
    for head, data in rows:
        if head.flush >= window.first.flush and not window.take(head, data):
            break
    return window


def names(streams: int) -> dict[int, tuple[str, str]]:
    return {n: (str(UUID(int=n)), f"/s{n - 1}") for n in range(1, streams + 1)}


def model_of_runs(batch: JournalBatch) -> Model:
    found: Model = defaultdict(list)
    for run in batch.runs:
        for i, (ms, value) in enumerate(zip(run.ms, run.values, strict=True)):
            quality = (run.quality[i] if run.quality is not None else None) or GOOD
            seqno = run.seqnos[i] if run.seqnos is not None else None
            found[run.number].append((run.first_seq + i, ms, value, quality, seqno))
    return dict(found)


@given(
    st.lists(
        st.tuples(st.sampled_from(ADDS), st.integers(0, STREAMS - 1), st.booleans()), max_size=40
    ),
    st.booleans(),
    st.sampled_from([3, 7, 10_000]),
    st.integers(1, 12),
)
def test_what_comes_back_is_what_was_added(
    adds: list[tuple[str, int, bool]], is_hurried: bool, room: int, limit: int
) -> None:
    """SM-22: every reading in its stream's order with its seq, and every hole told, however it is
    packed and however it is read."""
    tree = Tree()
    batches: list[Batch] = []
    for i, (what, which, is_drained) in enumerate(adds):
        tree.put(what, which, i + 0.5)
        if is_drained:
            batches += tree.drain()
    batches += tree.drain()
    expected = model_of(batches, tree.numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "ROW_READINGS", room)
        patch.setattr(packing._parts, "__defaults__", (room,))
        rows = sealed(pack_batches(batches, tree.numbers, is_hurried))

    whole = read(rows, names(STREAMS))
    assert model_of_runs(whole.batch([])) == expected
    assert all(head.count <= room for head, _ in rows)
    in_pieces: Model = defaultdict(list)
    at, missing = Position(1), 0
    while at < Position(len(rows) + 1):
        window = read(rows, names(STREAMS), first=at, limit_readings=limit)
        piece = window.batch([])
        assert piece.count == sum(len(run.ms) for run in piece.runs) <= limit
        assert window.counts == {n: len(r) for n, r in model_of_runs(piece).items()}
        missing += sum(gap.count for gap in piece.gaps)
        assert piece.end > at
        at = piece.end
        for number, readings in model_of_runs(piece).items():
            in_pieces[number] += readings
    assert dict(in_pieces) == expected
    holes = sum(r[-1][0] + 1 - len(r) for r in expected.values())
    assert missing == holes
    assert sum(gap.count for gap in whole.gaps) == holes


def test_a_reading_of_each_stream_is_read_in_columns() -> None:
    """P-12: a second's readings of many series are never made into an object each."""
    tree = Tree(50)
    batches, rows = [], []
    for i in range(50):
        tree.put("plain", i, 1.0)
        if i % 20 == 19:
            batches += tree.drain()
        if i == 39:
            rows += pack_batches(batches, tree.numbers, True)
    rows = sealed([*rows, *pack_batches(tree.drain(), tree.numbers, True)])

    batch = read(rows, names(50)).batch([])

    assert isinstance(batch.runs, OneEach)
    assert [run.path for run in batch.runs] == [f"/s{i}" for i in range(50)]
    assert batch.runs[-1] == Run(
        UUID(int=50), 50, 0, [1_700_000_000_000], [1.0], None, None, "/s49"
    )
    assert batch.runs[1:3] == list(batch.runs)[1:3]


def test_cursors_that_keep_pace_are_given_the_same() -> None:
    """P-12: what one report has written serves the next; other readings, or a moved stream, are
    another object."""
    tree = Tree()
    made = []
    for value in range(2):
        for i in range(STREAMS):
            tree.put("plain", i, value + 0.5)
        made += pack_batches(tree.drain(), tree.numbers, True)
    rows, known = sealed(made), names(STREAMS)
    shared = Names(known)

    def runs(first: int) -> Any:
        window = Window(Position(first), shared, until=Position(first + 1))
        window.take(*rows[first - 1])
        return window.batch([]).runs

    first = runs(1)
    assert runs(1) is first
    assert runs(2) is not first
    again = runs(1)
    known[2] = (known[2][0], "/elsewhere")
    moved = runs(1)
    assert moved is not again
    assert [run.path for run in moved] == ["/s0", "/elsewhere", "/s2", "/s3"]


def test_a_second_reading_of_a_stream_joins_the_first() -> None:
    """SM-22: one run a stream, however many rows its readings stand in."""
    tree = Tree()
    made = []
    for value in range(3):
        for i in range(STREAMS):
            tree.put("plain", i, value + 0.5)
        made += pack_batches(tree.drain(), tree.numbers, True)

    batch = read(sealed(made), names(STREAMS)).batch([])

    assert [(run.path, run.values) for run in batch.runs] == [
        (f"/s{i}", [0.5, 1.5, 2.5]) for i in range(STREAMS)
    ]


def test_too_many_of_one_stream_are_left_out_of_a_row_of_single_readings() -> None:
    """SM-26: the bound of one stream is exact beside streams that keep it."""
    tree = Tree()
    for i in range(STREAMS):
        tree.put("plain", i, i + 0.5)
    rows = sealed(pack_batches(tree.drain(), tree.numbers, True))

    batch = read(rows, names(STREAMS), skip=lambda n: 1 if n == 2 else -5).batch([])

    assert [run.path for run in batch.runs] == ["/s0", "/s2", "/s3"]
    assert [(gap.path, gap.count, gap.why) for gap in batch.gaps] == [("/s1", 1, "bounds")]


def test_a_large_read_that_is_half_full_ends_before_the_row_that_it_would_cut() -> None:
    """P-12: no row is unpacked twice, and none is passed over."""
    tree = Tree()
    rows = []
    for size in (3_000, 4_000, 4_000, 10_000):
        for i in range(size):
            tree.put("plain", i % STREAMS, i + 0.5)
        rows += pack_batches(tree.drain(), tree.numbers, True)
    made = sealed(rows)

    first = read(made, names(STREAMS), limit_readings=10_000)
    second = read(made, names(STREAMS), first=first.end, limit_readings=10_000)
    third = read(made, names(STREAMS), first=second.end, limit_readings=10_000)

    assert (first.count, first.end) == (7_000, Position(3))
    assert (second.count, second.end) == (10_000, Position(4, 6_000))
    assert (third.count, third.end) == (4_000, Position(5))
    assert read(made, names(STREAMS), limit_readings=LARGE - 1).count == LARGE - 1


def test_readings_of_few_streams_are_put_together() -> None:
    """P-12: a row of one stream's thousand readings names it once."""
    tree = Tree()
    for i in range(1_000):
        tree.put("plain", i % 2, i + 0.5)
    batches = tree.drain()

    ((packed, gaps),) = pack_batches(batches, tree.numbers, True)

    assert gaps == []
    assert list(packed.runs()) == [(1, 0, 500), (2, 0, 500)]
    head, data = packed.seal(1, 0)
    assert Data(Head(head), data).values == [*[i + 0.5 for i in range(0, 1_000, 2)]] + [
        *[i + 0.5 for i in range(1, 1_000, 2)]
    ]


def test_a_batch_of_entries_is_packed_as_well() -> None:
    """SM-22: what no queue made, a listener of its own say, is packed alike."""
    tree = Tree()
    stream = tree.streams[0]
    batch = Batch([(stream, Reading(5, 1.5, GOOD, 0)), (stream, Reading(6, 2.5, GOOD, 1))], 2)

    ((packed, gaps),) = pack_batches([batch], tree.numbers)

    assert (gaps, list(packed.runs())) == ([], [(1, 0, 2)])

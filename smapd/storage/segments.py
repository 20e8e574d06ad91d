"""One segment of the readings journal: a SQLite file of at most 64 MiB.

::

    flush(seq, t_first, t_last, head, data)   one row per flush of all streams (rows.py)
    stream(number, data)    "SMJS" [number, uuid, path, next seq when this file was begun]
    cursor(name, data)      "SMJC" [name, flush, offset, limits]
    gap(id, data)           "SMJG" [id, cursor, flush, offset, gaps]: told when it comes there
    about(id, data)         "SMJA" [format, first flush, readings before it]; 2, closed: its sums;
                            3: a mark: what the rows before it come to

Beside ``flush``, all is a copy of what the segment before it had, so that the newest one has it
all. Cursors and gaps are written twice in a row: a flipped bit must not make a consumer skip.
Only the newest is written to; it alone may have a write-ahead log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from smapd.values import Position

from .rows import FIXED, Damaged, Head, RowGap, either, pack_small, small
from .segment_db import SegmentDb

NAME: Final = re.compile(r"(\d{4,})(?:-(\d+))?\.db")
"""Number, and how often it was mended."""

STREAM, CURSOR, GAP, ABOUT = b"SMJS", b"SMJC", b"SMJG", b"SMJA"

_SCHEMA: Final = """
CREATE TABLE flush(seq INTEGER PRIMARY KEY, t_first INTEGER NOT NULL, t_last INTEGER NOT NULL,
                   head BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE stream(number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE cursor(name TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE gap(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE about(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""


class Times(NamedTuple):
    """Of the earliest and the latest reading in a segment, and what its gaps touch; ms.

    By itself: nothing is known.
    """

    t_first: int = -(2**62)
    t_last: int = 2**62
    gap_first: int = -(2**62)
    gap_last: int = 2**62

    def with_readings(self, first: int, last: int) -> Times:
        """Also those."""
        return self._replace(t_first=min(self.t_first, first), t_last=max(self.t_last, last))

    def with_gap(self, gap: RowGap) -> Times:
        """Also that."""
        first, last = min(self.gap_first, gap.from_ms), max(self.gap_last, gap.to_ms)
        return self._replace(gap_first=first, gap_last=last)


NO_TIMES: Final = Times(2**62, -(2**62), 2**62, -(2**62))
"""Of a segment without readings and gaps."""


class Summary(NamedTuple):
    """What a segment holds: readings by stream number, and their times."""

    counts: dict[int, int]
    times: Times


class Mark(NamedTuple):
    """What all rows up to ``flush`` come to. ``nexts``: next seq by stream number."""

    flush: int
    before: int
    summary: Summary
    nexts: dict[int, int]


class Segment(SegmentDb):
    """An open segment of the readings journal."""

    APPLICATION = 0x534D4A31
    FORMAT = 1
    SCHEMA = _SCHEMA
    CACHE_KIB = 4096

    def __init__(self, path: Path, *, writable: bool) -> None:
        super().__init__(path, writable=writable)
        self.number = number_of(path)
        self.writable = writable

    # --- readings

    def heads(self, first: int = 0, last: int | None = None) -> Iterator[Head]:
        """The heads of rows ``first`` to ``last``, in order.

        :raises Damaged: at the first one that does not pass its checksum.
        """
        end = 2**62 if last is None else last
        for seq, head in self.db.execute(
            "SELECT seq, head FROM flush WHERE seq >= ? AND seq <= ? ORDER BY seq", (first, end)
        ):
            yield self._head(seq, head)

    def rows(self, first: int) -> Iterator[tuple[Head, bytes]]:
        """Head and data, unchecked, of each row from ``first`` on."""
        for seq, head, data in self.db.execute(
            "SELECT seq, head, data FROM flush WHERE seq >= ? ORDER BY seq", (first,)
        ):
            found = self._head(seq, head)
            if data.__class__ is not bytes:  # a flipped bit may change what kind of value it is
                raise Damaged(f"{self.path.name}: row {seq} has no data")
            yield found, data

    def _head(self, seq: int, head: Any) -> Head:
        if head.__class__ is not bytes:
            raise Damaged(f"{self.path.name}: row {seq} has no head")
        found = Head(head)
        if found.flush != seq:
            raise Damaged(f"{self.path.name}: row {seq} says that it is {found.flush}")
        return found

    def head(self, flush: int) -> Head:
        """The head of one row.

        :raises Damaged: if it does not pass its checksum, or is missing.
        """
        row = self.db.execute("SELECT head FROM flush WHERE seq = ?", (flush,)).fetchone()
        return self._head(flush, row[0] if row else None)

    def data(self, flush: int) -> bytes:
        """The data of one row, unchecked.

        :raises Damaged: if it is missing.
        """
        row = self.db.execute("SELECT data FROM flush WHERE seq = ?", (flush,)).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise Damaged(f"{self.path.name}: row {flush} has no data")
        return row[0]

    def put_row(self, head: bytes, data: bytes, seq: int, t_first: int, t_last: int) -> None:
        """Add a row; inside a transaction."""
        self.db.execute(
            "INSERT INTO flush VALUES(?, ?, ?, ?, ?)", (seq, t_first, t_last, head, data)
        )

    def ends(self) -> tuple[int, int] | None:
        """Numbers of the first and the last row; None without any."""
        # Two statements: in one, SQLite would scan the table.
        first = self.db.execute("SELECT min(seq) FROM flush").fetchone()[0]
        last = self.db.execute("SELECT max(seq) FROM flush").fetchone()[0]
        return None if first is None else (first, last)

    # --- what stands beside them

    def streams(self) -> Iterator[tuple[int, str, str, int] | None]:
        """(number, uuid, path, next seq) of each stream; None for a damaged one."""
        for (data,) in self.db.execute("SELECT data FROM stream ORDER BY number"):
            try:
                yield tuple(small(STREAM, data))
            except Damaged:
                yield None

    def cursors(self) -> Iterator[tuple[str, Position, list[Any]]]:
        """(name, position, limits) of each cursor.

        :raises Damaged: if both copies of one are.
        """
        for (data,) in self.db.execute("SELECT data FROM cursor"):
            name, flush, offset, limits = either(CURSOR, data)
            yield name, Position(flush, offset), limits

    def gaps(self) -> Iterator[tuple[int, str, Position, list[RowGap]]]:
        """(id, cursor, told before, gaps) of each pending record.

        :raises Damaged: if both copies of one are.
        """
        for (data,) in self.db.execute("SELECT data FROM gap ORDER BY id"):
            number, cursor, flush, offset, gaps = either(GAP, data)
            yield number, cursor, Position(flush, offset), [RowGap(*one) for one in gaps]

    def put_stream(self, number: int, uuid: str, path: str, next_seq: int) -> None:
        """Add or replace one."""
        self.db.execute(
            "INSERT OR REPLACE INTO stream VALUES(?, ?)",
            (number, pack_small(STREAM, [number, uuid, path, next_seq])),
        )

    def put_cursor(self, name: str, position: Position, limits: list[Any]) -> None:
        """Add or replace one."""
        self.db.execute(
            "INSERT INTO cursor VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET data = excluded.data",
            (name, 2 * pack_small(CURSOR, [name, *position, limits])),
        )

    def put_gap(self, number: int, cursor: str, before: Position, gaps: list[RowGap]) -> None:
        """Add one pending record; at most ten gaps, so that it stays within a page."""
        self.db.execute(
            "INSERT INTO gap VALUES(?, ?)",
            (number, 2 * pack_small(GAP, [number, cursor, *before, list(map(list, gaps))])),
        )

    def about(self) -> tuple[int, int]:
        """(first flush, readings before it).

        :raises Damaged: if that record is not sound.
        :raises DataDirUnusable: if a newer smapd wrote it.
        """
        form, first, before = small(ABOUT, self.said(1))
        self.check_form(form)
        return first, before

    def summary(self) -> Summary | None:
        """What it holds, once it is closed; None before that, or if the record is damaged."""
        try:
            numbers, counts, *times = small(ABOUT, self.said(2))
        except Damaged:
            return None
        return Summary(dict(zip(numbers, counts, strict=True)), Times(*times))

    def put_summary(self, summary: Summary) -> None:
        """Say that it is closed."""
        counts, times = summary
        data = pack_small(ABOUT, [list(counts), list(counts.values()), *times])
        self.say(2, data)

    def mark(self) -> Mark | None:
        """The last mark; None without one, or if it is damaged."""
        try:
            flush, before, times, counts, nexts = small(ABOUT, self.said(3))
        except Damaged:
            return None
        summary = Summary(dict(zip(*counts, strict=True)), Times(*times))
        return Mark(flush, before, summary, dict(zip(*nexts, strict=True)))

    def put_mark(self, mark: Mark) -> None:
        """Note one, in place of the one before; inside a transaction."""
        counts, times = mark.summary
        columns = [[list(of), list(of.values())] for of in (counts, mark.nexts)]
        data = pack_small(ABOUT, [mark.flush, mark.before, list(times), *columns])
        self.say(3, data)

    def summarize(self) -> Summary:
        """What it holds, from the heads."""
        counts: dict[int, int] = {}
        times = NO_TIMES
        for head in self.heads():
            if head.count:
                times = times.with_readings(head.t_first, head.t_last)
            for gap in head.gaps() if head.has_gaps else ():
                times = times.with_gap(gap)
            for number, _first, n in head.runs():
                counts[number] = counts.get(number, 0) + n
        return Summary(counts, times)


def create(
    path: Path,
    first: int,
    before: int,
    streams: Iterable[tuple[int, str, str, int]],
    cursors: Iterable[tuple[str, Position, list[Any]]],
    gaps: Iterable[tuple[int, str, Position, list[RowGap]]],
    rows: Iterable[tuple[bytes, bytes]] = (),
) -> Segment:
    """A new segment, whole on the disk before it gets its name; open for writing."""

    def fill(made: Segment) -> None:
        made.say(1, pack_small(ABOUT, [Segment.FORMAT, first, before]))
        for stream in streams:
            made.put_stream(*stream)
        for cursor in cursors:
            made.put_cursor(*cursor)
        for gap in gaps:
            made.put_gap(*gap)
        for head, data in rows:
            fixed = FIXED.unpack_from(head)
            made.put_row(head, data, fixed[2], fixed[7], fixed[8])

    return Segment.make(path, fill)


def number_of(path: Path) -> int:
    """Its place in the row of segments. (Names do not sort: the 10,000th has a digit more.)"""
    return int(path.stem.partition("-")[0])

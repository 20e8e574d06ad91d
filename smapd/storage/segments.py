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

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from smapd.errors import DataDirUnusable
from smapd.values import Position

from .rows import FIXED, Damaged, Head, RowGap, pack_small, unpack_small

PAGE: Final = 2048
"""Half of SQLite's own: a small commit writes two thirds of the bytes, a large one is as fast."""
FORMAT: Final = 1
APPLICATION: Final = 0x534D4A31
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


class Segment:
    """An open segment; every method on the disk's thread.

    What SQLite raises comes through: ``sqlite3.OperationalError`` for a full or failing disk,
    ``sqlite3.DatabaseError`` for a damaged file.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self.number = number_of(path)
        self.writable = writable
        if writable:
            self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            _configure(self.db)
        else:
            # Nobody writes to it any more: no lock, no -shm beside it.
            uri = f"{path.as_uri()}?mode=ro&immutable=1"
            self.db = sqlite3.connect(uri, uri=True, check_same_thread=False)

    def close(self) -> None:
        """Let go of it; the log of a writable one is worked in and removed."""
        self.db.close()

    def begin_log(self) -> bool:
        """Work the log in, and begin another; False if the disk does not let it.

        What a commit that failed, or a process that was killed, left behind the log's end bears the
        same marks as the log. Behind commits that came after, it would pass for damage.
        """
        try:
            (busy, _, _) = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError:
            return False
        return not busy

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

    def size_bytes(self) -> int:
        """How large the file is, or will be once its log is worked in."""
        return int(self.db.execute("PRAGMA page_count").fetchone()[0]) * PAGE

    # --- what stands beside them

    def streams(self) -> Iterator[tuple[int, str, str, int] | None]:
        """(number, uuid, path, next seq) of each stream; None for a damaged one."""
        for (data,) in self.db.execute("SELECT data FROM stream ORDER BY number"):
            try:
                yield tuple(_small(STREAM, data))
            except Damaged:
                yield None

    def cursors(self) -> Iterator[tuple[str, Position, list[Any]]]:
        """(name, position, limits) of each cursor.

        :raises Damaged: if both copies of one are.
        """
        for (data,) in self.db.execute("SELECT data FROM cursor"):
            name, flush, offset, limits = _either(CURSOR, data)
            yield name, Position(flush, offset), limits

    def gaps(self) -> Iterator[tuple[int, str, Position, list[RowGap]]]:
        """(id, cursor, told before, gaps) of each pending record.

        :raises Damaged: if both copies of one are.
        """
        for (data,) in self.db.execute("SELECT data FROM gap ORDER BY id"):
            number, cursor, flush, offset, gaps = _either(GAP, data)
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
        row = self.db.execute("SELECT data FROM about WHERE id = 1").fetchone()
        form, first, before = _small(ABOUT, row[0] if row else b"")
        if form > FORMAT:
            raise DataDirUnusable(
                f"{self.path} has format {form}, and this smapd knows {FORMAT}; it was written by "
                "a newer one.",
                hint="Run that newer smapd, or name another directory with --data-dir.",
            )
        return first, before

    def summary(self) -> Summary | None:
        """What it holds, once it is closed; None before that, or if the record is damaged."""
        row = self.db.execute("SELECT data FROM about WHERE id = 2").fetchone()
        try:
            numbers, counts, *times = _small(ABOUT, row[0] if row else b"")
        except Damaged:
            return None
        return Summary(dict(zip(numbers, counts, strict=True)), Times(*times))

    def put_summary(self, summary: Summary) -> None:
        """Say that it is closed."""
        counts, times = summary
        data = pack_small(ABOUT, [list(counts), list(counts.values()), *times])
        self.db.execute("INSERT OR REPLACE INTO about VALUES(2, ?)", (data,))

    def mark(self) -> Mark | None:
        """The last mark; None without one, or if it is damaged."""
        row = self.db.execute("SELECT data FROM about WHERE id = 3").fetchone()
        try:
            flush, before, times, counts, nexts = _small(ABOUT, row[0] if row else b"")
        except Damaged:
            return None
        summary = Summary(dict(zip(*counts, strict=True)), Times(*times))
        return Mark(flush, before, summary, dict(zip(*nexts, strict=True)))

    def put_mark(self, mark: Mark) -> None:
        """Note one, in place of the one before; inside a transaction."""
        counts, times = mark.summary
        columns = [[list(of), list(of.values())] for of in (counts, mark.nexts)]
        data = pack_small(ABOUT, [mark.flush, mark.before, list(times), *columns])
        self.db.execute("INSERT OR REPLACE INTO about VALUES(3, ?)", (data,))

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
    new = path.with_suffix(".db.new")
    remove(new)
    db = sqlite3.connect(new, isolation_level=None, check_same_thread=False)
    try:
        # One transaction in a file nobody knows: a log of its own would only be written twice.
        db.execute(f"PRAGMA page_size = {PAGE}")
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.executescript("BEGIN;" + _SCHEMA)
        made = Segment.__new__(Segment)
        made.db = db
        db.execute("INSERT INTO about VALUES(1, ?)", (pack_small(ABOUT, [FORMAT, first, before]),))
        for stream in streams:
            made.put_stream(*stream)
        for cursor in cursors:
            made.put_cursor(*cursor)
        for gap in gaps:
            made.put_gap(*gap)
        for head, data in rows:
            fixed = FIXED.unpack_from(head)
            made.put_row(head, data, fixed[2], fixed[7], fixed[8])
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        db.close()
        remove(new)
        raise
    db.close()
    sync_file(new)
    os.rename(new, path)
    sync_file(path.parent)
    return Segment(path, writable=True)


def number_of(path: Path) -> int:
    """Its place in the row of segments. (Names do not sort: the 10,000th has a digit more.)"""
    return int(path.stem.partition("-")[0])


def _either(magic: bytes, data: bytes) -> Any:
    try:
        return _small(magic, data)
    except Damaged:
        return _small(magic, data[len(data) // 2 :] if isinstance(data, bytes) else data)


def _small(magic: bytes, data: Any) -> Any:
    if not isinstance(data, bytes):
        raise Damaged("a record is not what it was")
    return unpack_small(magic, data)


def remove(path: Path) -> None:
    """Remove a segment's files; what is not there is no error."""
    for tail in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}{tail}")


def sync_file(path: Path) -> None:
    """Have the disk hold what this file, or directory, has."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _configure(db: sqlite3.Connection) -> None:
    # A lock that another process holds is a mistake of somebody: do not wait on the disk's thread.
    for pragma in (
        "locking_mode = EXCLUSIVE",  # first: then there is no -shm, its index lives in memory
        "busy_timeout = 1000",
        "synchronous = FULL",
        "journal_size_limit = 67108864",
        "wal_autocheckpoint = 2000",  # 4 MiB
        "cache_size = -4096",
    ):
        db.execute(f"PRAGMA {pragma}")

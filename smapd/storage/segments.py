"""One segment of the readings journal: a SQLite file of at most 64 MiB.

::

    flush(seq, t_first, t_last, head, data)   one row per flush of all streams (rows.py)
    stream(number, data)    "SMJS" [number, uuid, path, next seq when this file was begun]
    cursor(name, data)      "SMJC" [name, flush, offset, limits]
    gap(id, data)           "SMJG" [id, cursor, flush, offset, gaps]: told when the cursor is there
    about(id, data)         "SMJA" [format, first flush, readings before it]; 2: closed, with counts

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

from .rows import Damaged, Head, RowGap, pack_small, unpack_small

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


class Summary(NamedTuple):
    """What a segment holds: readings by stream number; times of the earliest and the latest."""

    counts: dict[int, int]
    t_first: int
    t_last: int


class Segment:
    """An open segment; every method on the disk's thread.

    What SQLite raises comes through: ``sqlite3.OperationalError`` for a full or failing disk,
    ``sqlite3.DatabaseError`` for a damaged file.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self.number = int(path.stem.partition("-")[0])
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

    # --- readings

    def heads(self, first: int = 0, last: int | None = None) -> Iterator[Head]:
        """The heads of rows ``first`` to ``last``, in order.

        :raises Damaged: at the first one that does not pass its checksum.
        """
        end = 2**62 if last is None else last
        for seq, head in self.db.execute(
            "SELECT seq, head FROM flush WHERE seq >= ? AND seq <= ? ORDER BY seq", (first, end)
        ):
            found = Head(head)
            if found.flush != seq:
                raise Damaged(f"{self.path.name}: row {seq} says that it is {found.flush}")
            yield found

    def rows(self, first: int) -> Iterator[tuple[Head, bytes]]:
        """Head and data, unchecked, of each row from ``first`` on."""
        for seq, head, data in self.db.execute(
            "SELECT seq, head, data FROM flush WHERE seq >= ? ORDER BY seq", (first,)
        ):
            found = Head(head)
            if found.flush != seq:
                raise Damaged(f"{self.path.name}: row {seq} says that it is {found.flush}")
            yield found, data

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
                yield tuple(unpack_small(STREAM, data))
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
        form, first, before = unpack_small(ABOUT, row[0] if row else b"")
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
            numbers, counts, t_first, t_last = unpack_small(ABOUT, row[0] if row else b"")
        except Damaged:
            return None
        return Summary(dict(zip(numbers, counts, strict=True)), t_first, t_last)

    def put_summary(self, summary: Summary) -> None:
        """Say that it is closed."""
        counts, t_first, t_last = summary
        data = pack_small(ABOUT, [list(counts), list(counts.values()), t_first, t_last])
        self.db.execute("INSERT OR REPLACE INTO about VALUES(2, ?)", (data,))

    def summarize(self) -> Summary:
        """What it holds, from the heads."""
        counts: dict[int, int] = {}
        t_first, t_last = 2**62, -(2**62)
        for head in self.heads():
            if head.count:
                t_first, t_last = min(t_first, head.t_first), max(t_last, head.t_last)
            for number, _first, n in head.runs():
                counts[number] = counts.get(number, 0) + n
        return Summary(counts, t_first, t_last)


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
            found = Head(head)
            made.put_row(head, data, found.flush, found.t_first, found.t_last)
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


def _either(magic: bytes, data: bytes) -> Any:
    try:
        return unpack_small(magic, data)
    except Damaged:
        return unpack_small(magic, data[len(data) // 2 :])


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

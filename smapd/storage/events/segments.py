"""One segment of the event log: a SQLite file of at most 64 MiB.

::

    event(asset, seq, n, t_max, data)   a row (rows.py): n events of one asset from offset seq on
    flush(number, data)   one a commit: "SMEK" [number, when, events in this file until now, assets
                          and cursors there are, [[asset, first, n]], [[asset, name]] of new ones,
                          [[name, asset]] of cursors forgotten]; "SMEI" [[asset, offset, dedupe id]]
    asset(number, data)   "SMEA" [number, name, base, next offset when the file was begun, commit]
    cursor(name, asset, data)   "SMEC" [name, asset, place, commit]
    about(id, data)       "SMEB" [format, commits and events before this file, assets and cursors
                          when it was begun]; 2: closed, with the latest time and the events in it

Assets and cursors begin as a copy of what the segment before it had, so that the newest one has
them all; they are written twice in a row, since a flipped bit must not make a consumer skip, nor
an offset be used twice. Only the newest is written to; it alone may have a write-ahead log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..rows import Damaged, either, pack_small, small, small_size
from ..segment_db import SegmentDb

FLUSH, IDS, ASSET, CURSOR, ABOUT = b"SMEK", b"SMEI", b"SMEA", b"SMEC", b"SMEB"

_SCHEMA: Final = """
CREATE TABLE event(asset INTEGER NOT NULL, seq INTEGER NOT NULL, n INTEGER NOT NULL,
                   t_max INTEGER NOT NULL, data BLOB NOT NULL,
                   PRIMARY KEY(asset, seq)) WITHOUT ROWID;
CREATE TABLE flush(number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE asset(number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE cursor(name TEXT NOT NULL, asset INTEGER NOT NULL, data BLOB NOT NULL,
                    PRIMARY KEY(name, asset)) WITHOUT ROWID;
CREATE TABLE about(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""


class AssetRow(NamedTuple):
    """One asset as a segment has it. ``begin``: its next offset when the segment was begun."""

    number: int
    name: str
    base: int
    begin: int
    commit: int


class CursorRow(NamedTuple):
    """One cursor. ``commit``: the one that wrote it."""

    name: str
    asset: int
    place: int
    commit: int


class Flush(NamedTuple):
    """What a commit says of itself. ``parts``: (asset, first, n); ``ids``: (asset, offset, id).

    The ids stand behind all else: of many, the rest is in the page still.
    """

    number: int
    at_ms: int
    total: int
    assets: int
    cursors: int
    parts: list[tuple[int, int, int]]
    fresh: list[tuple[int, str]]
    forgets: list[tuple[str, int]]
    ids: list[tuple[int, int, str]]

    @property
    def is_quiet(self) -> bool:
        """Whether it only says where cursors are: the next one may stand in its place."""
        return not (self.parts or self.fresh or self.forgets)

    def pack(self) -> bytes:
        """As it is stored."""
        *said, ids = self
        return pack_small(FLUSH, said) + (pack_small(IDS, ids) if ids else b"")

    @classmethod
    def unpack(cls, data: Any) -> Flush:
        """What was packed; without the ids if those alone are damaged.

        :raises Damaged: if it does not pass its checksum.
        """
        number, at_ms, total, assets, cursors, parts, fresh, forgets = small(FLUSH, data)
        try:
            ids = small(IDS, data[small_size(data) :])
        except Damaged:
            ids = []
        return cls(number, at_ms, total, assets, cursors, parts, fresh, forgets, ids)


class About(NamedTuple):
    """``commits``, ``events``: before this file, ever. ``assets``, ``cursors``: copied into it."""

    commits: int
    events: int
    assets: int
    cursors: int


class EventSegment(SegmentDb):
    """An open segment of the event log."""

    APPLICATION = 0x534D4531
    FORMAT = 1
    SCHEMA = _SCHEMA
    CACHE_KIB = 8192

    # --- what it says

    def about(self) -> About:
        """What there was before it.

        :raises Damaged: if that record is not sound.
        :raises DataDirUnusable: if a newer smapd wrote it.
        """
        form, *rest = either(ABOUT, self.said(1))
        self.check_form(form)
        return About(*rest)

    def summary(self) -> tuple[int, int] | None:
        """(latest time of publication, events), once it is closed; None before that."""
        try:
            t_max, events = small(ABOUT, self.said(2))
        except Damaged:
            return None
        return t_max, events

    def assets(self) -> Iterator[AssetRow]:
        """All assets that it knows, by number.

        :raises Damaged: if both copies of one are.
        """
        for number, data in self.db.execute("SELECT number, data FROM asset ORDER BY number"):
            found = AssetRow(*either(ASSET, data))
            if found.number != number:
                raise Damaged(f"{self.path.name}: asset {number} says that it is {found.number}")
            yield found

    def begin_of(self, number: int) -> int:
        """The asset's next offset when this file was begun; 0 if it came later.

        :raises Damaged: if both copies of its record are.
        """
        row = self.db.execute("SELECT data FROM asset WHERE number = ?", (number,)).fetchone()
        return 0 if row is None else AssetRow(*either(ASSET, row[0])).begin

    def cursors(self) -> Iterator[CursorRow]:
        """All cursors.

        :raises Damaged: if both copies of one are.
        """
        for (data,) in self.db.execute("SELECT data FROM cursor"):
            yield CursorRow(*either(CURSOR, data))

    def flushes(self) -> Iterator[Flush]:
        """The commits into this file, newest first; without those that are damaged."""
        for (data,) in self.db.execute("SELECT data FROM flush ORDER BY number DESC"):
            try:
                yield Flush.unpack(data)
            except Damaged:
                continue

    def last_flush(self) -> Flush | None:
        """The last commit into this file; None if there was none.

        :raises Damaged: if its record is not sound.
        """
        row = self.db.execute("SELECT data FROM flush ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else Flush.unpack(row[0])

    # --- events

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """(asset, first offset, events) of each row, in order.

        :raises Damaged: if they are no numbers; else they are not checked.
        """
        for asset, first, n in self.db.execute(
            "SELECT asset, seq, n FROM event ORDER BY asset, seq"
        ):
            if not type(asset) is type(first) is type(n) is int:
                raise Damaged(f"{self.path.name}: a row has no numbers")
            yield asset, first, n

    def rows(self, number: int, offset: int) -> Iterator[tuple[int, bytes]]:
        """(first offset, data) of the asset's rows, from the one that has ``offset``; unchecked."""
        row = self.db.execute(
            "SELECT max(seq) FROM event WHERE asset = ? AND seq <= ?", (number, offset)
        ).fetchone()
        first = row[0] if isinstance(row[0], int) else offset
        return iter(
            self.db.execute(
                "SELECT seq, data FROM event WHERE asset = ? AND seq >= ? ORDER BY seq",
                (number, first),
            )
        )

    def rows_since(self, number: int, ms: int) -> Iterator[tuple[int, bytes]]:
        """(first offset, data) of the asset's rows that have an event at or behind ``ms``."""
        return iter(
            self.db.execute(
                "SELECT seq, data FROM event WHERE asset = ? AND t_max >= ? ORDER BY seq",
                (number, ms),
            )
        )

    def t_max(self) -> int:
        """The latest time of publication in it; looks at all of it.

        :raises Damaged: if there is something else.
        """
        latest = self.db.execute("SELECT max(t_max) FROM event").fetchone()[0]
        if not isinstance(latest, int | None):
            raise Damaged(f"{self.path.name}: a row has no time")
        return latest or 0

    # --- writing, inside a transaction

    def put_rows(self, rows: Iterable[tuple[int, int, int, int, bytes]]) -> None:
        """Add rows of events: (asset, first, n, t_max, data) of each."""
        self.db.executemany("INSERT INTO event VALUES(?, ?, ?, ?, ?)", rows)

    def put_asset(self, asset: AssetRow) -> None:
        """Add or replace one."""
        self.db.execute(
            "INSERT OR REPLACE INTO asset VALUES(?, ?)",
            (asset.number, 2 * pack_small(ASSET, list(asset))),
        )

    def put_cursor(self, cursor: CursorRow) -> None:
        """Add or replace one."""
        self.db.execute(
            "INSERT INTO cursor VALUES(?, ?, ?) "
            "ON CONFLICT(name, asset) DO UPDATE SET data = excluded.data",
            (cursor.name, cursor.asset, 2 * pack_small(CURSOR, list(cursor))),
        )

    def drop_cursor(self, name: str, number: int) -> None:
        """Remove one."""
        self.db.execute("DELETE FROM cursor WHERE name = ? AND asset = ?", (name, number))

    def put_flush(self, flush: Flush) -> None:
        """Add the record of a commit."""
        self.db.execute("INSERT INTO flush VALUES(?, ?)", (flush.number, flush.pack()))

    def drop_flush(self, number: int) -> None:
        """Remove the record of a commit."""
        self.db.execute("DELETE FROM flush WHERE number = ?", (number,))

    def put_summary(self, t_max: int, events: int) -> None:
        """Say that it is closed."""
        self.say(2, pack_small(ABOUT, [t_max, events]))


def create(
    path: Path,
    about: About,
    assets: Iterable[AssetRow],
    cursors: Iterable[CursorRow],
    rows: Iterable[tuple[int, int, int, int, bytes]] = (),
    flushes: Iterable[Flush] = (),
) -> EventSegment:
    """A new segment, whole on the disk before it gets its name; open for writing.

    ``rows``: (asset, first, n, t_max, data) of each.
    """

    def fill(made: EventSegment) -> None:
        made.say(1, 2 * pack_small(ABOUT, [EventSegment.FORMAT, *about]))
        for asset in assets:
            made.put_asset(asset)
        for cursor in cursors:
            made.put_cursor(cursor)
        made.put_rows(rows)
        for flush in flushes:
            made.put_flush(flush)

    return EventSegment.make(path, fill)

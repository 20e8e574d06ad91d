"""Where received readings are kept: a SQLite file, or a CSV file that grows.

A report may come twice, after an answer that was lost. In SQLite a reading is kept once for its
stream, time, number in the stream (where the sender says it) and value; so two that differ in value
at one moment are both kept, and equal ones are one unless their numbers say otherwise::

    stream(id, uuid, path, about)            about: Properties, Metadata …, as JSON, the last told
    collection(path, about)
    reading(stream, ms, seq, kind, value, note, received_ms)
        kind 1: value is a number; 2: a text; 3: NaN; 0: there is none, and note says why
        seq -1: not said. Infinities are kept as numbers
    gap(stream, told, received_ms)           told: as it came, JSON

In CSV a line is not written again while it is among the last 200,000. Everything is on the disk
when `put` returns.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from smapd.errors import SmapError, StorageFull
from smapd.values import Value, wall_ms

from .csv_lines import cell, csv_value, seconds
from .receive_bodies import Received, Report

RECENT_LINES: Final = 200_000
_TAIL_BYTES: Final = 32 * 1024 * 1024
_APPLICATION: Final = 0x534D5231
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS stream(id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL, about TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS collection(path TEXT PRIMARY KEY, about TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reading(stream INTEGER NOT NULL, ms INTEGER NOT NULL,
    seq INTEGER NOT NULL, kind INTEGER NOT NULL, value NOT NULL, note TEXT NOT NULL,
    received_ms INTEGER NOT NULL, PRIMARY KEY(stream, ms, seq, kind, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gap(stream INTEGER NOT NULL, told TEXT NOT NULL,
    received_ms INTEGER NOT NULL, UNIQUE(stream, told));
"""


class Store(Protocol):
    """Keeps reports."""

    def put(self, reports: Sequence[Report]) -> int:
        """Keep all of them, durable when it returns, or nothing; how many readings are new.

        :raises StorageFull: if the disk does not take them.
        """

    def close(self) -> None:
        """Let go of the file."""


class SqliteStore:
    """A SQLite file. Others may read it meanwhile."""

    def __init__(self, path: str) -> None:
        """:raises SmapError: if it cannot be opened, or is something else."""
        self._path = path
        self._ids: dict[str, int] = {}
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            (found,) = self._db.execute("PRAGMA application_id").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if found != _APPLICATION and tables:
                raise SmapError(f"{path} is a database of something else. Name another file.")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as e:
            raise SmapError(f"{path} cannot be used: {e}.") from None

    def put(self, reports: Sequence[Report]) -> int:
        now_ms = wall_ms()
        new = 0
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for report in reports:
                for path, about in report.collections.items():
                    self._db.execute(
                        "INSERT INTO collection VALUES(?, ?) ON CONFLICT(path) DO UPDATE SET "
                        "about = excluded.about",
                        (path, _json(about)),
                    )
                for stream in report.streams:
                    new += self._put(stream, now_ms)
            self._db.execute("COMMIT")
        except sqlite3.Error as e:
            self._ids.clear()  # one that was made in it may be gone
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StorageFull(f"{self._path} does not take it: {e}.") from e
        return new

    def close(self) -> None:
        self._db.close()

    def _put(self, stream: Received, now_ms: int) -> int:
        number = self._number(stream)
        rows = [
            (number, record.ms, record.seq, *_stored(record.value), record.note, now_ms)
            for record in stream.records
        ]
        before = self._db.total_changes
        self._db.executemany("INSERT OR IGNORE INTO reading VALUES(?, ?, ?, ?, ?, ?, ?)", rows)
        new = self._db.total_changes - before
        self._db.executemany(
            "INSERT OR IGNORE INTO gap VALUES(?, ?, ?)",
            [(number, _json(gap), now_ms) for gap in stream.gaps],
        )
        return new

    def _number(self, stream: Received) -> int:
        uuid = str(stream.uuid)
        number = self._ids.get(uuid)
        if number is None or stream.about:
            about = _json(stream.about) if stream.about else None
            self._db.execute(
                "INSERT INTO stream(uuid, path, about) VALUES(?, ?, coalesce(?, '{}')) ON "
                "CONFLICT(uuid) DO UPDATE SET path = excluded.path, about = coalesce(?, about)",
                (uuid, stream.path, about, about),
            )
            (number,) = self._db.execute("SELECT id FROM stream WHERE uuid = ?", (uuid,)).fetchone()
            self._ids[uuid] = int(number)
        return int(number)


class CsvStore:
    """A CSV file: ``uuid,path,seconds,value``. Readings without a value have no place in it."""

    def __init__(self, path: str) -> None:
        """:raises SmapError: if it cannot be opened."""
        self._path = path
        self._order: deque[int] = deque()
        self._recent: set[int] = set()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            size = os.fstat(self._file).st_size
            tail = os.pread(self._file, min(size, _TAIL_BYTES), max(0, size - _TAIL_BYTES))
            whole = tail.rfind(b"\n") + 1
            if tail and not whole and size > _TAIL_BYTES:
                raise SmapError(f"{path} is no CSV file. Name another file.")
            self._size = size - len(tail) + whole
            os.ftruncate(self._file, self._size)  # a line that a crash cut short comes again
        except OSError as e:
            raise SmapError(f"{path}: {e.strerror or e}.") from None
        for line in tail[:whole].split(b"\n")[-RECENT_LINES - 1 : -1]:
            self._remember(hash(line))

    def put(self, reports: Sequence[Report]) -> int:
        lines = [line for report in reports for stream in report.streams for line in _lines(stream)]
        new: list[bytes] = []
        seen: set[int] = set()
        for line in lines:
            key = hash(line)
            if key not in self._recent and key not in seen:
                seen.add(key)
                new.append(line)
        data = b"".join(line + b"\n" for line in new)
        try:
            at = self._size
            view = memoryview(data)
            while view:
                written = os.pwrite(self._file, view, at)
                at += written
                view = view[written:]
            if data:
                os.fsync(self._file)
        except OSError as e:
            os.ftruncate(self._file, self._size)
            raise StorageFull(f"{self._path} does not take it: {e.strerror or e}.") from e
        self._size = at
        for line in new:
            self._remember(hash(line))
        return len(new)

    def close(self) -> None:
        os.close(self._file)

    def _remember(self, key: int) -> None:
        if key in self._recent:
            return
        self._order.append(key)
        self._recent.add(key)
        if len(self._order) > RECENT_LINES:
            self._recent.discard(self._order.popleft())


def open_store(path: str, *, as_csv: bool) -> Store:
    """The file, made if it is not there.

    :raises SmapError: if it cannot be used.
    """
    return CsvStore(path) if as_csv else SqliteStore(path)


def _lines(stream: Received) -> list[bytes]:
    head = f"{stream.uuid},{cell(stream.path)}"
    return [
        f"{head},{seconds(record.ms)},{csv_value(record.value)}".encode()
        for record in stream.records
        if record.value is not None
    ]


def _stored(value: Value) -> tuple[int, int | float | str]:
    if value is None:
        return 0, 0
    if isinstance(value, str):
        return 2, value.encode("utf-8", "replace").decode()
    if math.isnan(value):
        return 3, 0
    return 1, value


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)

"""The tables of ``desired.db``, each row with a checksum.

::

    version(n, data)                  "SMD1" ["v", n, header]     as Version.header gives it
    deploy(d, data)                   "SMD1" ["d", d, deploy]
    result(d, i, data)                "SMD1" ["r", d, i, result]  i: which resource of its version
    action(seq, resource, ms, data)   "SMD1" ["a", seq, action]
    fact(resource, name, data)        "SMD1" ["f", resource, name, fact]
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from smapd.errors import DataDirUnusable
from smapd.storage.rows import Damaged, pack_small, unpack_small

COLUMNS: Final[Mapping[str, str]] = {
    "version": "n, data",
    "deploy": "d, data",
    "result": "d, i, data",
    "action": "seq, resource, ms, data",
    "fact": "resource, name, data",
}
MAGIC: Final = b"SMD1"
_FORMAT: Final = 1
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS version(n INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS deploy(d INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS result(d INTEGER, i INTEGER, data BLOB NOT NULL, "
    "PRIMARY KEY(d, i)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS action(seq INTEGER PRIMARY KEY, resource TEXT NOT NULL, "
    "ms INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS action_of ON action(resource, seq)",
    "CREATE TABLE IF NOT EXISTS fact(resource TEXT, name TEXT, data BLOB NOT NULL, "
    "PRIMARY KEY(resource, name)) WITHOUT ROWID",
)
_KIND: Final[Mapping[str, str]] = {
    "version": "v",
    "deploy": "d",
    "result": "r",
    "action": "a",
    "fact": "f",
}


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, with all tables; for any thread, one at a time.

    :raises DataDirUnusable: if it was written by a newer smapd.
    :raises sqlite3.Error: if it is damaged, or the disk is full or fails.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "auto_vacuum = INCREMENTAL",
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = FULL",
            "journal_size_limit = 67108864",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        (made_by,) = db.execute("PRAGMA user_version").fetchone()
        if made_by > _FORMAT:
            raise DataDirUnusable(
                f"{path} has format {made_by}, and this smapd knows {_FORMAT}; it was written by a "
                "newer one.",
                hint="Run that newer smapd, or name another directory with --data-dir.",
            )
        for statement in _SCHEMA:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {_FORMAT}")
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def whole(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction: commits, or undoes all of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def packed(kind: str, *what: Any) -> bytes:
    """The bytes of a row, or of what else is kept with a checksum."""
    return pack_small(MAGIC, [kind, *what])


def as_row(kind: str, *what: Any) -> tuple[Any, ...]:
    """A row whose columns are all but the last of ``what``, and the bytes."""
    return (*what[:-1], packed(kind, *what))


def value_of(table: str, row: Sequence[Any]) -> list[Any] | None:
    """What a row holds, if it passes its checksum and stands where it was written."""
    data = row[-1]
    try:
        found = unpack_small(MAGIC, data) if isinstance(data, bytes) else None
    except Damaged:
        return None
    keys = row[:1] if table == "action" else row[:-1]
    if not isinstance(found, list) or found[0] != _KIND[table] or found[1:-1] != list(keys):
        return None
    return found


def salvage(damaged: Path, db: sqlite3.Connection) -> int:
    """Take every row that can still be read and passes its checksum; how many there were."""
    saved = 0
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as old:
        for table, columns in COLUMNS.items():
            marks = ", ".join("?" * (columns.count(",") + 1))
            with whole(db):
                for found in _readable(old, f"SELECT {columns} FROM {table}"):
                    if value_of(table, found) is not None:
                        db.execute(f"INSERT OR REPLACE INTO {table} VALUES({marks})", found)
                        saved += 1
    return saved


def _readable(db: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a damaged database, as far as they come."""
    try:
        yield from db.execute(query)
    except sqlite3.DatabaseError:
        return

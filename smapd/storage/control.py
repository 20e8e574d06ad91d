"""``control.db``: the definitions that were made at run time, each row with a checksum.

::

    def(kind, key, data)    "SMJD" [kind, key, value]

All of it stands once more in a copy (`control_copy`), which has each change before who made it is
answered. A damaged row, or a damaged file, is taken from there. Two rows are no definitions:
``control`` ``changes`` counts the changes, so that a file whose log lost its end shows as older
than its copy (SQLite drops what lies behind a bad frame in silence), and ``journal`` ``highest``
says how far the readings journal goes, so that one cut short is noticed; that one is not worth a
copy.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from smapd.errors import DataDirUnusable
from smapd.values import Json

from .control_copy import COUNTER, MAGIC, ControlCopy, Row, changes_of, counted, is_sound
from .opening_failed import cannot_open, is_full
from .quarantine import set_aside
from .rawscan import read_wal
from .recovery import BROKEN, is_disk
from .rows import Damaged, pack_small, unpack_small

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS def(kind TEXT, key TEXT, data BLOB NOT NULL, "
    "PRIMARY KEY(kind, key))"
)
_PAGE: Final = 4096


class Control:
    """The definitions in ``directory``. Every method does I/O: all on one disk's thread.

    Each change is durable when its method returns.
    """

    def __init__(self, directory: Path, quarantine: Path) -> None:
        self.path = directory / "control.db"
        self.copy = ControlCopy(directory)
        self.quarantine = quarantine
        self.notes: list[str] = []
        """Sentences for the log about what was mended."""
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open it, or begin; what is damaged comes from the copy.

        :raises DataDirUnusable: if the file is damaged and there is no sound copy, or the disk is
            full.
        :raises sqlite3.OperationalError, OSError: if the disk fails.
        """
        try:
            self._begin()
        except (sqlite3.Error, OSError) as error:
            if is_disk(error) and is_full(self.path.parent):
                raise cannot_open(self.path, self.path.parent, error) from error
            raise

    def _begin(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not self.path.exists()
        copied = self._copied_or_none()
        if copied and read_wal(self.path, _PAGE).suspect:
            self._replace(Damaged("its log breaks off in the middle"))  # untouched by SQLite
            return
        try:
            self._db = self._connect(self.path)
            rows = self._db.execute("SELECT kind, key, data FROM def").fetchall()
            (found,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise Damaged(found.replace("\n", " "))
        except BROKEN as error:
            if is_disk(error):
                raise
            self._replace(error)
            return
        bad = [row for row in rows if not is_sound(*row)]
        if not is_new and changes_of(rows) < changes_of(copied):
            self._replace(Damaged("its end is missing"))
            return
        if bad or (is_new and self.copy.path.exists()):
            self._heal(bad, is_new)
        if _definitions(rows) != _definitions(copied):
            self.copy.make(self._db)
        else:
            self._copy_if_due()

    def close(self) -> None:
        """Let go of the file; its copy is made whole first."""
        if self._db is not None and (self.copy.has_notes or not self.copy.is_whole):
            with contextlib.suppress(sqlite3.OperationalError, OSError):
                self.copy.make(self._db)
        self._release()

    def all(self, kind: str) -> dict[str, Json]:
        """The definitions of a kind, by key, in the order they were made."""
        rows = self._open().execute(
            "SELECT kind, key, data FROM def WHERE kind = ? ORDER BY rowid", (kind,)
        )
        return {row[1]: unpack_small(MAGIC, row[2])[2] for row in rows if is_sound(*row)}

    def put(self, kind: str, key: str, value: Json) -> None:
        """Add or replace one. ``value``: what JSON can hold.

        :raises sqlite3.OperationalError, OSError: if the disk does not take it.
        """
        self._change(kind, key, pack_small(MAGIC, [kind, key, value]))

    def delete(self, kind: str, key: str) -> None:
        """Remove one; nothing happens if there is none."""
        self._change(kind, key, b"")

    def highest(self) -> tuple[int, int]:
        """The readings journal's last flush, and its readings ever, when last recorded."""
        found = self.all("journal").get("highest", (0, 0))
        return int(found[0]), int(found[1])

    def record(self, flush: int, readings: int) -> None:
        """Keep those; and copy all, if that was not done for a day."""
        self._put(
            ("journal", "highest"), pack_small(MAGIC, ["journal", "highest", [flush, readings]])
        )
        self._copy_if_due()

    # --- private

    def _open(self) -> sqlite3.Connection:
        assert self._db is not None, "control.db is not open"
        return self._db

    def _connect(self, path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA page_size = {_PAGE}")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _release(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _change(self, kind: str, key: str, data: bytes) -> None:
        """Put a row, remove it if ``data`` is empty: durable here and in the copy, or not done."""
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            change = int(self.all(COUNTER[0]).get(COUNTER[1], 0)) + 1
            if data:
                self._put((kind, key), data)
            else:
                db.execute("DELETE FROM def WHERE kind = ? AND key = ?", (kind, key))
            self._put(COUNTER, counted(change))
            self.copy.reserve(kind, key, data)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self.copy.note(change, kind, key, data)
        self._copy_if_due()

    def _put(self, name: tuple[str, str], data: bytes) -> None:
        self._open().execute(
            "INSERT INTO def VALUES(?, ?, ?) ON CONFLICT(kind, key) DO UPDATE SET data = "
            "excluded.data",
            (*name, data),
        )

    def _copy_if_due(self) -> None:
        if not self.copy.is_due():
            return
        try:
            self.copy.make(self._open())
        except (sqlite3.OperationalError, OSError):
            if not self.copy.is_whole:
                raise

    def _heal(self, bad: list[Row], is_new: bool) -> None:
        """Take damaged rows, or all of a lost file, from the copy."""
        db = self._open()
        copied = {(row[0], row[1]): row[2] for row in self._copied_or_none()}
        wanted = list(copied) if is_new else [(row[0], row[1]) for row in bad]
        for kind, key, _ in bad:
            db.execute("DELETE FROM def WHERE kind IS ? AND key IS ?", (kind, key))
        present = {tuple(row) for row in db.execute("SELECT kind, key FROM def")}
        if bad:  # a damaged name hides which one it was
            wanted += [name for name in copied if name not in present]
        lost = [name for name in wanted if name not in copied and name != ("journal", "highest")]
        for name in dict.fromkeys(wanted):
            if name in copied:
                db.execute("INSERT OR REPLACE INTO def VALUES(?, ?, ?)", (*name, copied[name]))
        if bad:
            text = f"{self.path}: {len(bad)} damaged definitions came from its copy"
            if lost:
                text += "; lost: " + ", ".join(f"{kind} {key}" for kind, key in lost)
            self.notes.append(text)
        else:
            self.notes.append(f"{self.path} was gone; it came from its copy")

    def _copied_or_none(self) -> list[Row]:
        try:
            return self.copy.rows()
        except BROKEN as error:
            if is_disk(error):
                raise
            return []

    def _replace(self, cause: Exception) -> None:
        """The file is no database any more: set it aside, and begin with the copy's rows."""
        self._release()
        try:
            rows = self.copy.rows()
        except BROKEN as error:
            if is_disk(error):
                raise
            raise DataDirUnusable(
                f"{self.path} is damaged ({cause}), and there is no sound copy of it ({error}).",
                hint="Restore it from a backup, or move it away to begin without the reports "
                "and assets that were made over HTTP.",
            ) from cause
        set_aside(self.path, self.quarantine, "control")
        self._db = self._connect(self.path)
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO def VALUES(?, ?, ?)", rows)
        self._db.execute("COMMIT")
        self.notes.append(f"{self.path} was damaged ({cause}); it came from its copy")


def _definitions(rows: Sequence[Row]) -> set[Row]:
    return {row for row in rows if row[:2] != ("journal", "highest")}

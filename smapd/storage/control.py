"""``control.db``: the definitions that were made at run time, each row with a checksum.

::

    def(kind, key, data)    "SMJD" [kind, key, value]

After each change, and at the first opening of a day, the whole is copied to ``control.copy``. A
damaged row, or a damaged file, is taken from there. Two rows are no definitions: ``control``
``changes`` counts the changes, so that a file whose log lost its end shows as older than its copy
(SQLite drops what lies behind a bad frame in silence), and ``journal`` ``highest`` says how far the
readings journal goes, so that one cut short is noticed; that one is not worth a copy.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from smapd.errors import DataDirUnusable
from smapd.values import Json, wall_ms

from .opening_failed import cannot_open, is_full
from .rawscan import read_wal
from .recovery import BROKEN, is_disk
from .rows import Damaged, pack_small, unpack_small
from .segments import sync_file

_MAGIC: Final = b"SMJD"
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS def(kind TEXT, key TEXT, data BLOB NOT NULL, "
    "PRIMARY KEY(kind, key))"
)
_PAGE: Final = 4096
_DAY_MS: Final = 86_400_000


class Control:
    """The definitions in ``directory``. Every method does I/O: on a disk's thread.

    Each change is durable when its method returns.
    """

    def __init__(self, directory: Path, quarantine: Path) -> None:
        self.path = directory / "control.db"
        self.copy = directory / "control.copy"
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
        bad = [row for row in rows if not _is_sound(*row)]
        if not is_new and _changes(rows) < _changes(copied):
            self._replace(Damaged("its end is missing"))
            return
        if bad or (is_new and self.copy.exists()):
            self._heal(bad, is_new)
        self._copy_if_old(_definitions(rows) != _definitions(copied))

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def all(self, kind: str) -> dict[str, Json]:
        """The definitions of a kind, by key, in the order they were made."""
        rows = self._open().execute(
            "SELECT kind, key, data FROM def WHERE kind = ? ORDER BY rowid", (kind,)
        )
        return {row[1]: unpack_small(_MAGIC, row[2])[2] for row in rows if _is_sound(*row)}

    def put(self, kind: str, key: str, value: Json) -> None:
        """Add or replace one. ``value``: what JSON can hold."""
        with self._change():
            self._put(kind, key, value)
        self._copy()

    def delete(self, kind: str, key: str) -> None:
        """Remove one; nothing happens if there is none."""
        with self._change() as db:
            db.execute("DELETE FROM def WHERE kind = ? AND key = ?", (kind, key))
        self._copy()

    def highest(self) -> tuple[int, int]:
        """The readings journal's last flush, and its readings ever, when last recorded."""
        found = self.all("journal").get("highest", (0, 0))
        return int(found[0]), int(found[1])

    def record(self, flush: int, readings: int) -> None:
        """Keep those."""
        self._put("journal", "highest", [flush, readings])

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

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """A transaction that counts as a change; all of it is durable behind it, or nothing."""
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            before = self.all("control").get("changes", 0)
            self._put("control", "changes", int(before) + 1)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def _put(self, kind: str, key: str, value: Json) -> None:
        self._open().execute(
            "INSERT INTO def VALUES(?, ?, ?) ON CONFLICT(kind, key) DO UPDATE SET data = "
            "excluded.data",
            (kind, key, pack_small(_MAGIC, [kind, key, value])),
        )

    def _copy(self) -> None:
        """The copy is whole before it takes the place of the one before."""
        new = self.copy.with_name("control.copy.new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        target = sqlite3.connect(new)
        try:
            self._open().backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        finally:
            target.close()
        sync_file(new)
        os.rename(new, self.copy)
        sync_file(self.copy.parent)

    def _copy_if_old(self, is_other: bool) -> None:
        try:
            made_ms = int(self.copy.stat().st_mtime * 1000)
        except FileNotFoundError:
            made_ms = 0
        if is_other or wall_ms() - made_ms > _DAY_MS:
            self._copy()

    def _rows_of_copy(self) -> list[tuple[str, str, bytes]]:
        """The sound rows of the copy.

        :raises sqlite3.DatabaseError: if it cannot be read.
        :raises Damaged: if there is none.
        """
        if not self.copy.exists():
            raise Damaged("there is no copy")
        db = sqlite3.connect(f"{self.copy.as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            rows = db.execute("SELECT kind, key, data FROM def ORDER BY rowid").fetchall()
        finally:
            db.close()
        return [row for row in rows if _is_sound(*row)]

    def _heal(self, bad: list[tuple[str, str, bytes]], is_new: bool) -> None:
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

    def _copied_or_none(self) -> list[tuple[str, str, bytes]]:
        try:
            return self._rows_of_copy()
        except BROKEN as error:
            if is_disk(error):
                raise
            return []

    def _replace(self, cause: Exception) -> None:
        """The file is no database any more: set it aside, and begin with the copy's rows."""
        self.close()
        try:
            rows = self._rows_of_copy()
        except BROKEN as error:
            if is_disk(error):
                raise
            raise DataDirUnusable(
                f"{self.path} is damaged ({cause}), and there is no sound copy of it ({error}).",
                hint="Restore it from a backup, or move it away to begin without the reports "
                "and assets that were made over HTTP.",
            ) from cause
        self.quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = 0
        while (target := self.quarantine / f"control-{taken}.db").exists():
            taken += 1
        for tail in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.path}{tail}", f"{target}{tail}")
        self._db = self._connect(self.path)
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO def VALUES(?, ?, ?)", rows)
        self._db.execute("COMMIT")
        self.notes.append(f"{self.path} was damaged ({cause}); it came from its copy")


def _changes(rows: Sequence[tuple[str, str, bytes]]) -> int:
    """The changes that these rows have seen; 0 if they do not say."""
    for kind, key, data in rows:
        if (kind, key) == ("control", "changes") and _is_sound(kind, key, data):
            return int(unpack_small(_MAGIC, data)[2])
    return 0


def _definitions(rows: Sequence[tuple[str, str, bytes]]) -> set[tuple[str, str, bytes]]:
    return {row for row in rows if row[:2] != ("journal", "highest")}


def _is_sound(kind: object, key: object, data: object) -> bool:
    try:
        found = unpack_small(_MAGIC, data) if isinstance(data, bytes) else None
    except Damaged:
        return False
    return found is not None and found[:2] == [kind, key]

"""One segment as SQLite has it: opened, configured, made whole under another name, looked at.

Readings and events lie in different tables; how their files are held is the same.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from smapd.errors import DataDirUnusable

from .rows import Damaged

PAGE: Final = 2048
"""Half of SQLite's own: a small commit writes two thirds of the bytes, a large one is as fast."""


class SegmentDb:
    """An open segment; every method on the disk's thread.

    What SQLite raises comes through: ``sqlite3.OperationalError`` for a full or failing disk,
    ``sqlite3.DatabaseError`` for a damaged file.
    """

    APPLICATION: ClassVar[int]
    """What its header says that it is."""
    FORMAT: ClassVar[int]
    SCHEMA: ClassVar[str]
    CACHE_KIB: ClassVar[int]

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        if writable:
            self.db = _connect(path)
            _configure(self.db, self.CACHE_KIB)
        else:
            # Nobody writes to it any more: no lock, no -shm beside it.
            uri = f"{path.as_uri()}?mode=ro&immutable=1"
            self.db = sqlite3.connect(uri, uri=True, check_same_thread=False)

    @classmethod
    def make(cls, path: Path, fill: Callable[[Self], None]) -> Self:
        """A new one, whole on the disk before it gets its name; open for writing.

        ``fill``: puts in what it begins with; it is in a transaction then.
        """
        new = path.with_suffix(".db.new")
        remove(new)
        made = cls.__new__(cls)
        made.path = new
        db = made.db = _connect(new)
        try:
            # One transaction in a file nobody knows: a log of its own would only be written twice.
            db.execute(f"PRAGMA page_size = {PAGE}")
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            db.execute(f"PRAGMA application_id = {cls.APPLICATION}")
            db.executescript("BEGIN;" + cls.SCHEMA)
            fill(made)
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
        return cls(path, writable=True)

    @classmethod
    def is_header_sound(cls, path: Path, has_log: bool = False) -> bool:
        """Whether the first page begins as we write it: SQLite would believe what it finds there.

        ``has_log``: the last page may be there in part, since it comes again from the log.
        """
        with open(path, "rb") as f:
            head = f.read(100)
        return (
            len(head) == 100
            and head[:24] == b"SQLite format 3\0" + PAGE.to_bytes(2) + b"\x02\x02\x00\x40\x20\x20"
            and head[44:48] == b"\x00\x00\x00\x04"
            and head[56:60] == b"\x00\x00\x00\x01"
            and head[68:72] == cls.APPLICATION.to_bytes(4)
            and not any(head[72:92])
            and (has_log or path.stat().st_size % PAGE == 0)
        )

    @classmethod
    def check_header(cls, path: Path, has_log: bool = False) -> None:
        """As `is_header_sound`.

        :raises Damaged: if it is not.
        """
        if not cls.is_header_sound(path, has_log):
            raise Damaged(f"{path.name} does not begin as a segment does")

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

    def size_bytes(self) -> int:
        """How large the file is, or will be once its log is worked in."""
        return int(self.db.execute("PRAGMA page_count").fetchone()[0]) * PAGE

    def said(self, number: int) -> Any:
        """The record of that number in the table ``about``, unchecked; b"" without one."""
        row = self.db.execute("SELECT data FROM about WHERE id = ?", (number,)).fetchone()
        return row[0] if row else b""

    def say(self, number: int, data: bytes) -> None:
        """Add or replace that record."""
        self.db.execute("INSERT OR REPLACE INTO about VALUES(?, ?)", (number, data))

    def check_form(self, form: int) -> None:
        """Whether this smapd can read a file of that format.

        :raises DataDirUnusable: if a newer smapd wrote it.
        """
        if form > self.FORMAT:
            raise DataDirUnusable(
                f"{self.path} has format {form}, and this smapd knows {self.FORMAT}; it was "
                "written by a newer one.",
                hint="Run that newer smapd, or name another directory with --data-dir.",
            )


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


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _configure(db: sqlite3.Connection, cache_kib: int) -> None:
    # A lock that another process holds is a mistake of somebody: do not wait on the disk's thread.
    for pragma in (
        "locking_mode = EXCLUSIVE",  # first: then there is no -shm, its index lives in memory
        "busy_timeout = 1000",
        "synchronous = FULL",
        "journal_size_limit = 67108864",
        "wal_autocheckpoint = 2000",  # 4 MiB
        f"cache_size = -{cache_kib}",
    ):
        db.execute(f"PRAGMA {pragma}")

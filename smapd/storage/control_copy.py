"""``control.copy`` and ``control.changes``: all definitions once more, for the day of a damage.

::

    control.copy      control.db as it was at one of its changes
    control.changes   each change since: "SMJL" [change, kind, key, bytes of the row], the row

To copy all at each change would take longer with each definition. So a change is noted behind the
copy, and is synced before who made it is answered; the copy is made anew once the notes are as
large as it, when it is a day old, and at the stop. Copy and notes together always have every change
that was answered. Notes follow each other by number: those that the copy has already are passed
over, and behind one that is missing or not sound nothing counts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from smapd.values import wall_ms

from .rows import Damaged, pack_small, unpack_small
from .segment_db import sync_file

MAGIC: Final = b"SMJD"
COUNTER: Final = ("control", "changes")
"""The row that counts the changes."""
LEAST_BYTES: Final = 64 * 1024
"""Notes of less are no reason for another copy."""

_NOTE: Final = b"SMJL"
_NOTE_HEAD: Final = 12  # of `pack_small`: magic, size of the text, its checksum
_DAY_MS: Final = 86_400_000
_NO_FALLOCATE: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)

Row: TypeAlias = tuple[str, str, bytes]
"""(kind, key, packed) of a definition."""


class ControlCopy:
    """The copy in ``directory``. Every method does I/O: on the thread of ``control.db``."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "control.copy"
        self.notes = directory / "control.changes"
        self._change: int | None = None  # the last one here; None: nobody knows
        self._size = 0  # of the notes
        self._most = LEAST_BYTES
        self._made_ms = 0

    @property
    def is_whole(self) -> bool:
        """Whether it has all changes, as far as it was told of them."""
        return self._change is not None

    @property
    def has_notes(self) -> bool:
        """Whether anything stands in the notes alone."""
        return self._size > 0

    def is_due(self) -> bool:
        """Whether it should be made anew."""
        is_young = 0 <= wall_ms() - self._made_ms <= _DAY_MS
        return not self.is_whole or self._size > self._most or not is_young

    def rows(self) -> list[Row]:
        """The sound rows, as the notes have changed them, in the order they were made.

        :raises sqlite3.DatabaseError: if the copy cannot be read.
        :raises Damaged: if there is none.
        """
        self._change, self._size, self._made_ms = None, 0, 0
        if not self.path.exists():
            raise Damaged("there is no copy")
        db = sqlite3.connect(f"{self.path.as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            found = db.execute("SELECT kind, key, data FROM def ORDER BY rowid").fetchall()
        finally:
            db.close()
        rows = {(kind, key): data for kind, key, data in found if is_sound(kind, key, data)}
        change = changes_of([(*name, data) for name, data in rows.items()])
        for number, kind, key, data in self._noted():
            if number <= change:
                continue
            if number != change + 1:
                break
            change = number
            if data:
                rows[kind, key] = data
            else:
                rows.pop((kind, key), None)
            rows[COUNTER] = counted(change)
        status = self.path.stat()
        self._change, self._made_ms = change, int(status.st_mtime * 1000)
        self._most = max(LEAST_BYTES, status.st_size)
        return [(*name, data) for name, data in rows.items()]

    def reserve(self, kind: str, key: str, data: bytes) -> None:
        """Have room for the note of a change that is about to be made.

        :raises OSError: if the disk has none.
        """
        if self._change is None:
            return  # the whole comes instead
        size = len(_note(2**53, kind, key, data))
        with _opened(self.notes) as descriptor:
            try:
                os.posix_fallocate(descriptor, self._size, size)
            except OSError as error:
                if error.errno not in _NO_FALLOCATE:
                    raise

    def note(self, change: int, kind: str, key: str, data: bytes) -> None:
        """Note a change that was made, durably; ``data``: empty for one that is gone.

        If that fails `is_whole` is False from now on: it has to be made anew.
        """
        if self._change is None or change != self._change + 1:
            self._change = None
            return
        note = _note(change, kind, key, data)
        try:
            with _opened(self.notes) as descriptor:
                if os.pwrite(descriptor, note, self._size) != len(note):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fdatasync(descriptor)
        except OSError:
            self._change = None
            return
        self._size += len(note)
        self._change = change

    def make(self, db: sqlite3.Connection) -> None:
        """Copy all of ``db``, and begin the notes anew.

        It is whole before it takes the place of the one before.

        :raises sqlite3.OperationalError, OSError: if the disk does not take it; what was there
            stays.
        """
        self._most = max(self._most, 2 * self._size)  # if it fails: not at each change again
        new = self.path.with_name(self.path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        target = sqlite3.connect(new, isolation_level=None)
        try:
            db.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            change = changes_of(target.execute("SELECT kind, key, data FROM def").fetchall())
        finally:
            target.close()
        sync_file(new)
        with _opened(self.notes):
            pass  # so that its name is durable, too
        os.rename(new, self.path)
        sync_file(self.path.parent)
        self._change, self._made_ms = change, wall_ms()
        self._most = max(LEAST_BYTES, self.path.stat().st_size)
        with contextlib.suppress(OSError), _opened(self.notes) as descriptor:
            os.ftruncate(descriptor, 0)  # if not: the copy has them, so they are passed over
            self._size = 0

    def _noted(self) -> Iterator[tuple[int, str, str, bytes]]:
        """(change, kind, key, row) of each note, to the first that is not sound."""
        try:
            noted = self.notes.read_bytes()
        except FileNotFoundError:
            return
        while True:
            head = noted[self._size : self._size + _NOTE_HEAD]
            at = self._size + _NOTE_HEAD + int.from_bytes(head[4:8], "little")
            try:
                change, kind, key, size = unpack_small(_NOTE, noted[self._size : at])
            except Damaged:
                return
            data = noted[at : at + size]
            if len(data) != size or (size and not is_sound(kind, key, data)):
                return
            self._size = at + size
            yield change, kind, key, data


def is_sound(kind: object, key: object, data: object) -> bool:
    """Whether a row passes its checksum, and is of that name."""
    try:
        found = unpack_small(MAGIC, data) if isinstance(data, bytes) else None
    except Damaged:
        return False
    return found is not None and found[:2] == [kind, key]


def changes_of(rows: list[Row]) -> int:
    """The changes that these rows have seen; 0 if they do not say."""
    for kind, key, data in rows:
        if (kind, key) == COUNTER and is_sound(kind, key, data):
            return int(unpack_small(MAGIC, data)[2])
    return 0


def counted(change: int) -> bytes:
    """The row that says so many changes."""
    return pack_small(MAGIC, [*COUNTER, change])


def _note(change: int, kind: str, key: str, data: bytes) -> bytes:
    return pack_small(_NOTE, [change, kind, key, len(data)]) + data


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

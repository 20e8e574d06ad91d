"""The readings journal of a data directory, read from outside: nothing there is changed.

Where a segment has a log, as after a kill, both are copied, and the copy is opened. What SQLite
cannot read is read page by page, as the daemon's own repair does. Meanwhile no daemon can start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from smapd.errors import DataDirInUse, DataDirUnusable, SmapError
from smapd.storage.datadir import LOCK_FILE
from smapd.storage.rawscan import Found, read_wal, scan
from smapd.storage.recovery import BROKEN, is_disk
from smapd.storage.rows import Damaged, Data, Head, RowGap
from smapd.storage.segments import NAME, Segment
from smapd.values import Position

READINGS: Final = "readings"


class Row(NamedTuple):
    """One flush. ``data``: None if it is lost; ``trouble``: why, or "" for a sound row."""

    flush: int
    head: Head | None
    data: Data | None
    trouble: str = ""


@dataclass(slots=True)
class SegmentFile:
    """One segment. ``trouble``: what is wrong with it as a whole, "" for a sound one."""

    path: Path
    size: int
    first: int = 0
    last: int = -1
    before: int = 0
    is_closed: bool = False
    trouble: str = ""
    streams: dict[int, tuple[str, str]] = field(default_factory=dict)
    cursors: dict[str, tuple[Position, list[Any]]] = field(default_factory=dict)
    told: dict[str, list[RowGap]] = field(default_factory=dict)
    segment: Segment | None = None
    found: Found | None = None

    def rows(self) -> Iterator[Row]:
        """Its rows, by number; those that are lost too, as far as anything knows of them."""
        if self.found is not None:
            yield from _scanned(self.found)
            return
        assert self.segment is not None
        rows = self.segment.db.execute("SELECT seq, head, data FROM flush ORDER BY seq")
        while True:
            try:
                row = next(rows, None)
            except sqlite3.DatabaseError as e:
                self.trouble = f"it cannot be read to its end: {e}"
                return
            if row is None:
                return
            yield _checked(*row)


class Journal:
    """The journal of one data directory, oldest segment first; a context manager.

    :raises DataDirInUse: if a daemon runs on it.
    :raises DataDirUnusable: if it is none, or cannot be read.
    """

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory).absolute()
        self.segments: list[SegmentFile] = []
        self.quarantine: list[str] = []
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self._take()
            self._scratch = tempfile.TemporaryDirectory(prefix="smapd-journal-")
            for path in self._paths():
                self.segments.append(self._opened(path))
            with contextlib.suppress(FileNotFoundError):
                self.quarantine = sorted(os.listdir(self.directory / "quarantine"))
        except OSError as e:
            self._close()
            raise DataDirUnusable(f"{e.filename or self.directory}: {e.strerror or e}.") from None
        except SmapError:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def streams(self) -> dict[int, tuple[str, str]]:
        """(uuid, path) of each stream, by its number, as the newest segment that says it has it."""
        known: dict[int, tuple[str, str]] = {}
        for one in self.segments:
            known |= one.streams
        return known

    @property
    def cursors(self) -> dict[str, tuple[Position, list[Any]]]:
        """Position and limits of each cursor."""
        return self.segments[-1].cursors if self.segments else {}

    # --- inside

    def _take(self) -> None:
        if not (self.directory / READINGS).is_dir():
            raise DataDirUnusable(
                f"{self.directory} holds no readings.",
                hint="Name a data directory: what [server] DataDir or --data-dir says.",
            )
        with contextlib.suppress(FileNotFoundError):
            self._lock = os.open(self.directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataDirInUse(
                    f"a daemon runs on {self.directory}.",
                    hint="Stop it first; or ask it: GET /data/PATH?from&to, and GET /status.",
                ) from None

    def _paths(self) -> list[Path]:
        newest: dict[int, tuple[int, Path]] = {}
        for path in (self.directory / READINGS).iterdir():
            match = NAME.fullmatch(path.name)
            if match is not None:
                version = (int(match[2] or 0), path)
                newest[int(match[1])] = max(newest.get(int(match[1]), version), version)
        return [path for _number, (_mend, path) in sorted(newest.items())]

    def _opened(self, path: Path) -> SegmentFile:
        one = SegmentFile(path, path.stat().st_size)
        wal = read_wal(path)
        log = path.with_name(path.name + "-wal")
        has_log = log.exists() and log.stat().st_size > 0
        try:
            if not Segment.is_header_sound(path):
                raise Damaged("it does not begin as a segment does")
            if wal.suspect:
                raise Damaged("its log breaks off in the middle")
            one.segment = Segment(self._copied(path, log) if has_log else path, writable=has_log)
            self._read(one, one.segment)
        except BROKEN as e:
            if is_disk(e):
                raise DataDirUnusable(f"{path}: {e}.") from e
            one.trouble = str(e)
            one.found = found = scan(path, wal)
            one.first, one.before = found.about or (min(found.rows, default=1), 0)
            one.last = max([*found.rows, *found.heads, one.first - 1])
            one.streams = {n: (uuid, at) for n, uuid, at, _ in found.streams.values()}
            one.cursors = {c[0]: (c[1], c[2]) for c in found.cursors.values()}
        return one

    def _read(self, one: SegmentFile, segment: Segment) -> None:
        one.first, one.before = segment.about()
        ends = segment.ends()
        one.last = ends[1] if ends is not None else one.first - 1
        one.is_closed = segment.summary() is not None
        for stream in segment.streams():
            if stream is None:
                one.trouble = "the record of a stream is damaged"
            else:
                one.streams[stream[0]] = stream[1], stream[2]
        one.cursors = {name: (at, limits) for name, at, limits in segment.cursors()}
        for _number, cursor, _at, gaps in segment.gaps():
            one.told.setdefault(cursor, []).extend(gaps)

    def _copied(self, path: Path, log: Path) -> Path:
        assert self._scratch is not None
        target = Path(self._scratch.name) / path.name
        shutil.copyfile(path, target)
        shutil.copyfile(log, target.with_name(log.name))
        return target

    def _close(self) -> None:
        for one in self.segments:
            if one.segment is not None:
                with contextlib.suppress(sqlite3.Error):
                    one.segment.close()
        if self._scratch is not None:
            self._scratch.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _checked(flush: int, head: bytes, data: bytes) -> Row:
    try:
        found = Head(head)
    except (Damaged, ValueError, zlib.error) as e:
        return Row(flush, None, None, str(e))
    if found.flush != flush:
        return Row(flush, found, None, f"it says that it is {found.flush}")
    try:
        return Row(flush, found, Data(found, data))
    except (Damaged, ValueError, zlib.error) as e:
        return Row(flush, found, None, str(e))


def _scanned(found: Found) -> Iterator[Row]:
    for flush in sorted({*found.rows, *found.heads}):
        if flush in found.rows:
            yield _checked(flush, *found.rows[flush])
        else:
            yield Row(flush, found.heads[flush], None, "its data is lost")

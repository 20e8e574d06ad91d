"""The segments of one event log: which there are, and the connections to those in use.

All on the disk's thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ..readers import Readers
from ..recovery import BROKEN
from ..rows import Damaged
from .segments import EventSegment
from .state import Asset, Info, InSegment

OPEN_READERS: Final = 8


class Shelf:
    """``segments``: oldest first; the last one is written to. ``undo``: called with a connection
    that was opened anew after a failure, before anything else is done with it."""

    def __init__(self, undo: Callable[[EventSegment], None]) -> None:
        self.segments: list[Info] = []
        self.current: EventSegment | None = None
        self.pragma = ""
        """For tests: run on each connection that writes."""
        self.has_old_tail = False
        """Whether something may be left behind the log's end: see `EventSegment.begin_log`."""
        self.places: dict[int, Info] = {}
        """Where an asset was read last, by its number."""
        self._undo = undo
        self._readers = Readers(_open, OPEN_READERS)

    @property
    def newest(self) -> Info:
        """The one that is written to."""
        return self.segments[-1]

    def size_bytes(self) -> int:
        """Of all files."""
        return sum(info.size for info in self.segments)

    # --- connections

    def segment(self, info: Info) -> EventSegment:
        """The open segment."""
        return self.writer() if info is self.segments[-1] else self.reader(info)

    def writer(self) -> EventSegment:
        """The newest one, open for writing."""
        if self.current is None:  # let go after a failure
            segment = self.connect(self.newest.path)
            try:
                self.has_old_tail = not segment.begin_log()
                self._undo(segment)
            except BaseException:
                segment.close()
                raise
            self.current = segment
        return self.current

    def connect(self, path: Path) -> EventSegment:
        """Open a segment for writing."""
        segment = EventSegment(path, writable=True)
        self.prepare(segment)
        return segment

    def prepare(self, segment: EventSegment) -> None:
        """For tests: what they want of a connection."""
        if self.pragma:
            segment.db.execute(self.pragma).fetchall()

    def release(self) -> None:
        """Let go of the connection that writes, after a failure; the next commit opens it anew."""
        current, self.current = self.current, None
        if current is not None:
            with contextlib.suppress(sqlite3.Error):
                current.close()

    def reader(self, info: Info) -> EventSegment:
        """A closed one, open for reading; few are at once.

        :raises InSegment: if it does not begin as a segment does.
        """
        try:
            return self._readers.get(info.path)
        except Damaged as error:
            raise InSegment(info, error) from None

    def forget_reader(self, path: Path) -> None:
        """Close that one; its file goes."""
        self._readers.forget(path)

    def close(self) -> None:
        """Close every file."""
        if self.current is not None:
            self.current.close()
            self.current = None
        self._readers.close()

    # --- looking

    @contextlib.contextmanager
    def looking(self, info: Info) -> Iterator[None]:
        """What is found damaged in here is damaged in this segment.

        :raises InSegment: for it.
        """
        try:
            yield
        except BROKEN as error:
            raise InSegment(info, error) from error

    def begin_at(self, info: Info, asset: Asset) -> int:
        """The asset's next offset when that segment was begun."""
        if info is self.segments[-1]:
            return asset.begin
        with self.looking(info):
            return self.reader(info).begin_of(asset.number)

    def ends_of(self, info: Info) -> dict[int, int]:
        """The next offset of each asset behind a closed segment, by its rows."""
        segment = self.reader(info)
        ends = {row.number: row.begin for row in segment.assets()}
        for number, first, count in segment.spans():
            ends[number] = first + count
        return ends

    def is_hole(self, index: int) -> bool:
        """Whether the file behind this one is missing."""
        after = index + 1
        return (
            after < len(self.segments)
            and self.segments[after].number != self.segments[index].number + 1
        )

    def latest(self, info: Info) -> int:
        """The latest time of publication in a segment."""
        if info.t_max is None:
            with self.looking(info):
                segment = self.segment(info)
                summary = segment.summary()
                info.t_max = segment.t_max() if summary is None else summary[0]
        return info.t_max


def _open(path: Path) -> EventSegment:
    EventSegment.check_header(path)
    return EventSegment(path, writable=False)

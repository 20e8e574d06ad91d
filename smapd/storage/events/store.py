"""The event log on its disk; all of it on the disk's thread.

The reactor's side (`log`) hands one commit at a time in. What is in memory here follows what is
committed, never the other way round. How it is opened, written, read, mended and trimmed stands in
files of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from smapd.values import EventRecord

from ..segment_files import files, free_space
from . import highest, mending, opening, reading, recovery, rotation, trimming, writing
from .room import Room
from .segments import CursorRow, EventSegment
from .settings import EventSettings
from .shelf import Shelf
from .state import Asset, Info, Opened, Work


class EventStore:
    """The segments of one event log. ``wall_ms``, ``seconds``: the clocks; ``free_bytes``: of the
    disk."""

    def __init__(
        self,
        directory: Path,
        quarantine: Path,
        settings: EventSettings,
        wall_ms: Callable[[], int],
        free_bytes: Callable[[Path], int] | None = None,
        seconds: Callable[[], float] | None = None,
    ) -> None:
        self.directory, self.quarantine, self.settings = directory, quarantine, settings
        self.wall_ms = wall_ms
        self.seconds = seconds or (lambda: wall_ms() / 1000)
        self.free_bytes = free_bytes or free_space
        self.room = Room(lambda: self.free_bytes(directory), settings.min_free)
        self.shelf = Shelf(self._undo)
        self.assets: dict[str, Asset] = {}
        self.cursors: dict[tuple[str, int], CursorRow] = {}
        self.notes: list[str] = []
        """Sentences for the log about what was mended."""
        self.gone_note = ""
        """One about the last file that went before all cursors had read it."""
        self.commits = 0
        """The number of the last commit, ever."""
        self.events = 0
        """Events ever."""
        self.written_bytes = 0
        self.lost = 0
        """Events that were damaged, in what was mended by this process."""
        self.gone = 0
        """Events that went with old files before a cursor had come to them, once a cursor."""
        self.names: list[str] = []
        """Of assets, by number - 1."""
        self.total = 0
        """Events in the newest segment."""
        self.tried = 0
        """The highest number given to a commit, failed ones too."""
        self.quiet = 0
        """The number of the last commit, if its record need not be kept."""
        self.unsized = 0
        """Bytes written since the newest file's size was looked at."""
        self.begun_size = 0
        """Of the newest segment, when it was begun."""
        self.opened_ms, self.opened_s = wall_ms(), self.seconds()
        """The same moment, by both clocks."""
        self._highest = (0, 0)  # commits and events, as they were last written down

    @property
    def segments(self) -> list[Info]:
        """The files, oldest first."""
        return self.shelf.segments

    # --- open and close

    def open(self) -> Opened:
        """Open what there is, or begin.

        :raises OSError: if the directory cannot be used.
        :raises sqlite3.OperationalError: if the disk is full or fails.
        """
        self.opened_ms, self.opened_s = self.wall_ms(), self.seconds()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = files(self.directory, self.quarantine, recovery.KIND)
        for path in paths[:-1]:
            self.segments.append(opening.look(self, path))
        if paths:
            opening.open_newest(self, paths[-1])
        else:
            rotation.begin(self, 1)
        opening.notice_missing_files(self)
        opening.notice_tail(self, *highest.read(self.directory))
        self.trim()
        return Opened(
            [(asset.name, asset.next, asset.base) for asset in self.assets.values()],
            [(c.name, self.names[c.asset - 1], c.place) for c in self.cursors.values()],
            opening.dedupe_ids(self),
        )

    def close(self) -> None:
        """Close every file."""
        self._keep_highest()
        self.shelf.close()

    def _keep_highest(self) -> None:
        now = (self.commits, self.events)
        if now != self._highest:
            with contextlib.suppress(OSError):  # the disk is full: next time
                highest.write(self.directory, *now)
                self._highest = now

    # --- reading

    def read(self, name: str, offset: int, limit: int, limit_bytes: int) -> list[EventRecord]:
        """Events of an asset from ``offset`` on; see ``IEventLog``."""
        asset = self.assets.get(name)
        if asset is None:
            return []
        return mending.mended(
            self, lambda: reading.read(self.shelf, asset, offset, limit, limit_bytes)
        )

    def offset_at(self, name: str, ms: int) -> int:
        """The first offset published at or behind ``ms``; see ``IEventLog``."""
        asset = self.assets.get(name)
        if asset is None:
            return 0
        return mending.mended(self, lambda: reading.offset_at(self.shelf, asset, ms))

    # --- writing

    def commit(self, work: Work) -> bool:
        """Make this durable, all of it or nothing; False: all but the events, for lack of space.

        :raises sqlite3.Error, OSError: nothing of it is durable.
        """
        return writing.commit(self, work)

    def _undo(self, segment: EventSegment) -> None:
        writing.undo(self, segment)

    def look_after(self) -> None:
        """What is to be done now and then."""
        self.trim()
        self._keep_highest()

    def trim(self) -> None:
        """Let go of files that are too old or too many; what the disk refuses waits."""
        trimming.trim(self)

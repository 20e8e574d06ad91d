"""The event log on its disk; all of it on the disk's thread.

The reactor's side (`log`) hands one commit at a time in. What is in memory here follows what is
committed, never the other way round.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from smapd.values import EventRecord

from ..parts import SET_MS
from ..rawscan import Wal, read_wal
from ..recovery import BROKEN, is_disk
from ..segment_files import files
from ..segments import PAGE, remove
from . import highest, opening, reading, recovery, trimming
from .recovery import Around
from .rows import seal
from .segments import About, AssetRow, CursorRow, EventSegment, Flush, create
from .settings import EventSettings
from .shelf import Shelf
from .state import Asset, Info, InSegment, Known, Opened, Work, number_of, rows_of, size_of

SLACK: Final = 64 * PAGE
"""Room kept in a segment for what comes beside the rows."""

FULL_SHARE: Final = 4
"""The disk is looked at anew when a quarter of what may still be written was written."""

T = TypeVar("T")


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
        self.free_bytes = free_bytes or _free_bytes
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
        self._wall_ms = wall_ms
        self._seconds = seconds or (lambda: wall_ms() / 1000)
        self._opened_ms, self._opened_s = wall_ms(), self._seconds()  # the same moment
        self._names: list[str] = []  # by number - 1
        self._total = 0  # events in the newest segment
        self._tried = 0  # the highest number given to a commit, failed ones too
        self._quiet = 0  # the number of the last commit, if its record need not be kept
        self._unsized = 0  # bytes written since the file's size was looked at
        self._begun_size = 0  # of the newest segment, when it was begun
        self._highest = (0, 0)  # commits and events, as they were last written down
        self._room = self._room_ms = 0  # free bytes of the disk, and when they were looked at
        self._room_at = 0  # what had been written then

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
        self._opened_ms, self._opened_s = self._wall_ms(), self._seconds()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = files(self.directory, self.quarantine, recovery.KIND)
        for path in paths[:-1]:
            self.segments.append(self._look(path))
        if paths:
            self._open_newest(paths[-1])
        else:
            self._begin(1)
        self._note_missing_files()
        self._notice_tail(*highest.read(self.directory))
        self.trim()
        return Opened(
            [(asset.name, asset.next, asset.base) for asset in self.assets.values()],
            [(c.name, self._names[c.asset - 1], c.place) for c in self.cursors.values()],
            opening.dedupe_ids(self.shelf, self._names, self.settings, self._wall_ms()),
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
        return self._mending(lambda: reading.read(self.shelf, asset, offset, limit, limit_bytes))

    def offset_at(self, name: str, ms: int) -> int:
        """The first offset published at or behind ``ms``; see ``IEventLog``."""
        asset = self.assets.get(name)
        if asset is None:
            return 0
        return self._mending(lambda: reading.offset_at(self.shelf, asset, ms))

    # --- commit

    def commit(self, work: Work) -> bool:
        """Make this durable, all of it or nothing; False: all but the events, for lack of space.

        :raises sqlite3.Error, OSError: nothing of it is durable.
        """
        taken, now_ms = True, self._wall_ms()
        if work.parts and not self._has_room(now_ms):
            work, taken = _without_events(work), False
            if not work:
                return taken
        size = work.size + 200 * (len(work.parts) + len(work.cursors)) + SLACK
        if self.shelf.newest.size + size > self.settings.segment_bytes and self._has_grown():
            self._rotate()
        segment = self.shelf.writer()
        self._tried = number = max(self._tried, self.commits) + 1
        fresh = self._fresh(work, number)
        known: Mapping[str, Asset] = Known(self.assets, fresh) if fresh else self.assets
        rows = [row for part in work.parts for row in rows_of(known[part.asset], part, number)]
        changed = {
            (name, known[asset].number): place for (name, asset), place in work.cursors.items()
        }
        flush = self._flush(number, now_ms, work, known, fresh, changed)
        try:
            segment.db.execute("BEGIN IMMEDIATE")
            for asset in fresh:
                segment.put_asset(asset.row(0))
            segment.put_rows(rows)
            for name, base in work.bases.items():
                gone = known[name]
                segment.put_asset(AssetRow(gone.number, name, base, gone.begin, number))
            for (name, asset_number), place in changed.items():
                if place is None:
                    segment.drop_cursor(name, asset_number)
                else:
                    segment.put_cursor(CursorRow(name, asset_number, place, number))
            if self._quiet:
                segment.drop_flush(self._quiet)
            segment.put_flush(flush)
            segment.db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                segment.db.execute("ROLLBACK")
            self._after_failure(error)
            raise
        if self.shelf.has_old_tail:
            with contextlib.suppress(sqlite3.Error):  # the commit is durable, whatever this says
                self.shelf.has_old_tail = not segment.begin_log()
        self._take_in(work, fresh, flush, changed)
        self._measure(segment, sum(len(row[4]) for row in rows), len(rows) + len(changed))
        return taken

    def _has_room(self, now_ms: int) -> bool:
        """Whether events may be taken; the disk is asked once a second, and sooner if they pour."""
        written, spare = self.written_bytes - self._room_at, self._room - self.settings.min_free
        if not 0 <= now_ms - self._room_ms < 1000 or FULL_SHARE * written > spare:
            self._room = self.free_bytes(self.directory)
            self._room_ms, self._room_at = now_ms, self.written_bytes
        if self._room < self.settings.min_free:
            self._room_ms = 0  # ask again at the next one
            return False
        return True

    def _fresh(self, work: Work, number: int) -> list[Asset]:
        """The assets that this commit names for the first time, with a number each."""
        there = self.assets
        unknown = {part.asset: None for part in work.parts if part.asset not in there}
        unknown |= {name: None for name in work.bases if name not in there}
        unknown |= {asset: None for _, asset in work.cursors if asset not in there}
        return [
            Asset(i, name, 0, 0, 0, number) for i, name in enumerate(unknown, len(self._names) + 1)
        ]

    def _flush(
        self,
        number: int,
        now_ms: int,
        work: Work,
        known: Mapping[str, Asset],
        fresh: list[Asset],
        changed: dict[tuple[str, int], int | None],
    ) -> Flush:
        there = self.cursors
        forgets = [key for key, place in changed.items() if place is None]
        more = sum(place is not None and key not in there for key, place in changed.items())
        return Flush(
            number,
            now_ms,
            self._total + sum(len(part.events) for part in work.parts),
            len(self._names) + len(fresh),
            len(there) + more - sum(key in there for key in forgets),
            [(known[part.asset].number, part.first, len(part.events)) for part in work.parts],
            [(asset.number, asset.name) for asset in fresh],
            forgets,
            [(known[p.asset].number, p.first + i, one) for p in work.parts for i, one in p.ids],
        )

    def _take_in(
        self,
        work: Work,
        fresh: list[Asset],
        flush: Flush,
        changed: dict[tuple[str, int], int | None],
    ) -> None:
        self.commits = flush.number
        self._quiet = flush.number if flush.is_quiet else 0
        for asset in fresh:
            self.assets[asset.name] = asset
            self._names.append(asset.name)
        newest = self.shelf.newest
        for part in work.parts:
            self.assets[part.asset].next = part.first + len(part.events)
            newest.t_max = max(newest.t_max or 0, *part.times)
            newest.written_s = self._seconds()
        self.events += flush.total - self._total
        self._total = flush.total
        for name, base in work.bases.items():
            self.assets[name].base, self.assets[name].commit = base, flush.number
        for key, place in changed.items():
            if place is None:
                self.cursors.pop(key, None)
            else:
                self.cursors[key] = CursorRow(*key, place, flush.number)

    def _measure(self, segment: EventSegment, written: int, count: int) -> None:
        """Keep the file's size; SQLite is asked now and then, since that takes its time."""
        self.written_bytes += written
        self._unsized += written + 200 * count
        if self._unsized > SLACK // 4:
            self._unsized = 0
            with contextlib.suppress(sqlite3.Error):  # it is durable, whatever this says
                self.shelf.newest.size = segment.size_bytes()

    def _after_failure(self, error: BaseException) -> None:
        """Mend a file that SQLite finds damaged; let go of one that the disk failed."""
        if isinstance(error, BROKEN) and not is_disk(error):
            self._mend_open(self.shelf.newest, error)
        else:
            self.shelf.release()

    def _undo(self, segment: EventSegment) -> None:
        """Take back what the file has of commits that failed: their publishers were told so."""
        last = segment.last_flush()
        if last is None or last.number <= self.commits:
            return
        db = segment.db
        db.execute("BEGIN IMMEDIATE")
        try:
            for flush in segment.flushes():
                if flush.number <= self.commits:
                    break
                for number, first, _count in flush.parts:
                    db.execute("DELETE FROM event WHERE asset = ? AND seq >= ?", (number, first))
            db.execute("DELETE FROM flush WHERE number > ?", (self.commits,))
            db.execute("DELETE FROM asset")
            db.execute("DELETE FROM cursor")
            for asset in self.assets.values():
                segment.put_asset(asset.row(asset.begin))
            for cursor in self.cursors.values():
                segment.put_cursor(cursor)
            counts = len(self.assets), len(self.cursors)
            self._tried = max(self._tried, last.number) + 1
            again = Flush(self._tried, self._wall_ms(), self._total, *counts, *([], [], [], []))
            segment.put_flush(again)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self.commits, self._quiet = again.number, again.number

    # --- files

    def _has_grown(self) -> bool:
        """Whether another segment would be smaller: it begins with all assets and cursors."""
        return self.shelf.newest.size - self._begun_size > self.settings.segment_bytes // 8

    def _rotate(self) -> None:
        """Begin a new segment, and close the one before."""
        old, info, total = self.shelf.writer(), self.shelf.newest, self._total
        self._begin(info.number + 1)
        with contextlib.suppress(sqlite3.Error):  # it is looked at whole then
            old.put_summary(info.t_max or 0, total)
        with contextlib.suppress(sqlite3.Error):
            old.close()
        info.size = size_of(info.path)
        self.trim()

    def _begin(self, number: int) -> None:
        path = self.directory / f"{number:04d}.db"
        about = About(self.commits, self.events, len(self.assets), len(self.cursors))
        assets = [asset.row(asset.next) for asset in self.assets.values()]
        segment = create(path, about, assets, self.cursors.values())
        self.shelf.prepare(segment)
        for asset in self.assets.values():
            asset.begin = asset.next
        self.shelf.current = segment
        self._total = self._quiet = self._unsized = 0
        self._begun_size = segment.size_bytes()
        self.segments.append(Info(path, number, self._begun_size, 0, self._seconds()))

    def look_after(self) -> None:
        """What is to be done now and then."""
        self.trim()
        self._keep_highest()

    def trim(self) -> None:
        """Let go of files that are too old or too many; what the disk refuses waits."""
        with contextlib.suppress(sqlite3.OperationalError, OSError):
            while len(self.segments) > 1 and not trimming.is_kept(
                self.shelf, self.settings, self._age_s
            ):
                info = self.segments[0]
                assets = {asset.number: asset for asset in self.assets.values()}
                gone = trimming.what_goes(self.shelf, assets, self.cursors.values())
                if gone is not None:
                    self.gone += gone.events
                    self.gone_note = (
                        f"{info.path.name} went by EventHistory or EventMaxBytes with {gone}"
                    )
                self.shelf.forget_reader(info.path)
                self.segments.pop(0)
                remove(info.path)

    def _age_s(self, info: Info) -> float:
        """How long ago the last events of a segment came.

        Of one from an earlier run, by what the wall clock showed when this one opened it, if that
        can be right: a clock that is set while we run must not make everything old at once.
        """
        if info.written_s is None:
            try:
                latest = self.shelf.latest(info)
            except InSegment:
                latest = int(info.path.stat().st_mtime * 1000)
            age_ms = 0
            if latest > SET_MS and self._opened_ms > SET_MS:
                age_ms = max(self._opened_ms - latest, 0)
            info.written_s = self._opened_s - age_ms / 1000
        return self._seconds() - info.written_s

    # --- recovery

    def _look(self, path: Path) -> Info:
        """A closed segment; what is in it is looked at when it is read."""
        if size_of(Path(f"{path}-wal")):  # it was not closed: have its log worked in
            wal = read_wal(path)
            try:
                opening.check(path, wal)
                with contextlib.closing(EventSegment(path, writable=True)) as segment:
                    last = segment.last_flush()
                    segment.put_summary(segment.t_max(), 0 if last is None else last.total)
            except BROKEN as error:
                if is_disk(error):
                    raise
                path = self._mend(path, error, wal)
        return Info(path, number_of(path), size_of(path))

    def _open_newest(self, path: Path) -> None:
        for attempt in (1, 2):
            wal = read_wal(path)
            try:
                self._load(path, wal)
                return
            except BROKEN as error:
                self.shelf.release()
                if is_disk(error) or attempt == 2:
                    raise
                path = self._mend(path, error, wal)

    def _load(self, path: Path, wal: Wal) -> None:
        opening.check(path, wal)
        segment = self.shelf.current = self.shelf.connect(path)
        loaded = opening.load(segment, wal)
        self.shelf.has_old_tail = not segment.begin_log()
        last = loaded.last
        self.assets = {asset.name: asset for asset in loaded.assets}
        self._names = [asset.name for asset in loaded.assets]
        self.cursors = loaded.cursors
        self.commits = self._tried = loaded.commits
        self.events, self._total = loaded.about.events + loaded.total, loaded.total
        self._quiet = last.number if last is not None and last.is_quiet else 0
        size = segment.size_bytes()
        self._begun_size = size if last is None else 0
        self.segments.append(Info(path, number_of(path), size, segment.t_max()))

    def _note_missing_files(self) -> None:
        for i in range(len(self.segments) - 1):
            if self.shelf.is_hole(i):
                lost = opening.missing_between(self.shelf, self.assets.values(), i)
                self.lost += lost
                self.notes.append(
                    f"{self.directory}: a file is missing before {self.segments[i + 1].path.name}: "
                    f"{lost} events are lost"
                )

    def _notice_tail(self, commits: int, events: int) -> None:
        """Tell if the log ends before where it is known to have ended.

        Nobody knows whose events are missing: each asset's next offset moves on by as many, so that
        none is used twice.
        """
        if commits <= self.commits:
            return
        missing = max(events - self.events, 0)
        self.notes.append(
            f"{self.directory}: the end of the event log is missing: {commits - self.commits} "
            f"commits with {missing} events"
        )
        self.lost += missing
        total = self._total + missing * len(self.assets)
        counts = len(self.assets), len(self.cursors)
        flush = Flush(commits, self._wall_ms(), total, *counts, *([], [], [], []))
        segment = self.shelf.writer()
        segment.db.execute("BEGIN IMMEDIATE")
        for asset in self.assets.values() if missing else ():
            data = seal(commits, asset.number, asset.next, [], 0, lost=missing)
            segment.put_rows([(asset.number, asset.next, missing, 0, data)])
        segment.put_flush(flush)
        segment.db.execute("COMMIT")
        for asset in self.assets.values():
            asset.next += missing
        self.commits = self._tried = commits
        self.events, self._total = max(self.events, events), total

    def _mend(self, path: Path, error: BaseException, wal: Wal) -> Path:
        """Mend a segment that was not taken in yet; its new name."""
        paths = files(self.directory, self.quarantine, recovery.KIND)
        around = opening.around_at_start(self.shelf, paths, path)
        around.at_ms = self._wall_ms()
        mended = recovery.mend(path, self.quarantine, around, wal)
        self._note_mended(path, mended, error)
        return mended.path

    def _note_mended(self, path: Path, mended: recovery.Mended, error: BaseException) -> None:
        self.lost += mended.lost
        self.notes.append(
            f"{path} was damaged ({error}): {mended.lost} of its events are lost; the file is in "
            f"{self.quarantine}"
        )

    def _mend_open(self, info: Info, error: BaseException) -> None:
        """Mend a segment while the log is open: what it should hold is known."""
        is_newest = info is self.shelf.newest
        if is_newest:
            around = self._all_of_newest()
            self.shelf.release()
        else:
            self.shelf.forget_reader(info.path)
            index = self.segments.index(info)
            around = opening.around_closed(self.shelf, self.assets.values(), index)
        around.at_ms = self._wall_ms()
        mended = recovery.mend(info.path, self.quarantine, around)
        self._note_mended(info.path, mended, error)
        info.path, info.size = mended.path, size_of(mended.path)
        if is_newest:
            segment = self.shelf.current = self.shelf.connect(mended.path)
            last = segment.last_flush()
            assert last is not None  # the repair is one
            self.commits, self._total, self._quiet = last.number, last.total, 0
            self._tried = max(self._tried, self.commits)
        else:
            info.t_max = None

    def _all_of_newest(self) -> Around:
        assets = self.assets.values()
        return Around(
            names={asset.number: (asset.name, asset.base) for asset in assets},
            begins={asset.number: asset.begin for asset in assets},
            ends={asset.number: asset.next for asset in assets},
            cursors=list(self.cursors.values()),
        )

    def _mending(self, f: Callable[[], T]) -> T:
        """Call it; if a segment turns out damaged, mend that one and call again."""
        for _ in range(len(self.segments) + 1):
            try:
                return f()
            except InSegment as broken:
                if is_disk(broken.error):
                    raise broken.error from None
                self._mend_open(broken.info, broken.error)
        return f()


def _without_events(work: Work) -> Work:
    """What of it can be done with little space, when its events are not taken."""
    nexts = {part.asset: part.first for part in work.parts}
    return Work(
        [],
        {a: min(base, nexts.get(a, base)) for a, base in work.bases.items()},
        {
            (name, a): place if place is None else min(place, nexts.get(a, place))
            for (name, a), place in work.cursors.items()
        },
    )


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize

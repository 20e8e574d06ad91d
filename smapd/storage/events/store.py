"""The event log on its disk; all of it on the disk's thread.

The reactor's side (`log`) hands one commit at a time in. What is in memory here follows what is
committed, never the other way round.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from smapd.values import EventRecord

from ..rawscan import Wal, read_wal
from ..recovery import BROKEN, is_disk
from ..rows import Damaged
from ..segments import NAME, PAGE, remove
from . import recovery
from .recovery import Around
from .rows import ROW_BYTES, Row, seal
from .scan import hides
from .segments import About, AssetRow, CursorRow, EventSegment, Flush, create, is_header_sound
from .settings import EventSettings

SLACK: Final = 64 * PAGE
"""Room kept in a segment for what comes beside the rows."""
OPEN_READERS: Final = 8
LOOKED_AT: Final = 200_000
"""Commits looked at for dedupe ids at a start: about half a second."""

T = TypeVar("T")


@dataclass(slots=True)
class Part:
    """Packed events of one asset in one commit. ``ids``: (index of an event, dedupe id)."""

    asset: str
    first: int
    events: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    ids: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Work:
    """One commit. ``bases``: of assets that are gone. ``cursors``: places; None: forgotten.

    ``size``: bytes of the events.
    """

    parts: list[Part] = field(default_factory=list)
    bases: dict[str, int] = field(default_factory=dict)
    cursors: dict[tuple[str, str], int | None] = field(default_factory=dict)
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.parts or self.bases or self.cursors)


@dataclass(slots=True)
class Info:
    """One segment. ``t_max``: latest time of publication in it, once that was looked at."""

    path: Path
    number: int
    size: int
    t_max: int | None = None


@dataclass(slots=True)
class Asset:
    """One asset. ``begin``: its next offset when the newest segment was begun."""

    number: int
    name: str
    base: int
    next: int
    begin: int
    commit: int

    def row(self, begin: int) -> AssetRow:
        return AssetRow(self.number, self.name, self.base, begin, self.commit)


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open log says. ``ids``: (when, [(asset, dedupe id, offset)]) by commit, oldest first.

    ``notes``: sentences for the log about what was mended.
    """

    assets: list[tuple[str, int, int]]
    cursors: list[tuple[str, str, int]]
    ids: list[tuple[int, list[tuple[str, str, int]]]]


class EventStore:
    """The segments of one event log. ``wall_ms``: the clock; ``free_bytes``: of the disk."""

    def __init__(
        self,
        directory: Path,
        quarantine: Path,
        settings: EventSettings,
        wall_ms: Callable[[], int],
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self.directory, self.quarantine, self.settings = directory, quarantine, settings
        self._wall_ms = wall_ms
        self._free_bytes = free_bytes or _free_bytes
        self.segments: list[Info] = []
        self.assets: dict[str, Asset] = {}
        self.cursors: dict[tuple[str, int], CursorRow] = {}
        self.notes: list[str] = []
        self.commits = 0
        """The number of the last commit, ever."""
        self.events = 0
        """Events ever."""
        self.written_bytes = 0
        self.lost = 0
        """Events that were damaged, in what was mended by this process."""
        self.gone = 0
        """Events that went with old files before a cursor had come to them, once a cursor."""
        self.pragma = ""
        """For tests: run on each connection that writes."""
        self._current: EventSegment | None = None
        self._readers: dict[Path, EventSegment] = {}
        self._at: dict[int, Info] = {}  # asset's number: where it was read last
        self._names: list[str] = []  # by number - 1
        self._total = self._t_max = 0  # of the newest segment
        self._tried = 0  # the highest number given to a commit, failed ones too
        self._quiet = 0  # the number of the last commit, if its record need not be kept
        self._unsized = 0  # bytes written since the file's size was looked at
        self._room = self._room_ms = 0  # free bytes of the disk, and when they were looked at
        self._begun_size = 0  # of the newest segment, when it was begun
        self._looked_at: Info | None = None

    # --- open and close

    def open(self, least: tuple[int, int] = (0, 0)) -> Opened:
        """Open what there is, or begin. ``least``: commits and events known from elsewhere.

        :raises OSError: if the directory cannot be used.
        :raises sqlite3.OperationalError: if the disk is full or fails.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.notes = []
        paths = recovery.files(self.directory, self.quarantine)
        for path in paths[:-1]:
            self.segments.append(self._look(path))
        if paths:
            self._open_newest(paths[-1])
        else:
            self._begin(1)
        self._note_missing_files()
        self._notice_tail(*least)
        self.trim()
        return Opened(
            [(asset.name, asset.next, asset.base) for asset in self.assets.values()],
            [(c.name, self._names[c.asset - 1], c.place) for c in self.cursors.values()],
            self._ids(),
        )

    def close(self) -> None:
        """Close every file."""
        if self._current is not None:
            self._current.close()
            self._current = None
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    # --- commit

    def commit(self, work: Work) -> bool:
        """Make this durable, all of it or nothing; False: all but the events, for lack of space.

        :raises sqlite3.Error, OSError: nothing of it is durable.
        """
        taken = True
        now_ms = self._wall_ms()
        if work.parts and not self._has_room(now_ms):
            work, taken = self._without_events(work), False
            if not work:
                return taken
        info = self.segments[-1]
        size = work.size + 200 * (len(work.parts) + len(work.cursors)) + SLACK
        if info.size + size > self.settings.segment_bytes and self._has_grown(info):
            self._rotate()
        segment = self._writer()
        self._tried = number = max(self._tried, self.commits) + 1
        fresh = self._fresh(work, number)
        known: Mapping[str, Asset] = _Known(self.assets, fresh) if fresh else self.assets
        rows = [row for part in work.parts for row in _rows(known[part.asset], part, number)]
        changed = {
            (name, known[asset].number): place for (name, asset), place in work.cursors.items()
        }
        flush = self._flush(number, now_ms, work, known, fresh, changed)
        db = segment.db
        try:
            db.execute("BEGIN IMMEDIATE")
            for asset in fresh:
                segment.put_asset(asset.row(0))
            for row in rows:
                segment.put_row(*row)
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
            db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            self._after_failure(error)
            raise
        self._take_in(work, fresh, flush, changed)
        written = sum(len(row[4]) for row in rows)
        self.written_bytes += written
        self._unsized += written + 200 * (len(rows) + len(changed))
        if self._unsized > SLACK // 4:
            self._unsized = 0
            with contextlib.suppress(sqlite3.Error):  # it is durable, whatever this says
                self.segments[-1].size = segment.size_bytes()
        return taken

    def _has_room(self, now_ms: int) -> bool:
        """Whether events may be taken; the disk is asked once a second at most."""
        if not 0 <= now_ms - self._room_ms < 1000:
            self._room = self._free_bytes(self.directory)
            self._room_ms = now_ms
        if self._room < self.settings.min_free:
            self._room_ms = 0  # ask again at the next one
            return False
        return True

    def _without_events(self, work: Work) -> Work:
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

    def _fresh(self, work: Work, number: int) -> list[Asset]:
        """The assets that this commit names for the first time, with a number each."""
        there = self.assets
        unknown = {part.asset: None for part in work.parts if part.asset not in there}
        unknown |= {name: None for name in work.bases if name not in there}
        unknown |= {asset: None for _, asset in work.cursors if asset not in there}
        return [
            Asset(i, name, 0, 0, 0, number) for i, name in enumerate(unknown, len(self._names) + 1)
        ]

    def _has_grown(self, info: Info) -> bool:
        """Whether another segment would be smaller: it begins with all assets and cursors."""
        return info.size - self._begun_size > self.settings.segment_bytes // 8

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
        for part in work.parts:
            self.assets[part.asset].next = part.first + len(part.events)
            self._t_max = max(self._t_max, *part.times)
        self.events += flush.total - self._total
        self._total = flush.total
        for name, base in work.bases.items():
            self.assets[name].base, self.assets[name].commit = base, flush.number
        for key, place in changed.items():
            if place is None:
                self.cursors.pop(key, None)
            else:
                self.cursors[key] = CursorRow(*key, place, flush.number)

    def _after_failure(self, error: BaseException) -> None:
        """Mend a file that SQLite finds damaged; let go of one that the disk failed."""
        if isinstance(error, BROKEN) and not is_disk(error):
            self._mend_open(self.segments[-1], error)
        else:
            self.release()

    def release(self) -> None:
        """Let go of the connection that writes, after a failure; the next commit opens it anew."""
        current, self._current = self._current, None
        if current is not None:
            with contextlib.suppress(sqlite3.Error):
                current.close()

    # --- reading

    def read(self, name: str, offset: int, limit: int, limit_bytes: int) -> list[EventRecord]:
        """Events of an asset from ``offset`` on; see ``IEventLog``."""
        return self._mending(lambda: self._read(name, offset, limit, limit_bytes))

    def _read(self, name: str, offset: int, limit: int, limit_bytes: int) -> list[EventRecord]:
        asset = self.assets.get(name)
        if asset is None:
            return []
        start = max(offset, asset.base)
        found: list[EventRecord] = []
        size = 0
        with contextlib.closing(self._rows(asset, start)) as rows:  # type: ignore[type-var]
            for row in rows:
                for event in row.events():
                    if event.offset < start:
                        continue
                    size += len(event.data)
                    if found and (len(found) >= limit or size > limit_bytes):
                        return found
                    found.append(event)
        return found

    def offset_at(self, name: str, ms: int) -> int:
        """The first offset published at or behind ``ms``; see ``IEventLog``."""
        return self._mending(lambda: self._offset_at(name, ms))

    def _offset_at(self, name: str, ms: int) -> int:
        asset = self.assets.get(name)
        if asset is None:
            return 0
        for info in self.segments:
            with self._looking(info):
                if self._latest(info) < ms:
                    continue
                for _first, data in self._segment(info).rows_since(asset.number, ms):
                    for event in Row(data).events():
                        if event.systime_ms >= ms and event.offset >= asset.base:
                            return event.offset
        return asset.next

    def _rows(self, asset: Asset, at: int) -> Iterator[Row]:
        """The rows of an asset from the one that has the event at ``at``, checked, in order."""
        while at < asset.next:
            index = self._find(asset, at)
            info = self.segments[index]
            is_last = index + 1 == len(self.segments)
            end = asset.next if is_last else self._begin_at(self.segments[index + 1], asset)
            with self._looking(info):
                expected = max(self._begin_at(info, asset), 0)
                at = max(at, expected)
                is_first = True
                for first, data in self._segment(info).rows(asset.number, at):
                    row = Row(data)
                    if (row.asset, row.first) != (asset.number, first) or row.first >= end:
                        raise Damaged(f"{info.path.name}: a row is not where it belongs")
                    if row.first > (at if is_first else expected):
                        raise Damaged(f"{info.path.name}: rows before {row.first} are missing")
                    is_first, expected = False, row.end
                    if row.end > at:
                        yield row
                if at < end and expected < end and not self._is_hole(index):
                    raise Damaged(f"{info.path.name}: rows behind {expected} are missing")
            at = max(at, end)

    def _find(self, asset: Asset, at: int) -> int:
        """The index of the segment that has the event at ``at``, or of the first one behind it."""
        known = self._at.get(asset.number)
        if known is not None:
            index = known.number - self.segments[0].number
            if 0 <= index < len(self.segments) and self.segments[index] is known:
                is_last = index + 1 == len(self.segments)
                if self._begin_at(known, asset) <= at and (
                    is_last or at < self._begin_at(self.segments[index + 1], asset)
                ):
                    return index
        low, high = 0, len(self.segments) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._begin_at(self.segments[middle], asset) <= at:
                low = middle
            else:
                high = middle - 1
        self._at[asset.number] = self.segments[low]
        return low

    def _begin_at(self, info: Info, asset: Asset) -> int:
        if info is self.segments[-1]:
            return asset.begin
        with self._looking(info):
            return self._segment(info).begin_of(asset.number)

    def _is_hole(self, index: int) -> bool:
        """Whether the file behind this one is missing."""
        after = index + 1
        return (
            after < len(self.segments)
            and self.segments[after].number != self.segments[index].number + 1
        )

    def _latest(self, info: Info) -> int:
        """The latest time of publication in a segment."""
        if info is self.segments[-1]:
            return self._t_max
        if info.t_max is None:
            segment = self._segment(info)
            summary = segment.summary()
            info.t_max = segment.t_max() if summary is None else summary[0]
        return info.t_max

    # --- files

    def _segment(self, info: Info) -> EventSegment:
        return self._writer() if info is self.segments[-1] else self._reader(info)

    def _writer(self) -> EventSegment:
        if self._current is None:  # let go after a failure
            segment = self._connect(self.segments[-1].path)
            try:
                segment.begin_log()
                # A failed commit may have reached the log whole: its publishers were told so.
                self._undo(segment)
            except BaseException:
                segment.close()
                raise
            self._current = segment
        return self._current

    def _undo(self, segment: EventSegment) -> None:
        """Take back what the file has of commits that failed."""
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
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def _connect(self, path: Path) -> EventSegment:
        segment = EventSegment(path, writable=True)
        if self.pragma:
            segment.db.execute(self.pragma).fetchall()
        return segment

    def _reader(self, info: Info) -> EventSegment:
        reader = self._readers.pop(info.path, None)
        if reader is None:
            if not is_header_sound(info.path):
                raise _In(info, Damaged(f"{info.path.name} does not begin as a segment does"))
            while len(self._readers) >= OPEN_READERS:
                self._readers.pop(next(iter(self._readers))).close()
            reader = EventSegment(info.path, writable=False)
        self._readers[info.path] = reader
        return reader

    def _rotate(self) -> None:
        """Begin a new segment, and close the one before."""
        old, info = self._writer(), self.segments[-1]
        t_max, total = self._t_max, self._total
        self._begin(info.number + 1)
        info.t_max = t_max
        with contextlib.suppress(sqlite3.Error):  # it is looked at whole then
            old.put_summary(t_max, total)
        with contextlib.suppress(sqlite3.Error):
            old.close()
        info.size = _size(info.path)
        self.trim()

    def _begin(self, number: int) -> None:
        path = self.directory / f"{number:04d}.db"
        about = About(self.commits, self.events, len(self.assets), len(self.cursors))
        assets = [asset.row(asset.next) for asset in self.assets.values()]
        segment = create(path, about, assets, self.cursors.values())
        if self.pragma:
            segment.db.execute(self.pragma).fetchall()
        for asset in self.assets.values():
            asset.begin = asset.next
        self._current = segment
        self._total = self._t_max = self._quiet = 0
        self._begun_size = segment.size_bytes()
        self.segments.append(Info(path, number, self._begun_size))

    def trim(self) -> None:
        """Let go of files that are too old or too many; what the disk refuses waits."""
        with contextlib.suppress(sqlite3.OperationalError, OSError):
            while len(self.segments) > 1 and not self._is_kept(self.segments[0]):
                info = self.segments[0]
                self._count_gone(info)
                self._forget_reader(info.path)
                self.segments.pop(0)
                remove(info.path)

    def _is_kept(self, info: Info) -> bool:
        settings = self.settings
        if settings.max_bytes is not None:
            kept = sum(one.size for one in self.segments)
            if kept > max(settings.max_bytes, settings.segment_bytes):
                return False
        if settings.history_s is None:
            return True
        try:
            latest = self._latest(info)
        except BROKEN:
            latest = int(info.path.stat().st_mtime * 1000)
        return self._wall_ms() - latest <= settings.history_s * 1000

    def _count_gone(self, info: Info) -> None:
        """Note what cursors lose with this segment."""
        places: dict[int, list[CursorRow]] = {}
        for cursor in self.cursors.values():
            places.setdefault(cursor.asset, []).append(cursor)
        if not places:
            return
        after, gone, who = self.segments[1], 0, set()
        for name in [self._names[number - 1] for number in places]:
            asset = self.assets[name]
            with contextlib.suppress(*BROKEN, _In):
                begin, end = self._begin_at(info, asset), self._begin_at(after, asset)
                for cursor in places[asset.number]:
                    behind = end - max(cursor.place, begin, asset.base)
                    if behind > 0:
                        gone += behind
                        who.add(cursor.name)
        if gone:
            self.gone += gone
            names = ", ".join(sorted(who)[:5]) + ", …" * (len(who) > 5)
            self.notes.append(
                f"{info.path.name} went by EventHistory or EventMaxBytes with {gone} events that "
                f"{names} had not acknowledged"
            )

    # --- recovery

    def _look(self, path: Path) -> Info:
        """A closed segment; what is in it is looked at when it is read."""
        if _size(Path(f"{path}-wal")):  # it was not closed: have its log worked in
            wal = read_wal(path)
            try:
                _check(path, wal)
                with contextlib.closing(EventSegment(path, writable=True)) as segment:
                    last = segment.last_flush()
                    segment.put_summary(segment.t_max(), 0 if last is None else last.total)
            except BROKEN as error:
                if is_disk(error):
                    raise
                path = self._mend(path, error, wal).path
        return Info(path, _number(path), _size(path))

    def _open_newest(self, path: Path) -> None:
        for attempt in (1, 2):
            wal = read_wal(path)
            try:
                self._load(path, wal)
                return
            except BROKEN as error:
                self.release()
                if is_disk(error) or attempt == 2:
                    raise
                path = self._mend(path, error, wal).path

    def _load(self, path: Path, wal: Wal) -> None:
        """Take in the newest segment, once it is seen to be whole."""
        _check(path, wal)
        segment = self._current = self._connect(path)
        about = segment.about()
        last = segment.last_flush()
        commits, total = (about.commits, 0) if last is None else (last.number, last.total)
        counts = (about.assets, about.cursors) if last is None else (last.assets, last.cursors)
        assets = {
            row.number: Asset(row.number, row.name, row.base, row.begin, row.begin, row.commit)
            for row in segment.assets()
        }
        cursors = {(row.name, row.asset): row for row in segment.cursors()}
        if (len(assets), len(cursors)) != counts or max(assets, default=0) != len(assets):
            raise Damaged(f"{path.name}: assets or cursors are missing")
        seen = 0
        for number, first, count in segment.spans():
            asset = assets.get(number)
            if asset is None or asset.next != first:
                raise Damaged(f"{path.name}: rows before {first} of asset {number} are missing")
            asset.next = first + count
            seen += count
        if seen != total or hides(wal, commits):
            raise Damaged(f"{path.name}: it has {seen} events, and should have {total}")
        segment.begin_log()
        self.assets = {asset.name: asset for asset in assets.values()}
        self._names = [asset.name for asset in assets.values()]
        for asset in assets.values():
            asset.base = min(asset.base, asset.next)
        self.cursors = {}
        for key, row in cursors.items():
            owner = assets.get(row.asset)
            if owner is None:
                raise Damaged(f"{path.name}: a cursor is of asset {row.asset}, which is missing")
            self.cursors[key] = row._replace(place=min(max(row.place, owner.base), owner.next))
        self.commits = self._tried = commits
        self.events, self._total = about.events + total, total
        self._t_max = segment.t_max()
        self._quiet = last.number if last is not None and last.is_quiet else 0
        size = segment.size_bytes()
        self._begun_size = size if last is None else 0
        self.segments.append(Info(path, _number(path), size))

    def _ids(self) -> list[tuple[int, list[tuple[str, str, int]]]]:
        """The dedupe ids that still count, by commit, oldest first."""
        found: list[tuple[int, list[tuple[str, str, int]]]] = []
        left, looks = self.settings.ids, LOOKED_AT
        oldest_ms = self._wall_ms() - int(self.settings.id_s * 1000)
        for info in reversed(self.segments):
            with contextlib.suppress(*BROKEN, _In):  # what is damaged is mended when it is read
                for flush in self._segment(info).flushes():
                    if left <= 0 or looks <= 0 or flush.at_ms < oldest_ms:
                        return found[::-1]
                    looks -= 1
                    ids = [(self._names[n - 1], one, offset) for n, offset, one in flush.ids]
                    if ids:
                        found.append((flush.at_ms, ids))
                        left -= len(ids)
        return found[::-1]

    def _note_missing_files(self) -> None:
        for one, after in zip(self.segments, self.segments[1:], strict=False):
            if after.number != one.number + 1:
                lost = self._lost_between(one, after)
                self.lost += lost
                self.notes.append(
                    f"{self.directory}: a file is missing before {after.path.name}: {lost} events "
                    "are lost"
                )

    def _lost_between(self, one: Info, after: Info) -> int:
        lost = 0
        with contextlib.suppress(*BROKEN, _In):
            ends = self._ends_of(one)
            for asset in self.assets.values():
                lost += max(self._begin_at(after, asset) - ends.get(asset.number, 0), 0)
        return lost

    def _ends_of(self, info: Info) -> dict[int, int]:
        """The next offset of each asset behind a closed segment, by its rows."""
        segment = self._reader(info)
        ends = {row.number: row.begin for row in segment.assets()}
        for number, first, count in segment.spans():
            ends[number] = first + count
        return ends

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
        segment = self._writer()
        segment.db.execute("BEGIN IMMEDIATE")
        for asset in self.assets.values() if missing else ():
            data = seal(commits, asset.number, asset.next, [], 0, lost=missing)
            segment.put_row(asset.number, asset.next, missing, 0, data)
        segment.put_flush(flush)
        segment.db.execute("COMMIT")
        for asset in self.assets.values():
            asset.next += missing
        self.commits = self._tried = commits
        self.events, self._total = max(self.events, events), total

    def _mend(self, path: Path, error: BaseException, wal: Wal) -> recovery.Mended:
        """Mend a segment that was not taken in yet."""
        mended = recovery.mend(path, self.quarantine, self._around_at_start(path), wal)
        self._note_mended(path, mended, error)
        return mended

    def _around_at_start(self, path: Path) -> Around:
        """What the neighbours of a file say, none of which is taken in yet."""
        around = Around(at_ms=self._wall_ms())
        number = _number(path)
        if number == 1:
            around.begins = {}
        for other in recovery.files(self.directory, self.quarantine):
            with contextlib.suppress(*BROKEN, _In):
                if _number(other) == number - 1:
                    before = Info(other, number - 1, 0)
                    segment = self._reader(before)
                    around.begins = self._ends_of(before)
                    around.names |= {a.number: (a.name, a.base) for a in segment.assets()}
                    around.older = list(segment.cursors())
                    around.about = _behind(segment, len(around.names), len(around.older))
                elif _number(other) == number + 1 and is_header_sound(other):
                    # As it was begun: its log, if it has one, is not for now.
                    with contextlib.closing(EventSegment(other, writable=False)) as after:
                        rows = list(after.assets())
                        around.ends = {row.number: row.begin for row in rows}
                        around.names |= {row.number: (row.name, row.base) for row in rows}
        return around

    def _note_mended(self, path: Path, mended: recovery.Mended, error: BaseException) -> None:
        self.lost += mended.lost
        self.notes.append(
            f"{path} was damaged ({error}): {mended.lost} of its events are lost; the file is in "
            f"{self.quarantine}"
        )

    def _mend_open(self, info: Info, error: BaseException) -> None:
        """Mend a segment while the log is open: what it should hold is known."""
        index = self.segments.index(info)
        is_newest = index + 1 == len(self.segments)
        around = Around(at_ms=self._wall_ms())
        around.names = {a.number: (a.name, a.base) for a in self.assets.values()}
        if is_newest:
            around.begins = {asset.number: asset.begin for asset in self.assets.values()}
            around.ends = {asset.number: asset.next for asset in self.assets.values()}
            around.cursors = list(self.cursors.values())
            self.release()
        else:
            self._forget_reader(info.path)
            self._look_around(index, around)
        mended = recovery.mend(info.path, self.quarantine, around)
        self._note_mended(info.path, mended, error)
        info.path, info.size, info.t_max = mended.path, _size(mended.path), None
        if is_newest:
            segment = self._current = self._connect(mended.path)
            last = segment.last_flush()
            assert last is not None  # the repair is one
            self.commits, self._total, self._t_max = last.number, last.total, segment.t_max()
            self._tried = max(self._tried, self.commits)

    def _look_around(self, index: int, around: Around) -> None:
        """What the neighbours of a closed segment say of it."""
        if not self._is_hole(index):
            with contextlib.suppress(*BROKEN, _In):
                after = self.segments[index + 1]
                around.ends = {a.number: self._begin_at(after, a) for a in self.assets.values()}
        if self.segments[index].number == 1:
            around.begins = {}
        elif index and not self._is_hole(index - 1):
            with contextlib.suppress(*BROKEN, _In):
                before = self.segments[index - 1]
                around.begins = self._ends_of(before)
                segment = self._reader(before)
                around.about = _behind(segment, len(around.begins), len(list(segment.cursors())))

    def _forget_reader(self, path: Path) -> None:
        reader = self._readers.pop(path, None)
        if reader is not None:
            reader.close()

    def _mending(self, f: Callable[[], T]) -> T:
        """Call it; if a segment turns out damaged, mend that one and call again."""
        for _ in range(len(self.segments) + 1):
            try:
                return f()
            except _In as broken:
                if is_disk(broken.error):
                    raise broken.error from None
                self._mend_open(broken.info, broken.error)
        return f()

    @contextlib.contextmanager
    def _looking(self, info: Info) -> Iterator[None]:
        """What is found damaged in here is damaged in this segment."""
        try:
            yield
        except BROKEN as error:
            raise _In(info, error) from error


class _In(Exception):
    """Something is wrong in this segment."""

    def __init__(self, info: Info, error: BaseException) -> None:
        super().__init__(str(error))
        self.info, self.error = info, error


def _rows(asset: Asset, part: Part, commit: int) -> Iterator[tuple[int, int, int, int, bytes]]:
    """The rows of one part, none much larger than it should be."""
    at, size = 0, 0
    for i, event in enumerate(part.events):
        if i > at and size + len(event) > ROW_BYTES:
            yield _row(asset, part, at, i, commit)
            at, size = i, 0
        size += len(event)
    yield _row(asset, part, at, len(part.events), commit)


def _row(
    asset: Asset, part: Part, start: int, stop: int, commit: int
) -> tuple[int, int, int, int, bytes]:
    first, t_max = part.first + start, max(part.times[start:stop])
    data = seal(commit, asset.number, first, part.events[start:stop], t_max)
    return asset.number, first, stop - start, t_max, data


def _behind(segment: EventSegment, assets: int, cursors: int) -> About:
    """What a segment that follows this one says of what was before it."""
    about, last = segment.about(), segment.last_flush()
    if last is None:
        return about
    return About(last.number, about.events + last.total, assets, cursors)


class _Known(Mapping[str, Asset]):
    """All assets, with those that a commit adds; a copy would cost much for a few of many."""

    def __init__(self, assets: dict[str, Asset], fresh: list[Asset]) -> None:
        self._assets, self._fresh = assets, {asset.name: asset for asset in fresh}

    def __getitem__(self, name: str) -> Asset:
        return self._assets.get(name) or self._fresh[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._assets, **self._fresh})

    def __len__(self) -> int:
        return len(self._assets) + len(self._fresh)


def _check(path: Path, wal: Wal) -> None:
    """Look at the begin of a segment, and its log, before SQLite opens it.

    :raises Damaged: if they are not sound.
    """
    if not is_header_sound(path):
        raise Damaged(f"{path.name} does not begin as a segment does")
    if wal.suspect:
        raise Damaged(f"{path.name} has a log that breaks off in the middle")


def _number(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize

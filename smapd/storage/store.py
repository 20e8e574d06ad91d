"""The readings journal on its disk; all of it on the disk's thread.

The reactor's side (`journal`) hands packed rows and acks in, one commit at a time, and is told
where the journal then ends. What is in memory here follows what is committed, never
the other way round.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import add
from pathlib import Path
from typing import Any, Final, TypeVar

from smapd.values import JournalBatch, Limits, Position, Reading, Start

from . import ranges, recovery
from .rawscan import is_header_sound, read_wal
from .reading import Names, Window, gaps_of
from .recovery import BROKEN, Around, is_disk
from .rows import Damaged, Head, Packed, RowGap
from .segments import PAGE, Segment, Summary, create, remove
from .settings import Settings

GAPS_A_RECORD: Final = 10
SLACK: Final = 32 * PAGE
"""Room kept in a segment for what comes beside the rows."""
OPEN_READERS: Final = 2
SCAN_BYTES: Final = 16 * 2**20
"""How much one look of a cursor may pass over that it does not select: commits wait meanwhile."""

T = TypeVar("T")


@dataclass(slots=True)
class Info:
    """One segment. ``last`` below ``first``: it has no row. ``written_ms``: its last commit's."""

    path: Path
    first: int
    last: int
    size: int
    written_ms: int
    summary: Summary | None = None


@dataclass(slots=True)
class Place:
    """One cursor. ``scan``: what it has looked at and found nothing for it is behind that."""

    name: str
    position: Position
    limits: Limits
    selects: Callable[[int], bool] | None = None
    scan: Position = Position(0, 0)
    base: Counter[int] | None = None
    """Per stream: the readings of it, selected, that were behind when the count began, as a
    number to take off ``Store.totals``. None until the cursor is asked for."""
    base_all: int = 0
    """All of ``base`` together, against ``Store._taken``."""
    inflight: Window | None = None
    dropped: int = 0


@dataclass(slots=True)
class Work:
    """One commit. ``acks``: cursor name to position. ``forgets``: names of cursors to remove."""

    rows: list[tuple[Packed, list[RowGap]]] = field(default_factory=list)
    streams: list[tuple[int, str, str, int]] = field(default_factory=list)
    acks: dict[str, Position] = field(default_factory=dict)
    forgets: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.rows or self.acks or self.forgets or self.touched)


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open journal says. ``notes``: sentences for the log about what was mended."""

    streams: list[tuple[int, str, str, int]]
    cursors: dict[str, tuple[Position, Limits]]
    newest: Position
    readings: int
    notes: list[str]


class Store:
    """The segments of one journal. ``wall_ms``: the clock; ``note``: told of damage, any thread."""

    def __init__(
        self,
        directory: Path,
        quarantine: Path,
        settings: Settings,
        wall_ms: Callable[[], int],
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self.directory, self.quarantine, self.settings = directory, quarantine, settings
        self._wall_ms = wall_ms
        self._free_bytes = free_bytes or _free_bytes
        self.segments: list[Info] = []
        self.streams: dict[int, tuple[str, str]] = {}
        self.nexts: dict[int, int] = {}
        self.totals: Counter[int] = Counter()
        self.places: dict[str, Place] = {}
        self.pending: dict[str, list[tuple[int, Position, list[RowGap]]]] = {}
        self.notes: list[str] = []
        self.readings = 0
        """Readings ever, in this journal."""
        self.commits = 0
        self.written_bytes = 0
        self.dropped: Counter[str] = Counter()
        """Readings that became a gap, by cause."""
        self.pragma: str = ""
        """For tests: run on each connection that writes."""
        self._names = Names(self.streams)
        self._current: Segment | None = None
        self._before_current: Counter[int] = Counter()
        self._span = (2**62, -(2**62))
        self._readers: dict[Path, Segment] = {}
        self._gap_id = 0
        self._looked_at: Info | None = None
        self._taken = 0  # all of totals together
        self._begun: dict[int, int] = {}  # next seq of each stream when the file was begun

    # --- open and close

    def open(self, least: tuple[int, int] = (0, 0)) -> Opened:
        """Open what there is, or begin. ``least``: highest flush and readings known elsewhere.

        :raises OSError: if the directory cannot be used.
        :raises sqlite3.OperationalError: if the disk is full or fails.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = recovery.files(self.directory, self.quarantine)
        self.notes = []
        for path in paths[:-1]:
            self.segments.append(self._look(path))
        if not paths:
            self._begin(1, 1, 0)
        else:
            self._open_newest(paths[-1])
        self._join()
        self._notice_tail(*least)
        self._trim()
        return Opened(
            [(n, uuid, path, self.nexts.get(n, 0)) for n, (uuid, path) in self.streams.items()],
            {place.name: (place.position, place.limits) for place in self.places.values()},
            self.newest,
            self.readings,
            self.notes,
        )

    def close(self) -> None:
        """Write where the cursors looked to, if that moved; close every file."""
        current = self._current
        if current is not None:
            moved = [p for p in self.places.values() if p.scan > p.position]
            if moved:
                with contextlib.suppress(sqlite3.Error):
                    current.db.execute("BEGIN IMMEDIATE")
                    for place in moved:
                        current.put_cursor(place.name, place.scan, _limits(place.limits))
                    current.db.execute("COMMIT")
            current.close()
            self._current = None
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    @property
    def newest(self) -> Position:
        """Behind all that is committed."""
        return Position(self.segments[-1].last + 1, 0)

    @property
    def oldest(self) -> Position:
        """Before all that is kept."""
        return Position(self.segments[0].first, 0)

    # --- commit

    def commit(self, work: Work) -> Position:
        """Make this durable, all of it or nothing; where the journal then ends.

        :raises sqlite3.Error, OSError: nothing of it is durable; it may be tried again.
        """
        size = sum(packed.size for packed, _ in work.rows) + 300 * len(work.streams)
        info = self.segments[-1]
        if info.last >= info.first and info.size + size + SLACK > self.settings.segment_bytes:
            self._rotate()
            info = self.segments[-1]
        segment = self._writer()
        acked = [
            (place, position, self._passed(place, position))
            for name, position in work.acks.items()
            if (place := self.places.get(name)) is not None and position > place.position
        ]
        told = [
            (place, record[0])
            for name, position in work.acks.items()
            if (place := self.places.get(name)) is not None
            for record in self.pending.get(name, ())
            if record[1] <= position
        ]
        flush, readings = info.last, self.readings
        db = segment.db
        streams = [(*s[:3], self._begun.get(s[0], s[3])) for s in work.streams]
        try:
            db.execute("BEGIN IMMEDIATE")
            for stream in streams:
                segment.put_stream(*stream)
            for packed, gaps in work.rows:
                flush += 1
                head, data = packed.seal(flush, readings, gaps, streams)
                streams = []
                segment.put_row(head, data, flush, packed.t_first, packed.t_last)
                readings += packed.count
            for place, position, _ in acked:
                segment.put_cursor(place.name, position, _limits(place.limits))
            for name in work.touched - work.acks.keys():
                if (found := self.places.get(name)) is not None:
                    segment.put_cursor(name, found.position, _limits(found.limits))
            for _place, number in told:
                db.execute("DELETE FROM gap WHERE id = ?", (number,))
            for name in work.forgets:
                db.execute("DELETE FROM cursor WHERE name = ?", (name,))
                for number, _, _ in self.pending.get(name, ()):
                    db.execute("DELETE FROM gap WHERE id = ?", (number,))
            db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            self._after_failure(error)
            raise
        self.commits += 1
        self.readings = readings
        self._take_in(work, info, flush)
        for place, position, window in acked:
            self._move(place, position, window)
        for place, number in told:
            left = [one for one in self.pending[place.name] if one[0] != number]
            self.pending[place.name] = left
        for name in work.forgets:
            self.places.pop(name, None)
            self.pending.pop(name, None)
        if acked or work.forgets:
            self.trim()
        return self.newest

    def _after_failure(self, error: BaseException) -> None:
        """Mend a file that SQLite finds damaged; open one anew that the disk failed."""
        if isinstance(error, BROKEN) and not is_disk(error):
            self._mend_open(self.segments[-1], error)
        elif getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
            self.release()

    def _take_in(self, work: Work, info: Info, last: int) -> None:
        for number, uuid, path, next_seq in work.streams:
            self.streams[number] = (uuid, path)
            self.nexts.setdefault(number, next_seq)
            self._begun.setdefault(number, next_seq)
        totals, nexts = self.totals, self.nexts
        t_first, t_last = self._span
        for packed, gaps in work.rows:
            for gap in gaps:
                self.dropped[gap.why] += gap.count
                if gap.to_seq is not None:
                    nexts[gap.number] = max(nexts.get(gap.number, 0), gap.to_seq + 1)
            if not packed.count:
                continue
            self._taken += packed.count
            t_first, t_last = min(t_first, packed.t_first), max(t_last, packed.t_last)
            if packed.counts is None:
                totals.update(packed.numbers)
                nexts.update(zip(packed.numbers, map((1).__add__, packed.firsts), strict=True))
            else:
                for number, first, count in packed.runs():
                    totals[number] += count
                    nexts[number] = first + count
            self.written_bytes += packed.size
        self._span = (t_first, t_last)
        info.last = last
        info.written_ms = self._wall_ms()
        if self._current is not None and work.rows:
            with contextlib.suppress(sqlite3.Error):  # it is durable, whatever this says
                info.size = self._current.size_bytes()

    # --- cursors

    def add_cursor(
        self,
        name: str,
        selects: Callable[[int], bool] | None,
        start: Start | Position | int,
        limits: Limits,
    ) -> Position:
        """Take up the cursor of that name, or make it; where it is."""
        place = self.places.get(name)
        if place is None:
            position = self._find(start)
            place = self.places[name] = Place(name, position, limits)
        place.scan = place.position = max(place.position, self.oldest)
        self.change(name, selects, limits)
        return place.position

    def change(self, name: str, selects: Callable[[int], bool] | None, limits: Limits) -> None:
        """Streams and limits of a cursor; what waits is counted again."""
        place = self.places[name]
        place.selects, place.limits, place.inflight = selects, limits, None
        place.base = None
        self._count_base(place)

    def waiting(self, name: str) -> tuple[int, int]:
        """(readings that wait within the limits, readings that wait beyond them)."""
        place = self.places.get(name)
        if place is None or place.base is None:
            return 0, 0
        most = place.limits.max_readings
        within = beyond = 0
        base, selects = place.base, place.selects
        for number in {**base, **self.totals}:
            left = self.totals[number] - base[number]
            if left <= 0 or (selects is not None and not selects(number)):
                continue
            keep = left if most is None else min(left, most)
            within += keep
            beyond += left - keep
        return within, beyond

    def read(
        self, name: str, limit_readings: int, limit_bytes: int, until: Position | None
    ) -> JournalBatch | None:
        """The cursor's next batch; None if a look found nothing yet and is to go on."""
        return self._mending(lambda: self._read(name, limit_readings, limit_bytes, until))

    def _read(
        self, name: str, limit_readings: int, limit_bytes: int, until: Position | None
    ) -> JournalBatch | None:
        place = self.places[name]
        start = max(place.position, place.scan)
        window = Window(
            start,
            self._names,
            selects=place.selects,
            limit_readings=max(1, limit_readings),
            limit_bytes=max(1, limit_bytes),
            until=self.newest if until is None else min(until, self.newest),
            skip=self._skips(place),
            oldest_ms=None
            if place.limits.max_age_s is None
            else self._wall_ms() - int(place.limits.max_age_s * 1000),
            scan_bytes=SCAN_BYTES,
        )
        for head, data in self._rows(start):
            if not window.take(head, data):
                break
        told = [gap for _, _, gaps in self.pending.get(name, ()) for gap in gaps]
        batch = window.batch(told)
        if not batch.runs and not batch.gaps:
            # Nothing for this cursor: look on from here; it is written down with the next ack.
            self._move(place, batch.end, window, durable=False)
            if batch.end < window.until:
                return None
            return JournalBatch([], [], 0, batch.end, batch.end)
        place.inflight = window
        return batch

    def _skips(self, place: Place) -> Callable[[int], int] | None:
        """How many of a stream's next readings are beyond MaxReadings."""
        most, base = place.limits.max_readings, place.base
        if most is None or base is None or self._taken - place.base_all <= most:
            return None  # all that waits, of all streams, is within what one may have
        totals = self.totals
        return lambda number: totals[number] - base[number] - most

    def _passed(self, place: Place, position: Position) -> Window | None:
        """The streams and counts between a cursor and where it acks."""
        window = place.inflight
        start = max(place.position, place.scan)
        if window is not None and window.first == start and window.end == position:
            return window
        if position <= start:
            return None
        return self._mending(lambda: self._count(place, start, position))

    def _count(self, place: Place, start: Position, end: Position) -> Window:
        window = Window(start, self._names, selects=place.selects, until=end, counting=True)
        for head in self._heads(start):
            if not window.take(head, None):
                break
        return window

    def _move(
        self, place: Place, position: Position, window: Window | None, durable: bool = True
    ) -> None:
        if window is not None and place.base is not None:
            place.base.update(window.counts)
            place.base_all += window.counts.total()
        if durable:
            place.position = position
            if window is not None:
                for gap in window.gaps:
                    if gap.why in ("bounds", "age"):
                        place.dropped += gap.count
                        self.dropped[gap.why] += gap.count
            place.inflight = None
        place.scan = max(place.scan, position)

    def _count_base(self, place: Place) -> None:
        """Take what waits as the total now minus what is between the cursor and the end."""

        def count() -> Counter[int]:
            left: Counter[int] = Counter()
            position, selects = place.scan, place.selects
            for info in list(self.segments):
                if info.last < position.flush:
                    continue
                summary = info.summary if info.first >= position.flush else None
                if info.first > position.flush or position == Position(info.first, 0):
                    summary = self._summary(info)
                if summary is not None:
                    left.update(summary.counts)
                else:
                    left.update(self._count(place, position, Position(info.last + 1, 0)).counts)
            if selects is not None:
                return Counter({n: c for n, c in left.items() if selects(n)})
            return left

        waiting = self._mending(count)
        base = Counter(self.totals)
        base.subtract(waiting)
        place.base = base
        place.base_all = self._taken - waiting.total()

    def _summary(self, info: Info) -> Summary | None:
        if info is self.segments[-1]:
            counts = Counter(self._before_current)
            counts.update(self.totals)
            return Summary({n: c for n, c in counts.items() if c > 0}, *self._span)
        return self._reader(info).summary()

    def _find(self, start: Start | Position | int) -> Position:
        if start is Start.NEWEST:
            return self.newest
        if start is Start.OLDEST:
            return self.oldest
        if isinstance(start, int):
            return self._mending(lambda: self._at_time(start))
        assert isinstance(start, Position)
        return min(max(start, self.oldest), self.newest)

    def _at_time(self, ms: int) -> Position:
        for info in self.segments:
            if info is not self.segments[-1]:
                summary = self._reader(info).summary()
                if summary is not None and summary.t_last < ms:
                    continue
            segment = self._writer() if info is self.segments[-1] else self._reader(info)
            row = segment.db.execute(
                "SELECT seq FROM flush WHERE t_last >= ? ORDER BY seq LIMIT 1", (ms,)
            ).fetchone()
            if row is not None:
                return Position(row[0], 0)
        return self.newest

    # --- reading rows

    def _rows(self, start: Position) -> Iterator[tuple[Head, bytes]]:
        for info, segment, first in self._from(start):
            expected = first
            with contextlib.closing(segment.rows(first)) as rows:  # type: ignore[type-var]
                for head, data in rows:
                    if head.flush != expected:
                        break
                    yield head, data
                    expected += 1
            if expected != info.last + 1:
                raise _In(info, Damaged(f"{info.path.name} has no row {expected}"))

    def _heads(self, start: Position) -> Iterator[Head]:
        for _info, segment, first in self._from(start):
            yield from segment.heads(first)

    def _from(self, start: Position) -> Iterator[tuple[Info, Segment, int]]:
        for info in list(self.segments):
            if info.last < start.flush or info.last < info.first:
                continue
            segment = self._writer() if info is self.segments[-1] else self._reader(info)
            self._looked_at = info
            try:
                yield info, segment, max(start.flush, info.first)
            except BROKEN as error:
                raise _In(info, error) from error

    def read_range(
        self, uuid: str, from_ms: int, to_ms: int, limit: int, newest_first: bool, at: Any
    ) -> tuple[list[Reading], list[RowGap], Any]:
        """Part of a stream's readings by time, one segment a call; ``at``: None first."""
        return self._mending(
            lambda: ranges.read(self, uuid, from_ms, to_ms, limit, newest_first, at)
        )

    # --- files

    def _writer(self) -> Segment:
        if self._current is None:  # let go after a failure
            info = self.segments[-1]
            segment = self._connect(info.path)
            # A failed commit may have reached the log whole: it is held still, and comes again.
            segment.db.execute("DELETE FROM flush WHERE seq > ?", (info.last,))
            self._current = segment
        return self._current

    def _connect(self, path: Path) -> Segment:
        segment = Segment(path, writable=True)
        if self.pragma:
            segment.db.execute(self.pragma).fetchall()
        return segment

    def release(self) -> None:
        """Let go of the connection that writes, after a failure; the next commit opens it anew."""
        current, self._current = self._current, None
        if current is not None:
            with contextlib.suppress(sqlite3.Error):
                current.close()

    def _reader(self, info: Info) -> Segment:
        reader = self._readers.pop(info.path, None)
        if reader is None:
            while len(self._readers) >= OPEN_READERS:
                self._readers.pop(next(iter(self._readers))).close()
            reader = Segment(info.path, writable=False)
        self._readers[info.path] = reader
        return reader

    def _rotate(self) -> None:
        """Begin a new segment, close the one before, and let go of what nobody wants."""
        old, info = self._writer(), self.segments[-1]
        summary = self._summary(info)
        number = old.number + 1
        for place in self.places.values():
            place.position = max(place.position, place.scan)
        self._begin(number, info.last + 1, self.readings)
        self._before_current = Counter()
        self._before_current.subtract(self.totals)
        self._span = (2**62, -(2**62))
        with contextlib.suppress(sqlite3.Error):  # it is worked in at the next start then
            if summary is not None:
                old.put_summary(summary)
        with contextlib.suppress(sqlite3.Error):
            old.close()
        info.size = _size(info.path)
        self.trim()

    def _begin(self, number: int, first: int, before: int) -> None:
        path = self.directory / f"{number:04d}.db"
        streams = [(n, *named, self.nexts.get(n, 0)) for n, named in self.streams.items()]
        cursors = [(p.name, p.position, _limits(p.limits)) for p in self.places.values()]
        gaps = [
            (one, name, before_, told)
            for name, records in self.pending.items()
            for one, before_, told in records
        ]
        segment = create(path, first, before, streams, cursors, gaps)
        if self.pragma:
            segment.db.execute(self.pragma).fetchall()
        self._current = segment
        self._begun = dict(self.nexts)
        self.segments.append(Info(path, first, first - 1, segment.size_bytes(), self._wall_ms()))

    # --- recovery

    def _look(self, path: Path) -> Info:
        """What a closed segment says of itself; rows are looked at when they are read."""
        try:
            return self._look_closed(path)
        except BROKEN as error:
            if is_disk(error):
                raise
            return self._look_closed(self._mend(path, error).path)

    def _look_closed(self, path: Path) -> Info:
        if path.with_name(path.name + "-wal").exists() and _size(Path(f"{path}-wal")):
            recovery.open_newest(path).close()  # it was not closed: have its log worked in
        if not is_header_sound(path):
            raise Damaged(f"{path.name} does not begin as a segment does")
        segment = Segment(path, writable=False)
        try:
            first, _before = segment.about()
            ends = segment.ends()
            summary = segment.summary()
        finally:
            segment.close()
        if summary is None:
            summary = self._finish(path)
        last = first - 1 if ends is None else ends[1]
        if ends is not None and ends[0] != first:
            raise Damaged(f"{path.name} begins with row {ends[0]}, not {first}")
        written_ms = int(path.stat().st_mtime * 1000)
        return Info(path, first, last, _size(path), written_ms)

    def _finish(self, path: Path) -> Summary:
        segment = Segment(path, writable=True)
        try:
            summary = segment.summarize()
            segment.put_summary(summary)
        finally:
            segment.close()
        return summary

    def _open_newest(self, path: Path) -> None:
        for attempt in (1, 2):
            try:
                self._load(path)
                return
            except BROKEN as error:
                self.release()
                if is_disk(error) or attempt == 2:
                    raise
                path = self._mend(path, error, newest=True).path

    def _load(self, path: Path) -> None:
        wal = read_wal(path)
        segment = recovery.open_newest(path, wal)
        if self.pragma:
            segment.db.execute(self.pragma).fetchall()
        self._current = segment
        first, before = segment.about()
        streams: dict[int, tuple[str, str]] = {}
        nexts: dict[int, int] = {}
        for stream in segment.streams():
            if stream is None:
                raise Damaged(f"{path.name}: a stream's record does not pass its checksum")
            number, uuid, where, next_seq = stream
            streams[number], nexts[number] = (uuid, where), next_seq
        self._begun = dict(nexts)
        counts: Counter[int] = Counter()
        t_first, t_last, last = 2**62, -(2**62), first - 1
        for head in segment.heads():
            if head.flush != last + 1:
                raise Damaged(f"{path.name}: row {last + 1} is missing")
            last = head.flush
            for gap in head.gaps() if head.has_gaps else ():
                if gap.to_seq is not None:
                    nexts[gap.number] = max(nexts.get(gap.number, 0), gap.to_seq + 1)
            if head.count:
                t_first, t_last = min(t_first, head.t_first), max(t_last, head.t_last)
                nexts.update(zip(head.numbers, map(add, head.firsts, head.counts), strict=True))
                if head.count == len(head.numbers):
                    counts.update(head.numbers)
                else:
                    for number, _first, n in head.runs():
                        counts[number] += n
                before = head.before + head.count
        if wal.hides(last):
            raise Damaged(f"{path.name}: its log has rows behind row {last}")
        places: dict[str, Place] = {}
        for name, position, limits in segment.cursors():
            known = places.get(name)
            if known is None or known.position < position:
                places[name] = Place(name, position, Limits(*limits), scan=position)
        pending: dict[str, list[tuple[int, Position, list[RowGap]]]] = {}
        for record in segment.gaps():
            number, name, at, told = record
            pending.setdefault(name, []).append((number, at, told))
            self._gap_id = max(self._gap_id, number)
        self.streams.update(streams)
        self.nexts, self.readings = nexts, before
        self.places, self.pending = places, pending
        self._before_current, self._span = counts, (t_first, t_last)
        written_ms = int(path.stat().st_mtime * 1000)
        self.segments.append(Info(path, first, last, segment.size_bytes(), written_ms))

    def _join(self) -> None:
        """Segments follow each other; in the place of one that is gone comes one of gaps."""
        at = 1
        while at < len(self.segments):
            one, after = self.segments[at - 1], self.segments[at]
            first, last = one.last + 1, after.first - 1
            if last >= first:
                around = self._around(one)
                with contextlib.suppress(*BROKEN):
                    around.then = self._nexts_of(after)
                around.last = last
                number = int(one.path.stem.partition("-")[0]) + 1
                filled = recovery.fill(self.directory / f"{number:04d}.db", around)
                self._finish(filled.path)
                self.dropped["damage"] += filled.lost
                self.segments.insert(at, self._look_closed(filled.path))
                self.notes.append(
                    f"{self.directory}: a file is missing before {after.path.name}: {filled.rows} "
                    f"rows are lost, with {filled.lost} readings"
                )
            at += 1
        oldest = self.oldest
        for place in self.places.values():
            place.position = place.scan = min(max(place.position, oldest), self.newest)

    def _nexts_of(self, info: Info) -> dict[int, int]:
        segment = self._writer() if info is self.segments[-1] else self._reader(info)
        return {s[0]: s[3] for s in segment.streams() if s is not None}

    def _notice_tail(self, flush: int, readings: int) -> None:
        """Tell if the journal ends before where it is known to have ended."""
        missing = flush - self.segments[-1].last
        if missing <= 0:
            return
        lost = max(readings - self.readings, 0)
        self.notes.append(
            f"{self.directory}: the end of the journal is missing: {missing} rows with {lost} "
            "readings"
        )
        at_ms = self._wall_ms()
        gaps = [
            RowGap(number, seq, seq + max(lost, 1) - 1, at_ms, at_ms, 0, "tail")
            for number, seq in self.nexts.items()
        ]
        from .rows import pack

        work = Work(rows=[(pack(None, []), gaps)] + [(pack(None, []), [])] * (missing - 1))
        self.readings = max(self.readings, readings)
        self.commit(work)

    def _mend(self, path: Path, error: BaseException, newest: bool = False) -> recovery.Mended:
        around = Around()
        if self.segments:
            before = self.segments[-1] if newest else None
            known = [info for info in self.segments if info.path.name < path.name]
            before = known[-1] if known else None
            if before is not None:
                around = self._around(before)
        following = [p for p in recovery.files(self.directory, self.quarantine) if p > path]
        if following:
            with contextlib.suppress(*BROKEN):
                after = Segment(following[0], writable=False)
                try:
                    around.last = after.about()[0] - 1
                    around.then = {s[0]: s[3] for s in after.streams() if s is not None}
                finally:
                    after.close()
        mended = recovery.mend(path, self.quarantine, around)
        self.dropped["damage"] += mended.lost
        self.notes.append(
            f"{path} was damaged ({error}): {mended.rows} of its rows are lost, with "
            f"{mended.lost} readings; the file is in {self.quarantine}"
        )
        if not newest:
            self._finish(mended.path)
        return mended

    def _around(self, before: Info) -> Around:
        around = Around()
        with contextlib.suppress(*BROKEN):
            segment = self._reader(before)
            around.streams = {s[0]: s for s in segment.streams() if s is not None}
            around.nexts = {n: s[3] for n, s in around.streams.items()}
            total = segment.about()[1]
            for head in segment.heads():
                for gap in head.gaps() if head.has_gaps else ():
                    if gap.to_seq is not None:
                        known = around.nexts.get(gap.number, 0)
                        around.nexts[gap.number] = max(known, gap.to_seq + 1)
                for number, first, count in head.runs():
                    around.nexts[number] = first + count
                for stream in head.streams():
                    around.streams.setdefault(stream[0], stream)
                total = head.before + head.count
            around.cursors = {c[0]: c for c in segment.cursors()}
            around.first, around.before = before.last + 1, total
        return around

    def _mending(self, f: Callable[[], T]) -> T:
        """Call it; if a segment turns out damaged, mend that one and call again."""
        for _ in range(len(self.segments) + 1):
            try:
                return f()
            except _In as broken:
                if is_disk(broken.error):
                    raise broken.error from None
                self._mend_open(broken.info, broken.error)
            except BROKEN as error:
                if is_disk(error):
                    raise
                broken_info = self._which()
                if broken_info is None:
                    raise
                self._mend_open(broken_info, error)
        return f()

    def _which(self) -> Info | None:
        """A segment that is not sound, looked at whole; the one read last first."""
        from .rows import Data

        looked_at = [self._looked_at] if self._looked_at in self.segments else []
        for info in (*looked_at, *self.segments):
            assert info is not None
            expected = info.first
            try:
                segment = self._writer() if info is self.segments[-1] else self._reader(info)
                for head, data in segment.rows(0):
                    Data(head, data)
                    if head.flush != expected:
                        return info
                    expected += 1
            except BROKEN as error:
                if is_disk(error):
                    raise
                return info
            if expected != info.last + 1:
                return info
        return None

    def _mend_open(self, info: Info, error: BaseException) -> None:
        newest = info is self.segments[-1]
        reader = self._readers.pop(info.path, None)
        if reader is not None:
            reader.close()
        if newest:
            self.release()
        mended = self._mend(info.path, error, newest)
        info.path = mended.path
        info.size = _size(mended.path)
        if newest:
            # Rows that were there stay counted: what waits is counted from the file again.
            self._current = self._connect(mended.path)
            counts = self._current.summarize()
            self._before_current = Counter(counts.counts)
            self._before_current.subtract(self.totals)
        for place in self.places.values():
            place.inflight = None
            if place.base is not None:
                self._count_base(place)

    # --- what goes

    def trim(self) -> None:
        """Let go of files that nobody wants any more; what the disk refuses waits."""
        with contextlib.suppress(sqlite3.OperationalError, OSError):
            self._trim()

    def _trim(self) -> None:
        while len(self.segments) > 1 and not self._is_wanted(self.segments[0]):
            info = self.segments[0]
            forced = [p for p in self.places.values() if p.position.flush <= info.last]
            if forced:
                self._drop_for(forced, info)
            reader = self._readers.pop(info.path, None)
            if reader is not None:
                reader.close()
            self.segments.pop(0)
            remove(info.path)

    def _is_wanted(self, info: Info) -> bool:
        now_ms, settings = self._wall_ms(), self.settings
        kept = sum(one.size for one in self.segments)
        is_young = settings.history_s > 0 and now_ms - info.written_ms < settings.history_s * 1000
        if (
            is_young
            and kept <= max(settings.history_bytes, settings.segment_bytes)
            and self._free_bytes(self.directory) >= settings.min_free
        ):
            return True
        if kept > settings.max_bytes and any(
            p.position.flush <= info.last for p in self.places.values()
        ):
            return False
        return any(self._wants(place, info, kept, now_ms) for place in self.places.values())

    def _wants(self, place: Place, info: Info, kept: int, now_ms: int) -> bool:
        if max(place.position, place.scan).flush > info.last:
            return False
        limits = place.limits
        if limits.max_bytes is not None:
            behind = sum(one.size for one in self.segments if one.last >= place.position.flush)
            if behind > max(limits.max_bytes, self.settings.segment_bytes):
                return False
        if limits.keep_s is not None and now_ms - info.written_ms > limits.keep_s * 1000:
            return False
        if limits.max_readings is None or place.base is None:
            return True
        summary = self._summary(info)
        if summary is None:
            return True
        is_whole = place.position.flush < info.first or place.position == Position(info.first, 0)
        counts = (
            summary.counts
            if is_whole
            else self._count(place, place.position, Position(info.last + 1, 0)).counts
        )
        for number, count in counts.items():
            if place.selects is not None and not place.selects(number):
                continue
            after = self.totals[number] - place.base[number] - count
            if after < limits.max_readings:
                return True
        return False

    def _drop_for(self, places: Sequence[Place], info: Info) -> None:
        """Note what these cursors lose with this segment, durably, before it goes."""
        end = Position(info.last + 1, 0)
        steps: list[tuple[Place, Position, Window]] = []
        for place in places:
            start = max(place.position, place.scan)
            sent = place.inflight.end if place.inflight is not None else start
            for stop in (min(sent, end), end):
                if stop > start:
                    steps.append((place, stop, self._mending(self._counter(place, start, stop))))
                    start = stop
        segment = self._writer()
        records = []
        db = segment.db
        try:
            db.execute("BEGIN IMMEDIATE")
            for place, stop, window in steps:
                gaps = gaps_of(window, "bounds")
                for i in range(0, len(gaps), GAPS_A_RECORD):
                    self._gap_id += 1
                    part = gaps[i : i + GAPS_A_RECORD]
                    segment.put_gap(self._gap_id, place.name, stop, part)
                    records.append((place.name, (self._gap_id, stop, part)))
            for place in places:
                segment.put_cursor(place.name, end, _limits(place.limits))
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self.commits += 1
        for name, record in records:
            self.pending.setdefault(name, []).append(record)
        for place, _stop, window in steps:
            if place.base is not None:
                place.base.update(window.counts)
                place.base_all += window.counts.total()
            lost = window.counts.total()
            place.dropped += lost
            self.dropped["bounds"] += lost
        for place in places:
            place.position = place.scan = end

    def _counter(self, place: Place, start: Position, stop: Position) -> Callable[[], Window]:
        return lambda: self._count(place, start, stop)


class _In(Exception):
    """Something is wrong in this segment."""

    def __init__(self, info: Info, error: BaseException) -> None:
        super().__init__(str(error))
        self.info, self.error = info, error


def _limits(limits: Limits) -> list[Any]:
    return [limits.max_readings, limits.max_bytes, limits.max_age_s, limits.keep_s]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize

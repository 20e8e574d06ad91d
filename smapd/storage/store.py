"""The readings journal on its disk; all of it on the disk's thread.

The reactor's side (`journal`) hands packed rows and acks in, one commit at a time, and is told
where the journal then ends. What is in memory here follows what is committed, never
the other way round. How it is opened, read, mended and trimmed stands in files of their own.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from smapd.values import JournalBatch, Limits, Position, Reading, Start

from . import mending, opening, places, ranges, trimming
from .names import Names
from .parts import ROW_RUNS, SET_MS, Info, Opened, Place, Work, limits_of
from .readers import Readers
from .recovery import BROKEN, is_disk
from .rows import RowGap
from .segment_db import PAGE
from .segment_files import files, free_space, size_of
from .segments import NO_TIMES, Mark, Segment, Summary, create
from .settings import Settings

SLACK: Final = 32 * PAGE
"""Room kept in a segment for what comes beside the rows."""
SEGMENT_ROWS: Final = 32_768
"""A file of so many rows is full, however short they are: a start, and a repair, look at each."""
MARK_RUNS: Final = 500_000
MARK_RUNS_A_STREAM: Final = 100
"""Heads of more runs, a row for 20, are not read at a start: a mark says what they come to."""
OPEN_READERS: Final = 2


class Store:
    """The segments of one journal. ``wall_ms``, ``seconds``: the clocks."""

    def __init__(
        self,
        directory: Path,
        quarantine: Path,
        settings: Settings,
        wall_ms: Callable[[], int],
        free_bytes: Callable[[Path], int] | None = None,
        seconds: Callable[[], float] | None = None,
    ) -> None:
        self.directory, self.quarantine, self.settings = directory, quarantine, settings
        self.wall_ms = wall_ms
        self.seconds = seconds or (lambda: wall_ms() / 1000)
        self.free_bytes = free_bytes or free_space
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
        self.names = Names(self.streams)
        self.current: Segment | None = None
        self.has_old_tail = False
        self.unmarked = 0
        self.before_current: Counter[int] = Counter()
        self.readers = Readers(lambda path: Segment(path, writable=False), OPEN_READERS)
        self.gap_id = 0
        self.looked_at: Info | None = None
        self.taken = 0  # all of totals together
        self.begun: dict[int, int] = {}  # next seq of each stream when the file was begun

    # --- open and close

    def open(self, least: tuple[int, int] = (0, 0)) -> Opened:
        """Open what there is, or begin. ``least``: highest flush and readings known elsewhere.

        :raises OSError: if the directory cannot be used.
        :raises sqlite3.OperationalError: if the disk is full or fails.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = files(self.directory, self.quarantine)
        self.notes = []
        if self.wall_ms() < SET_MS:
            self.notes.append(
                "the clock of this machine is not set (it shows a time before 2020): readings get "
                "that time until it is, and none goes for its age meanwhile"
            )
        for path in paths[:-1]:
            self.segments.append(opening.look(self, path))
        if not paths:
            self.begin(1, 1, 0)
        else:
            opening.open_newest(self, paths[-1])
        opening.join(self)
        opening.notice_tail(self, *least)
        trimming.let_go(self)
        return Opened(
            [(n, uuid, path, self.nexts.get(n, 0)) for n, (uuid, path) in self.streams.items()],
            {place.name: (place.position, place.limits) for place in self.places.values()},
            self.newest,
            self.readings,
            self.notes,
        )

    def close(self) -> None:
        """Write where the cursors looked to, if that moved; close every file."""
        current = self.current
        if current is not None:
            moved = [p for p in self.places.values() if p.scan > p.position]
            if moved:
                with contextlib.suppress(sqlite3.Error):
                    current.db.execute("BEGIN IMMEDIATE")
                    for place in moved:
                        current.put_cursor(place.name, place.scan, limits_of(place.limits))
                    current.db.execute("COMMIT")
            current.close()
            self.current = None
        self.readers.close()

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
        is_full = info.size + size + SLACK > self.settings.segment_bytes
        if info.last >= info.first and (is_full or info.last - info.first >= SEGMENT_ROWS - 1):
            self.rotate()
            info = self.segments[-1]
        segment = self.writer()
        acked = [
            (place, position, places.passed(self, place, position))
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
        streams = [(*s[:3], self.begun.get(s[0], s[3])) for s in work.streams]
        is_marked = self.unmarked > max(MARK_RUNS, MARK_RUNS_A_STREAM * len(self.nexts))
        try:
            db.execute("BEGIN IMMEDIATE")
            if is_marked and (summary := self.summary(info)) is not None:
                segment.put_mark(Mark(info.last, readings, summary, self.nexts))
            for stream in streams:
                segment.put_stream(*stream)
            for packed, gaps in work.rows:
                flush += 1
                head, data = packed.seal(flush, readings, gaps, streams)
                streams = []
                segment.put_row(head, data, flush, packed.t_first, packed.t_last)
                readings += packed.count
            for place, position, _ in acked:
                segment.put_cursor(place.name, position, limits_of(place.limits))
            for name in work.touched - work.acks.keys():
                if (found := self.places.get(name)) is not None:
                    segment.put_cursor(name, found.position, limits_of(found.limits))
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
        if is_marked:
            self.unmarked = 0
        if self.has_old_tail:
            with contextlib.suppress(sqlite3.Error):  # the commit is durable, whatever this says
                self.has_old_tail = not segment.begin_log()
        self._take_in(work, info, flush)
        for place, position, window in acked:
            places.move(self, place, position, window)
        for place, number in told:
            left = [one for one in self.pending[place.name] if one[0] != number]
            self.pending[place.name] = left
        for name in work.forgets:
            self.places.pop(name, None)
            self.pending.pop(name, None)
        if acked or work.forgets:
            trimming.trim(self)
        return self.newest

    def _after_failure(self, error: BaseException) -> None:
        """Mend a file that SQLite finds damaged; open one anew that the disk failed."""
        self.has_old_tail = True
        if isinstance(error, BROKEN) and not is_disk(error):
            mending.mend_open(self, self.segments[-1], error)
        elif getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
            self.release()

    def _take_in(self, work: Work, info: Info, last: int) -> None:
        for number, uuid, path, next_seq in work.streams:
            self.streams[number] = (uuid, path)
            self.nexts.setdefault(number, next_seq)
            self.begun.setdefault(number, next_seq)
        totals, nexts = self.totals, self.nexts
        t_first, t_last = info.times[:2]
        for packed, gaps in work.rows:
            for gap in gaps:
                info.times = info.times.with_gap(gap)
                self.dropped[gap.why] += gap.count
                if gap.to_seq is not None:
                    nexts[gap.number] = max(nexts.get(gap.number, 0), gap.to_seq + 1)
            self.unmarked += ROW_RUNS + len(packed.numbers)
            if not packed.count:
                continue
            self.taken += packed.count
            t_first, t_last = min(t_first, packed.t_first), max(t_last, packed.t_last)
            if packed.counts is None:
                totals.update(packed.numbers)
                nexts.update(zip(packed.numbers, map((1).__add__, packed.firsts), strict=True))
            else:
                for number, first, count in packed.runs():
                    totals[number] += count
                    nexts[number] = first + count
            self.written_bytes += packed.size
        info.times = info.times.with_readings(t_first, t_last)
        info.last = last
        info.written_s = self.seconds()
        if self.current is not None and work.rows:
            with contextlib.suppress(sqlite3.Error):  # it is durable, whatever this says
                info.size = self.current.size_bytes()

    # --- cursors

    def add_cursor(
        self,
        name: str,
        selects: Callable[[int], bool] | None,
        start: Start | Position | int,
        limits: Limits,
    ) -> Position:
        """Take up the cursor of that name, or make it; where it is."""
        return places.add_cursor(self, name, selects, start, limits)

    def change(self, name: str, selects: Callable[[int], bool] | None, limits: Limits) -> None:
        """Streams and limits of a cursor; what waits is counted again."""
        places.change(self, name, selects, limits)

    def waiting(self, name: str) -> tuple[int, int]:
        """(readings that wait within the limits, readings that wait beyond them)."""
        return places.waiting(self, name)

    def trim(self) -> None:
        """Let go of files that nobody wants any more; what the disk refuses waits."""
        trimming.trim(self)

    def read(
        self, name: str, limit_readings: int, limit_bytes: int, until: Position | None
    ) -> JournalBatch | None:
        """The cursor's next batch; None if a look found nothing yet and is to go on."""
        return mending.mended(
            self, lambda: places.read(self, name, limit_readings, limit_bytes, until)
        )

    def summary(self, info: Info) -> Summary | None:
        """What a segment holds; None if its record of that is damaged."""
        if info is self.segments[-1]:
            counts = Counter(self.before_current)
            counts.update(self.totals)
            return Summary({n: c for n, c in counts.items() if c > 0}, info.times)
        return self.reader(info).summary()

    def read_range(
        self, uuid: str, from_ms: int, to_ms: int, limit: int, newest_first: bool, at: Any
    ) -> tuple[list[Reading], list[RowGap], Any]:
        """Part of a stream's readings by time, one segment a call; ``at``: None first."""
        return ranges.read(
            self, uuid, from_ms, to_ms, limit, newest_first, at, lambda f: mending.mended(self, f)
        )

    # --- files

    def segment(self, info: Info) -> Segment:
        """The open segment of that, looked at first if something turns out damaged."""
        self.looked_at = info
        return self.writer() if info is self.segments[-1] else self.reader(info)

    def writer(self) -> Segment:
        """The newest segment, open for writing."""
        if self.current is None:  # let go after a failure
            info = self.segments[-1]
            segment = self.connect(info.path)
            # A failed commit may have reached the log whole: it is held still, and comes again.
            segment.db.execute("DELETE FROM flush WHERE seq > ?", (info.last,))
            self.current = segment
        return self.current

    def connect(self, path: Path) -> Segment:
        """Open one for writing."""
        segment = Segment(path, writable=True)
        if self.pragma:
            segment.db.execute(self.pragma).fetchall()
        return segment

    def release(self) -> None:
        """Let go of the connection that writes, after a failure; the next commit opens it anew."""
        current, self.current = self.current, None
        if current is not None:
            with contextlib.suppress(sqlite3.Error):
                current.close()

    def reader(self, info: Info) -> Segment:
        """A closed segment, open for reading; few are at once."""
        return self.readers.get(info.path)

    def rotate(self) -> None:
        """Begin a new segment, close the one before, and let go of what nobody wants."""
        old, info = self.writer(), self.segments[-1]
        summary = self.summary(info)
        number = old.number + 1
        for place in self.places.values():
            place.position = max(place.position, place.scan)
        self.begin(number, info.last + 1, self.readings)
        self.before_current = Counter()
        self.before_current.subtract(self.totals)
        self.unmarked = 0
        with contextlib.suppress(sqlite3.Error):  # it is worked in at the next start then
            if summary is not None:
                old.put_summary(summary)
        with contextlib.suppress(sqlite3.Error):
            old.close()
        info.size = size_of(info.path)
        trimming.trim(self)

    def begin(self, number: int, first: int, before: int) -> None:
        """Begin a segment with row ``first``, behind ``before`` readings."""
        path = self.directory / f"{number:04d}.db"
        streams = [(n, *named, self.nexts.get(n, 0)) for n, named in self.streams.items()]
        cursors = [(p.name, p.position, limits_of(p.limits)) for p in self.places.values()]
        gaps = [
            (one, name, before_, told)
            for name, records in self.pending.items()
            for one, before_, told in records
        ]
        segment = create(path, first, before, streams, cursors, gaps)
        if self.pragma:
            segment.db.execute(self.pragma).fetchall()
        self.current = segment
        self.begun = dict(self.nexts)
        size = segment.size_bytes()
        self.segments.append(Info(path, first, first - 1, size, self.seconds(), NO_TIMES))

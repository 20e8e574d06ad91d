"""Readings of one stream by time, from the segments that history keeps.

Segments, and the rows of one, are looked at in the order of their times, and no further than what
was found: a page costs what it shows, however much there is behind it. Readings that were loaded
late lie in later segments; their times say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from smapd.values import GOOD, Reading

from .rows import Damaged, Data, Head, RowGap
from .segments import Segment

if TYPE_CHECKING:
    from .parts import Info
    from .store import Store

_EXTRA: Final = b"]]"
"""How a head ends, before its checksum, if gaps or streams stand in it; else rarely."""


class Scan:
    """One question. On the disk's thread; ``step`` looks at one segment, since commits wait."""

    def __init__(
        self, number: int, from_ms: int, to_ms: int, limit: int, newest_first: bool
    ) -> None:
        self.number, self.from_ms, self.to_ms = number, from_ms, to_ms
        self.limit, self.newest_first = limit, newest_first
        self.readings: list[Reading] = []
        self.gaps: list[RowGap] = []
        self._left: list[Info] | None = None

    def step(self, store: Store) -> bool:
        """Look at the next segment; whether there is more to look at."""
        if self._left is None:
            self._left = sorted(store.segments, key=self._begin, reverse=True)
        left = self._left
        while left:
            info = left[-1]
            if info in store.segments and self._look(store, info):
                left.pop()
                return True
            left.pop()
        self.gaps = [gap for gap in self.gaps if self._touches(gap.from_ms, gap.to_ms)]
        return False

    def _begin(self, info: Info) -> int:
        return -info.times.t_last if self.newest_first else info.times.t_first

    def _touches(self, first_ms: int, last_ms: int) -> bool:
        """Whether a stretch of time is wanted still."""
        if last_ms < self.from_ms or first_ms >= self.to_ms:
            return False
        if len(self.readings) < self.limit:
            return True
        edge_ms = self.readings[-1].ms
        return last_ms >= edge_ms if self.newest_first else first_ms <= edge_ms

    def _look(self, store: Store, info: Info) -> bool:
        """Take in what a segment has; False if it was not opened for it."""
        times = info.times
        has_readings = info.last >= info.first and self._touches(times.t_first, times.t_last)
        has_gaps = info.last >= info.first and self._touches(times.gap_first, times.gap_last)
        if not has_readings and not has_gaps:
            return False
        segment = store.segment(info)
        gaps = list(self._gaps(segment)) if has_gaps else []
        readings = self.readings
        if has_readings and self._holds(store, info, segment):
            readings = self._read(segment, list(readings))
        # Only now: what raised before this is mended, and comes again.
        self.readings = readings
        self.gaps += gaps
        return True

    def _holds(self, store: Store, info: Info, segment: Segment) -> bool:
        if info is store.segments[-1]:
            return True
        summary = segment.summary()
        return summary is None or self.number in summary.counts

    def _read(self, segment: Segment, found: list[Reading]) -> list[Reading]:
        order = "t_last DESC" if self.newest_first else "t_first"
        rows = segment.db.execute(
            "SELECT seq, t_first, t_last FROM flush WHERE t_last >= ? AND t_first < ? "
            f"ORDER BY {order}",
            (self.from_ms, self.to_ms),
        ).fetchall()
        for flush, t_first, t_last in rows:
            if len(found) >= self.limit:
                found.sort(key=_by_time, reverse=self.newest_first)
                del found[self.limit :]
                edge_ms = found[-1].ms
                if t_last < edge_ms if self.newest_first else t_first > edge_ms:
                    break
            found.extend(self._of_row(segment, flush))
        found.sort(key=_by_time, reverse=self.newest_first)
        del found[self.limit :]
        return found

    def _of_row(self, segment: Segment, flush: int) -> Iterator[Reading]:
        head = segment.head(flush)
        if self.number not in head.numbers:
            return
        data = Data(head, segment.data(flush))
        notes = data.notes()
        at = 0
        for number, seq, count in head.runs():
            if number == self.number:
                for i in range(at, at + count):
                    ms = data.ms[i]
                    if self.from_ms <= ms < self.to_ms:
                        quality = (notes[0][i] if notes else None) or GOOD
                        seqno = notes[1][i] if notes else None
                        yield Reading(ms, data.values[i], quality, seq + i - at, seqno)
            at += count

    def _gaps(self, segment: Segment) -> Iterator[RowGap]:
        # A row of gaps alone has no times of its own; SQLite picks those that may have any.
        for (raw,) in segment.db.execute(
            "SELECT head FROM flush WHERE substr(head, -6, 2) = ? ORDER BY seq", (_EXTRA,)
        ):
            if not isinstance(raw, bytes):
                raise Damaged(f"{segment.path.name}: a row has no head")
            head = Head(raw)
            for gap in head.gaps() if head.has_gaps else ():
                if gap.number == self.number and self._touches(gap.from_ms, gap.to_ms):
                    yield gap


def read(
    store: Store,
    uuid: str,
    from_ms: int,
    to_ms: int,
    limit: int,
    newest_first: bool,
    at: Any,
    mending: Callable[[Callable[[], bool]], bool],
) -> tuple[list[Reading], list[RowGap], Any]:
    """Readings, gaps, and what to go on with; None at the end.

    ``at``: None for the first call. What is found comes with the last one.
    """
    if at is None:
        number = next((n for n, named in store.streams.items() if named[0] == uuid), None)
        if number is None:
            return [], [], None
        at = Scan(number, from_ms, to_ms, max(1, limit), newest_first)
    if mending(lambda: at.step(store)):
        return [], [], at
    return at.readings, at.gaps, None


def _by_time(reading: Reading) -> tuple[int, int]:
    return reading.ms, reading.seq or 0

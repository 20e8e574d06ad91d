"""Readings of one stream by time, from the segments that history keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smapd.values import GOOD, Reading

from .rows import Data, Head, RowGap
from .segments import Segment

if TYPE_CHECKING:
    from .store import Store


def read(
    store: Store,
    uuid: str,
    from_ms: int,
    to_ms: int,
    limit: int,
    newest_first: bool,
    at: int | None,
) -> tuple[list[Reading], list[RowGap], int | None]:
    """What one segment has of it: readings, gaps, and the flush to go on from; None at the end.

    ``at``: None for the first call. One segment a call, since commits wait meanwhile.
    """
    number = next((n for n, named in store.streams.items() if named[0] == uuid), None)
    if number is None:
        return [], [], None
    for info in store.segments:
        if info.last < info.first or (at is not None and info.last < at):
            continue
        newest = info is store.segments[-1]
        segment = store._writer() if newest else store._reader(info)
        summary = None if newest else segment.summary()
        following = None if newest else info.last + 1
        if summary is not None and (summary.t_last < from_ms or summary.t_first >= to_ms):
            continue
        if summary is not None and number not in summary.counts:
            return [], _gaps(segment, number, from_ms, to_ms), following
        readings = _readings(segment, number, from_ms, to_ms)
        readings.sort(key=lambda r: (r.ms, r.seq), reverse=newest_first)
        return readings[:limit], _gaps(segment, number, from_ms, to_ms), following
    return [], [], None


def _readings(segment: Segment, number: int, from_ms: int, to_ms: int) -> list[Reading]:
    found: list[Reading] = []
    for flush, raw in segment.db.execute(
        "SELECT seq, head FROM flush WHERE t_last >= ? AND t_first < ? ORDER BY seq",
        (from_ms, to_ms),
    ):
        head = Head(raw)
        if number not in head.numbers:
            continue
        (body,) = segment.db.execute("SELECT data FROM flush WHERE seq = ?", (flush,)).fetchone()
        data = Data(head, body)
        notes = data.notes()
        at = 0
        for n, seq, count in head.runs():
            if n == number:
                for i in range(at, at + count):
                    ms = data.ms[i]
                    if from_ms <= ms < to_ms:
                        quality = (notes[0][i] if notes else None) or GOOD
                        seqno = notes[1][i] if notes else None
                        found.append(Reading(ms, data.values[i], quality, seq + i - at, seqno))
            at += count
    return found


def _gaps(segment: Segment, number: int, from_ms: int, to_ms: int) -> list[RowGap]:
    # A row of gaps alone has no times of its own, and heads with gaps are few.
    return [
        gap
        for head in segment.heads()
        if head.has_gaps
        for gap in head.gaps()
        if gap.number == number and gap.to_ms >= from_ms and gap.from_ms < to_ms
    ]

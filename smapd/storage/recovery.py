"""Opens segments as they were left: whole, cut short, or damaged.

A damaged one is read page by page (`rawscan`); what is sound becomes a new file, with a row of gaps
in the place of each row that is lost, and the old file goes to ``quarantine/``. So the flush
numbers stay dense, and who reads never meets damage.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add
from pathlib import Path
from typing import Final

from smapd.values import Position

from .packed import pack
from .quarantine import set_aside
from .rawscan import Found, Wal, read_wal, scan
from .rows import Damaged, Head, RowGap
from .segment_files import mended_name
from .segments import Segment, create

BROKEN: Final = (sqlite3.DatabaseError, Damaged, ValueError)
"""What reading a damaged segment raises; a full or failing disk is told apart by `is_disk`."""


@dataclass(slots=True)
class Mended:
    """What a repair did. ``lost``: readings known to be lost; ``rows``: rows without readings."""

    path: Path
    lost: int
    rows: int


@dataclass(slots=True)
class Around:
    """What the neighbours of a damaged segment know.

    ``first``: its first flush. ``before``: readings before it. ``last``: its last flush, if known.
    ``nexts``: next seq per stream number at its start; ``then``: at its end, if known.
    ``streams``, ``cursors``: as the segment before it has them.
    """

    first: int | None = None
    before: int = 0
    last: int | None = None
    streams: dict[int, tuple[int, str, str, int]] = field(default_factory=dict)
    cursors: dict[str, tuple[str, Position, list[object]]] = field(default_factory=dict)
    nexts: dict[int, int] = field(default_factory=dict)
    then: Mapping[int, int] | None = None


def is_disk(error: BaseException) -> bool:
    """Whether this says that the disk is full or failing, rather than that a file is damaged."""
    if isinstance(error, OSError | MemoryError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    return (code & 0xFF) in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
    )


def open_newest(path: Path, wal: Wal | None = None) -> Segment:
    """Open the segment that is written to; ``wal``: its log, if it was read already.

    :raises Damaged: if its header or log is not sound; SQLite has not touched it then.
    :raises sqlite3.DatabaseError: if SQLite finds it damaged.
    """
    wal = wal if wal is not None else read_wal(path)
    Segment.check_header(path, bool(wal.pages))
    if wal.suspect:
        raise Damaged(f"{path.name} has a log that breaks off in the middle")
    segment = Segment(path, writable=True)
    try:
        segment.about()
        list(segment.cursors())  # reads what SQLite has not looked at yet
        segment.begin_log()
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            segment.close()
        raise
    return segment


def mend(path: Path, quarantine: Path, around: Around) -> Mended:
    """Put a sound file in the place of a damaged one, which goes to quarantine."""
    wal = read_wal(path)
    found = scan(path, wal)
    first, before = found.about or (None, 0)
    if around.first is not None:
        first, before = around.first, around.before
    elif first is None:
        first = min(found.heads, default=1)
        before = found.heads[first].before if found.heads else 0
    last = _last(found, around, first)
    streams = {**around.streams, **found.streams}
    for number, seq in around.nexts.items():
        if number in streams:
            streams[number] = (*streams[number][:3], seq)
    cursors = {**around.cursors, **found.cursors}
    if wal.suspect or not found.cursors:
        cursors = {name: _clamped(one, last) for name, one in cursors.items()}
    nexts = {number: stream[3] for number, stream in streams.items()}
    rows, lost, holes = _rebuild(found, first, last, before, nexts, around.then)
    target = mended_name(path)
    create(
        target,
        first,
        before,
        streams.values(),
        [(name, position, limits) for name, position, limits in cursors.values()],
        found.gaps.values(),
        rows,
    ).close()
    set_aside(path, quarantine, f"readings-{path.stem}")
    return Mended(target, lost, holes)


def fill(path: Path, around: Around) -> Mended:
    """A segment of gaps alone, in the place of a file that is gone."""
    assert around.first is not None
    assert around.last is not None
    nexts = dict(around.nexts)
    rows, lost, holes = _rebuild(
        Found(), around.first, around.last, around.before, nexts, around.then
    )
    cursors = [(name, position, limits) for name, position, limits in around.cursors.values()]
    streams = [(*s[:3], around.nexts.get(s[0], s[3])) for s in around.streams.values()]
    create(path, around.first, around.before, streams, cursors, [], rows).close()
    return Mended(path, lost, holes)


def _clamped(
    cursor: tuple[str, Position, list[object]], last: int
) -> tuple[str, Position, list[object]]:
    name, position, limits = cursor
    return name, min(position, Position(last + 1, 0)), limits


def _last(found: Found, around: Around, first: int) -> int:
    """The last flush there was, as far as anything knows."""
    if around.last is not None:
        return around.last
    known = [*found.heads, first - 1]
    known += [at.flush - (at.offset == 0) for _, at, _ in found.cursors.values()]
    return max(known)


def _rebuild(
    found: Found,
    first: int,
    last: int,
    before: int,
    nexts: dict[int, int],
    then: Mapping[int, int] | None,
) -> tuple[list[tuple[bytes, bytes]], int, int]:
    """The rows ``first`` to ``last``, each lost one as a row of gaps; readings lost; rows lost.

    A hole in a stream's seqs, seen at a later row, belongs to the last lost row before it: unless
    a gap of that row tells of it already.
    """
    sound: dict[int, Head] = {}
    gaps: dict[int, list[RowGap]] = {}
    holes: list[int] = []
    at_ms = 0
    for flush in range(first, last + 1):
        row, head = found.rows.get(flush), found.heads.get(flush)
        is_dense = head is not None and _is_dense(head, nexts)
        if (
            head is not None
            and not is_dense
            and any(seq < nexts.get(n, 0) for n, seq, _ in head.runs())
        ):
            head = row = None  # from a commit that was undone: its readings came again
        if head is not None and head.count:
            at_ms = head.t_first
        if row is None:
            holes.append(flush)
            gaps[flush] = []
        if head is None:
            continue
        for gap in head.gaps():
            _hole(gaps, holes, nexts, gap.number, gap.from_seq, at_ms)
            if gap.to_seq is not None:
                nexts[gap.number] = max(nexts.get(gap.number, 0), gap.to_seq + 1)
            if row is None:
                gaps[flush].append(gap)
        if is_dense and row is not None:
            nexts.update(zip(head.numbers, map(add, head.firsts, head.counts), strict=True))
            sound[flush] = head
            continue
        for number, seq, count in head.runs():
            _hole(gaps, holes, nexts, number, seq, at_ms)
            nexts[number] = seq + count
            if row is None:
                span = (seq, seq + count - 1, head.t_first, head.t_last, count, "damage")
                gaps[flush].append(RowGap(number, *span))
        if row is not None:
            sound[flush] = head
    for number, seq in (then or {}).items():
        _hole(gaps, holes, nexts, number, seq, at_ms)
        nexts[number] = max(seq, nexts.get(number, 0))
    empty = pack(None, [])
    rows = []
    total = before
    for flush in range(first, last + 1):
        if flush in sound:
            rows.append(found.rows[flush])
            total = sound[flush].before + sound[flush].count
        else:
            rows.append(empty.seal(flush, total, gaps[flush]))
    lost = sum(g.count for flush in holes for g in gaps[flush] if g.why == "damage")
    return rows, lost, len(holes)


def _is_dense(head: Head, nexts: Mapping[int, int]) -> bool:
    """Whether its readings follow those before it, as nearly always; a quick look at all at once.

    A gap that the row tells of, or a second run of a stream, makes it False.
    """
    return not head.has_gaps and list(map(nexts.get, head.numbers)) == list(head.firsts)


def _hole(
    gaps: dict[int, list[RowGap]],
    holes: list[int],
    nexts: Mapping[int, int],
    number: int,
    seq: int | None,
    at_ms: int,
) -> None:
    """Note a hole before ``seq``, if there is one and a row is lost that it can belong to."""
    start = nexts.get(number)
    if seq is not None and start is not None and seq > start and holes:
        gaps[holes[-1]].append(RowGap(number, start, seq - 1, at_ms, at_ms, seq - start, "damage"))

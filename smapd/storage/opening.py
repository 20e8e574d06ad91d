"""Opens the journal's segments, the newest to write to it; all on the disk's thread.

Of a closed one its own summary is believed; of the newest the heads behind its last mark are read.
Segments follow each other: what is missing between two, or at the end, becomes rows of gaps.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

from smapd.values import Limits, Position

from . import mending, recovery
from .packed import pack
from .parts import ROW_RUNS, SET_MS, Info, Place, Work
from .rawscan import read_wal
from .recovery import BROKEN, is_disk
from .rows import Damaged, RowGap
from .segment_files import size_of
from .segments import NO_TIMES, Segment, Summary, number_of

if TYPE_CHECKING:
    from .store import Store


def look(store: Store, path: Path) -> Info:
    """What a closed segment says of itself; rows are looked at when they are read."""
    try:
        return _look_closed(store, path)
    except BROKEN as error:
        if is_disk(error):
            raise
        return _look_closed(store, mending.mend(store, path, error).path)


def _look_closed(store: Store, path: Path) -> Info:
    if path.with_name(path.name + "-wal").exists() and size_of(Path(f"{path}-wal")):
        recovery.open_newest(path).close()  # it was not closed: have its log worked in
    Segment.check_header(path)
    segment = Segment(path, writable=False)
    try:
        first, _before = segment.about()
        ends = segment.ends()
        summary = segment.summary()
    finally:
        segment.close()
    if summary is None:
        summary = finish(store, path)
    last = first - 1 if ends is None else ends[1]
    if ends is not None and ends[0] != first:
        raise Damaged(f"{path.name} begins with row {ends[0]}, not {first}")
    return Info(path, first, last, size_of(path), _written_s(store, path), summary.times)


def _written_s(store: Store, path: Path) -> float:
    """When it was last written; now, where its stamp or the wall clock cannot be right.

    A clock that starts at 1970 and is set later must not make everything old at once.
    """
    age_ms, now_ms = 0, store.wall_ms()
    stamp_ms = int(path.stat().st_mtime * 1000)
    if stamp_ms > SET_MS and now_ms > SET_MS:
        age_ms = max(now_ms - stamp_ms, 0)
    return store.seconds() - age_ms / 1000


def finish(store: Store, path: Path) -> Summary:
    """Say in a file what it holds: it is closed."""
    segment = Segment(path, writable=True)
    try:
        summary = segment.summarize()
        segment.put_summary(summary)
    finally:
        segment.close()
    return summary


def open_newest(store: Store, path: Path) -> None:
    """The segment that is written to; mended, if it has to be."""
    for attempt in (1, 2):
        try:
            _load(store, path)
            return
        except BROKEN as error:
            store.release()
            if is_disk(error) or attempt == 2:
                raise
            path = mending.mend(store, path, error, newest=True).path


def _load(store: Store, path: Path) -> None:
    wal = read_wal(path)
    segment = recovery.open_newest(path, wal)
    if store.pragma:
        segment.db.execute(store.pragma).fetchall()
    store.current = segment
    store.has_old_tail = size_of(Path(f"{path}-wal")) > 0  # a full disk: it was not worked in
    first, before = segment.about()
    streams: dict[int, tuple[str, str]] = {}
    nexts: dict[int, int] = {}
    for stream in segment.streams():
        if stream is None:
            raise Damaged(f"{path.name}: a stream's record does not pass its checksum")
        number, uuid, where, next_seq = stream
        streams[number], nexts[number] = (uuid, where), next_seq
    store.begun = dict(nexts)
    counts: Counter[int] = Counter()
    times, last = NO_TIMES, first - 1
    mark = segment.mark()
    if mark is not None:
        last, before = mark.flush, mark.before
        counts.update(mark.summary.counts)
        times = mark.summary.times
        nexts.update(mark.nexts)
    unmarked = 0
    for head in segment.heads(last + 1):
        if head.flush != last + 1:
            raise Damaged(f"{path.name}: row {last + 1} is missing")
        last = head.flush
        unmarked += ROW_RUNS + len(head.numbers)
        for gap in head.gaps() if head.has_gaps else ():
            times = times.with_gap(gap)
            if gap.to_seq is not None:
                nexts[gap.number] = max(nexts.get(gap.number, 0), gap.to_seq + 1)
        if head.count:
            times = times.with_readings(head.t_first, head.t_last)
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
        store.gap_id = max(store.gap_id, number)
    store.streams.update(streams)
    store.nexts, store.readings = nexts, before
    store.places, store.pending = places, pending
    store.before_current = counts
    store.unmarked = unmarked
    written_s, size = _written_s(store, path), segment.size_bytes()
    store.segments.append(Info(path, first, last, size, written_s, times))


def join(store: Store) -> None:
    """Segments follow each other; in the place of one that is gone comes one of gaps."""
    at = 1
    while at < len(store.segments):
        one, after = store.segments[at - 1], store.segments[at]
        first, last = one.last + 1, after.first - 1
        if last >= first:
            around = mending.neighbour(store, one)
            with contextlib.suppress(*BROKEN):
                around.then = _nexts_of(store, after)
            around.last = last
            number = number_of(one.path) + 1
            filled = recovery.fill(store.directory / f"{number:04d}.db", around)
            finish(store, filled.path)
            store.dropped["damage"] += filled.lost
            store.segments.insert(at, _look_closed(store, filled.path))
            store.notes.append(
                f"{store.directory}: a file is missing before {after.path.name}: {filled.rows} "
                f"rows are lost, with {filled.lost} readings"
            )
        at += 1
    oldest = store.oldest
    for place in store.places.values():
        place.position = place.scan = min(max(place.position, oldest), store.newest)


def _nexts_of(store: Store, info: Info) -> dict[int, int]:
    segment = store.writer() if info is store.segments[-1] else store.reader(info)
    return {s[0]: s[3] for s in segment.streams() if s is not None}


def notice_tail(store: Store, flush: int, readings: int) -> None:
    """Tell if the journal ends before where it is known to have ended."""
    missing = flush - store.segments[-1].last
    if missing <= 0:
        return
    lost = max(readings - store.readings, 0)
    store.notes.append(
        f"{store.directory}: the end of the journal is missing: {missing} rows with {lost} readings"
    )
    at_ms = store.wall_ms()
    gaps = [
        RowGap(number, seq, seq + max(lost, 1) - 1, at_ms, at_ms, 0, "tail")
        for number, seq in store.nexts.items()
    ]
    work = Work(rows=[(pack(None, []), gaps)] + [(pack(None, []), [])] * (missing - 1))
    store.readings = max(store.readings, readings)
    store.commit(work)

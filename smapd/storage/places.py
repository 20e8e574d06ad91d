"""Cursors of the journal: where each is, what waits for it, and what it gets next.

All on the disk's thread. What waits is not counted one by one: it is what the journal has of each
stream, less what a cursor had passed when the count began.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from smapd.values import JournalBatch, Limits, Position, Start

from . import mending
from .parts import In, Info, Place
from .reading import Window
from .recovery import BROKEN
from .rows import Damaged, Head
from .segments import Segment

if TYPE_CHECKING:
    from .store import Store

SCAN_BYTES: Final = 16 * 2**20
"""How much one look of a cursor may pass over that it does not select: commits wait meanwhile."""


def rows(store: Store, start: Position) -> Iterator[tuple[Head, bytes]]:
    """Head and data of each row from there on; damage is raised as `In`."""
    for info, segment, first in _files_from(store, start):
        expected = first
        with contextlib.closing(segment.rows(first)) as found:  # type: ignore[type-var]
            for head, data in found:
                if head.flush != expected:
                    break
                yield head, data
                expected += 1
        if expected != info.last + 1:
            raise In(info, Damaged(f"{info.path.name} has no row {expected}"))


def _heads(store: Store, start: Position) -> Iterator[Head]:
    for _info, segment, first in _files_from(store, start):
        yield from segment.heads(first)


def _files_from(store: Store, start: Position) -> Iterator[tuple[Info, Segment, int]]:
    for info in list(store.segments):
        if info.last < start.flush or info.last < info.first:
            continue
        segment = store.writer() if info is store.segments[-1] else store.reader(info)
        store.looked_at = info
        try:
            yield info, segment, max(start.flush, info.first)
        except BROKEN as error:
            raise In(info, error) from error


def add_cursor(
    store: Store,
    name: str,
    selects: Callable[[int], bool] | None,
    start: Start | Position | int,
    limits: Limits,
) -> Position:
    """Take up the cursor of that name, or make it; where it is."""
    place = store.places.get(name)
    if place is None:
        position = _find(store, start)
        place = store.places[name] = Place(name, position, limits)
    place.scan = place.position = max(place.position, store.oldest)
    change(store, name, selects, limits)
    return place.position


def change(store: Store, name: str, selects: Callable[[int], bool] | None, limits: Limits) -> None:
    """Streams and limits of a cursor; what waits is counted again."""
    place = store.places[name]
    place.selects, place.limits, place.inflight = selects, limits, None
    place.base = None
    count_base(store, place)


def waiting(store: Store, name: str) -> tuple[int, int]:
    """(readings that wait within the limits, readings that wait beyond them).

    Where a cursor takes all streams, and no more wait than one of them may have, that is one
    number; else each stream is looked at.
    """
    place = store.places.get(name)
    if place is None or place.base is None:
        return 0, 0
    most, left = place.limits.max_readings, store.taken - place.base_all
    if place.selects is None and (most is None or left <= most):
        return max(left, 0), 0
    within = beyond = 0
    base, selects = place.base, place.selects
    for number in {**base, **store.totals}:
        left = store.totals[number] - base[number]
        if left <= 0 or (selects is not None and not selects(number)):
            continue
        keep = left if most is None else min(left, most)
        within += keep
        beyond += left - keep
    return within, beyond


def read(
    store: Store, name: str, limit_readings: int, limit_bytes: int, until: Position | None
) -> JournalBatch | None:
    """The cursor's next batch; None if a look found nothing yet and is to go on."""
    place = store.places[name]
    start = max(place.position, place.scan)
    window = Window(
        start,
        store.names,
        selects=place.selects,
        limit_readings=max(1, limit_readings),
        limit_bytes=max(1, limit_bytes),
        until=store.newest if until is None else min(until, store.newest),
        skip=_skips(store, place),
        oldest_ms=None
        if place.limits.max_age_s is None
        else store.wall_ms() - int(place.limits.max_age_s * 1000),
        scan_bytes=SCAN_BYTES,
    )
    for head, data in rows(store, start):
        if not window.take(head, data):
            break
    told = [gap for _, _, gaps in store.pending.get(name, ()) for gap in gaps]
    batch = window.batch(told)
    if not batch.runs and not batch.gaps:
        # Nothing for this cursor: look on from here; it is written down with the next ack.
        move(store, place, batch.end, window, durable=False)
        if batch.end < window.until:
            if batch.end <= start:  # who asks again would ask for ever
                raise Damaged(f"{store.directory} has nothing to read at row {start.flush}")
            return None
        return JournalBatch([], [], 0, batch.end, batch.end)
    place.inflight = window
    return batch


def _skips(store: Store, place: Place) -> Callable[[int], int] | None:
    """How many of a stream's next readings are beyond MaxReadings."""
    most, base = place.limits.max_readings, place.base
    if most is None or base is None or store.taken - place.base_all <= most:
        return None  # all that waits, of all streams, is within what one may have
    totals = store.totals
    return lambda number: totals[number] - base[number] - most


def passed(store: Store, place: Place, position: Position) -> Window | None:
    """The streams and counts between a cursor and where it acks."""
    window = place.inflight
    start = max(place.position, place.scan)
    if window is not None and window.first == start and window.end == position:
        return window
    if position <= start:
        return None
    return mending.mended(store, lambda: counted(store, place, start, position))


def counted(store: Store, place: Place, start: Position, end: Position) -> Window:
    """The window between two places, from the heads alone."""
    window = Window(start, store.names, selects=place.selects, until=end, counting=True)
    for head in _heads(store, start):
        if not window.take(head, None):
            break
    return window


def move(
    store: Store, place: Place, position: Position, window: Window | None, durable: bool = True
) -> None:
    """A cursor has passed this window; ``durable``: it is acked."""
    if window is not None and place.base is not None:
        place.base.update(window.counts)
        place.base_all += window.counts.total()
    if durable:
        place.position = position
        if window is not None:
            for gap in window.gaps:
                if gap.why in ("bounds", "age"):
                    place.dropped += gap.count
                    store.dropped[gap.why] += gap.count
        place.inflight = None
    place.scan = max(place.scan, position)


def count_base(store: Store, place: Place) -> None:
    """Take what waits as the total now minus what is between the cursor and the end."""

    def count() -> Counter[int]:
        left: Counter[int] = Counter()
        position, selects = place.scan, place.selects
        for info in list(store.segments):
            if info.last < position.flush:
                continue
            summary = None
            if info.first > position.flush or position == Position(info.first, 0):
                summary = store.summary(info)
            if summary is not None:
                left.update(summary.counts)
            else:
                left.update(counted(store, place, position, Position(info.last + 1, 0)).counts)
        if selects is not None:
            return Counter({n: c for n, c in left.items() if selects(n)})
        return left

    waiting = mending.mended(store, count)
    base = Counter(store.totals)
    base.subtract(waiting)
    place.base = base
    place.base_all = store.taken - waiting.total()


def _find(store: Store, start: Start | Position | int) -> Position:
    if start is Start.NEWEST:
        return store.newest
    if start is Start.OLDEST:
        return store.oldest
    if isinstance(start, int):
        return mending.mended(store, lambda: _at_time(store, start))
    assert isinstance(start, Position)
    return min(max(start, store.oldest), store.newest)


def _at_time(store: Store, ms: int) -> Position:
    for info in store.segments:
        if info.times.t_last < ms:
            continue
        flushes = "SELECT seq FROM flush WHERE t_last >= ? ORDER BY seq LIMIT 1"
        row = store.segment(info).db.execute(flushes, (ms,)).fetchone()
        if row is not None:
            return Position(row[0], 0)
    return store.newest

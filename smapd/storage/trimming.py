"""Lets go of the journal's oldest files; all on the disk's thread.

A file goes when nobody wants it, or for a bound: then what each cursor loses with it is written
down as gaps first.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from smapd.values import Position

from . import mending, places
from .parts import Info, Place, limits_of
from .reading import Window, gaps_of
from .segment_db import remove

if TYPE_CHECKING:
    from .store import Store

GAPS_A_RECORD: Final = 10


def trim(store: Store) -> None:
    """Let go of files that nobody wants any more; what the disk refuses waits."""
    with contextlib.suppress(sqlite3.OperationalError, OSError):
        let_go(store)


def let_go(store: Store) -> None:
    """As `trim`; what the disk refuses is raised."""
    while len(store.segments) > 1 and not _is_wanted(store, store.segments[0]):
        info = store.segments[0]
        forced = [p for p in store.places.values() if p.position.flush <= info.last]
        if forced:
            _drop_for(store, forced, info)
        store.readers.forget(info.path)
        store.segments.pop(0)
        remove(info.path)


def _is_wanted(store: Store, info: Info) -> bool:
    settings = store.settings
    kept = sum(one.size for one in store.segments)
    is_young = store.seconds() - info.written_s < settings.history_s
    if (
        is_young
        and kept <= max(settings.history_bytes, settings.segment_bytes)
        and store.free_bytes(store.directory) >= settings.min_free
    ):
        return True
    if kept > settings.max_bytes and any(
        p.position.flush <= info.last for p in store.places.values()
    ):
        return False
    return any(_wants(store, place, info, kept) for place in store.places.values())


def _wants(store: Store, place: Place, info: Info, kept: int) -> bool:
    if max(place.position, place.scan).flush > info.last:
        return False
    limits = place.limits
    if limits.max_bytes is not None:
        behind = sum(one.size for one in store.segments if one.last >= place.position.flush)
        if behind > max(limits.max_bytes, store.settings.segment_bytes):
            return False
    if limits.keep_s is not None and store.seconds() - info.written_s > limits.keep_s:
        return False
    if limits.max_readings is None or place.base is None:
        return True
    summary = store.summary(info)
    if summary is None:
        return True
    is_whole = place.position.flush < info.first or place.position == Position(info.first, 0)
    counts = (
        summary.counts
        if is_whole
        else places.counted(store, place, place.position, Position(info.last + 1, 0)).counts
    )
    for number, count in counts.items():
        if place.selects is not None and not place.selects(number):
            continue
        after = store.totals[number] - place.base[number] - count
        if after < limits.max_readings:
            return True
    return False


def _drop_for(store: Store, losers: Sequence[Place], info: Info) -> None:
    """Note what these cursors lose with this segment, durably, before it goes."""
    end = Position(info.last + 1, 0)
    steps: list[tuple[Place, Position, Window]] = []
    for place in losers:
        start = max(place.position, place.scan)
        sent = place.inflight.end if place.inflight is not None else start
        for stop in (min(sent, end), end):
            if stop > start:
                steps.append(
                    (place, stop, mending.mended(store, _counter(store, place, start, stop)))
                )
                start = stop
    segment = store.writer()
    records = []
    db = segment.db
    try:
        db.execute("BEGIN IMMEDIATE")
        for place, stop, window in steps:
            gaps = gaps_of(window, "bounds")
            for i in range(0, len(gaps), GAPS_A_RECORD):
                store.gap_id += 1
                part = gaps[i : i + GAPS_A_RECORD]
                segment.put_gap(store.gap_id, place.name, stop, part)
                records.append((place.name, (store.gap_id, stop, part)))
        for place in losers:
            segment.put_cursor(place.name, end, limits_of(place.limits))
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    store.commits += 1
    for name, record in records:
        store.pending.setdefault(name, []).append(record)
    for place, _stop, window in steps:
        if place.base is not None:
            place.base.update(window.counts)
            place.base_all += window.counts.total()
        lost = window.counts.total()
        place.dropped += lost
        store.dropped["bounds"] += lost
    for place in losers:
        place.position = place.scan = end


def _counter(store: Store, place: Place, start: Position, stop: Position) -> Callable[[], Window]:
    return lambda: places.counted(store, place, start, stop)

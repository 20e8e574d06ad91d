"""One commit of the event log: made durable whole, and only then known in memory.

All on the disk's thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ..recovery import BROKEN, is_disk
from ..segment_db import PAGE
from . import mending, rotation
from .segments import AssetRow, CursorRow, EventSegment, Flush
from .state import Asset, Known, Work, rows_of

if TYPE_CHECKING:
    from .store import EventStore

SLACK: Final = 64 * PAGE
"""Room kept in a segment for what comes beside the rows."""


def commit(store: EventStore, work: Work) -> bool:
    """Make this durable, all of it or nothing; False: all but the events, for lack of space.

    :raises sqlite3.Error, OSError: nothing of it is durable.
    """
    taken, now_ms = True, store.wall_ms()
    if work.parts and not store.room.is_enough(store.written_bytes, now_ms):
        work, taken = _without_events(work), False
        if not work:
            return taken
    size = work.size + 200 * (len(work.parts) + len(work.cursors)) + SLACK
    if store.shelf.newest.size + size > store.settings.segment_bytes and rotation.has_grown(store):
        rotation.rotate(store)
    segment = store.shelf.writer()
    store.tried = number = max(store.tried, store.commits) + 1
    fresh = _fresh(store, work, number)
    known: Mapping[str, Asset] = Known(store.assets, fresh) if fresh else store.assets
    rows = [row for part in work.parts for row in rows_of(known[part.asset], part, number)]
    changed = {(name, known[asset].number): place for (name, asset), place in work.cursors.items()}
    flush = _flush(store, number, now_ms, work, known, fresh, changed)
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
        if store.quiet:
            segment.drop_flush(store.quiet)
        segment.put_flush(flush)
        segment.db.execute("COMMIT")
    except BaseException as error:
        with contextlib.suppress(sqlite3.Error):
            segment.db.execute("ROLLBACK")
        _after_failure(store, error)
        raise
    if store.shelf.has_old_tail:
        with contextlib.suppress(sqlite3.Error):  # the commit is durable, whatever this says
            store.shelf.has_old_tail = not segment.begin_log()
    _take_in(store, work, fresh, flush, changed)
    _measure(store, segment, sum(len(row[4]) for row in rows), len(rows) + len(changed))
    return taken


def _fresh(store: EventStore, work: Work, number: int) -> list[Asset]:
    """The assets that this commit names for the first time, with a number each."""
    there = store.assets
    unknown = {part.asset: None for part in work.parts if part.asset not in there}
    unknown |= {name: None for name in work.bases if name not in there}
    unknown |= {asset: None for _, asset in work.cursors if asset not in there}
    return [Asset(i, name, 0, 0, 0, number) for i, name in enumerate(unknown, len(store.names) + 1)]


def _flush(
    store: EventStore,
    number: int,
    now_ms: int,
    work: Work,
    known: Mapping[str, Asset],
    fresh: list[Asset],
    changed: dict[tuple[str, int], int | None],
) -> Flush:
    there = store.cursors
    forgets = [key for key, place in changed.items() if place is None]
    more = sum(place is not None and key not in there for key, place in changed.items())
    return Flush(
        number,
        now_ms,
        store.total + sum(len(part.events) for part in work.parts),
        len(store.names) + len(fresh),
        len(there) + more - sum(key in there for key in forgets),
        [(known[part.asset].number, part.first, len(part.events)) for part in work.parts],
        [(asset.number, asset.name) for asset in fresh],
        forgets,
        [(known[p.asset].number, p.first + i, one) for p in work.parts for i, one in p.ids],
    )


def _take_in(
    store: EventStore,
    work: Work,
    fresh: list[Asset],
    flush: Flush,
    changed: dict[tuple[str, int], int | None],
) -> None:
    store.commits = flush.number
    store.quiet = flush.number if flush.is_quiet else 0
    for asset in fresh:
        store.assets[asset.name] = asset
        store.names.append(asset.name)
    newest = store.shelf.newest
    for part in work.parts:
        store.assets[part.asset].next = part.first + len(part.events)
        newest.t_max = max(newest.t_max or 0, *part.times)
        newest.written_s = store.seconds()
    store.events += flush.total - store.total
    store.total = flush.total
    for name, base in work.bases.items():
        store.assets[name].base, store.assets[name].commit = base, flush.number
    for key, place in changed.items():
        if place is None:
            store.cursors.pop(key, None)
        else:
            store.cursors[key] = CursorRow(*key, place, flush.number)


def _measure(store: EventStore, segment: EventSegment, written: int, count: int) -> None:
    """Keep the file's size; SQLite is asked now and then, since that takes its time."""
    store.written_bytes += written
    store.unsized += written + 200 * count
    if store.unsized > SLACK // 4:
        store.unsized = 0
        with contextlib.suppress(sqlite3.Error):  # it is durable, whatever this says
            store.shelf.newest.size = segment.size_bytes()


def _after_failure(store: EventStore, error: BaseException) -> None:
    """Mend a file that SQLite finds damaged; let go of one that the disk failed."""
    if isinstance(error, BROKEN) and not is_disk(error):
        mending.mend_open(store, store.shelf.newest, error)
    else:
        store.shelf.release()


def undo(store: EventStore, segment: EventSegment) -> None:
    """Take back what the file has of commits that failed: their publishers were told so."""
    last = segment.last_flush()
    if last is None or last.number <= store.commits:
        return
    db = segment.db
    db.execute("BEGIN IMMEDIATE")
    try:
        for flush in segment.flushes():
            if flush.number <= store.commits:
                break
            for number, first, _count in flush.parts:
                db.execute("DELETE FROM event WHERE asset = ? AND seq >= ?", (number, first))
        db.execute("DELETE FROM flush WHERE number > ?", (store.commits,))
        db.execute("DELETE FROM asset")
        db.execute("DELETE FROM cursor")
        for asset in store.assets.values():
            segment.put_asset(asset.row(asset.begin))
        for cursor in store.cursors.values():
            segment.put_cursor(cursor)
        counts = len(store.assets), len(store.cursors)
        store.tried = max(store.tried, last.number) + 1
        again = Flush(store.tried, store.wall_ms(), store.total, *counts, *([], [], [], []))
        segment.put_flush(again)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    store.commits, store.quiet = again.number, again.number


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

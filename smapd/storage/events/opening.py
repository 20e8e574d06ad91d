"""Opens the event log's segments as they were left: the newest to write to it, or mended first.

All on the disk's thread. A closed one is looked at when it is read; the newest must be whole.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..rawscan import Wal, read_wal
from ..recovery import BROKEN, is_disk
from ..rows import Damaged
from ..segment_files import size_of
from ..segments import number_of
from . import mending
from .rows import seal
from .scan import hides
from .segments import About, CursorRow, EventSegment, Flush
from .state import Asset, Info, InSegment

if TYPE_CHECKING:
    from .store import EventStore

LOOKED_AT: Final = 200_000
"""Commits looked at for dedupe ids at a start: about half a second."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the newest segment says. ``total``: events in it."""

    about: About
    last: Flush | None
    total: int
    assets: list[Asset]
    cursors: dict[tuple[str, int], CursorRow]

    @property
    def commits(self) -> int:
        """The number of the last commit."""
        return self.about.commits if self.last is None else self.last.number


def look(store: EventStore, path: Path) -> Info:
    """A closed segment; what is in it is looked at when it is read."""
    if size_of(Path(f"{path}-wal")):  # it was not closed: have its log worked in
        wal = read_wal(path)
        try:
            _check(path, wal)
            with contextlib.closing(EventSegment(path, writable=True)) as segment:
                last = segment.last_flush()
                segment.put_summary(segment.t_max(), 0 if last is None else last.total)
        except BROKEN as error:
            if is_disk(error):
                raise
            path = mending.mend(store, path, error, wal)
    return Info(path, number_of(path), size_of(path))


def open_newest(store: EventStore, path: Path) -> None:
    """The segment that is written to; mended, if it has to be."""
    for attempt in (1, 2):
        wal = read_wal(path)
        try:
            _load(store, path, wal)
            return
        except BROKEN as error:
            store.shelf.release()
            if is_disk(error) or attempt == 2:
                raise
            path = mending.mend(store, path, error, wal)


def _load(store: EventStore, path: Path, wal: Wal) -> None:
    _check(path, wal)
    segment = store.shelf.current = store.shelf.connect(path)
    loaded = _read_whole(segment, wal)
    store.shelf.has_old_tail = not segment.begin_log()
    last = loaded.last
    store.assets = {asset.name: asset for asset in loaded.assets}
    store.names = [asset.name for asset in loaded.assets]
    store.cursors = loaded.cursors
    store.commits = store.tried = loaded.commits
    store.events, store.total = loaded.about.events + loaded.total, loaded.total
    store.quiet = last.number if last is not None and last.is_quiet else 0
    size = segment.size_bytes()
    store.begun_size = size if last is None else 0
    store.segments.append(Info(path, number_of(path), size, segment.t_max()))


def _check(path: Path, wal: Wal) -> None:
    """Look at the begin of a segment, and its log, before SQLite opens it.

    :raises Damaged: if they are not sound.
    """
    EventSegment.check_header(path)
    if wal.suspect:
        raise Damaged(f"{path.name} has a log that breaks off in the middle")


def _read_whole(segment: EventSegment, wal: Wal) -> Loaded:
    """All that the newest segment says, once it is seen to be whole.

    :raises Damaged: if it is not.
    """
    name = segment.path.name
    about, last = segment.about(), segment.last_flush()
    total, counts = 0, (about.assets, about.cursors)
    if last is not None:
        total, counts = last.total, (last.assets, last.cursors)
    assets = {
        row.number: Asset(row.number, row.name, row.base, row.begin, row.begin, row.commit)
        for row in segment.assets()
    }
    cursors = {(row.name, row.asset): row for row in segment.cursors()}
    if (len(assets), len(cursors)) != counts or max(assets, default=0) != len(assets):
        raise Damaged(f"{name}: assets or cursors are missing")
    seen = 0
    for number, first, count in segment.spans():
        asset = assets.get(number)
        if asset is None or asset.next != first:
            raise Damaged(f"{name}: rows before {first} of asset {number} are missing")
        asset.next = first + count
        seen += count
    if seen != total:
        raise Damaged(f"{name}: it has {seen} events, and should have {total}")
    for asset in assets.values():
        asset.base = min(asset.base, asset.next)
    for key, row in cursors.items():
        owner = assets.get(row.asset)
        if owner is None:
            raise Damaged(f"{name}: a cursor is of asset {row.asset}, which is missing")
        cursors[key] = row._replace(place=min(max(row.place, owner.base), owner.next))
    loaded = Loaded(about, last, total, list(assets.values()), cursors)
    if hides(wal, loaded.commits):
        raise Damaged(f"{name}: its log has commits behind {loaded.commits}")
    return loaded


def dedupe_ids(store: EventStore) -> list[tuple[int, list[tuple[str, str, int]]]]:
    """The dedupe ids that still count, by commit, oldest first: (when, [(asset, id, offset)])."""
    settings, names = store.settings, store.names
    found: list[tuple[int, list[tuple[str, str, int]]]] = []
    left, looks = settings.ids, LOOKED_AT
    oldest_ms = store.wall_ms() - int(settings.id_s * 1000)
    for info in reversed(store.segments):
        with contextlib.suppress(*BROKEN, InSegment):  # what is damaged is mended when it is read
            for flush in store.shelf.segment(info).flushes():
                if left <= 0 or looks <= 0 or flush.at_ms < oldest_ms:
                    return found[::-1]
                looks -= 1
                ids = [(names[n - 1], one, offset) for n, offset, one in flush.ids]
                if ids:
                    found.append((flush.at_ms, ids))
                    left -= len(ids)
    return found[::-1]


def notice_missing_files(store: EventStore) -> None:
    """Tell of files that are gone from between others."""
    for i, after in enumerate(store.segments[1:]):
        if store.shelf.is_hole(i):
            lost = _missing_behind(store, i)
            store.lost += lost
            store.notes.append(
                f"{store.directory}: a file is missing before {after.path.name}: "
                f"{lost} events are lost"
            )


def _missing_behind(store: EventStore, index: int) -> int:
    """How many events are in the files that are missing behind this segment."""
    lost, shelf = 0, store.shelf
    with contextlib.suppress(*BROKEN, InSegment):
        ends = shelf.ends_of(shelf.segments[index])
        for asset in store.assets.values():
            begin = shelf.begin_at(shelf.segments[index + 1], asset)
            lost += max(begin - ends.get(asset.number, 0), 0)
    return lost


def notice_tail(store: EventStore, commits: int, events: int) -> None:
    """Tell if the log ends before where it is known to have ended.

    Nobody knows whose events are missing: each asset's next offset moves on by as many, so that
    none is used twice.
    """
    if commits <= store.commits:
        return
    missing = max(events - store.events, 0)
    store.notes.append(
        f"{store.directory}: the end of the event log is missing: {commits - store.commits} "
        f"commits with {missing} events"
    )
    store.lost += missing
    total = store.total + missing * len(store.assets)
    counts = len(store.assets), len(store.cursors)
    flush = Flush(commits, store.wall_ms(), total, *counts, *([], [], [], []))
    segment = store.shelf.writer()
    segment.db.execute("BEGIN IMMEDIATE")
    for asset in store.assets.values() if missing else ():
        data = seal(commits, asset.number, asset.next, [], 0, lost=missing)
        segment.put_rows([(asset.number, asset.next, missing, 0, data)])
    segment.put_flush(flush)
    segment.db.execute("COMMIT")
    for asset in store.assets.values():
        asset.next += missing
    store.commits = store.tried = commits
    store.events, store.total = max(store.events, events), total

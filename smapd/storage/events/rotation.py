"""The file that is written to: begun with all assets and cursors, and followed by the next one.

All on the disk's thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from ..segment_files import size_of
from . import trimming
from .segments import About, create
from .state import Info

if TYPE_CHECKING:
    from .store import EventStore


def has_grown(store: EventStore) -> bool:
    """Whether another segment would be smaller: it begins with all assets and cursors."""
    return store.shelf.newest.size - store.begun_size > store.settings.segment_bytes // 8


def rotate(store: EventStore) -> None:
    """Begin a new segment, and close the one before."""
    old, info, total = store.shelf.writer(), store.shelf.newest, store.total
    begin(store, info.number + 1)
    with contextlib.suppress(sqlite3.Error):  # it is looked at whole then
        old.put_summary(info.t_max or 0, total)
    with contextlib.suppress(sqlite3.Error):
        old.close()
    info.size = size_of(info.path)
    trimming.trim(store)


def begin(store: EventStore, number: int) -> None:
    """Begin the segment of that number, behind all there is."""
    path = store.directory / f"{number:04d}.db"
    about = About(store.commits, store.events, len(store.assets), len(store.cursors))
    assets = [asset.row(asset.next) for asset in store.assets.values()]
    segment = create(path, about, assets, store.cursors.values())
    store.shelf.prepare(segment)
    for asset in store.assets.values():
        asset.begin = asset.next
    store.shelf.current = segment
    store.total = store.quiet = store.unsized = 0
    store.begun_size = segment.size_bytes()
    store.segments.append(Info(path, number, store.begun_size, 0, store.seconds()))

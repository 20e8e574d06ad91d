"""Lets go of files by EventHistory and EventMaxBytes, and tells who had not read them.

All on the disk's thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..parts import SET_MS
from ..recovery import BROKEN
from ..segment_db import remove
from .segments import CursorRow
from .state import Info, InSegment

if TYPE_CHECKING:
    from .store import EventStore


@dataclass(frozen=True, slots=True)
class Gone:
    """What cursors lose with a file. ``events``: once a cursor. ``names``: of the cursors."""

    events: int
    names: list[str]

    def __str__(self) -> str:
        names = ", ".join(self.names[:5]) + ", …" * (len(self.names) > 5)
        return f"{self.events} events that {names} had not acknowledged"


def trim(store: EventStore) -> None:
    """Let go of files that are too old or too many; what the disk refuses waits."""
    with contextlib.suppress(sqlite3.OperationalError, OSError):
        while len(store.segments) > 1 and not _is_kept(store):
            info, gone = store.segments[0], _what_goes(store)
            if gone is not None:
                store.gone += gone.events
                store.gone_note = (
                    f"{info.path.name} went by EventHistory or EventMaxBytes with {gone}"
                )
            store.shelf.forget_reader(info.path)
            store.segments.pop(0)
            remove(info.path)


def _is_kept(store: EventStore) -> bool:
    """Whether the oldest segment stays."""
    settings, shelf = store.settings, store.shelf
    if settings.max_bytes is not None:
        most = max(settings.max_bytes, settings.segment_bytes)
        if shelf.size_bytes() > most:
            return False
    if settings.history_s is None:
        return True
    return _age_s(store, shelf.segments[0]) <= settings.history_s


def _age_s(store: EventStore, info: Info) -> float:
    """How long ago the last events of a segment came.

    Of one from an earlier run, by what the wall clock showed when this one opened it, if that
    can be right: a clock that is set while we run must not make everything old at once.
    """
    if info.written_s is None:
        try:
            latest = store.shelf.latest(info)
        except InSegment:
            latest = int(info.path.stat().st_mtime * 1000)
        age_ms = 0
        if latest > SET_MS and store.opened_ms > SET_MS:
            age_ms = max(store.opened_ms - latest, 0)
        info.written_s = store.opened_s - age_ms / 1000
    return store.seconds() - info.written_s


def _what_goes(store: EventStore) -> Gone | None:
    """What cursors lose with the oldest segment; None: nothing."""
    shelf, assets = store.shelf, {asset.number: asset for asset in store.assets.values()}
    places: dict[int, list[CursorRow]] = {}
    for cursor in store.cursors.values():
        places.setdefault(cursor.asset, []).append(cursor)
    first, after = shelf.segments[:2]
    gone, names = 0, set()
    for number, theirs in places.items():
        asset = assets[number]
        with contextlib.suppress(*BROKEN, InSegment):
            begin, end = shelf.begin_at(first, asset), shelf.begin_at(after, asset)
            for cursor in theirs:
                behind = end - max(cursor.place, begin, asset.base)
                if behind > 0:
                    gone += behind
                    names.add(cursor.name)
    return Gone(gone, sorted(names)) if gone else None

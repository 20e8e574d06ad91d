"""Which files go by EventHistory and EventMaxBytes, and who had not read them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..recovery import BROKEN
from .segments import CursorRow
from .settings import EventSettings
from .shelf import Shelf
from .state import Asset, Info, InSegment


@dataclass(frozen=True, slots=True)
class Gone:
    """What cursors lose with a file. ``events``: once a cursor. ``names``: of the cursors."""

    events: int
    names: list[str]

    def __str__(self) -> str:
        names = ", ".join(self.names[:5]) + ", …" * (len(self.names) > 5)
        return f"{self.events} events that {names} had not acknowledged"


def is_kept(shelf: Shelf, settings: EventSettings, age_s: Callable[[Info], float]) -> bool:
    """Whether the oldest segment stays. ``age_s``: of the last events in one."""
    if settings.max_bytes is not None:
        most = max(settings.max_bytes, settings.segment_bytes)
        if shelf.size_bytes() > most:
            return False
    if settings.history_s is None:
        return True
    return age_s(shelf.segments[0]) <= settings.history_s


def what_goes(
    shelf: Shelf, assets: Mapping[int, Asset], cursors: Iterable[CursorRow]
) -> Gone | None:
    """What cursors lose with the oldest segment; None: nothing."""
    places: dict[int, list[CursorRow]] = {}
    for cursor in cursors:
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

"""The newest segment as it was left: whole, or not; and what its neighbours say of a damaged one.

All on the disk's thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..rawscan import Wal
from ..recovery import BROKEN
from ..rows import Damaged
from .recovery import Around
from .scan import hides
from .segments import About, CursorRow, EventSegment, Flush, is_header_sound
from .settings import EventSettings
from .shelf import Shelf
from .state import Asset, Info, InSegment, number_of

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


def check(path: Path, wal: Wal) -> None:
    """Look at the begin of a segment, and its log, before SQLite opens it.

    :raises Damaged: if they are not sound.
    """
    if not is_header_sound(path):
        raise Damaged(f"{path.name} does not begin as a segment does")
    if wal.suspect:
        raise Damaged(f"{path.name} has a log that breaks off in the middle")


def load(segment: EventSegment, wal: Wal) -> Loaded:
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


def dedupe_ids(
    shelf: Shelf, names: list[str], settings: EventSettings, now_ms: int
) -> list[tuple[int, list[tuple[str, str, int]]]]:
    """The dedupe ids that still count, by commit, oldest first: (when, [(asset, id, offset)])."""
    found: list[tuple[int, list[tuple[str, str, int]]]] = []
    left, looks, oldest_ms = settings.ids, LOOKED_AT, now_ms - int(settings.id_s * 1000)
    for info in reversed(shelf.segments):
        with contextlib.suppress(*BROKEN, InSegment):  # what is damaged is mended when it is read
            for flush in shelf.segment(info).flushes():
                if left <= 0 or looks <= 0 or flush.at_ms < oldest_ms:
                    return found[::-1]
                looks -= 1
                ids = [(names[n - 1], one, offset) for n, offset, one in flush.ids]
                if ids:
                    found.append((flush.at_ms, ids))
                    left -= len(ids)
    return found[::-1]


def missing_between(shelf: Shelf, assets: Iterable[Asset], index: int) -> int:
    """How many events are in the files that are missing behind this segment."""
    lost = 0
    with contextlib.suppress(*BROKEN, InSegment):
        ends = shelf.ends_of(shelf.segments[index])
        for asset in assets:
            begin = shelf.begin_at(shelf.segments[index + 1], asset)
            lost += max(begin - ends.get(asset.number, 0), 0)
    return lost


def around_at_start(shelf: Shelf, paths: list[Path], path: Path) -> Around:
    """What the files beside a damaged one say, which were not taken in yet."""
    around, number = Around(), number_of(path)
    if number == 1:
        around.begins = {}
    for other in paths:
        with contextlib.suppress(*BROKEN, InSegment):
            if number_of(other) == number - 1:
                before = Info(other, number - 1, 0)
                segment = shelf.reader(before)
                around.begins = shelf.ends_of(before)
                around.names |= {a.number: (a.name, a.base) for a in segment.assets()}
                around.older = list(segment.cursors())
                around.about = _behind(segment, len(around.names), len(around.older))
            elif number_of(other) == number + 1 and is_header_sound(other):
                # As it was begun: its log, if it has one, is not for now.
                with contextlib.closing(EventSegment(other, writable=False)) as after:
                    rows = list(after.assets())
                    around.ends = {row.number: row.begin for row in rows}
                    around.names |= {row.number: (row.name, row.base) for row in rows}
    return around


def around_closed(shelf: Shelf, assets: Iterable[Asset], index: int) -> Around:
    """What is known of a closed segment while the log is open."""
    around = Around(names={a.number: (a.name, a.base) for a in assets})
    if not shelf.is_hole(index):
        with contextlib.suppress(*BROKEN, InSegment):
            after = shelf.segments[index + 1]
            around.ends = {a.number: shelf.begin_at(after, a) for a in assets}
    if shelf.segments[index].number == 1:
        around.begins = {}
    elif index and not shelf.is_hole(index - 1):
        with contextlib.suppress(*BROKEN, InSegment):
            before = shelf.segments[index - 1]
            around.begins = shelf.ends_of(before)
            segment = shelf.reader(before)
            cursors = len(list(segment.cursors()))
            around.about = _behind(segment, len(around.begins), cursors)
    return around


def _behind(segment: EventSegment, assets: int, cursors: int) -> About:
    """What a segment that follows this one says of what was before it."""
    about, last = segment.about(), segment.last_flush()
    if last is None:
        return about
    return About(last.number, about.events + last.total, assets, cursors)

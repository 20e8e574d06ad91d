"""A damaged segment is mended: at the start, or when a read meets it, which is then asked again.

All on the disk's thread. `recovery` makes the sound file; this knows what its neighbours know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..rawscan import Wal
from ..recovery import BROKEN, is_disk
from ..segment_files import files, size_of
from ..segments import number_of
from . import recovery
from .recovery import Around
from .segments import About, EventSegment
from .shelf import Shelf
from .state import Asset, Info, InSegment

if TYPE_CHECKING:
    from .store import EventStore

T = TypeVar("T")


def mended(store: EventStore, f: Callable[[], T]) -> T:
    """Call it; if a segment turns out damaged, mend that one and call again."""
    for _ in range(len(store.segments) + 1):
        try:
            return f()
        except InSegment as broken:
            if is_disk(broken.error):
                raise broken.error from None
            mend_open(store, broken.info, broken.error)
    return f()


def mend(store: EventStore, path: Path, error: BaseException, wal: Wal) -> Path:
    """Mend a segment that was not taken in yet; its new name."""
    paths = files(store.directory, store.quarantine, recovery.KIND)
    around = _around_at_start(store.shelf, paths, path)
    around.at_ms = store.wall_ms()
    repaired = recovery.mend(path, store.quarantine, around, wal)
    _note(store, path, repaired, error)
    return repaired.path


def mend_open(store: EventStore, info: Info, error: BaseException) -> None:
    """Mend a segment while the log is open: what it should hold is known."""
    is_newest = info is store.shelf.newest
    if is_newest:
        around = _all_of_newest(store)
        store.shelf.release()
    else:
        store.shelf.forget_reader(info.path)
        index = store.segments.index(info)
        around = _around_closed(store.shelf, store.assets.values(), index)
    around.at_ms = store.wall_ms()
    repaired = recovery.mend(info.path, store.quarantine, around)
    _note(store, info.path, repaired, error)
    info.path, info.size = repaired.path, size_of(repaired.path)
    if is_newest:
        segment = store.shelf.current = store.shelf.connect(repaired.path)
        last = segment.last_flush()
        assert last is not None  # the repair is one
        store.commits, store.total, store.quiet = last.number, last.total, 0
        store.tried = max(store.tried, store.commits)
    else:
        info.t_max = None


def _note(store: EventStore, path: Path, repaired: recovery.Mended, error: BaseException) -> None:
    store.lost += repaired.lost
    store.notes.append(
        f"{path} was damaged ({error}): {repaired.lost} of its events are lost; the file is in "
        f"{store.quarantine}"
    )


# --- what is known of it elsewhere


def _all_of_newest(store: EventStore) -> Around:
    assets = store.assets.values()
    return Around(
        names={asset.number: (asset.name, asset.base) for asset in assets},
        begins={asset.number: asset.begin for asset in assets},
        ends={asset.number: asset.next for asset in assets},
        cursors=list(store.cursors.values()),
    )


def _around_at_start(shelf: Shelf, paths: list[Path], path: Path) -> Around:
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
            elif number_of(other) == number + 1 and EventSegment.is_header_sound(other):
                # As it was begun: its log, if it has one, is not for now.
                with contextlib.closing(EventSegment(other, writable=False)) as after:
                    rows = list(after.assets())
                    around.ends = {row.number: row.begin for row in rows}
                    around.names |= {row.number: (row.name, row.base) for row in rows}
    return around


def _around_closed(shelf: Shelf, assets: Iterable[Asset], index: int) -> Around:
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

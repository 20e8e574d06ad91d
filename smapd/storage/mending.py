"""Damage met while the journal is open: the segment is mended, and what was asked is asked again.

All on the disk's thread. ``recovery`` makes the sound file; this knows what its neighbours know.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from . import opening, places, recovery
from .parts import In, Info
from .recovery import BROKEN, Around, is_disk
from .rows import Data
from .segment_files import files, size_of
from .segments import Segment, Summary, Times, number_of

if TYPE_CHECKING:
    from .store import Store

T = TypeVar("T")


def mend(
    store: Store,
    path: Path,
    error: BaseException,
    newest: bool = False,
    last: int | None = None,
) -> recovery.Mended:
    """Put a sound file in its place. ``last``: row of the newest, if that is known from before."""
    number = number_of(path)
    known = [info for info in store.segments if number_of(info.path) < number]
    around = neighbour(store, known[-1]) if known else Around()
    paths = files(store.directory, store.quarantine)
    following = [p for p in paths if number_of(p) > number]
    if last is not None:
        around.last, around.then = last, dict(store.nexts)
    elif following:
        with contextlib.suppress(*BROKEN):
            after = Segment(following[0], writable=False)
            try:
                around.last = after.about()[0] - 1
                around.then = {s[0]: s[3] for s in after.streams() if s is not None}
            finally:
                after.close()
    mended = recovery.mend(path, store.quarantine, around)
    store.dropped["damage"] += mended.lost
    store.notes.append(
        f"{path} was damaged ({error}): {mended.rows} of its rows are lost, with "
        f"{mended.lost} readings; the file is in {store.quarantine}"
    )
    if not newest:
        opening.finish(store, mended.path)
    return mended


def neighbour(store: Store, before: Info) -> Around:
    """What the segment before a damaged one knows."""
    around = Around()
    with contextlib.suppress(*BROKEN):
        segment = store.reader(before)
        around.streams = {s[0]: s for s in segment.streams() if s is not None}
        around.nexts = {n: s[3] for n, s in around.streams.items()}
        total = segment.about()[1]
        for head in segment.heads():
            for gap in head.gaps() if head.has_gaps else ():
                if gap.to_seq is not None:
                    known = around.nexts.get(gap.number, 0)
                    around.nexts[gap.number] = max(known, gap.to_seq + 1)
            for number, first, count in head.runs():
                around.nexts[number] = first + count
            for stream in head.streams():
                around.streams.setdefault(stream[0], stream)
            total = head.before + head.count
        around.cursors = {c[0]: c for c in segment.cursors()}
        around.first, around.before = before.last + 1, total
    return around


def mended(store: Store, f: Callable[[], T]) -> T:
    """Call it; if a segment turns out damaged, mend that one and call again."""
    for left in range(len(store.segments), -1, -1):
        try:
            return f()
        except In as broken:
            if is_disk(broken.error) or not left:
                raise broken.error from None
            mend_open(store, broken.info, broken.error)
        except BROKEN as error:
            broken_info = None if is_disk(error) or not left else _which(store)
            if broken_info is None:
                raise
            mend_open(store, broken_info, error)
    raise AssertionError("a round returns or raises")


def _which(store: Store) -> Info | None:
    """A segment that is not sound, looked at whole; the one read last first."""
    looked_at = [store.looked_at] if store.looked_at in store.segments else []
    for info in (*looked_at, *store.segments):
        assert info is not None
        expected = info.first
        try:
            segment = store.writer() if info is store.segments[-1] else store.reader(info)
            for head, data in segment.rows(0):
                Data(head, data)
                if head.flush != expected:
                    return info
                expected += 1
        except BROKEN as error:
            if is_disk(error):
                raise
            return info
        if expected != info.last + 1:
            return info
    return None


def mend_open(store: Store, info: Info, error: BaseException) -> None:
    """Mend a segment of the open journal; what waits in it is counted again."""
    newest = info is store.segments[-1]
    store.readers.forget(info.path)
    if newest:
        store.release()
    mended = mend(store, info.path, error, newest, info.last if newest else None)
    info.path = mended.path
    info.size = size_of(mended.path)
    if newest:
        # Rows that were there stay counted: what waits is counted from the file again.
        store.current = store.connect(mended.path)
        summary = store.current.summarize()
        store.before_current = Counter(summary.counts)
        store.before_current.subtract(store.totals)
    else:
        summary = store.reader(info).summary() or Summary({}, Times())
    info.times = summary.times
    for place in store.places.values():
        place.inflight = None
        if place.base is not None:
            places.count_base(store, place)

"""Events of one asset read from the segments, each row checked, without a hole that is not known.

All on the disk's thread. What is damaged raises ``InSegment``: it is to be mended, and read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from smapd.values import EventRecord

from ..rows import Damaged
from .rows import Row
from .shelf import Shelf
from .state import Asset


def read(
    shelf: Shelf, asset: Asset, offset: int, limit: int, limit_bytes: int
) -> list[EventRecord]:
    """Events from ``offset`` on; see ``IEventLog``."""
    start = max(offset, asset.base)
    found: list[EventRecord] = []
    size = 0
    with contextlib.closing(_rows(shelf, asset, start)) as rows:  # type: ignore[type-var]
        for row in rows:
            for event in row.events():
                if event.offset < start:
                    continue
                size += len(event.data)
                if found and (len(found) >= limit or size > limit_bytes):
                    return found
                found.append(event)
    return found


def offset_at(shelf: Shelf, asset: Asset, ms: int) -> int:
    """The first offset published at or behind ``ms``; see ``IEventLog``."""
    for info in shelf.segments:
        if shelf.latest(info) < ms:
            continue
        with shelf.looking(info):
            for _first, data in shelf.segment(info).rows_since(asset.number, ms):
                for event in Row(data).events():
                    if event.systime_ms >= ms and event.offset >= asset.base:
                        return event.offset
    return asset.next


def _rows(shelf: Shelf, asset: Asset, at: int) -> Iterator[Row]:
    """The rows of an asset from the one that has the event at ``at``, checked, in order."""
    while at < asset.next:
        index = _find(shelf, asset, at)
        info = shelf.segments[index]
        end = asset.next
        if index + 1 < len(shelf.segments):
            end = shelf.begin_at(shelf.segments[index + 1], asset)
        with shelf.looking(info):
            expected = shelf.begin_at(info, asset)
            at = max(at, expected)
            is_first = True
            for first, data in shelf.segment(info).rows(asset.number, at):
                row = Row(data)
                if (row.asset, row.first) != (asset.number, first) or row.first >= end:
                    raise Damaged(f"{info.path.name}: a row is not where it belongs")
                if row.first > (at if is_first else expected):
                    raise Damaged(f"{info.path.name}: rows before {row.first} are missing")
                is_first, expected = False, row.end
                if row.end > at:
                    yield row
            if at < end and expected < end and not shelf.is_hole(index):
                raise Damaged(f"{info.path.name}: rows behind {expected} are missing")
        at = max(at, end)


def _find(shelf: Shelf, asset: Asset, at: int) -> int:
    """The index of the segment that has the event at ``at``, or of the first one behind it."""
    segments, known = shelf.segments, shelf.places.get(asset.number)
    if known is not None:
        index = known.number - segments[0].number
        if 0 <= index < len(segments) and segments[index] is known:
            is_last = index + 1 == len(segments)
            if shelf.begin_at(known, asset) <= at and (
                is_last or at < shelf.begin_at(segments[index + 1], asset)
            ):
                return index
    low, high = 0, len(segments) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if shelf.begin_at(segments[middle], asset) <= at:
            low = middle
        else:
            high = middle - 1
    shelf.places[asset.number] = segments[low]
    return low

"""Reads what is sound out of a damaged segment, page by page, without SQLite.

A row of events is found by its magic, wherever in a page it begins. What stands before it in its
cell follows from its head, so the cell's size is known, how much of it lies in this page, and where
the chain of overflow pages begins. Nothing is believed that does not pass its checksum. The table
is a b-tree of indexes (WITHOUT ROWID): a cell keeps less of itself in its page than one of a table
with rowids does, and cells lie in inner pages too.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..rawscan import Wal, int_size, varint_size
from ..rows import Damaged, unpack_small
from ..segment_db import PAGE
from .rows import HEAD, MAGIC, Row
from .segments import ABOUT, ASSET, CURSOR, FLUSH, About, AssetRow, CursorRow, Flush

_LEAST_LOCAL = (PAGE - 12) * 32 // 255 - 23
_MOST_LOCAL = (PAGE - 12) * 64 // 255 - 23
_MOST_SIZE = 2**28


@dataclass(slots=True)
class Found:
    """What was sound. ``rows``: by (asset, first offset), of the latest commit each."""

    rows: dict[tuple[int, int], tuple[Row, bytes]] = field(default_factory=dict)
    assets: dict[int, AssetRow] = field(default_factory=dict)
    cursors: dict[tuple[str, int], CursorRow] = field(default_factory=dict)
    flushes: dict[int, Flush] = field(default_factory=dict)
    about: About | None = None

    def last_commit(self) -> int:
        """The highest number of a commit that anything says."""
        return max(
            (
                *self.flushes,
                *(row.commit for row, _ in self.rows.values()),
                *(asset.commit for asset in self.assets.values()),
                *(cursor.commit for cursor in self.cursors.values()),
                self.about.commits if self.about is not None else 0,
            ),
            default=0,
        )


def scan(path: Path, wal: Wal) -> Found:
    """All that is sound in the file and its log."""
    data = path.read_bytes() if path.exists() else b""
    pages = dict(wal.pages)
    found = Found()

    def newest(number: int) -> bytes:
        page = pages.get(number)
        return page if page is not None else oldest(number)

    def oldest(number: int) -> bytes:
        return data[(number - 1) * PAGE : number * PAGE]

    for page in _each_page(data, wal):
        _small_records(page, found)
        for at in _places(page, MAGIC):
            if not _row(page, at, newest, found):
                _row(page, at, oldest, found)
    return found


def hides(wal: Wal, last: int) -> bool:
    """Whether a page that seems left over in the log is of a commit behind ``last``."""
    for page in wal.others:
        found = Found()
        _small_records(page, found)
        if found.last_commit() > last:
            return True
        for at in _places(page, MAGIC):
            if at + HEAD.size <= len(page) and last < HEAD.unpack_from(page, at)[3] <= last + 2**20:
                return True
    return False


def _each_page(data: bytes, wal: Wal) -> Iterator[bytes]:
    for at in range(0, len(data), PAGE):
        yield data[at : at + PAGE]
    yield from wal.others
    for _number, page in wal.pages:
        yield page


def _places(page: bytes, magic: bytes) -> Iterator[int]:
    at = page.find(magic)
    while at >= 0:
        yield at
        at = page.find(magic, at + 1)


def _row(page: bytes, at: int, fetch: Callable[[int], bytes], found: Found) -> bool:
    """Take in the row that begins here; whether it was sound."""
    if at + HEAD.size > len(page):
        return False
    _, size, _, commit, asset, first, count, t_max = HEAD.unpack_from(page, at)
    known = found.rows.get((asset, first))
    if known is not None and known[0].commit > commit:
        return True
    if not HEAD.size < size <= _MOST_SIZE:
        return False
    before = _record_header(asset, first, count, t_max, size)
    local = _local_size(before + size) - before
    data = page[at : at + local]
    if local < size:
        data += _chained(page[at + local : at + local + 4], size - local, fetch)
    try:
        row = Row(data)
        row.events()
    except (Damaged, ValueError, IndexError, struct.error, zlib.error):
        return False
    found.rows[asset, first] = (row, data)
    return True


def _chained(tail: bytes, left: int, fetch: Callable[[int], bytes]) -> bytes:
    """What lies in the overflow pages from the one that ``tail`` names."""
    parts: list[bytes] = []
    following, most = int.from_bytes(tail), left // (PAGE - 4) + 1
    while left > 0 and following and len(parts) < most:
        page = fetch(following)
        if len(page) < PAGE:
            break
        parts.append(page[4 : 4 + left])
        left -= PAGE - 4
        following = int.from_bytes(page[:4])
    return b"".join(parts)


def _record_header(asset: int, first: int, count: int, t_max: int, size: int) -> int:
    """Bytes of a cell's payload before the row: SQLite's record header and four numbers."""
    numbers = sum(map(int_size, (asset, first, count, t_max)))
    return 1 + 4 + varint_size(2 * size + 12) + numbers


def _local_size(payload: int) -> int:
    """How much of a payload lies in the page of its cell."""
    if payload <= _MOST_LOCAL:
        return payload
    local = _LEAST_LOCAL + (payload - _LEAST_LOCAL) % (PAGE - 4)
    return local if local <= _MOST_LOCAL else _LEAST_LOCAL


def _small_records(page: bytes, found: Found) -> None:
    for magic in (ASSET, CURSOR, FLUSH, ABOUT):
        for at in _places(page, magic):
            with contextlib.suppress(Damaged, ValueError, TypeError, IndexError):
                _take(magic, unpack_small(magic, page[at:]), page[at:], found)


def _take(magic: bytes, what: list[Any], data: bytes, found: Found) -> None:
    if magic == ASSET:
        asset = AssetRow(*what)
        known = found.assets.get(asset.number)
        if known is None or known.commit <= asset.commit:
            found.assets[asset.number] = asset
    elif magic == CURSOR:
        cursor = CursorRow(*what)
        key = (cursor.name, cursor.asset)
        before = found.cursors.get(key)
        if before is None or before.commit <= cursor.commit:
            found.cursors[key] = cursor
    elif magic == FLUSH:
        flush = Flush.unpack(data)
        known_flush = found.flushes.get(flush.number)
        if known_flush is None or len(known_flush.ids) <= len(flush.ids):
            found.flushes[flush.number] = flush
    elif len(what) == len(About._fields) + 1:
        found.about = About(*what[1:])

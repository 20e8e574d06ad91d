"""Reads what is sound out of a damaged segment, page by page, without SQLite.

A flush row is found by its magic, wherever in a page it begins. What stands before it in its cell
follows from the head itself, so the cell's size is known, how much of it lies in this page, and
where the chain of overflow pages begins. Nothing is believed that does not pass its checksum.

The write-ahead log is a header (32 bytes: magic, version, page size, checkpoint, two salts, two
sums) and frames (24 bytes: page number, size after commit or 0, two salts, two sums; then a page).
SQLite reads it to the first frame whose sums, which run through from the start, do not fit; what
lies behind is dropped in silence. So the log is looked at before SQLite opens the file.

A frame is written in two pieces, its head and its page. Where the log goes over an older one, a
process that is killed between them leaves a new head before an old page: the end of a commit that
nobody was told of. That is no damage, and nothing of that commit counts. But in a frame that ends a
commit it cannot be told from damage of more than a word, and there it counts as damage: better an
event that nobody was told of is called lost, than one that somebody was told of is not.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from smapd.values import Position

from .rows import FIXED, MAGIC, Damaged, Head, RowGap, unpack_small
from .segment_db import PAGE
from .segments import ABOUT, CURSOR, GAP, STREAM

_WAL_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_WORD: Final = 2**32
_WAL_MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}


@dataclass(slots=True)
class Wal:
    """A log, checked. ``pages``: (number, page) of each frame of its generation, in order; of one
    that is sound, up to the end of its last commit."""

    suspect: bool = False
    """Whether it is damaged: SQLite drops the frame that is, and those behind it."""
    pages: list[tuple[int, bytes]] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)
    """Pages of what seem to be older generations, left over behind the end."""

    def hides(self, last: int) -> bool:
        """Whether a page that seems left over has a row behind ``last``, which it cannot."""
        for page in self.others:
            at = page.find(MAGIC)
            while at >= 0:
                if at + FIXED.size <= len(page):
                    head_size, flush = FIXED.unpack_from(page, at)[3], 0
                    with contextlib.suppress(Damaged):
                        flush = Head(page[at : at + head_size]).flush
                    if flush > last:
                        return True
                at = page.find(MAGIC, at + 1)
        return False


@dataclass(slots=True)
class Found:
    """What was sound. ``rows``: by flush number; ``heads``: also of rows whose data is lost."""

    rows: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    heads: dict[int, Head] = field(default_factory=dict)
    streams: dict[int, tuple[int, str, str, int]] = field(default_factory=dict)
    cursors: dict[str, tuple[str, Position, list[Any]]] = field(default_factory=dict)
    gaps: dict[int, tuple[int, str, Position, list[RowGap]]] = field(default_factory=dict)
    about: tuple[int, int] | None = None


def read_wal(path: Path, page_size: int = PAGE) -> Wal:
    """Check the log of a segment, or of another file of SQLite; an empty one if there is none."""
    try:
        data = path.with_name(path.name + "-wal").read_bytes()
    except FileNotFoundError:
        return Wal()
    wal = Wal()
    if len(data) < _WAL_HEADER.size:
        return wal
    header = _WAL_HEADER.unpack_from(data)
    order = _WAL_MAGICS.get(header[0])
    sums = _sums(order or "<", data[:24], (0, 0))
    is_sound = order is not None and sums == header[6:8] and header[2] == page_size
    frame_size = _FRAME.size + page_size
    salts = header[4:6]
    # A damaged header hides the salts; those of the first frame are the same.
    if not is_sound and len(data) >= _WAL_HEADER.size + frame_size:
        salts = _FRAME.unpack_from(data, _WAL_HEADER.size)[2:4]
    whole = 0  # frames up to the end of the last commit
    is_torn = False
    for at in range(_WAL_HEADER.size, len(data) - frame_size + 1, frame_size):
        number, commit, salt1, salt2, *told = _FRAME.unpack_from(data, at)
        page = data[at + _FRAME.size : at + frame_size]
        is_ours = (salt1, salt2) == salts
        if is_ours:
            wal.pages.append((number, page))
        else:
            wal.others.append(page)
        if not is_sound:
            wal.suspect = wal.suspect or is_ours
            continue
        sums = _sums(order or "<", data[at : at + 8] + page, sums)
        is_sound = is_ours and sums == tuple(told) and number > 0
        if is_sound and commit:
            whole = len(wal.pages)
        elif is_ours and not is_sound:
            # One that ends a commit may be of what somebody was told of: to be safe, damage.
            is_torn = not commit and not _is_flip(
                told[0] - sums[0], told[1] - sums[1], len(page) // 8 + 1
            )
            wal.suspect = not is_torn
    if is_torn and not wal.others:  # it did not go over an older one: the page was there, and whole
        wal.suspect = True
    if not wal.suspect:
        del wal.pages[whole:]
    return wal


def scan(path: Path, wal: Wal) -> Found:
    """All that is sound in the file and its log."""
    data = path.read_bytes() if path.exists() else b""
    pages = dict(wal.pages)
    found = Found()

    def fetch(number: int, newest: bool) -> bytes:
        page = pages.get(number) if newest else None
        return page if page is not None else data[(number - 1) * PAGE : number * PAGE]

    for page in _each_page(data, wal):
        _small_records(page, found)
        at = page.find(MAGIC)
        while at >= 0:
            for newest in (True, False):
                if _row(page, at, fetch, newest, found):
                    break
            at = page.find(MAGIC, at + 1)
    return found


def _each_page(data: bytes, wal: Wal) -> Iterator[bytes]:
    for at in range(0, len(data), PAGE):
        yield data[at : at + PAGE]
    for _number, page in wal.pages:
        yield page
    yield from wal.others


def _row(page: bytes, at: int, fetch: Any, newest: bool, found: Found) -> bool:
    """Take in the row whose head begins here; whether all of it was sound."""
    if at + FIXED.size > len(page):
        return False
    _, _, flush, head_size, data_size, _, _, t_first, t_last, _, _ = FIXED.unpack_from(page, at)
    size = head_size + data_size
    if flush in found.rows:
        return True
    if head_size < FIXED.size or size > 2**28:
        return False
    before = _record_header(t_first, t_last, head_size, data_size)
    local, chained = _local_size(before + size)
    here = page[at : at + local - before]
    if chained:
        tail = page[at + local - before : at + local - before + 4]
        following = int.from_bytes(tail)
        parts, left = [here], size - len(here)
        seen = 0
        while left > 0 and following and seen < 2**16:
            after = fetch(following, newest)
            if len(after) < PAGE:
                break
            parts.append(after[4 : 4 + left])
            left -= PAGE - 4
            following = int.from_bytes(after[:4])
            seen += 1
        here = b"".join(parts)
    head, data = here[:head_size], here[head_size:size]
    try:
        checked = Head(head)
    except Damaged:
        return False
    found.heads[flush] = checked
    if checked.has_gaps:
        for stream in checked.streams():
            found.streams.setdefault(stream[0], stream)
    if len(data) != checked.data_size or zlib.crc32(data) != checked.data_crc:
        return False
    found.rows[flush] = (head, data)
    return True


def _record_header(t_first: int, t_last: int, head: int, data: int) -> int:
    """Bytes of a cell's payload before the head: SQLite's record header and the two times."""
    times = int_size(t_first) + int_size(t_last)
    types = 3 + varint_size(2 * head + 12) + varint_size(2 * data + 12)  # seq and times: 1 each
    return 1 + types + times


def int_size(value: int) -> int:
    """Bytes that SQLite takes for this number in a record."""
    if value in (0, 1):
        return 0
    for size in (1, 2, 3, 4, 6):
        if -(2 ** (8 * size - 1)) <= value < 2 ** (8 * size - 1):
            return size
    return 8


def varint_size(value: int) -> int:
    """Bytes of this number as SQLite writes sizes and kinds."""
    return max(1, (value.bit_length() + 6) // 7)


def _local_size(payload: int) -> tuple[int, bool]:
    """How much of a payload lies in the leaf page, and whether the rest is chained."""
    most = PAGE - 35
    if payload <= most:
        return payload, False
    least = (PAGE - 12) * 32 // 255 - 23
    local = least + (payload - least) % (PAGE - 4)
    return (local if local <= most else least), True


def _small_records(page: bytes, found: Found) -> None:
    for magic in (STREAM, CURSOR, GAP, ABOUT):
        at = page.find(magic)
        while at >= 0:
            with contextlib.suppress(Damaged, ValueError, TypeError, IndexError):
                _take(magic, unpack_small(magic, page[at:]), found)
            at = page.find(magic, at + 1)


def _take(magic: bytes, what: list[Any], found: Found) -> None:
    if magic == STREAM:
        number, uuid, path, next_seq = what
        before = found.streams.get(number)
        if before is None or before[3] <= next_seq:
            found.streams[number] = (number, uuid, path, next_seq)
    elif magic == CURSOR:
        name, flush, offset, limits = what
        known = found.cursors.get(name)
        if known is None or known[1] <= Position(flush, offset):  # they only move on
            found.cursors[name] = (name, Position(flush, offset), limits)
    elif magic == GAP:
        number, cursor, flush, offset, gaps = what
        told = [RowGap(*gap) for gap in gaps]
        found.gaps[number] = (number, cursor, Position(flush, offset), told)
    elif len(what) == 3:
        found.about = (what[1], what[2])


def _is_flip(more0: int, more1: int, pairs: int) -> bool:
    """Whether a frame of so many pairs of words is what was written but for one word of it.

    ``more0``, ``more1``: how much more its sums say than they come to.
    """
    more0, more1 = more0 % _WORD, more1 % _WORD
    if not (more0 and more1):
        return True  # one of the sums themselves, or the page's number
    # By how much each sum changes at the end with a word of the last pair, of the one before it, …
    first, second = (1, 1), (0, 1)
    for _ in range(pairs):
        for sum0, sum1 in (first, second):
            by = more0 * pow(sum0, -1, _WORD) if sum0 % 2 else more1 * pow(sum1, -1, _WORD)
            if (by * sum0 - more0) % _WORD == (by * sum1 - more1) % _WORD == 0:
                return True
        (a0, a1), (b0, b1) = first, second
        first = (a0 + a1) % _WORD, (a0 + 2 * a1) % _WORD
        second = (b0 + b1) % _WORD, (b0 + 2 * b1) % _WORD
    return False


def _sums(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """SQLite's checksum of a log, carried on over ``data``."""
    words = array("I", data)
    if (order == ">") != (struct.pack("=I", 1) == b"\0\0\0\1"):
        words.byteswap()
    s0, s1 = sums
    each = iter(words)
    for x0, x1 in zip(each, each, strict=True):
        s0 = (s0 + x0 + s1) & 0xFFFFFFFF
        s1 = (s1 + x1 + s0) & 0xFFFFFFFF
    return s0, s1

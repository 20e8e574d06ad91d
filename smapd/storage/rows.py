"""One flush as bytes: the readings of all streams in columns, and the gaps noticed before them.

A row has two parts, stored one behind the other, so that a scan of raw pages finds both::

    head   magic "SMJ1", flags, flush number, sizes, readings, runs, times, readings before, crc of
           the data; then by run: numbers, first seqs, counts, kinds of the values; then the
           gaps and the new streams, as JSON; last a crc32 of all that
    data   times, doubles, integers, the rest as JSON; qualities and the drivers' numbers as JSON

All integers are little-endian. A *run* is a stretch of one stream without a hole in its seqs. The
columns of a narrow range take four bytes instead of eight; a flag says so. Short data is packed
with zlib, since on a slow stream of commits the bytes count, and not the processor.

Here a row is read, and so are the small records beside the rows; `packed` makes rows.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

import orjson

from smapd.errors import SmapError
from smapd.values import Level, Quality, Value

MAGIC: Final = b"SMJ1"
FIXED: Final = struct.Struct("<4sIQIIIIqqQI")
CRC: Final = struct.Struct("<I")

LONG_MS, LONG_SEQ, ALL_ONE, LONG_INT, NOTES, ZLIB, ZLIB_HEAD = 1, 2, 4, 8, 16, 32, 64
"""Flags of a row."""
DOUBLE, LONG, OTHER = 0, 1, 2
"""Kinds of values: each has a column."""
BIG_ENDIAN: Final = sys.byteorder == "big"


class Damaged(SmapError):
    """A record of the journal does not pass its checksum."""

    code = "damaged"


class RowGap(NamedTuple):
    """A gap as it is stored: by the number of its stream."""

    number: int
    from_seq: int | None
    to_seq: int | None
    from_ms: int
    to_ms: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    why: str


class Head:
    """What a row's head says, checked. ``numbers``, ``firsts``, ``counts``: by run."""

    __slots__ = (
        "_extra",
        "before",
        "count",
        "counts",
        "data_crc",
        "data_size",
        "firsts",
        "flags",
        "flush",
        "kinds",
        "numbers",
        "t_first",
        "t_last",
    )

    def __init__(self, head: bytes) -> None:
        """:raises Damaged: if it does not pass its checksum."""
        if len(head) < FIXED.size + CRC.size or zlib.crc32(head[:-4]) != CRC.unpack(head[-4:])[0]:
            raise Damaged("a row's head does not pass its checksum")
        magic, flags, self.flush, size, self.data_size, self.count, runs, t0, t1, before, crc = (
            FIXED.unpack_from(head)
        )
        if magic != MAGIC or size != len(head):
            raise Damaged("a row's head is not one")
        self.flags, self.t_first, self.t_last = flags, t0, t1
        self.before, self.data_crc = before, crc
        body, rest = head[FIXED.size : -CRC.size], b""
        if flags & ZLIB_HEAD:
            unpack = zlib.decompressobj()
            body = unpack.decompress(body)
            rest = unpack.unused_data
        at = 0
        self.numbers = _array("I", body, at, runs)
        at += 4 * runs
        wide = "Q" if flags & LONG_SEQ else "I"
        self.firsts = _array(wide, body, at, runs)
        at += self.firsts.itemsize * runs
        if flags & ALL_ONE:
            self.counts: Sequence[int] = [1] * runs
        else:
            self.counts = _array("I", body, at, runs)
            at += 4 * runs
        self.kinds = body[at : at + runs]
        self._extra = body[at + runs :] + rest

    def gaps(self) -> list[RowGap]:
        """The gaps noticed before this row's readings."""
        return [RowGap(*one) for one in orjson.loads(self._extra)[0]] if self._extra else []

    @property
    def has_gaps(self) -> bool:
        """Whether there may be any."""
        return bool(self._extra)

    def streams(self) -> list[tuple[int, str, str, int]]:
        """(number, uuid, path, next seq) of the streams that are new with this row."""
        return [tuple(one) for one in orjson.loads(self._extra)[1]] if self._extra else []

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """(stream number, first seq, count) of each run."""
        return zip(self.numbers, self.firsts, self.counts, strict=True)


class Data:
    """The columns of a row, one entry a reading; checked."""

    __slots__ = ("_notes", "ms", "values")

    def __init__(self, head: Head, data: bytes) -> None:
        """:raises Damaged: if it does not pass its checksum."""
        if len(data) != head.data_size or zlib.crc32(data) != head.data_crc:
            raise Damaged("a row's data does not pass its checksum")
        flags, total = head.flags, head.count
        if flags & ZLIB:
            data = zlib.decompress(data)
        wide = "q" if flags & LONG_MS else "I"
        times = _array(wide, data, 0, total)
        at = times.itemsize * total
        base = head.t_first
        self.ms = times.tolist() if flags & LONG_MS else [base + ms for ms in times]
        kinds = head.kinds
        sizes = [0, 0, 0]
        if flags & ALL_ONE:
            for kind in (DOUBLE, LONG, OTHER):
                sizes[kind] = kinds.count(kind)
        else:
            for kind, count in zip(kinds, head.counts, strict=True):
                sizes[kind] += count
        doubles = _array("d", data, at, sizes[DOUBLE]).tolist()
        at += 8 * sizes[DOUBLE]
        longs = _array("q" if flags & LONG_INT else "i", data, at, sizes[LONG])
        at += longs.itemsize * sizes[LONG]
        other: list[Any] = []
        self._notes: tuple[list[Any], list[Any], list[Any]] | None = None
        if sizes[OTHER] or flags & NOTES:
            other, qualities, ranges, seqnos = json.loads(data[at:])
            if flags & NOTES:
                self._notes = ([Quality(Level(q), why) for q, why in qualities], ranges, seqnos)
        if sizes[DOUBLE] == total:
            self.values: list[Value] = doubles
        elif sizes[LONG] == total:
            self.values = cast("list[Value]", longs.tolist())
        else:
            self.values = _mixed(kinds, head.counts, (doubles, longs.tolist(), other))

    def notes(self) -> tuple[list[Quality | None], list[int | None]] | None:
        """Quality and driver's number of each reading; None if all are good and have none."""
        if self._notes is None:
            return None
        qualities, ranges, seqnos = self._notes
        quality: list[Quality | None] = [None] * len(self.ms)
        for at, count, which in ranges:
            quality[at : at + count] = [qualities[which]] * count
        numbers: list[int | None] = [None] * len(self.ms)
        for at, seqno in seqnos:
            numbers[at] = seqno
        return quality, numbers


def _mixed(
    kinds: bytes, counts: Sequence[int], columns: tuple[list[Any], list[Any], list[Any]]
) -> list[Value]:
    at = [0, 0, 0]
    values: list[Value] = []
    for kind, count in zip(kinds, counts, strict=True):
        start = at[kind]
        at[kind] = start + count
        if count == 1:
            values.append(columns[kind][start])
        else:
            values.extend(columns[kind][start : start + count])
    return values


def _array(code: str, data: bytes, at: int, count: int) -> array[Any]:
    found: array[Any] = array(code)
    end = at + count * found.itemsize
    if end > len(data):
        raise Damaged("a row is shorter than it says")
    found.frombytes(memoryview(data)[at:end])
    if BIG_ENDIAN:
        found.byteswap()
    return found


# --- small records: streams, cursors, pending gaps, summaries


_SMALL: Final = struct.Struct("<4sII")


def pack_small(magic: bytes, what: Any) -> bytes:
    """One small record with its magic, length and checksum."""
    text = orjson.dumps(what)
    return _SMALL.pack(magic, len(text), zlib.crc32(text)) + text


def unpack_small(magic: bytes, data: bytes) -> Any:
    """What was packed; bytes behind it are ignored.

    :raises Damaged: if it does not pass its checksum.
    """
    if len(data) >= _SMALL.size:
        found, size, crc = _SMALL.unpack_from(data)
        text = data[_SMALL.size : _SMALL.size + size]
        if found == magic and len(text) == size and zlib.crc32(text) == crc:
            return orjson.loads(text)
    raise Damaged("a record does not pass its checksum")


def small(magic: bytes, data: Any) -> Any:
    """What a small record says. SQLite may give anything from a damaged file, not bytes alone.

    :raises Damaged: if it is not sound.
    """
    if not isinstance(data, bytes):
        raise Damaged("a record is no record")
    return unpack_small(magic, data)


def small_size(data: bytes) -> int:
    """How long the small record is that ``data`` begins with."""
    return _SMALL.size + int.from_bytes(data[4:8], "little")


def either(magic: bytes, data: Any) -> Any:
    """What a record that stands twice in a row says.

    :raises Damaged: if neither copy is sound.
    """
    try:
        return small(magic, data)
    except Damaged:
        return small(magic, data[len(data) // 2 :] if isinstance(data, bytes) else data)

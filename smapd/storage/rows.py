"""One flush as bytes: the readings of all streams in columns, and the gaps noticed before them.

A row has two parts, stored one behind the other, so that a scan of raw pages finds both::

    head   magic "SMJ1", flags, flush number, sizes, readings, runs, times, readings before, crc of
           the data; then by run: numbers, first seqs, counts, kinds of the values; then the
           gaps and the new streams, as JSON; last a crc32 of all that
    data   times, doubles, integers, the rest as JSON; qualities and the drivers' numbers as JSON

All integers are little-endian. A *run* is a stretch of one stream without a hole in its seqs. The
columns of a narrow range take four bytes instead of eight; a flag says so. Short data is packed
with zlib, since on a slow stream of commits the bytes count, and not the processor.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import orjson

from smapd.errors import SmapError
from smapd.values import Level, Quality, Value

MAGIC: Final = b"SMJ1"
FIXED: Final = struct.Struct("<4sIQIIIIqqQI")
CRC: Final = struct.Struct("<I")

_LONG_MS, _LONG_SEQ, _ALL_ONE, _LONG_INT, _NOTES, _ZLIB, _ZLIB_HEAD = 1, 2, 4, 8, 16, 32, 64
_DOUBLE, _LONG, _OTHER = 0, 1, 2
_ZLIB_UNDER: Final = 8 * 1024
_BIG_ENDIAN: Final = sys.byteorder == "big"


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


class Columns(NamedTuple):
    """Readings of one stream in columns, ``first_seq`` and on without a hole."""

    number: int
    first_seq: int
    ms: Sequence[int]
    values: Sequence[Value]
    quality: Sequence[Quality | None] | None = None
    seqnos: Sequence[int | None] | None = None


class Singles(NamedTuple):
    """Good readings without a driver's number, each of another stream, in columns."""

    numbers: list[int]
    seqs: list[int]
    ms: list[int]
    values: list[Value]

    def put(self, number: int, seq: int, ms: int, value: Value) -> None:
        """One more."""
        self.numbers.append(number)
        self.seqs.append(seq)
        self.ms.append(ms)
        self.values.append(value)


@dataclass(slots=True)
class Packed:
    """A row that has no flush number yet. ``count``: readings. ``size``: bytes, nearly."""

    count: int
    t_first: int
    t_last: int
    flags: int
    numbers: array[int]
    firsts: array[int]
    counts: array[int] | None
    kinds: bytes
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data) + 13 * len(self.numbers) + FIXED.size

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """(stream number, first seq, count) of each run."""
        counts: Iterable[int] = self.counts if self.counts is not None else [1] * len(self.numbers)
        return zip(self.numbers, self.firsts, counts, strict=True)

    def seal(
        self,
        flush: int,
        before: int,
        gaps: Sequence[RowGap] = (),
        streams: Sequence[tuple[int, str, str, int]] = (),
    ) -> tuple[bytes, bytes]:
        """The head and data of row ``flush``, with ``before`` readings ahead of it, ever.

        ``streams``: (number, uuid, path, next seq) of those that are new with it: a second copy.
        """
        flags = self.flags
        runs = _raw(self.numbers) + _raw(self.firsts)
        if self.counts is not None:
            runs += _raw(self.counts)
        runs += self.kinds
        if 64 < len(runs) < _ZLIB_UNDER:
            short = zlib.compress(runs, 1)
            if len(short) < len(runs):
                runs, flags = short, flags | _ZLIB_HEAD
        told = orjson.dumps([list(map(list, gaps)), streams]) if gaps or streams else b""
        head_size = FIXED.size + len(runs) + len(told) + CRC.size
        fixed = FIXED.pack(
            MAGIC,
            flags,
            flush,
            head_size,
            len(self.data),
            self.count,
            len(self.numbers),
            self.t_first,
            self.t_last,
            before,
            zlib.crc32(self.data),
        )
        head = b"".join((fixed, runs, told))
        return head + CRC.pack(zlib.crc32(head)), self.data


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
        if flags & _ZLIB_HEAD:
            unpack = zlib.decompressobj()
            body = unpack.decompress(body)
            rest = unpack.unused_data
        at = 0
        self.numbers = _array("I", body, at, runs)
        at += 4 * runs
        wide = "Q" if flags & _LONG_SEQ else "I"
        self.firsts = _array(wide, body, at, runs)
        at += self.firsts.itemsize * runs
        if flags & _ALL_ONE:
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
        if flags & _ZLIB:
            data = zlib.decompress(data)
        wide = "q" if flags & _LONG_MS else "I"
        times = _array(wide, data, 0, total)
        at = times.itemsize * total
        base = head.t_first
        self.ms = times.tolist() if flags & _LONG_MS else [base + ms for ms in times]
        kinds = head.kinds
        sizes = [0, 0, 0]
        if flags & _ALL_ONE:
            for kind in (_DOUBLE, _LONG, _OTHER):
                sizes[kind] = kinds.count(kind)
        else:
            for kind, count in zip(kinds, head.counts, strict=True):
                sizes[kind] += count
        doubles = _array("d", data, at, sizes[_DOUBLE]).tolist()
        at += 8 * sizes[_DOUBLE]
        longs = _array("q" if flags & _LONG_INT else "i", data, at, sizes[_LONG])
        at += longs.itemsize * sizes[_LONG]
        other: list[Any] = []
        self._notes: tuple[list[Any], list[Any], list[Any]] | None = None
        if sizes[_OTHER] or flags & _NOTES:
            other, qualities, ranges, seqnos = json.loads(data[at:])
            if flags & _NOTES:
                self._notes = ([Quality(Level(q), why) for q, why in qualities], ranges, seqnos)
        if sizes[_DOUBLE] == total:
            self.values: list[Value] = doubles
        elif sizes[_LONG] == total:
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


def pack(singles: Singles | None, runs: Sequence[Columns]) -> Packed:
    """Make a row of these; there may be none at all, for a row of gaps."""
    parts = list(runs)
    numbers = [run.number for run in parts]
    firsts = [run.first_seq for run in parts]
    counts = [len(run.ms) for run in parts]
    ms: list[int] = []
    columns: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    kinds = bytearray()
    notes = _Notes()
    if singles is not None and singles.numbers:
        numbers[:0], firsts[:0] = singles.numbers, singles.seqs
        counts[:0] = [1] * len(singles.numbers)
        ms.extend(singles.ms)
        kinds += _sort_in(singles.values, columns)
    for run in parts:
        kind = _kind(set(map(type, run.values)))
        kinds.append(kind)
        columns[kind].extend(run.values)
        if run.quality is not None:
            notes.put_quality(len(ms), run.quality)
        if run.seqnos is not None:
            notes.put_seqnos(len(ms), run.seqnos)
        ms.extend(run.ms)
    flags = 0
    t_first, t_last = (min(ms), max(ms)) if ms else (0, 0)
    if t_last - t_first < 2**32:
        times = array("I", [at - t_first for at in ms])
    else:
        times = array("q", ms)
        flags |= _LONG_MS
    try:
        seqs = array("I", firsts)
    except OverflowError:
        seqs = array("Q", firsts)
        flags |= _LONG_SEQ
    try:
        longs = array("i", columns[_LONG])
    except OverflowError:
        longs = array("q", columns[_LONG])
        flags |= _LONG_INT
    many: array[int] | None = None
    if len(ms) == len(counts):
        flags |= _ALL_ONE
    else:
        many = array("I", counts)
    data = _raw(times) + _raw(array("d", columns[_DOUBLE])) + _raw(longs)
    if columns[_OTHER] or notes.any:
        data += json.dumps(
            [columns[_OTHER], notes.qualities, notes.ranges, notes.seqnos], separators=(",", ":")
        ).encode()
        flags |= _NOTES if notes.any else 0
    if 64 < len(data) < _ZLIB_UNDER:
        short = zlib.compress(data, 1)
        if len(short) < len(data):
            data = short
            flags |= _ZLIB
    return Packed(
        len(ms), t_first, t_last, flags, array("I", numbers), seqs, many, bytes(kinds), data
    )


class _Notes:
    """What few readings have, by their place in the row."""

    def __init__(self) -> None:
        self.qualities: list[tuple[int, str]] = []
        self.ranges: list[list[int]] = []
        self.seqnos: list[tuple[int, int]] = []
        self._which: dict[Quality, int] = {}

    @property
    def any(self) -> bool:
        return bool(self.ranges or self.seqnos)

    def put_quality(self, at: int, column: Sequence[Quality | None]) -> None:
        for i, quality in enumerate(column, at):
            if quality is None:
                continue
            which = self._which.get(quality)
            if which is None:
                which = self._which[quality] = len(self.qualities)
                self.qualities.append((int(quality.level), quality.reason))
            last = self.ranges[-1] if self.ranges else None
            if last is not None and last[2] == which and last[0] + last[1] == i:
                last[1] += 1
            else:
                self.ranges.append([i, 1, which])

    def put_seqnos(self, at: int, column: Sequence[int | None]) -> None:
        self.seqnos.extend((i, n) for i, n in enumerate(column, at) if n is not None)


def _kind(types: set[type]) -> int:
    if types == {float}:
        return _DOUBLE
    if types == {int}:
        return _LONG
    return _OTHER


def _sort_in(values: list[Value], columns: tuple[list[Any], list[Any], list[Any]]) -> bytes:
    """Put each value into the column of its kind; the kinds."""
    types = set(map(type, values))
    if len(types) == 1:
        kind = _kind(types)
        columns[kind].extend(values)
        return bytes([kind]) * len(values)
    of = {float: _DOUBLE, int: _LONG}
    kinds = bytes([of.get(type(value), _OTHER) for value in values])
    for kind, value in zip(kinds, values, strict=True):
        columns[kind].append(value)
    return kinds


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


def _raw(column: array[Any]) -> bytes:
    if _BIG_ENDIAN:
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _array(code: str, data: bytes, at: int, count: int) -> array[Any]:
    found: array[Any] = array(code)
    end = at + count * found.itemsize
    if end > len(data):
        raise Damaged("a row is shorter than it says")
    found.frombytes(memoryview(data)[at:end])
    if _BIG_ENDIAN:
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


__all__ = [
    "CRC",
    "FIXED",
    "MAGIC",
    "Columns",
    "Damaged",
    "Data",
    "Head",
    "Packed",
    "RowGap",
    "Singles",
    "pack",
    "pack_small",
    "unpack_small",
]

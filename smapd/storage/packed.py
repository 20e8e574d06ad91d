"""Makes the rows that `rows` reads: readings in columns, packed, and sealed with a number."""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from smapd.values import Quality, Value

from .rows import (
    ALL_ONE,
    BIG_ENDIAN,
    CRC,
    DOUBLE,
    FIXED,
    LONG,
    LONG_INT,
    LONG_MS,
    LONG_SEQ,
    MAGIC,
    NOTES,
    OTHER,
    ZLIB,
    ZLIB_HEAD,
    RowGap,
)

_ZLIB_UNDER: Final = 8 * 1024


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
                runs, flags = short, flags | ZLIB_HEAD
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
        flags |= LONG_MS
    try:
        seqs = array("I", firsts)
    except OverflowError:
        seqs = array("Q", firsts)
        flags |= LONG_SEQ
    try:
        longs = array("i", columns[LONG])
    except OverflowError:
        longs = array("q", columns[LONG])
        flags |= LONG_INT
    many: array[int] | None = None
    if len(ms) == len(counts):
        flags |= ALL_ONE
    else:
        many = array("I", counts)
    data = _raw(times) + _raw(array("d", columns[DOUBLE])) + _raw(longs)
    if columns[OTHER] or notes.any:
        data += json.dumps(
            [columns[OTHER], notes.qualities, notes.ranges, notes.seqnos], separators=(",", ":")
        ).encode()
        flags |= NOTES if notes.any else 0
    if 64 < len(data) < _ZLIB_UNDER:
        short = zlib.compress(data, 1)
        if len(short) < len(data):
            data = short
            flags |= ZLIB
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
        return DOUBLE
    if types == {int}:
        return LONG
    return OTHER


def _sort_in(values: list[Value], columns: tuple[list[Any], list[Any], list[Any]]) -> bytes:
    """Put each value into the column of its kind; the kinds."""
    types = set(map(type, values))
    if len(types) == 1:
        kind = _kind(types)
        columns[kind].extend(values)
        return bytes([kind]) * len(values)
    of = {float: DOUBLE, int: LONG}
    kinds = bytes([of.get(type(value), OTHER) for value in values])
    for kind, value in zip(kinds, values, strict=True):
        columns[kind].append(value)
    return kinds


def _raw(column: array[Any]) -> bytes:
    if BIG_ENDIAN:
        column = column[:]
        column.byteswap()
    return column.tobytes()

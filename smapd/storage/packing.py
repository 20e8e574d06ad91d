"""From the tree's batches to rows: who is which number, and what is missing in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from smapd.interfaces import ITimeseries
from smapd.values import GOOD, Block, Entry, Quality, Reading, Value

from .rows import Columns, Packed, RowGap, Singles, pack

ROW_READINGS: Final = 20_000
FEW: Final = 16
"""Readings of a stream in one row up to which grouping them costs more time than it is worth."""


class Numbers:
    """The number of each stream, and the seq that it has next; on the home thread."""

    def __init__(self) -> None:
        self.expected: dict[int, int] = {}
        self._by_uuid: dict[UUID, int] = {}
        self._by_stream: dict[ITimeseries, int] = {}
        self._paths: dict[int, str] = {}
        self._fresh: dict[int, tuple[UUID, str, int]] = {}
        self._next = 1

    def load(self, streams: Sequence[tuple[int, str, str, int]]) -> None:
        """Those of the journal: (number, uuid, path, next seq)."""
        for number, uuid, path, next_seq in streams:
            self._by_uuid[UUID(uuid)] = number
            self._paths[number] = path
            self.expected[number] = next_seq
            self._next = max(self._next, number + 1)

    def add(self, stream: Any) -> int:
        """A stream that came into the tree: its number; its ``next_seq`` is set."""
        uuid, path = stream.uuid, stream.path
        number = self._by_uuid.get(uuid)
        if number is None:
            number = self._by_uuid[uuid] = self._next
            self._next += 1
            self.expected[number] = stream.next_seq
        else:
            stream.next_seq = max(stream.next_seq, self.expected[number])
        if self._paths.get(number) != path:
            self._paths[number] = path
            self._fresh[number] = (uuid, path, self.expected[number])
        self._by_stream[stream] = number
        return number

    def remove(self, stream: Any) -> None:
        """A stream left the tree; its number stays its own."""
        self._by_stream.pop(stream, None)

    def number(self, uuid: UUID) -> int | None:
        """Of a stream; None if it has none."""
        return self._by_uuid.get(uuid)

    def named(self, number: int) -> tuple[UUID, str]:
        """uuid and path of a number."""
        for uuid, one in self._by_uuid.items():
            if one == number:
                return uuid, self._paths.get(number, "")
        return UUID(int=0), ""

    def of(self, stream: ITimeseries) -> int:
        """The number of a stream in the tree, or one that has just left it."""
        number = self._by_stream.get(stream)
        if number is None:
            number = self._by_uuid.get(stream.uuid)
        return self.add(stream) if number is None else number

    def take_fresh(self) -> list[tuple[int, str, str, int]]:
        """The streams whose record is to be written: (number, uuid, path, seq then next)."""
        fresh, self._fresh = self._fresh, {}
        return [(n, str(uuid), path, seq) for n, (uuid, path, seq) in fresh.items()]

    def put_back(self, streams: Sequence[tuple[int, str, str, int]]) -> None:
        """They could not be written; next time."""
        for number, uuid, path, next_seq in streams:
            self._fresh.setdefault(number, (UUID(uuid), path, next_seq))


def pack_entries(
    entries: Sequence[Entry], numbers: Numbers, is_hurried: bool = False
) -> list[tuple[Packed, list[RowGap]]]:
    """Rows of these entries, in order, each with the gaps noticed before its readings.

    Hurried, the readings of one stream are not always put together: that costs bytes, and spares
    two thirds of the time where each stream has few.
    """
    rows = []
    for part in _parts(entries):
        rows.append(_row(part, numbers, is_hurried))
    return rows


def _parts(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Cut them so that no row has more than ROW_READINGS readings."""
    if len(entries) <= ROW_READINGS and not any(type(e) is Block for _, e in entries):
        return [list(entries)]
    parts: list[list[Entry]] = []
    part: list[Entry] = []
    room = ROW_READINGS
    for stream, entry in entries:
        if isinstance(entry, Block):
            at, size = 0, len(entry.ms)
            while at < size:
                n = min(room, size - at)
                piece = (
                    entry
                    if n == size
                    else Block(
                        entry.ms[at : at + n],
                        entry.values[at : at + n],
                        entry.quality,
                        entry.seq + at,
                    )
                )
                part.append((stream, piece))
                at += n
                room -= n
                if room <= 0:
                    parts.append(part)
                    part, room = [], ROW_READINGS
        else:
            part.append((stream, entry))
            room -= 1
            if room <= 0:
                parts.append(part)
                part, room = [], ROW_READINGS
    if part:
        parts.append(part)
    return parts


def _row(
    entries: Sequence[Entry], numbers: Numbers, is_hurried: bool
) -> tuple[Packed, list[RowGap]]:
    if is_hurried and (packed := _plain_row(entries, numbers)) is not None:
        return packed
    groups: dict[ITimeseries, list[Reading | Block]] = {}
    for stream, entry in entries:
        group = groups.get(stream)
        if group is None:
            groups[stream] = [entry]
        else:
            group.append(entry)
    expected, known = numbers.expected, numbers._by_stream
    singles: list[tuple[int, int, int, Value]] = []
    runs: list[Columns] = []
    gaps: list[RowGap] = []
    for stream, group in groups.items():
        number = known.get(stream)
        if number is None:
            number = numbers.of(stream)
        first = group[0]
        if len(group) == 1 and first.__class__ is Reading:
            ms, value, quality, seq, seqno = first
            assert seq is not None
            if quality == GOOD and seqno is None:
                if seq != expected[number]:
                    _missing(gaps, number, expected[number], seq, ms)
                expected[number] = seq + 1
                singles.append((number, seq, ms, value))
                continue
        for columns in _columns(number, group):
            seq = columns.first_seq
            if seq != expected[number]:
                _missing(gaps, number, expected[number], seq, columns.ms[0])
            expected[number] = seq + len(columns.ms)
            runs.append(columns)
    lists = [list(column) for column in zip(*singles, strict=True)]
    return pack(Singles(*lists) if lists else None, runs), gaps


def _plain_row(entries: Sequence[Entry], numbers: Numbers) -> tuple[Packed, list[RowGap]] | None:
    """The row of readings that are all good, few of each stream, in columns as they came."""
    streams, readings = zip(*entries, strict=True)
    count = len(readings)
    if count > FEW * len(set(streams)) or set(map(type, readings)) != {Reading}:
        return None
    ms, values, qualities, seqs, seqnos = zip(*readings, strict=True)
    if qualities.count(GOOD) != count or seqnos.count(None) != count:
        return None
    known, expected = numbers._by_stream, numbers.expected
    try:
        which = [known[stream] for stream in streams]
    except KeyError:
        which = [numbers.of(stream) for stream in streams]
    gaps: list[RowGap] = []
    for number, seq in zip(which, seqs, strict=True):
        if expected[number] != seq:
            _missing(gaps, number, expected[number], seq, ms[0])
        expected[number] = seq + 1
    return pack(Singles(which, list(seqs), list(ms), list(values)), []), gaps


def _missing(gaps: list[RowGap], number: int, expected: int, seq: int, ms: int) -> None:
    if seq > expected:
        gaps.append(RowGap(number, expected, seq - 1, ms, ms, seq - expected, "queue"))


def _columns(number: int, group: list[Reading | Block]) -> list[Columns]:
    """The group's readings in columns, cut where a seq is missing."""
    made: list[Columns] = []
    plain: list[Reading] = []
    for entry in group:
        if isinstance(entry, Block):
            if plain:
                made += _of_readings(number, plain)
                plain = []
            marks: list[Quality | None] | None = None
            if entry.quality != GOOD:
                marks = [entry.quality] * len(entry.ms)
            made.append(Columns(number, entry.seq, entry.ms, entry.values, marks))
        else:
            plain.append(entry)
    if plain:
        made += _of_readings(number, plain)
    return made


def _of_readings(number: int, readings: list[Reading]) -> list[Columns]:
    seqs: tuple[int, ...]
    ms, values, qualities, seqs, seqnos = zip(*readings, strict=True)
    count = len(seqs)
    if seqs[-1] - seqs[0] + 1 != count:  # a seq is missing inside
        cuts = [i for i in range(1, count) if seqs[i] != seqs[i - 1] + 1]
        ends = zip([0, *cuts], [*cuts, count], strict=True)
        return [columns for a, b in ends for columns in _of_readings(number, readings[a:b])]
    marks = None
    if qualities.count(GOOD) != count:
        marks = [None if quality == GOOD else quality for quality in qualities]
    numbers = None if seqnos.count(None) == count else seqnos
    return [Columns(number, seqs[0], ms, values, marks, numbers)]

"""From the tree's batches to rows: who is which number, and what is missing in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from smapd.interfaces import ITimeseries
from smapd.values import GOOD, Batch, Block, Entry, Plain, Quality, Reading

from .packed import Columns, Packed, Singles, pack
from .rows import RowGap

ROW_READINGS: Final = 10_000
"""What one body takes: a row is not read twice because its readings go out in two."""

FEW: Final = 8
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


def pack_batches(
    batches: Sequence[Batch], numbers: Numbers, is_hurried: bool = False
) -> list[tuple[Packed, list[RowGap]]]:
    """Rows of these batches, each with the gaps noticed before its readings.

    Each stream's readings are in their order. Hurried, the readings of one stream are not always
    put together: that costs bytes, and spares two thirds of the time where each stream has few.
    """
    plain, entries = _together(batches)
    count = len(plain.streams)
    if count <= ROW_READINGS:
        parts = _parts(entries, ROW_READINGS - count)
        rows = [_row(plain, parts[0] if parts else [], numbers, is_hurried)] if count else []
        rest_parts = parts[1:] if count else parts
    else:
        rows = [
            _row(_stretch(plain, at), [], numbers, is_hurried)
            for at in range(0, count, ROW_READINGS)
        ]
        rest_parts = _parts(entries)
    nothing = Plain([], [], [], [])
    return rows + [_row(nothing, part, numbers, is_hurried) for part in rest_parts]


def _together(batches: Sequence[Batch]) -> tuple[Plain, list[Entry]]:
    """What of all batches stands in columns, and the entries of streams of which not all can."""
    odd: set[ITimeseries] = set()
    for batch in batches:
        odd |= batch.odd()
    if len(batches) == 1:
        return batches[0].split(odd)
    plain = Plain([], [], [], [])
    entries: list[Entry] = []
    streams, ms, values, seqs = plain
    for batch in batches:
        part, rest = batch.split(odd)
        streams += part.streams
        ms += part.ms
        values += part.values
        seqs += part.seqs
        entries += rest
    return plain, entries


def _stretch(plain: Plain, at: int) -> Plain:
    """A row's worth."""
    end = at + ROW_READINGS
    streams, ms, values, seqs = plain
    return Plain(streams[at:end], ms[at:end], values[at:end], seqs[at:end])


def _parts(entries: Sequence[Entry], room: int = ROW_READINGS) -> list[list[Entry]]:
    """Cut them so that no row has more than ROW_READINGS readings, and the first at most ``room``.

    Empty if there are none; the first part is empty where there is no room.
    """
    parts: list[list[Entry]] = []
    part: list[Entry] = []
    for stream, entry in entries:
        at, size = 0, len(entry.ms) if isinstance(entry, Block) else 1
        while at < size:
            if room <= 0:
                parts.append(part)
                part, room = [], ROW_READINGS
            n = min(room, size - at)
            part.append((stream, entry if n == size else _piece(entry, at, n)))
            at += n
            room -= n
    if part:
        parts.append(part)
    return parts


def _piece(block: Any, at: int, size: int) -> Block:
    ms, values, quality, seq = block
    return Block(ms[at : at + size], values[at : at + size], quality, seq + at)


def _row(
    plain: Plain, entries: Sequence[Entry], numbers: Numbers, is_hurried: bool
) -> tuple[Packed, list[RowGap]]:
    """One row of good readings in columns, and of the entries of other streams."""
    gaps: list[RowGap] = []
    singles, runs = _of_plain(plain, numbers, gaps, is_hurried)
    groups: dict[ITimeseries, list[Reading | Block]] = {}
    for stream, entry in entries:
        group = groups.get(stream)
        if group is None:
            groups[stream] = [entry]
        else:
            group.append(entry)
    expected = numbers.expected
    for stream, group in groups.items():
        number = numbers.of(stream)
        made = _columns(number, group)
        for columns in made:
            seq = columns.first_seq
            if seq != expected[number]:
                _missing(gaps, number, expected[number], seq, columns.ms[0])
            expected[number] = seq + len(columns.ms)
        only = made[0]
        if len(made) == len(only.ms) == 1 and only.quality is None and only.seqnos is None:
            singles.put(number, only.first_seq, only.ms[0], only.values[0])
        else:
            runs += made
    return pack(singles, runs), gaps


def _of_plain(
    plain: Plain, numbers: Numbers, gaps: list[RowGap], is_hurried: bool
) -> tuple[Singles, list[Columns]]:
    """What a row takes of these; notes what is missing before them in ``gaps``."""
    streams, ms, values, seqs = plain
    known, expected = numbers._by_stream, numbers.expected
    try:
        which = list(map(known.__getitem__, streams))
    except KeyError:
        which = [numbers.of(stream) for stream in streams]
    count, distinct = len(which), len(set(which))
    if distinct == count and list(map(expected.__getitem__, which)) == seqs:
        expected.update(zip(which, [seq + 1 for seq in seqs], strict=True))
    elif distinct == count or (is_hurried and count <= FEW * distinct):
        for number, seq, at in zip(which, seqs, ms, strict=True):
            if expected[number] != seq:
                _missing(gaps, number, expected[number], seq, at)
            expected[number] = seq + 1
    else:
        return _grouped(which, plain, expected, gaps)
    return Singles(which, seqs[:], ms[:], values[:]), []


def _grouped(
    which: list[int], plain: Plain, expected: dict[int, int], gaps: list[RowGap]
) -> tuple[Singles, list[Columns]]:
    """The readings of each stream put together, cut where a seq is missing."""
    made: list[Columns] = []
    opened: dict[int, Columns] = {}
    torn: set[int] = set()
    for number, at, value, seq in zip(which, plain.ms, plain.values, plain.seqs, strict=True):
        run = opened.get(number)
        if run is None or expected[number] != seq:
            if run is not None:
                torn.add(number)
            if expected[number] != seq:
                _missing(gaps, number, expected[number], seq, at)
            run = opened[number] = Columns(number, seq, [], [])
            made.append(run)
        run.ms.append(at)  # type: ignore[attr-defined]  # the lists are ours
        run.values.append(value)  # type: ignore[attr-defined]
        expected[number] = seq + 1
    singles = Singles([], [], [], [])
    runs: list[Columns] = []
    for run in made:
        if len(run.ms) == 1 and run.number not in torn:
            singles.put(run.number, run.first_seq, run.ms[0], run.values[0])
        else:
            runs.append(run)
    return singles, runs


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

"""Readings on their way: how the queue holds them, and the batch that a drain makes of them.

Two tuples for each of 100,000 readings, all alive at once, set off full garbage collections that
cost more than all the rest of the way. So the queue is flat, `WIDTH` items a reading, and a batch
makes readings of them when they are looked at:

| stream | ms | value | quality | what |
| --- | --- | --- | --- | --- |
| of it | int | as it fits | None, `STAMPED`, a Quality | good, good and stamped by us, any other |
| of it | (ms, seqno) | as it fits | the same | with the driver's own number |
| of it | list of int | list | a Quality | a block |
| of it | None | how many | text | refused, and why |

What a stream keeps of a reading is a row, a plain tuple that the collector lets go of: (ms, value,
quality or None for good, seq, seqno).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import Any, Final, TypeAlias

from smapd.interfaces import ITimeseries
from smapd.values import GOOD, Batch, Block, Entry, Level, Plain, Quality, Reading, Value

WIDTH: Final = 4

STAMPED: Final = Quality(Level.GOOD)
"""Known by identity: good, with the time at which it was added, and so what gets the stamp note."""

Row: TypeAlias = tuple[int, Value, Quality | None, int, int | None]

_new: Any = tuple.__new__


def reading_of(row: Row) -> Reading:
    """The reading that a row stands for."""
    ms, value, quality, seq, seqno = row
    # What Reading(...) does, without its Python-level __new__: a third of the cost.
    made: Reading = _new(Reading, (ms, value, quality or GOOD, seq, seqno))
    return made


def row_of(reading: Reading) -> Row:
    """The row of a reading that may have no seq, to be shown and not kept."""
    quality = None if reading.quality == GOOD else reading.quality
    return (reading.ms, reading.value, quality, reading.seq or 0, reading.seqno)


class Drained(Batch):
    """A batch of queue items; ``entries``, and iteration, make readings of them.

    ``seqs``: for each WIDTH items the seq that the reading got, the block made of it, or None where
    nothing came of it. ``note``: the quality of what was stamped, if it is not plainly good.
    """

    __slots__ = ("_entries", "_items", "_note", "_seqs")

    _entries: list[Entry] | None
    _items: list[Any]
    _note: Quality | None
    _seqs: list[int | Block | None]

    def __init__(
        self, items: list[Any], seqs: list[int | Block | None], note: Quality | None, count: int
    ) -> None:
        put = object.__setattr__  # a batch is frozen
        put(self, "count", count)
        put(self, "_items", items)
        put(self, "_seqs", seqs)
        put(self, "_note", note)
        put(self, "_entries", None)

    @property
    def entries(self) -> list[Entry]:
        """(stream, Reading or Block), in the order of the adds; made once."""
        found = self._entries
        if found is None:
            found = list(self._made())
            object.__setattr__(self, "_entries", found)
        return found

    def __iter__(self) -> Iterator[tuple[ITimeseries, Reading]]:
        for stream, made in self._made():
            if isinstance(made, Block):
                for reading in made.readings():
                    yield stream, reading
            else:
                yield stream, made

    def __repr__(self) -> str:
        return f"<Batch of {self.count} readings>"

    def odd(self) -> set[ITimeseries]:
        """The streams of which something here is no plain good reading."""
        items, seqs = self._items, self._seqs
        times, qualities = items[1::WIDTH], items[3::WIDTH]
        if set(map(type, times)) == {int} and set(map(type, seqs)) == {int}:
            size = len(seqs)
            if self._note is None and qualities.count(STAMPED) == size:
                return set()
            if qualities.count(None) == size:
                return set()
        note = self._note
        return {
            stream
            for stream, ms, quality, seq in zip(
                items[0::WIDTH], times, qualities, seqs, strict=True
            )
            if seq is not None
            and not (
                ms.__class__ is int and (quality is None or (quality is STAMPED and note is None))
            )
        }

    def split(self, odd: set[ITimeseries]) -> tuple[Plain, list[Entry]]:
        """The readings of all streams but these in columns, and what there is of these."""
        items = self._items
        columns = items[0::WIDTH], items[1::WIDTH], items[2::WIDTH], self._seqs
        if not odd and self.count == len(self._seqs):
            return Plain(*columns), []  # type: ignore[arg-type]  # odd() has looked at each
        taken = [
            seq is not None and stream not in odd
            for stream, seq in zip(columns[0], self._seqs, strict=True)
        ]
        plain: list[Any] = [list(compress(column, taken)) for column in columns]
        return Plain(*plain), list(self._made(odd))

    def _made(self, only: set[ITimeseries] | None = None) -> Iterator[Entry]:
        stamped = self._note or GOOD
        each = iter(self._items)
        for stream, ms, value, quality, seq in zip(each, each, each, each, self._seqs, strict=True):
            if only is not None and stream not in only:
                continue
            if seq.__class__ is int:
                if quality is STAMPED:
                    quality = stamped
                seqno = None
                if ms.__class__ is tuple:
                    ms, seqno = ms
                yield stream, _new(Reading, (ms, value, quality or GOOD, seq, seqno))
            elif isinstance(seq, Block):
                yield stream, seq

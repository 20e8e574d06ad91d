"""From rows to what one cursor gets: what it selects, within its limits, stream by stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, Final

from smapd.values import JournalBatch, OneEach, Position, Quality, Run, Value

from .names import Names
from .rows import Data, Head, RowGap

NO_LIMIT = 2**62

LARGE: Final = 5_000
"""A read of so many readings that is half full ends before a row that would have to be cut: to
unpack it twice costs more than a shorter body does."""


class Window:
    """A stretch of the journal as one cursor sees it: `take` rows in order, then look.

    ``first``, ``end``: where it begins and how far it got. ``skip``: how many of a stream's next
    readings are too many. ``oldest_ms``: older ones are left out. ``counting``: only heads are
    looked at, for ``counts`` and ``spans``.
    """

    def __init__(
        self,
        first: Position,
        names: Names,
        *,
        selects: Callable[[int], bool] | None = None,
        limit_readings: int = NO_LIMIT,
        limit_bytes: int = NO_LIMIT,
        until: Position,
        skip: Callable[[int], int] | None = None,
        oldest_ms: int | None = None,
        scan_bytes: int = NO_LIMIT,
        counting: bool = False,
    ) -> None:
        self.first = self.end = first
        self.until = until
        self.count = 0
        self.size = 0
        self.counts: Counter[int] = Counter()
        """By stream: the selected readings passed, those left out too."""
        self.gaps: list[RowGap] = []
        """What is missing here: told by rows, or left out for the limits."""
        self.spans: dict[int, list[int]] = {}
        """When counting, by stream: first and last seq, earliest and latest ms, readings."""
        self._names, self._selects = names, selects
        self._limit, self._limit_bytes = limit_readings, limit_bytes
        self._skip, self._oldest_ms = skip, oldest_ms
        self._left: dict[int, int] = {}
        self._scan_left = scan_bytes
        self._counting = counting
        self._each: list[tuple[list[int], Sequence[int], list[int], list[Value]]] = []
        """Rows of one reading a stream, all of different streams, as long as there is no other."""
        self._each_numbers: set[int] = set()
        self._runs: list[Run] = []  # their lists grow from row to row
        self._open: dict[int, int] = {}

    def take(self, head: Head, data: bytes | None) -> bool:
        """Take in the next row; False if no more are wanted. ``data`` may be None if counting.

        :raises Damaged: if the data does not pass its checksum.
        """
        flush, until = head.flush, self.until
        if flush > until.flush or (flush == until.flush and until.offset == 0):
            return False
        if self.count >= self._limit or self.size >= self._limit_bytes:
            return False
        if (
            self._limit >= LARGE
            and 2 * self.count >= self._limit
            and self.count + head.count > self._limit
        ):
            return False
        low = self.first.offset if flush == self.first.flush else 0
        high = min(until.offset, head.count) if flush == until.flush else head.count
        selects = self._selects
        if low == 0 and head.has_gaps:
            gaps = head.gaps()
            if selects is not None:
                gaps = [gap for gap in gaps if selects(gap.number)]
            self.gaps.extend(gaps)
        if self._counting:
            self._count(head, low, high)
            cut = None
        else:
            assert data is not None
            cut = self._read(head, data, low, high)
        if cut is not None:
            self.end = Position(flush, cut)
            return False
        self.end = Position(flush + 1, 0) if high == head.count else Position(flush, high)
        return self._scan_left > 0 or bool(self.count or self.gaps)

    def batch(self, told: list[RowGap]) -> JournalBatch:
        """What was taken; ``told``: gaps noted for this cursor before."""
        names = self._names
        gaps = [names.gap(gap) for gap in told + self.gaps]
        runs = self._one_each() if self._each else self._runs
        return JournalBatch(runs, gaps, self.count, self.first, self.end, self.size)

    def _count(self, head: Head, low: int, high: int) -> None:
        at = 0
        selects, counts, spans = self._selects, self.counts, self.spans
        t_first, t_last = head.t_first, head.t_last
        for number, seq, n in head.runs():
            start, at = at, at + n
            if at <= low or (selects is not None and not selects(number)):
                continue
            a, b = max(start, low), min(at, high)
            if a >= b:
                break
            counts[number] += b - a
            span = spans.get(number)
            if span is None:
                spans[number] = [seq + a - start, seq + b - start - 1, t_first, t_last, b - a]
            else:
                span[1] = seq + b - start - 1
                span[2], span[3] = min(span[2], t_first), max(span[3], t_last)
                span[4] += b - a

    def _read(self, head: Head, raw: bytes, low: int, high: int) -> int | None:
        """Take the row's readings; where it was cut for the limit, else None."""
        data: Data | None = None
        notes = None
        if (
            len(head.numbers) == head.count > 0
            and (self._oldest_ms is None or head.t_first >= self._oldest_ms)
            and len(raw) <= self._limit_bytes
        ):
            data = Data(head, raw)
            notes = data.notes()
            if notes is None:
                numbers = head.numbers[low:high].tolist()
                picked = None if self._selects is None else list(map(self._selects, numbers))
                if picked is not None:
                    numbers = list(compress(numbers, picked))
                if self._skip is None or max(map(self._skip, numbers), default=0) <= 0:
                    return self._read_singles(head, data, low, high, len(raw), numbers, picked)
        if head.count:
            self._look_at_each()
        selects, skip = self._selects, self._skip
        oldest_ms = self._oldest_ms
        if oldest_ms is not None and head.t_first >= oldest_ms:
            oldest_ms = None
        room = self._limit - self.count
        if len(raw) > self._limit_bytes:
            room = min(room, max(1, head.count * self._limit_bytes // len(raw)))
        before, at = self.count, 0
        cut = None
        for number, seq, n in head.runs():
            start, at = at, at + n
            if at <= low or (selects is not None and not selects(number)):
                continue
            a, b = max(start, low), min(at, high)
            if a >= b:
                break
            if data is None:
                data = Data(head, raw)
                notes = data.notes()
            if skip is not None:
                left = self._left.get(number)
                if left is None:
                    left = self._left[number] = max(0, skip(number))
                if left:
                    k = min(left, b - a)
                    self._left[number] = left - k
                    self._leave_out(number, seq + a - start, data.ms[a : a + k], "bounds")
                    a += k
                    if a == b:
                        continue
            if room <= 0:
                cut = a
                break
            if b - a > room:
                b = cut = a + room
            if oldest_ms is None:
                self._add(number, seq - start, a, b, data, notes)
                room -= b - a
            else:
                room -= self._add_young(number, seq - start, a, b, data, notes, oldest_ms)
            if cut is not None:
                break
        if data is not None and head.count:
            self.size += len(raw) * (self.count - before) // head.count
        else:
            self._scan_left -= len(raw)
        return cut

    def _read_singles(
        self,
        head: Head,
        data: Data,
        low: int,
        high: int,
        size: int,
        numbers: list[int],
        picked: list[bool] | None,
    ) -> int | None:
        """`_read` for a row of runs of one reading, nothing of which is left out.

        ``numbers``: of those between ``low`` and ``high`` that are selected; ``picked``: which.
        """
        columns: list[Any] = [head.firsts[low:high], data.ms[low:high], data.values[low:high]]
        if picked is not None:
            columns = [list(compress(column, picked)) for column in columns]
        room = self._limit - self.count
        cut = None
        if len(numbers) > room:
            cut = low + room
            if picked is not None:
                cut = list(compress(range(low, high), picked))[room]
            numbers = numbers[:room]
            columns = [column[:room] for column in columns]
        row = (numbers, *columns)
        if not self._runs and self._is_of_others(numbers):
            self._each.append(row)
        else:
            self._look_at_each()
            self._go_on(*row)
        self.counts.update(numbers)
        taken = len(numbers)
        self.count += taken
        if taken:
            self.size += size * taken // head.count
        else:
            self._scan_left -= size
        return cut

    def _is_of_others(self, numbers: list[int]) -> bool:
        """Whether these are all different, and none is in ``_each``; now they all are."""
        before, known = len(self._each_numbers), self._each_numbers
        fresh = set(numbers)
        if len(fresh) < len(numbers) or not known.isdisjoint(fresh):
            return False
        self._each_numbers = known | fresh if before else fresh
        return bool(numbers)

    def _one_each(self) -> OneEach:
        numbers, firsts, ms, values = self._each[0]
        seqs = list(firsts)
        for more in self._each[1:]:
            numbers, ms, values = numbers + more[0], ms + more[2], values + more[3]
            seqs.extend(more[1])
        uuids, paths = self._names.all_of(numbers)
        return self._names.shared(OneEach(uuids, numbers, seqs, ms, values, paths))

    def _look_at_each(self) -> None:
        """What comes next is no row of that kind: from now on there are runs."""
        each, self._each = self._each, []
        for row in each:
            self._go_on(*row)

    def _go_on(
        self, numbers: list[int], firsts: Sequence[int], ms: list[int], values: list[Value]
    ) -> None:
        """One reading more for each of these."""
        opened, runs, names = self._open, self._runs, self._names
        for number, seq, at, value in zip(numbers, firsts, ms, values, strict=True):
            place = opened.get(number)
            if place is not None:
                _, _, first, run_ms, run_values, quality, seqnos, _ = runs[place]
                if first + len(run_ms) == seq and quality is None and seqnos is None:
                    run_ms.append(at)
                    run_values.append(value)
                    continue
            uuid, path = names.of(number)
            opened[number] = len(runs)
            runs.append(Run(uuid, number, seq, [at], [value], None, None, path))

    def _add(
        self,
        number: int,
        shift: int,
        a: int,
        b: int,
        data: Data,
        notes: tuple[list[Quality | None], list[int | None]] | None,
    ) -> None:
        seq = shift + a
        self.count += b - a
        self.counts[number] += b - a
        place = self._open.get(number)
        run = None if place is None else self._runs[place]
        if place is None or run is None or run.first_seq + len(run.ms) != seq:
            uuid, path = self._names.of(number)
            place = self._open[number] = len(self._runs)
            run = Run(uuid, number, seq, data.ms[a:b], data.values[a:b], None, None, path)
            self._runs.append(run)
            old = 0
        else:
            old = len(run.ms)
            run.ms.extend(data.ms[a:b])
            run.values.extend(data.values[a:b])
        if notes is not None or run.quality is not None or run.seqnos is not None:
            nothing = [None] * (b - a)
            quality, seqnos = (
                (notes[0][a:b], notes[1][a:b]) if notes is not None else (nothing,) * 2
            )
            self._runs[place] = run._replace(
                quality=_grown(run.quality, old, quality), seqnos=_grown(run.seqnos, old, seqnos)
            )

    def _add_young(
        self,
        number: int,
        shift: int,
        a: int,
        b: int,
        data: Data,
        notes: tuple[list[Quality | None], list[int | None]] | None,
        oldest_ms: int,
    ) -> int:
        """Add what is not too old; how many that is."""
        ms, added = data.ms, 0
        while a < b:
            is_old = ms[a] < oldest_ms
            end = a + 1
            while end < b and (ms[end] < oldest_ms) == is_old:
                end += 1
            if is_old:
                self._leave_out(number, shift + a, ms[a:end], "age")
            else:
                self._add(number, shift, a, end, data, notes)
                added += end - a
            a = end
        return added

    def _leave_out(self, number: int, seq: int, ms: list[int], why: str) -> None:
        count = len(ms)
        self.counts[number] += count
        last = self.gaps[-1] if self.gaps else None
        if (
            last is not None
            and last.number == number
            and last.why == why
            and last.to_seq == seq - 1
        ):
            self.gaps[-1] = last._replace(
                to_seq=seq + count - 1,
                from_ms=min(last.from_ms, *ms),
                to_ms=max(last.to_ms, *ms),
                count=last.count + count,
            )
        else:
            self.gaps.append(RowGap(number, seq, seq + count - 1, min(ms), max(ms), count, why))


def gaps_of(window: Window, why: str) -> list[RowGap]:
    """All of a counted window as gaps: what its rows told of, and its readings for this cause."""
    lost = [
        RowGap(number, span[0], span[1], span[2], span[3], span[4], why)
        for number, span in window.spans.items()
    ]
    return window.gaps + lost


def _grown(column: list[Any] | None, old: int, more: Sequence[Any]) -> list[Any] | None:
    """A column that is None as long as all in it are; ``old``: how long it is."""
    if column is not None:
        column.extend(more)
    elif any(one is not None for one in more):
        column = [*[None] * old, *more]
    return column

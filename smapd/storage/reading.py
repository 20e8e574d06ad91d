"""From rows to what one cursor gets: what it selects, within its limits, stream by stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import compress, islice
from uuid import UUID

from smapd.values import Gap, JournalBatch, Position, Quality, Run, Value

from .rows import Data, Head, RowGap

NO_LIMIT = 2**62


class Names:
    """Stream numbers to uuids and paths."""

    def __init__(self, streams: dict[int, tuple[str, str]]) -> None:
        """``streams``: number to (uuid, path); may grow."""
        self._streams = streams
        self._uuids: dict[int, UUID] = {}

    def of(self, number: int) -> tuple[UUID, str]:
        """The stream's uuid and path; the nil uuid if nothing knows it any more."""
        uuid, path = self._streams.get(number, (None, ""))
        found = self._uuids.get(number)
        if found is None:
            if uuid is None:
                return UUID(int=0), ""
            found = self._uuids[number] = UUID(uuid)
        return found, path

    def gap(self, gap: RowGap) -> Gap:
        """The gap with its stream's names."""
        uuid, path = self.of(gap.number)
        return Gap(uuid, path, *gap[1:])


class _Building:
    """A run that grows over rows."""

    __slots__ = ("first", "ms", "number", "quality", "seqnos", "values")

    def __init__(self, number: int, first: int, ms: list[int], values: list[Value]) -> None:
        self.number, self.first, self.ms, self.values = number, first, ms, values
        self.quality: list[Quality | None] | None = None
        self.seqnos: list[int | None] | None = None


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
        self._runs: list[_Building] = []
        self._open: dict[int, _Building] = {}

    def take(self, head: Head, data: bytes | None) -> bool:
        """Take in the next row; False if no more are wanted. ``data`` may be None if counting.

        :raises Damaged: if the data does not pass its checksum.
        """
        flush, until = head.flush, self.until
        if flush > until.flush or (flush == until.flush and until.offset == 0):
            return False
        if self.count >= self._limit or self.size >= self._limit_bytes:
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
        runs = [
            Run(uuid, run.number, run.first, run.ms, run.values, run.quality, run.seqnos, path)
            for run in self._runs
            for uuid, path in (names.of(run.number),)
        ]
        gaps = [names.gap(gap) for gap in told + self.gaps]
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
        if (
            self._skip is None
            and len(head.numbers) == head.count > 0
            and (self._oldest_ms is None or head.t_first >= self._oldest_ms)
            and len(raw) <= self._limit_bytes
        ):
            columns = Data(head, raw)
            if columns.notes() is None:
                return self._read_singles(head, columns, low, high, len(raw))
        data: Data | None = None
        notes = None
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

    def _read_singles(self, head: Head, data: Data, low: int, high: int, size: int) -> int | None:
        """`_read` for a row of runs of one reading, nothing of which is left out."""
        selects, opened, runs = self._selects, self._open, self._runs
        numbers = head.numbers[low:high].tolist()
        each = zip(
            numbers, head.firsts[low:high], data.ms[low:high], data.values[low:high], strict=True
        )
        room = self._limit - self.count
        cut = None
        if selects is not None:
            picked = [selects(number) for number in numbers]
            numbers = list(compress(numbers, picked))
            if len(numbers) > room:
                places = list(compress(range(low, high), picked))
                cut = places[room]
            each = compress(each, picked)  # type: ignore[assignment]
        elif len(numbers) > room:
            cut = low + room
        for number, seq, ms, value in islice(each, room):
            run = opened.get(number)
            if (
                run is not None
                and run.first + len(run.ms) == seq
                and run.quality is None
                and run.seqnos is None
            ):
                run.ms.append(ms)
                run.values.append(value)
            else:
                run = opened[number] = _Building(number, seq, [ms], [value])
                runs.append(run)
        taken = min(len(numbers), room)
        self.counts.update(numbers[:taken])
        self.count += taken
        if taken:
            self.size += size * taken // head.count
        else:
            self._scan_left -= size
        return cut

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
        run = self._open.get(number)
        if run is None or run.first + len(run.ms) != seq:
            run = _Building(number, seq, data.ms[a:b], data.values[a:b])
            self._runs.append(run)
            self._open[number] = run
            old = 0
        else:
            old = len(run.ms)
            run.ms += data.ms[a:b]
            run.values += data.values[a:b]
        if notes is not None or run.quality is not None:
            quality: list[Quality | None]
            quality = notes[0][a:b] if notes is not None else [None] * (b - a)
            if run.quality is not None:
                run.quality += quality
            elif any(q is not None for q in quality):
                run.quality = [*[None] * old, *quality]
        if notes is not None or run.seqnos is not None:
            seqnos: list[int | None]
            seqnos = notes[1][a:b] if notes is not None else [None] * (b - a)
            if run.seqnos is not None:
                run.seqnos += seqnos
            elif any(n is not None for n in seqnos):
                run.seqnos = [*[None] * old, *seqnos]
        self.count += b - a
        self.counts[number] += b - a

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

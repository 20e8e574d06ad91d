"""The readings journal without a disk: the same promises, kept for as long as the object lives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from smapd.interfaces import ICursor, INode, IReadings, ITimeseries, ITreeListener
from smapd.values import (
    GOOD,
    Batch,
    Gap,
    JournalBatch,
    Limits,
    Position,
    Quality,
    Reading,
    Run,
    Start,
    Value,
    wall_ms,
)

_SIZE = 16  # bytes that a reading counts for


class _Entry(NamedTuple):
    number: int
    seq: int
    ms: int
    value: Value
    quality: Quality | None
    seqno: int | None


@implementer(IReadings, ITreeListener)
class MemoryReadings:
    """Keeps every batch of readings: a journal without a disk, and a listener of the tree.

    ``commits_at_once``: else what was appended waits for ``commit``. ``now_ms``: for MaxAge. A
    cursor asked for again goes on where it was, as after a restart.
    """

    def __init__(
        self, *, commits_at_once: bool = True, now_ms: Callable[[], int] = wall_ms
    ) -> None:
        self.batches: list[Batch] = []
        self.ack_error: Exception | None = None
        """What every ack fails with, while set."""
        self.error = ""
        """Why nothing is committed, for those who ask before they add."""
        self._promised: list[Deferred[None]] = []
        self._now_ms = now_ms
        self._at_once = commits_at_once
        self._flushes: list[list[_Entry]] = []
        self._open: list[_Entry] = []
        self._numbers: dict[UUID, int] = {}
        self._streams: list[tuple[UUID, str]] = []
        self._next_seq: dict[UUID, int] = {}
        self._cursors: dict[str, MemoryCursor] = {}
        self._held: list[tuple[MemoryCursor, Position, Deferred[None]]] | None = None

    # --- of the tree

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Numbers each stream; one seen before goes on with its seq."""
        for node in nodes:
            if ITimeseries.providedBy(node):
                stream: ITimeseries = node
                self._number(stream.uuid, stream.path)
                stream.next_seq = max(stream.next_seq, self._next_seq.get(stream.uuid, 0))

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """Their readings stay."""

    def metadata_changed(self, node: INode) -> None:
        """Not kept."""

    def readings_added(self, batch: Batch) -> None:
        """As ``append``."""
        self.append(batch)

    # --- what was added, whoever reads it

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def whole(self, path: str) -> list[Reading]:
        """Every reading of that stream, oldest first, with quality and seq."""
        return [reading for batch in self.batches for ts, reading in batch if ts.path == path]

    def readings(self, path: str) -> list[tuple[int, Value]]:
        """(ms, value) of each reading of that stream, oldest first."""
        return [(reading.ms, reading.value) for reading in self.whole(path)]

    def clear(self) -> None:
        """Forget the batches; cursors still have their readings."""
        self.batches.clear()

    # --- the journal

    def append(self, batch: Batch) -> None:
        """Keep these; committed at once, or with the next ``commit``."""
        self.batches.append(batch)
        for stream, reading in batch:
            uuid = stream.uuid
            seq = reading.seq if reading.seq is not None else self._next_seq.get(uuid, 0)
            self._next_seq[uuid] = seq + 1
            quality = None if reading.quality == GOOD else reading.quality
            number = self._number(uuid, stream.path)
            self._open.append(
                _Entry(number, seq, reading.ms, reading.value, quality, reading.seqno)
            )
        if self._at_once:
            self.commit()

    def commit(self) -> None:
        """One flush of what was appended since the last; none if there is nothing."""
        if self._open:
            self._flushes.append(self._open)
            self._open = []
            for cursor in list(self._cursors.values()):
                cursor.committed()

        promised, self._promised = self._promised, []
        for done in promised:
            done.callback(None)

    def durable(self) -> Deferred[None]:
        """At once, or with the next ``commit`` if something waits for it."""
        done: Deferred[None] = Deferred()
        if self._open:
            self._promised.append(done)
        else:
            done.callback(None)
        return done

    @property
    def newest(self) -> Position:
        """Behind all that is committed."""
        return Position(len(self._flushes) + 1)

    def number(self, stream: UUID) -> int | None:
        """The number a stream has in this journal; None if it has none."""
        return self._numbers.get(stream)

    def cursor(
        self,
        name: str,
        selects: Callable[[int], bool] | None,
        start: Start | Position | int,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> MemoryCursor:
        """The cursor of that name: where it was, or new at ``start``."""
        known = self._cursors.get(name)
        position = self._find(start) if known is None else known.position
        made = MemoryCursor(self, name, selects, position, limits)
        if known is not None:
            made.refused = known.refused
        self._cursors[name] = made
        return made

    def cursors(self) -> list[str]:
        """The names of all cursors there are."""
        return list(self._cursors)

    def forget(self, name: str) -> Deferred[None]:
        """Remove that cursor."""
        self._cursors.pop(name, None)
        return succeed(None)

    def read_range(
        self, stream: UUID, from_ms: int, to_ms: int, limit: int, newest_first: bool = False
    ) -> Deferred[tuple[list[Reading], list[Gap]]]:
        """The readings of one stream with ``from_ms <= ms < to_ms``, at most ``limit``, by time."""
        number = self._numbers.get(stream)
        found = [
            Reading(entry.ms, entry.value, entry.quality or GOOD, entry.seq, entry.seqno)
            for flush in self._flushes
            for entry in flush
            if entry.number == number and from_ms <= entry.ms < to_ms
        ]
        found.sort(key=lambda reading: reading.ms, reverse=newest_first)
        return succeed((found[:limit], []))

    # --- for tests

    def hold_acks(self) -> None:
        """From now on no ack is durable until ``release_acks``."""
        self._held = []

    def release_acks(self) -> None:
        """The acks held are durable now, and further ones at once."""
        held, self._held = self._held or [], None
        for cursor, position, done in held:
            cursor.position = max(cursor.position, position)
            done.callback(None)

    # --- for its cursors

    def entries(self, start: Position, until: Position | None) -> list[tuple[Position, _Entry]]:
        """What is committed from there on, each with its place."""
        found: list[tuple[Position, _Entry]] = []
        for flush in range(max(start.flush, 1), len(self._flushes) + 1):
            row = self._flushes[flush - 1]
            for offset in range(start.offset if flush == start.flush else 0, len(row)):
                place = Position(flush, offset)
                if until is not None and place >= until:
                    return found
                found.append((place, row[offset]))
        return found

    def stream(self, number: int) -> tuple[UUID, str]:
        """The uuid and the path of a number."""
        return self._streams[number]

    def now_ms(self) -> int:
        """The wall clock."""
        return self._now_ms()

    def take_ack(self, cursor: MemoryCursor, position: Position) -> Deferred[None]:
        """Make a cursor's place durable."""
        if self.ack_error is not None:
            return fail(self.ack_error)
        if self._held is not None:
            done: Deferred[None] = Deferred()
            self._held.append((cursor, position, done))
            return done
        cursor.position = max(cursor.position, position)
        return succeed(None)

    def _number(self, uuid: UUID, path: str) -> int:
        number = self._numbers.get(uuid)
        if number is None:
            number = self._numbers[uuid] = len(self._streams)
            self._streams.append((uuid, path))
        self._streams[number] = (uuid, path)
        return number

    def _find(self, start: Start | Position | int) -> Position:
        if isinstance(start, Position):
            return start
        if start is Start.NEWEST:
            return self.newest
        if isinstance(start, int):
            for place, entry in self.entries(Position(1), None):
                if entry.ms >= start:
                    return place
            return self.newest
        return Position(1)


@implementer(ICursor)
class MemoryCursor:
    """A cursor of ``MemoryReadings``. ``refused``: readings that its limits made gaps of."""

    def __init__(
        self,
        journal: MemoryReadings,
        name: str,
        selects: Callable[[int], bool] | None,
        position: Position,
        limits: Limits,
    ) -> None:
        self.name, self.position, self.limits = name, position, limits
        self.refused = 0
        self._journal, self._selects = journal, selects
        self._hoping: list[Deferred[None]] = []

    def read(
        self, limit_readings: int = 10_000, limit_bytes: int = 2**22, until: Position | None = None
    ) -> Deferred[JournalBatch]:
        """What comes next, from ``position`` on; the same again until it is acked."""
        kept, dropped = self._split(until)
        most = max(1, min(limit_readings, limit_bytes // _SIZE))
        taken = kept[:most]
        if taken and len(kept) > most:
            end = _behind(taken[-1][0])
        elif until is not None:
            end = max(self.position, min(until, self._journal.newest))
        else:
            end = max(self.position, self._journal.newest)
        gaps = [gap for place, gap in dropped if place < end]
        return succeed(
            JournalBatch(
                self._runs([entry for _, entry in taken]),
                _joined(gaps),
                len(taken),
                self.position,
                end,
                len(taken) * _SIZE,
            )
        )

    def ack(self, position: Position) -> Deferred[None]:
        """All before this is done with; fires when that is durable."""
        if position <= self.position:
            return succeed(None)
        return self._journal.take_ack(self, position)

    def waiting(self) -> int:
        """How many committed readings it still has to read."""
        return len(self._split(None)[0])

    def when_more(self) -> Deferred[None]:
        """Fires when something is committed at or behind ``position``; at once if it is."""
        if self.position < self._journal.newest:
            return succeed(None)
        hoping: Deferred[None] = Deferred()
        self._hoping.append(hoping)
        return hoping

    def change(self, selects: Callable[[int], bool] | None, limits: Limits) -> Deferred[None]:
        """From now on these streams and limits."""
        self._selects, self.limits = selects, limits
        return succeed(None)

    def committed(self) -> None:
        """There is more."""
        hoping, self._hoping = self._hoping, []
        for one in hoping:
            one.callback(None)

    def _split(
        self, until: Position | None
    ) -> tuple[list[tuple[Position, _Entry]], list[tuple[Position, Gap]]]:
        """What its limits leave of what is selected, and what they do not."""
        selects = self._selects
        found = [
            (place, entry)
            for place, entry in self._journal.entries(self.position, None)
            if selects is None or selects(entry.number)
        ]
        limits, counts = self.limits, Counter(entry.number for _, entry in found)
        oldest_ms = None
        if limits.max_age_s is not None:
            oldest_ms = self._journal.now_ms() - round(limits.max_age_s * 1000)
        kept, dropped = [], []
        for place, entry in found:
            too_many = (
                limits.max_readings is not None and counts[entry.number] > limits.max_readings
            )
            counts[entry.number] -= 1
            if too_many or (oldest_ms is not None and entry.ms < oldest_ms):
                dropped.append((place, self._gap(entry, "bounds" if too_many else "age")))
            elif until is None or place < until:
                kept.append((place, entry))
        return kept, dropped

    def _gap(self, entry: _Entry, why: str) -> Gap:
        uuid, path = self._journal.stream(entry.number)
        return Gap(uuid, path, entry.seq, entry.seq, entry.ms, entry.ms, 1, why)

    def _runs(self, entries: list[_Entry]) -> list[Run]:
        groups: list[list[_Entry]] = []
        latest: dict[int, list[_Entry]] = {}
        for entry in entries:
            group = latest.get(entry.number)
            if group is None or group[-1].seq + 1 != entry.seq:
                group = latest[entry.number] = []
                groups.append(group)
            group.append(entry)
        return [self._run(group) for group in groups]

    def _run(self, group: list[_Entry]) -> Run:
        uuid, path = self._journal.stream(group[0].number)
        qualities = [entry.quality for entry in group]
        seqnos = [entry.seqno for entry in group]
        return Run(
            uuid,
            group[0].number,
            group[0].seq,
            [entry.ms for entry in group],
            [entry.value for entry in group],
            None if not any(qualities) else qualities,
            None if all(no is None for no in seqnos) else seqnos,
            path,
        )


def _behind(place: Position) -> Position:
    return Position(place.flush, place.offset + 1)


def _joined(gaps: list[Gap]) -> list[Gap]:
    """One gap for each stretch of a stream."""
    joined: dict[tuple[UUID, str], Gap] = {}
    for gap in gaps:
        key = (gap.stream, gap.why)
        known = joined.get(key)
        if known is None:
            joined[key] = gap
        else:
            joined[key] = replace(
                known,
                to_seq=gap.to_seq,
                from_ms=min(known.from_ms, gap.from_ms),
                to_ms=max(known.to_ms, gap.to_ms),
                count=known.count + gap.count,
            )
    return list(joined.values())

"""The readings journal: every reading once, and a cursor for each who wants it.

This is the reactor's side. It packs what the tree hands over, makes one commit at a time on the
disk's thread, keeps what waits for that bounded, and tells the cursors when there is more.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from smapd.errors import ShutdownRequested, StorageFull
from smapd.interfaces import (
    IBackoff,
    IClock,
    IFaults,
    INode,
    IReadings,
    IThreads,
    ITimeseries,
    ITreeListener,
)
from smapd.values import (
    Batch,
    Gap,
    Json,
    Limits,
    Position,
    Reading,
    Start,
)

from .cursors import Cursor
from .opening_failed import cannot_open
from .packing import Numbers, pack_batches
from .parts import Opened, Work
from .rows import Packed, RowGap, pack
from .settings import Settings
from .store import Store

POOL: Final = "disk-readings"
"""The pool of one thread that everything here runs on."""

LOOSE_MOST: Final = 20_000
"""Readings kept as the tree gave them while a commit is under way; then they are packed."""

COMMIT_BYTES: Final = 4 * 2**20
"""How much one commit takes at most."""

TRIM_S: Final = 60.0

T = TypeVar("T")


@implementer(IReadings, ITreeListener)
class Readings:
    """The journal in ``directory``. On the reactor's thread, but for what it hands to the disk's.

    ``start`` first, then attach it to the tree, before any driver is set up: it sets each stream's
    ``next_seq`` to what is durable. ``stop`` last.
    """

    def __init__(
        self,
        directory: Path,
        quarantine: Path,
        clock: IClock,
        threads: IThreads,
        backoff: IBackoff,
        faults: IFaults,
        settings: Settings | None = None,
        *,
        highest: Callable[[], tuple[int, int]] = lambda: (0, 0),
        record: Callable[[int, int], None] = lambda flush, readings: None,
        took: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """``highest``: the last flush and number of readings known from elsewhere; on the disk's
        thread. ``record``: keep them there; on the disk's thread, seldom. ``took``: is told how
        long each commit took, those that failed too; on the disk's thread."""
        self.settings = settings if settings is not None else Settings()
        self.store = Store(
            directory, quarantine, self.settings, clock.wall_ms, seconds=clock.seconds
        )
        self.newest = Position(1, 0)
        self.taken = 0
        self.committed = 0
        self.lost_uncommitted = 0
        self.error = ""
        self.notes: list[str] = []
        self._clock, self._threads = clock, threads
        self._backoff, self._faults = backoff, faults
        self._highest, self._record, self._took = highest, record, took
        self._numbers = Numbers()
        self._loose: list[Batch] = []
        self._loose_count = 0
        self._packed: deque[tuple[Packed, list[RowGap]]] = deque()
        self._packed_bytes = self._packed_count = 0
        self._acks: dict[str, Position] = {}
        self._touched: set[str] = set()
        self._forgets: set[str] = set()
        self._told: list[Deferred[None]] = []
        self._calm: list[Deferred[None]] = []
        self._promised: list[tuple[int, Deferred[None]]] = []
        self._work: Work | None = None
        self._work_told: list[Deferred[None]] = []
        self._timer: Any = None
        self._retry: Any = None
        self._trimmer: Any = None
        self._cursors: dict[str, Cursor] = {}
        self._known: dict[str, tuple[Position, Limits]] = {}
        self._running = False
        self._stopping: Deferred[None] | None = None
        self._recorded = (0, 0)
        self._noted = 0

    # --- life

    def start(self) -> Deferred[None]:
        """Open the files, mend what is damaged; fires when readings may be appended.

        :raises DataDirUnusable: (as a failure) if the disk is full, fails or is not ours.
        """
        opening = self.on_disk(lambda: self.store.open(self._highest()))
        return opening.addCallbacks(self._opened, self._unusable)

    def _unusable(self, failure: Any) -> None:
        if failure.check(OSError, sqlite3.Error) is None:
            failure.raiseException()
        what = f"The readings journal in {self.store.directory}"
        raise cannot_open(what, self.store.directory, failure.value) from failure.value

    def _opened(self, opened: Opened) -> None:
        self._numbers.load(opened.streams)
        self.newest = opened.newest
        self.notes = opened.notes
        self._known = dict(opened.cursors)
        self._running = True
        self._log_notes()
        self._trimmer = self._clock.later(TRIM_S, self._trim)

    def _log_notes(self) -> None:
        """Say what was mended since last asked."""
        for note in self.notes[self._noted :]:
            self._faults.fault(("journal", note), note)
        self._noted = len(self.notes)

    def stop(self) -> Deferred[None]:
        """Commit what is pending and close the files; fires when that is done.

        What a full disk does not take within one last try is lost, and said so.
        """
        if self._stopping is None:
            self._running = False
            for timer in (self._trimmer, self._timer):
                if timer is not None:
                    timer.discard()
            self._timer = None
            self._stopping = Deferred()
            self._clock.background(Deferred.fromCoroutine(self._end()), "closing the journal")
        answer: Deferred[None] = Deferred()

        def ended(result: None) -> None:
            answer.callback(None)

        self._stopping.addCallback(ended)
        return answer

    async def _end(self) -> None:
        try:
            while self._pending():
                if self._work is not None and self._retry is None:
                    told: Deferred[None] = Deferred()
                    self._work_told.append(told)
                    await told.addErrback(lambda _: None)
                    continue
                had_failed = self._retry is not None
                if self._retry is not None:
                    self._retry.discard()
                    self._retry = None
                    if not await self._last_try():
                        break
                elif not had_failed:
                    self._commit()
            await self.on_disk(self._close_files)
        finally:
            stopping = self._stopping
            assert stopping is not None
            stopping.callback(None)

    async def _last_try(self) -> bool:
        work = self._work
        assert work is not None
        try:
            newest = await self.on_disk(self.store.commit, work)
        except (sqlite3.Error, OSError) as error:
            count = self._packed_count + self._loose_count + _count(work)
            self._faults.fault(
                "journal stop",
                f"{count} readings are lost: the journal could not be written ({error})",
            )
            return False
        self._done(newest)
        return True

    def _close_files(self) -> None:
        self._keep_record()
        self.store.close()

    def _keep_record(self) -> None:
        now = (self.store.newest.flush - 1, self.store.readings)
        if now != self._recorded:
            self._record(*now)
            self._recorded = now

    # --- the tree's listener

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Give each stream its number, and the seq that comes next in the journal."""
        for node in nodes:
            if ITimeseries.providedBy(node):
                self._numbers.add(node)

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """Forget the nodes; what they left in the journal stays."""
        for node in nodes:
            if ITimeseries.providedBy(node):
                self._numbers.remove(node)

    def metadata_changed(self, node: INode) -> None:
        """Nothing of it is kept here."""

    def readings_added(self, batch: Batch) -> None:
        """As ``append``."""
        self.append(batch)

    # --- readings in

    def append(self, batch: Batch) -> None:
        """Keep these; returns at once, durable with the next commit."""
        count = batch.count
        if not count:
            return
        self._loose.append(batch)
        self._loose_count += count
        self.taken += count
        if self._work is not None:
            if self._loose_count > LOOSE_MOST:
                self._pack()
                self._bound()
        elif self._loose_count + self._packed_count >= self.settings.commit_readings:
            self._commit()
        elif self._timer is None:
            self._timer = self._clock.later(self.settings.commit_s, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._work is None:
            self._commit()

    def _pack(self) -> None:
        is_hurried = self._loose_count >= self.settings.commit_readings
        batches, self._loose, self._loose_count = self._loose, [], 0
        for packed, gaps in pack_batches(batches, self._numbers, is_hurried):
            self._packed.append((packed, gaps))
            self._packed_bytes += packed.size
            self._packed_count += packed.count

    def _bound(self) -> None:
        """Let the oldest go when too much waits: each stream's part of it becomes a gap."""
        most = self.settings.uncommitted_bytes
        work = self._work
        under_way = sum(packed.size for packed, _ in work.rows) if work is not None else 0
        if work is not None and self._retry is not None:
            # Nothing of it is under way: its rows are the oldest, and may go.
            while _may_lose(work.rows) and under_way + self._packed_bytes > most:
                packed, gaps = work.rows.pop(0)
                under_way -= packed.size
                if not work.rows:
                    work.rows.append((pack(None, []), []))  # a row for the gaps alone
                self._lose(packed, gaps, work.rows[0][1])
        while len(self._packed) > 1 and under_way + self._packed_bytes > most:
            packed, gaps = self._packed.popleft()
            self._packed_bytes -= packed.size
            self._packed_count -= packed.count
            self._lose(packed, gaps, self._packed[0][1])

    def _lose(self, packed: Packed, gaps: list[RowGap], into: list[RowGap]) -> None:
        """Put this row's gaps, and its readings as gaps, before those of ``into``."""
        self.lost_uncommitted += packed.count
        lost: dict[int, RowGap] = {}
        runs = [
            RowGap(n, seq, seq + count - 1, packed.t_first, packed.t_last, count, "disk")
            for n, seq, count in packed.runs()
        ]
        for gap in (*gaps, *runs, *into):
            known = lost.get(gap.number)
            lost[gap.number] = gap if known is None else _joined(known, gap)
        into[:] = lost.values()

    # --- commits

    def _pending(self) -> bool:
        return bool(
            self._loose
            or self._packed
            or self._work is not None
            or self._acks
            or self._touched
            or self._forgets
        )

    def _commit(self) -> None:
        """Begin one; none is under way."""
        if self._timer is not None:
            self._timer.discard()
            self._timer = None
        self._pack_all()
        work = Work()
        size = 0
        while self._packed and (not work.rows or size < COMMIT_BYTES):
            packed, gaps = self._packed.popleft()
            self._packed_bytes -= packed.size
            self._packed_count -= packed.count
            size += packed.size
            work.rows.append((packed, gaps))
        if work.rows:
            work.streams = self._numbers.take_fresh()
        work.acks, self._acks = self._acks, {}
        work.touched, self._touched = self._touched, set()
        work.forgets, self._forgets = self._forgets, set()
        self._work_told, self._told, self._calm = self._told + self._calm, [], []
        if not work:
            self._tell()
            return
        self._work = work
        self._send()

    def _pack_all(self) -> None:
        if self._loose:
            self._pack()

    def _send(self) -> None:
        assert self._work is not None
        self.on_disk(self._write, self._work).addCallbacks(self._done, self._failed)

    def _write(self, work: Work) -> Position:
        """On the disk's thread."""
        began_s = self._clock.seconds()
        try:
            return self.store.commit(work)
        finally:
            self._took(self._clock.seconds() - began_s)

    def _done(self, newest: Position) -> None:
        work, self._work = self._work, None
        assert work is not None
        self.committed += _count(work)
        if self._backoff.failures:
            self._backoff.reset()
            self._faults.cleared(
                "journal", "the journal is written again after {for_s} s and {count} tries"
            )
        self.error = ""
        self.newest = newest
        for name, position in work.acks.items():
            cursor = self._cursors.get(name)
            if cursor is not None:
                cursor.position = max(cursor.position, position)
        self._log_notes()
        self._tell()
        self._keep_promises()
        for cursor in list(self._cursors.values()):
            cursor.moved(newest)
        self._go_on()

    def _tell(self) -> None:
        told, self._work_told = self._work_told, []
        for one in told:
            one.callback(None)

    def _go_on(self) -> None:
        if self._work is not None:
            return
        waiting = self._loose_count + self._packed_count
        is_asked = self._told or self._forgets or self._touched or self._promised
        if is_asked or waiting >= self.settings.commit_readings:
            self._commit()
        elif (waiting or self._acks) and self._timer is None and self._running:
            self._timer = self._clock.later(self.settings.commit_s, self._due)

    def _failed(self, failure: Any) -> None:
        """Keep it, and try again later; nothing is durable of it."""
        error = failure.value
        self.error = f"the journal cannot be written: {error}"
        if isinstance(error, ShutdownRequested):
            self._work = None
            told, self._work_told = self._work_told, []
            for one in told:
                one.errback(failure)
            self._break_promises(error)
            return
        self._break_promises(StorageFull(self.error[0].upper() + self.error[1:]))
        self._faults.fault("journal", self.error, same=str(error))
        self._retry = self._clock.later(self._backoff.next(), self._again)
        told, self._work_told = self._work_told, []
        if self._stopping is not None:
            for one in told:
                one.callback(None)
        else:
            self._work_told = told

    def _again(self) -> None:
        work = self._work
        assert work is not None
        self._pack_all()
        self._bound()
        self._retry = None
        size = sum(packed.size for packed, _ in work.rows)
        while self._packed and size < COMMIT_BYTES:
            packed, gaps = self._packed.popleft()
            self._packed_bytes -= packed.size
            self._packed_count -= packed.count
            size += packed.size
            work.rows.append((packed, gaps))
        work.streams += self._numbers.take_fresh()
        work.acks |= self._acks
        work.touched |= self._touched
        work.forgets |= self._forgets
        self._acks, self._touched, self._forgets = {}, set(), set()
        self._work_told += self._told + self._calm
        self._told, self._calm = [], []
        self._send()

    # --- cursors

    def cursor(
        self,
        name: str,
        selects: Callable[[int], bool] | None,
        start: Start | Position | int,
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> Cursor:
        """The cursor of that name: where it was, or new at ``start``; see ``IReadings``."""
        known = self._known.get(name)
        cursor = Cursor(self, name, known[0] if known else self.newest, selects, limits)
        self._known.setdefault(name, (cursor.position, limits))
        self._cursors[name] = cursor
        self._forgets.discard(name)
        adding = self.on_disk(self.store.add_cursor, name, selects, start, limits)

        def added(position: Position) -> None:
            cursor.position = max(position, cursor.position) if known else position
            if known is None or known[1] != limits:
                self._touched.add(name)
                self._go_on()

        self._clock.background(adding.addCallback(added), f"adding the cursor {name}")
        return cursor

    def cursors(self) -> list[str]:
        """The names of all cursors there are, asked for in this run or not."""
        return sorted(self._known)

    def forget(self, name: str) -> Deferred[None]:
        """Remove that cursor; fires when that is durable."""
        if self._known.pop(name, None) is None:
            return succeed(None)
        self._cursors.pop(name, None)
        self._acks.pop(name, None)
        self._touched.discard(name)
        self._forgets.add(name)
        return self._soon()

    def ack(self, cursor: Cursor, position: Position) -> Deferred[None]:
        """For `Cursor.ack`."""
        if self._cursors.get(cursor.name) is not cursor:
            return succeed(None)  # forgotten meanwhile
        self._acks[cursor.name] = max(position, self._acks.get(cursor.name, position))
        if position < self.newest or not self._running:
            return self._soon()
        # It has all there is, so it is in no hurry: the next readings' commit takes it along.
        done: Deferred[None] = Deferred()
        self._calm.append(done)
        if self._timer is None and self._work is None:
            self._timer = self._clock.later(self.settings.commit_s, self._due)
        return done

    def change(self, cursor: Cursor) -> Deferred[None]:
        """For `Cursor.change`."""
        self._touched.add(cursor.name)
        name, selects, limits = cursor.name, cursor.selects, cursor.limits
        self._known[name] = (cursor.position, limits)
        changing = self.on_disk(self.store.change, name, selects, limits)
        return changing.addCallback(lambda _: self._soon())

    def durable(self) -> Deferred[None]:
        """Fires once all that was appended is on the disk; see ``IReadings``."""
        done: Deferred[None] = Deferred()
        if self.error:
            done.errback(StorageFull(self.error[0].upper() + self.error[1:]))
        elif self._kept() >= self.taken:
            done.callback(None)
        else:
            self._promised.append((self.taken, done))
            if self._work is None:
                self._commit()
        return done

    def _kept(self) -> int:
        """Of those taken, how many are committed, or lost and told as a gap."""
        return self.committed + self.lost_uncommitted

    def _keep_promises(self) -> None:
        waiting, self._promised = self._promised, []
        for target, done in waiting:
            if self._kept() >= target:
                done.callback(None)
            else:
                self._promised.append((target, done))

    def _break_promises(self, error: Exception) -> None:
        waiting, self._promised = self._promised, []
        for _target, done in waiting:
            done.errback(error)

    def _soon(self) -> Deferred[None]:
        """Fires with the next commit, which begins when none is under way."""
        done: Deferred[None] = Deferred()
        self._told.append(done)
        if self._work is None:
            self._commit()
        return done

    # --- looking

    def number(self, stream: UUID) -> int | None:
        """The number a stream has in this journal; None if it has none."""
        return self._numbers.number(stream)

    def read_range(
        self, stream: UUID, from_ms: int, to_ms: int, limit: int, newest_first: bool = False
    ) -> Deferred[tuple[list[Reading], list[Gap]]]:
        """The readings of one stream with ``from_ms <= ms < to_ms``, at most ``limit``, by time."""
        return Deferred.fromCoroutine(self._read_range(stream, from_ms, to_ms, limit, newest_first))

    async def _read_range(
        self, stream: UUID, from_ms: int, to_ms: int, limit: int, newest_first: bool
    ) -> tuple[list[Reading], list[Gap]]:
        found: list[Reading] = []
        gaps: list[Gap] = []
        at: Any = None
        while True:
            readings, more, at = await self.on_disk(
                self.store.read_range, str(stream), from_ms, to_ms, limit, newest_first, at
            )
            found += readings
            found.sort(key=lambda r: (r.ms, r.seq or 0), reverse=newest_first)
            del found[limit:]
            for gap in more:
                path = self.store.streams.get(gap.number, ("", ""))[1]
                gaps.append(Gap(stream, path, *gap[1:]))
            if at is None:
                return found, gaps

    def waiting(self, name: str) -> tuple[int, int]:
        """Of a cursor: (readings that wait within its limits, those that wait beyond them).

        Where it takes all streams, and no more wait than one stream may have, that is one number;
        else each stream is looked at.
        """
        place = self.store.places.get(name)
        if place is not None and place.base is not None and place.selects is None:
            left, most = self.store.taken - place.base_all, place.limits.max_readings
            if most is None or left <= most:
                return max(left, 0), 0
        return self.store.waiting(name)

    def status(self) -> Json:
        """What ``/status`` shows."""
        store = self.store
        return {
            "error": self.error,
            "taken": self.taken,
            "committed": self.committed,
            "uncommitted": self._loose_count
            + self._packed_count
            + (_count(self._work) if self._work is not None else 0),
            "uncommitted_bytes": self._packed_bytes,
            "lost_uncommitted": self.lost_uncommitted,
            "commits": store.commits,
            "written_bytes": store.written_bytes,
            "segments": len(store.segments),
            "bytes": sum(info.size for info in list(store.segments)),
            "newest": self.newest.flush,
            "readings": store.readings,
            "dropped": dict(store.dropped),
            "notes": self.notes,
            "cursors": {
                cursor.name: {
                    "flush": cursor.position.flush,
                    "waiting": within,
                    "overdue": beyond,
                }
                for cursor in self._cursors.values()
                for within, beyond in (self.waiting(cursor.name),)
            },
        }

    # --- private

    def on_disk(self, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call it on the disk's thread, after what was asked for before."""
        return self._threads.to_pool(POOL, f, *a)

    def _trim(self) -> None:
        self._trimmer = self._clock.later(TRIM_S, self._trim)

        def trim() -> None:
            self.store.trim()
            self._keep_record()

        trimming = self.on_disk(trim)
        trimming.addErrback(self._trim_failed)

    def _trim_failed(self, failure: Any) -> None:
        if failure.check(OSError, sqlite3.Error) is None:
            self._clock.background(fail(failure), "letting go of old readings")


def _joined(one: RowGap, after: RowGap) -> RowGap:
    return RowGap(
        one.number,
        one.from_seq,
        after.to_seq,
        min(one.from_ms, after.from_ms),
        max(one.to_ms, after.to_ms),
        one.count + after.count,
        "disk",
    )


def _count(work: Work) -> int:
    return sum(packed.count for packed, _ in work.rows)


def _may_lose(rows: list[tuple[Packed, list[RowGap]]]) -> bool:
    """Whether the first row can go: a last one that holds gaps alone stays."""
    return len(rows) > 1 or bool(rows and rows[0][0].count)

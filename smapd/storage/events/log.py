"""The event log: each asset's events in order, durable before their publisher is told.

This is the reactor's side. It makes one commit at a time on the disk's thread, which begins at
once; what arrives while it runs goes together into the next, with what those publish who were told
just now (`gathering`). So a lone publisher waits for one commit, and many share one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from smapd.errors import Busy, DataDirUnusable, ShutdownRequested, SmapError, StorageFull
from smapd.interfaces import IBackoff, IClock, IEventCursor, IEventLog, IFaults, IThreads
from smapd.values import EventRecord, Json, Start

from .batches import OVERHEAD, Batch, Commit, check_name, packed
from .cursors import Change, Cursors, EventCursor
from .gathering import Gathering
from .ids import Ids, Key
from .reads import Reads
from .recent import Recent
from .settings import EventSettings
from .store import EventStore, Opened, Part, Work
from .teller import Teller

POOL: Final = "disk-events"
"""The pool of one thread that everything here runs on."""

TRIM_S: Final = 60.0

T = TypeVar("T")


class _Stream:
    """What is durable of one asset."""

    __slots__ = ("base", "next")

    def __init__(self, following: int = 0, base: int = 0) -> None:
        self.next, self.base = following, base


@implementer(IEventLog)
class EventLog:
    """The event log in ``directory``. On the reactor's thread, but for what it hands to the disk's.

    ``start`` first, ``stop`` last. Counters since the start: ``appended`` events and their
    ``appended_bytes``, ``commits``, ``repeated`` appends whose dedupe id was known, ``refused``
    ones (the disk did not take them), ``busy`` ones (too much waited), ``recent_reads`` and
    ``disk_reads``. ``error``: why the last commit failed; "" while the disk takes what comes.
    """

    def __init__(
        self,
        directory: Path,
        quarantine: Path,
        clock: IClock,
        threads: IThreads,
        backoff: IBackoff,
        faults: IFaults,
        settings: EventSettings | None = None,
        *,
        highest: Callable[[], tuple[int, int]] = lambda: (0, 0),
        record: Callable[[int, int], None] = lambda commits, events: None,
        took: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """``highest``: commits and events known from elsewhere; on the disk's thread. ``record``:
        keep them there; on the disk's thread, seldom. ``took``: is told how long each commit took,
        those that failed too; on the disk's thread."""
        self.settings = settings if settings is not None else EventSettings()
        self.store = EventStore(directory, quarantine, self.settings, clock.wall_ms)
        self.error = ""
        self.appended = self.appended_bytes = self.commits = 0
        self.repeated = self.refused = self.busy = 0
        self.recent_reads = self.disk_reads = 0
        self._clock, self._threads = clock, threads
        self._backoff, self._faults = backoff, faults
        self._highest, self._record, self._took = highest, record, took
        self._streams: dict[str, _Stream] = {}
        self._teller = Teller()
        self._cursors = Cursors(self._teller)
        self._reads = Reads(self._on_disk, self._log_notes)
        self._recent = Recent(self.settings.recent_bytes)
        self._ids = Ids(self.settings.id_s, self.settings.ids)
        self._underway: dict[Key, list[Deferred[int]]] = {}
        self._batches: dict[str, Batch] = {}
        self._waiting_bytes = 0
        self._flushes: list[Deferred[None]] = []
        self._commit: Commit | None = None
        self._gathering = Gathering(clock, self._gathered)
        self._is_crowded = False  # several publishers are at it
        self._waiters: dict[str, list[tuple[int, Deferred[None]]]] = {}
        self._timer: Any = None  # for acks that no event takes along, and after a failure
        self._trimmer: Any = None
        self._running = False
        self._has_failed = self._is_scarce = False  # the last commit; for lack of space
        self._stopping: Deferred[None] | None = None
        self._idle: list[Deferred[None]] = []
        self._recorded = (0, 0)
        self._noted = 0

    # --- life

    def start(self) -> Deferred[None]:
        """Open the files, mend what is damaged; fires when events may be appended.

        :raises DataDirUnusable: (as a failure) if the disk is full, fails or is not ours.
        """
        opening = self._on_disk(lambda: self.store.open(self._highest()))
        return opening.addCallbacks(self._opened, self._unusable)

    def _unusable(self, failure: Any) -> None:
        if failure.check(OSError, sqlite3.Error) is None:
            failure.raiseException()
        raise DataDirUnusable(
            f"{self.store.directory}: the event log cannot be opened: {failure.value}."
        ) from failure.value

    def _opened(self, opened: Opened) -> None:
        for name, following, base in opened.assets:
            self._streams[name] = _Stream(following, base)
        for name, asset, place in opened.cursors:
            self._cursors.add(EventCursor(self, name, asset, place))
        now_s, now_ms = self._clock.seconds(), self._clock.wall_ms()
        for at_ms, ids in opened.ids:
            named = [((asset, one), offset) for asset, one, offset in ids]
            self._ids.add(named, now_s, (now_ms - at_ms) / 1000)
        self._running = True
        self._log_notes()
        self._trimmer = self._clock.later(TRIM_S, self._trim)

    def _log_notes(self) -> None:
        """Say what was mended since last asked."""
        notes = self.store.notes
        for note in notes[self._noted :]:
            self._faults.fault(("events", note), note)
        self._noted = len(notes)

    def stop(self) -> Deferred[None]:
        """Commit what is pending and close the files; fires when that is done.

        What a full disk does not take within one try fails.
        """
        if self._stopping is None:
            self._running = False
            self._stopping = Deferred()
            self._clock.background(Deferred.fromCoroutine(self._end()), "closing the event log")
        answer: Deferred[None] = Deferred()

        def ended(result: None) -> None:
            answer.callback(None)

        self._stopping.addCallback(ended)
        return answer

    async def _end(self) -> None:
        if self._trimmer is not None:
            self._trimmer.discard()
        try:
            while self._commit is not None or self._batches or self._cursors.is_changed:
                if self._commit is None:
                    self._begin()
                if self._commit is not None:
                    idle: Deferred[None] = Deferred()
                    self._idle.append(idle)
                    await idle
                if self._has_failed and not self._batches:
                    break  # that was the last try
            self._stop_timer()
            self._reads.stop(ShutdownRequested())
            await self._on_disk(self._close_files)
        finally:
            self._cursors.stop(ShutdownRequested())
            waiters = [one for waiters in self._waiters.values() for _, one in waiters]
            self._teller.add([*self._flushes, *waiters], ShutdownRequested())
            self._waiters.clear()
            stopping = self._stopping
            assert stopping is not None
            self._teller.add([stopping], None)
            self._teller.tell()

    def _close_files(self) -> None:
        self._keep_record()
        self.store.close()

    def _keep_record(self) -> None:
        now = (self.store.commits, self.store.events)
        if now != self._recorded:
            self._record(*now)
            self._recorded = now

    # --- events in

    def append(
        self, asset: str, records: Sequence[EventRecord], dedupe_id: str | None = None
    ) -> Deferred[int]:
        """Keep these, all or none: the offset of the first; see ``IEventLog``."""
        if not self._running:
            return fail(ShutdownRequested())
        done: Deferred[int] = Deferred()
        told = [done]
        if dedupe_id is not None:
            key = (asset, dedupe_id)
            known, same = self._ids.get(key), self._underway.get(key)
            if known is not None or same is not None:
                self.repeated += 1
            if known is not None:
                return succeed(known)
            if same is not None:
                same.append(done)
                return done
        try:
            events, size = packed(asset, records, self.settings.append_bytes)
            self._make_room(size)
        except SmapError as error:
            return fail(error)
        if dedupe_id is not None:
            self._underway[asset, dedupe_id] = told
        self._gathering.came()
        self._batch(asset).add(records, events, size, told, dedupe_id)
        if self._commit is None:
            if self._is_crowded:
                self._gathering.wait()
            else:
                self._begin()
        return done

    def _make_room(self, size: int) -> None:
        most = self.settings.uncommitted_bytes
        if self._waiting_bytes + size > most:
            self.busy += 1
            raise Busy(f"{most // 2**20} MiB of events wait for the disk; nothing was taken.")
        self._waiting_bytes += size

    def _batch(self, asset: str) -> Batch:
        batch = self._batches.get(asset)
        if batch is None:
            batch = self._batches[asset] = Batch()
        return batch

    def next_offset(self, asset: str) -> int:
        """The offset behind the newest durable event; 0 for an asset never seen."""
        stream = self._streams.get(asset)
        return 0 if stream is None else stream.next

    def base(self, asset: str) -> int:
        """The first offset of its present life."""
        stream = self._streams.get(asset)
        return 0 if stream is None else stream.base

    def assets(self) -> list[str]:
        """All streams there ever were an event or a cursor of."""
        return sorted(self._streams)

    def drop(self, asset: str) -> Deferred[None]:
        """The asset is gone; see ``IEventLog``."""
        if not self._running:
            return fail(ShutdownRequested())
        cursors, commit = self._cursors.of(asset), self._commit
        is_new = asset in self._batches or (commit is not None and asset in commit.batches)
        if asset not in self._streams and not cursors and not is_new:
            return succeed(None)
        batch = self._batch(asset)
        batch.dropped_at = len(batch.records)
        done: Deferred[None] = Deferred()
        batch.droppers.append(done)
        for cursor in cursors:
            self._cursors.remove(cursor)
        if self._commit is None:
            self._begin()
        return done

    # --- events out

    def read(
        self, asset: str, offset: int, limit: int = 1000, limit_bytes: int = 2**22
    ) -> Deferred[list[EventRecord]]:
        """Durable events from ``offset`` on; see ``IEventLog``."""
        if not self._running:
            return fail(ShutdownRequested())
        stream = self._streams.get(asset)
        if stream is None or max(offset, stream.base) >= stream.next:
            return succeed([])
        offset = max(offset, stream.base)
        found = self._recent.read(asset, offset, limit, limit_bytes)
        if found is not None:
            self.recent_reads += 1
            return succeed(found)
        self.disk_reads += 1
        return self._reads.add(self.store.read, asset, offset, limit, limit_bytes)

    def offset_at(self, asset: str, ms: int) -> Deferred[int]:
        """The first offset whose ``systime_ms`` is at or behind ``ms``; see ``IEventLog``."""
        if not self._running:
            return fail(ShutdownRequested())
        if asset not in self._streams:
            return succeed(0)
        return self._reads.add(self.store.offset_at, asset, ms)

    def when_more(self, asset: str, offset: int) -> Deferred[None]:
        """Fires when the event of that offset is durable; see ``IEventLog``."""
        if not self._running:
            return fail(ShutdownRequested())
        if self.next_offset(asset) > offset:
            return succeed(None)

        def cancelled(d: Deferred[None]) -> None:
            waiters = self._waiters.get(asset, [])
            with contextlib.suppress(ValueError):
                waiters.remove((offset, d))
            if not waiters:
                self._waiters.pop(asset, None)

        more: Deferred[None] = Deferred(cancelled)
        self._waiters.setdefault(asset, []).append((offset, more))
        return more

    # --- cursors

    def cursor(
        self, name: str, asset: str, start: Start | int = Start.OLDEST
    ) -> Deferred[IEventCursor]:
        """The cursor of that name on that asset: where it was, or new at ``start``."""
        if not self._running:
            return fail(ShutdownRequested())
        try:
            check_name(name, "a cursor's name")
            check_name(asset, "an asset's id")
        except SmapError as error:
            return fail(error)
        key = (name, asset)
        known = self._cursors.get(key)
        if known is None or known.is_gone:
            batch = self._batches.get(asset)
            cursor = EventCursor(self, name, asset, self.base(asset))
            change = self._cursors.make(cursor, start, 0 if batch is None else len(batch.records))
        else:
            making = self._making(known)
            if making is None:
                return succeed(known)
            change = making
        done: Deferred[IEventCursor] = Deferred()
        change.makers.append(done)
        if self._commit is None:
            self._begin()
        return done

    def _making(self, cursor: EventCursor) -> Change | None:
        """The change that makes this cursor, while it waits or is under way."""
        change = self._cursors.change(cursor.key)
        if change is None and self._commit is not None:
            change = self._commit.changes.get(cursor.key)
        return change if change is not None and change.makers else None

    def cursors(self, name: str | None = None) -> list[tuple[str, str, int]]:
        """(name, asset, place) of all cursors, or of those of that name."""
        return sorted(
            (cursor.name, cursor.asset, cursor.place)
            for cursor in self._cursors
            if not cursor.is_gone and (name is None or cursor.name == name)
        )

    def forget(self, name: str, asset: str | None = None) -> Deferred[None]:
        """Remove that cursor, or all of that name; fires when that is durable."""
        if not self._running:
            return fail(ShutdownRequested())
        among = self._cursors if asset is None else self._cursors.of(asset)
        found = [cursor for cursor in among if cursor.name == name]
        if not found:
            return succeed(None)
        changes = [self._cursors.remove(cursor) for cursor in found]
        done: Deferred[None] = Deferred()
        changes[-1].removers.append(done)  # all go with one commit
        if self._commit is None:
            self._begin()
        return done

    def acked(self, cursor: EventCursor) -> None:
        """For `EventCursor.ack`: its place is written with the next commit."""
        if not self._running:
            return
        self._cursors.acked(cursor)
        if self._commit is None:
            self._soon(self.settings.ack_s)

    def flush(self, cursor: EventCursor) -> Deferred[None]:
        """For `EventCursor.flush`."""
        if not self._running:
            return fail(ShutdownRequested())
        done: Deferred[None] = Deferred()
        if self._cursors.change(cursor.key) is not None:
            self._flushes.append(done)
            if self._commit is None:
                self._begin()
        elif self._commit is not None and cursor.key in self._commit.changes:
            self._commit.flushed.append(done)
        else:
            return succeed(None)
        return done

    # --- commits

    def _gathered(self) -> None:
        if self._commit is None and self._is_waiting():
            self._begin()

    def _is_waiting(self) -> bool:
        """Whether anybody waits for a commit."""
        return bool(self._batches or self._flushes or self._cursors.is_urgent)

    def _soon(self, seconds: float) -> None:
        """Write what changed of the cursors after so long, if nothing takes it along before."""
        if self._timer is None:
            self._timer = self._clock.later(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._commit is None and self._cursors.is_changed:
            self._begin()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.discard()
            self._timer = None

    def _begin(self) -> None:
        """Begin a commit of what waits; none is under way."""
        self._stop_timer()
        take_all = bool(self._flushes) or self._stopping is not None
        commit = self._commit = Commit(self._batches, self._cursors.take(take_all))
        self._batches = {}
        commit.flushed, self._flushes = self._flushes, []
        work = commit.work
        for asset, batch in commit.batches.items():
            first = self.next_offset(asset)
            if batch.records:
                work.parts.append(Part(asset, first, batch.events, batch.times, batch.ids))
                work.size += batch.size
            if batch.dropped_at is not None:
                work.bases[asset] = first + batch.dropped_at
        for (name, asset), change in commit.changes.items():
            base = work.bases.get(asset, self.base(asset))
            work.cursors[name, asset] = change.place(self.next_offset(asset), base)
        self._on_disk(self._write, work).addCallbacks(self._done, self._failed)

    def _write(self, work: Work) -> bool:
        """On the disk's thread."""
        began_s = self._clock.seconds()
        try:
            return self.store.commit(work)
        finally:
            self._took(self._clock.seconds() - began_s)

    def _done(self, taken: bool) -> None:
        commit, self._commit = self._commit, None
        assert commit is not None
        self.commits += 1
        work, self._has_failed = commit.work, False
        publishers = commit.publishers()
        self._is_crowded = publishers > 1 or bool(self._batches)
        self._gathering.told(publishers)
        if taken:
            if work.parts or not self._is_scarce:
                self._well()
            for part in work.parts:
                self._take_in(part, commit.batches[part.asset])
        else:
            self._refuse(commit, self._too_little_space())
        for asset, base in work.bases.items():
            stream = self._stream(asset)
            stream.base = min(base, stream.next)
            self._teller.add(commit.batches[asset].droppers, None)
        for key, change in commit.changes.items():
            self._stream(key[1])
            self._cursors.written(change, work.cursors[key], self.next_offset)
        self._teller.add(commit.flushed, None)
        self._log_notes()
        self._go_on()

    def _take_in(self, part: Part, batch: Batch) -> None:
        """The events of one asset are durable."""
        asset, first = part.asset, part.first
        stream = self._stream(asset)
        stream.next = first + len(batch.records)
        self._waiting_bytes -= batch.size
        self.appended += len(batch.records)
        self.appended_bytes += batch.size - OVERHEAD * len(batch.records)
        self._recent.add(asset, first, batch.records, batch.size)
        if batch.ids:
            named = [((asset, one), first + at) for at, one in batch.ids]
            self._ids.add(named, self._clock.seconds())
            for key, _ in named:
                del self._underway[key]
        for at, told in batch.appends:
            self._teller.add(told, first + at)
        waiters = self._waiters.pop(asset, None)
        if waiters:
            self._teller.add([one for offset, one in waiters if offset < stream.next], None)
            left = [pair for pair in waiters if pair[0] >= stream.next]
            if left:
                self._waiters[asset] = left

    def _failed(self, failure: Any) -> None:
        """Nothing of it is durable: who waits is told, and acks are kept for the next one."""
        commit, self._commit = self._commit, None
        assert commit is not None
        told, self._has_failed = self._explained(failure), True
        if not isinstance(told, ShutdownRequested):
            self._ill(told.message)
        self._refuse(commit, told)
        for batch in commit.batches.values():
            self._teller.add(batch.droppers, told)
        for change in commit.changes.values():
            self._cursors.failed(change, told)
        self._teller.add(commit.flushed, told)
        if self._cursors.is_changed and self._running:
            self._soon(self._backoff.next())
        self._go_on()

    def _explained(self, failure: Any) -> SmapError:
        error = failure.value
        if isinstance(error, SmapError):
            return error
        if isinstance(error, OSError | sqlite3.Error):
            is_full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            hint = "" if is_full else "Look at the disk of the data directory."
            return StorageFull(f"The event log cannot be written: {error}.", hint=hint)
        self._clock.background(fail(failure), "writing the event log")
        return StorageFull("The event log cannot be written; the log of smapd says why.")

    def _refuse(self, commit: Commit, error: SmapError) -> None:
        """The events of this commit were not taken."""
        for asset, batch in commit.batches.items():
            self._waiting_bytes -= batch.size
            self.refused += len(batch.appends)
            for _at, one in batch.ids:
                del self._underway[asset, one]
            for _at, told in batch.appends:
                self._teller.add(told, error)

    def _go_on(self) -> None:
        """Tell those who waited for this commit; the next one begins when they had a chance."""
        if self._is_waiting():
            self._gathering.wait()
        elif self._cursors.is_changed and self._running:
            self._soon(self.settings.ack_s)
        self._teller.add(self._idle, None)
        self._idle = []
        self._teller.tell()

    def _too_little_space(self) -> StorageFull:
        mib = self.settings.min_free // 2**20
        error = StorageFull(
            f"Events are refused: less than MinFree = {mib} MiB is free on the disk of "
            f"{self.store.directory}."
        )
        self._ill(error.message)
        self._is_scarce = True
        return error

    def _ill(self, text: str) -> None:
        self.error, self._is_scarce = text, False
        self._faults.fault("events", text, same=text)

    def _well(self) -> None:
        if self.error:
            self.error, self._is_scarce = "", False
            self._backoff.reset()
            self._faults.cleared(
                "events", "the event log is written again after {for_s} s and {count} tries"
            )

    # --- looking

    def status(self) -> Json:
        """What ``/status`` shows."""
        store = self.store
        return {
            "error": self.error,
            "assets": len(self._streams),
            "cursors": len(self._cursors),
            "events": store.events,
            "appended": self.appended,
            "appended_bytes": self.appended_bytes,
            "commits": self.commits,
            "written_bytes": store.written_bytes,
            "waiting_bytes": self._waiting_bytes,
            "repeated": self.repeated,
            "refused": self.refused,
            "busy": self.busy,
            "recent_reads": self.recent_reads,
            "disk_reads": self.disk_reads,
            "reads_waiting": len(self._reads),
            "segments": len(store.segments),
            "bytes": sum(info.size for info in list(store.segments)),
            "lost": store.lost,
            "gone": store.gone,
            "dedupe_ids": len(self._ids),
            "notes": list(store.notes),
        }

    # --- private

    def _stream(self, asset: str) -> _Stream:
        stream = self._streams.get(asset)
        if stream is None:
            stream = self._streams[asset] = _Stream()
        return stream

    def _on_disk(self, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call it on the disk's thread, after what was asked for before."""
        return self._threads.to_pool(POOL, f, *a)

    def _trim(self) -> None:
        self._trimmer = self._clock.later(TRIM_S, self._trim)

        def trim() -> None:
            self.store.trim()
            self._keep_record()

        self._on_disk(trim).addCallbacks(lambda _: self._log_notes(), self._trim_failed)

    def _trim_failed(self, failure: Any) -> None:
        if failure.check(OSError, sqlite3.Error, ShutdownRequested) is None:
            self._clock.background(fail(failure), "letting go of old events")

"""One commit at a time: what waits for it, when it begins, and who is told how it went."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail

from smapd.errors import Busy, ShutdownRequested, SmapError, StorageFull
from smapd.interfaces import IBackoff, IClock, IFaults
from smapd.values import EventRecord

from .batches import Batch, Commit
from .cursors import Change, Cursors, EventCursor
from .gathering import Gathering
from .ids import Key
from .settings import EventSettings
from .state import Part, Work
from .store import EventStore
from .streams import Streams
from .teller import Teller


class Commits:
    """Makes events, drops and changes of cursors durable; on the reactor's thread.

    ``on_disk(f, *a)`` calls it on the disk's thread. ``took``: is told, there, how long each commit
    took. ``durable(part, batch)``: told of what became durable, before who waits for it is.
    """

    def __init__(
        self,
        store: EventStore,
        settings: EventSettings,
        clock: IClock,
        backoff: IBackoff,
        faults: IFaults,
        *,
        on_disk: Callable[..., Deferred[Any]],
        streams: Streams,
        cursors: Cursors,
        teller: Teller,
        durable: Callable[[Part, Batch], None],
        took: Callable[[float], None],
    ) -> None:
        self.error = ""
        """Why the last one failed; "" while the disk takes what comes."""
        self.count = self.refused = self.busy = 0
        self.waiting_bytes = 0
        self._store, self._settings, self._clock = store, settings, clock
        self._backoff, self._faults = backoff, faults
        self._on_disk, self._durable, self._took = on_disk, durable, took
        self._streams, self._cursors, self._teller = streams, cursors, teller
        self._underway: dict[Key, list[Deferred[int]]] = {}
        self._batches: dict[str, Batch] = {}
        self._flushes: list[Deferred[None]] = []
        self._commit: Commit | None = None
        self._gathering = Gathering(clock, self._gathered)
        self._is_crowded = False  # several publishers are at it
        self._timer: Any = None  # for acks that no event takes along, and after a failure
        self._has_failed = self._is_scarce = False  # the last commit; for lack of space
        self._is_ending = False
        self._idle: list[Deferred[None]] = []

    # --- what waits

    def waiting_for(self, key: Key) -> list[Deferred[int]] | None:
        """Who waits for the append of that dedupe id; None if it is not under way."""
        return self._underway.get(key)

    def add(
        self,
        asset: str,
        records: Sequence[EventRecord],
        events: list[bytes],
        size: int,
        dedupe_id: str | None,
    ) -> Deferred[int]:
        """Make these durable: the offset of the first.

        :raises Busy: if too much waits.
        """
        most = self._settings.uncommitted_bytes
        if self.waiting_bytes + size > most:
            self.busy += 1
            raise Busy(f"{most // 2**20} MiB of events wait for the disk; nothing was taken.")
        self.waiting_bytes += size
        done: Deferred[int] = Deferred()
        told = [done]
        if dedupe_id is not None:
            self._underway[asset, dedupe_id] = told
        self._batch(asset).add(records, events, size, told, dedupe_id)
        self._gathering.came()
        if self._commit is None:
            if self._is_crowded:
                self._gathering.wait()
            else:
                self._begin()
        return done

    def drop(self, asset: str) -> Deferred[None]:
        """End the asset's present life behind what was added before."""
        batch = self._batch(asset)
        batch.dropped_at = len(batch.records)
        done: Deferred[None] = Deferred()
        batch.droppers.append(done)
        self.begin()
        return done

    def knows(self, asset: str) -> bool:
        """Whether events of it wait, or are under way."""
        return asset in self._batches or (
            self._commit is not None and asset in self._commit.batches
        )

    def waiting_events(self, asset: str) -> int:
        """How many events of it wait for the commit after this one."""
        batch = self._batches.get(asset)
        return 0 if batch is None else len(batch.records)

    def making(self, cursor: EventCursor) -> Change | None:
        """The change that makes this cursor, while it waits or is under way."""
        change = self._cursors.change(cursor.key)
        if change is None and self._commit is not None:
            change = self._commit.changes.get(cursor.key)
        return change if change is not None and change.makers else None

    def flush(self, key: Key) -> Deferred[None] | None:
        """Fires when that cursor is written; None if there is nothing to be written."""
        done: Deferred[None] = Deferred()
        if self._cursors.change(key) is not None:
            self._flushes.append(done)
            self.begin()
        elif self._commit is not None and key in self._commit.changes:
            self._commit.flushed.append(done)
        else:
            return None
        return done

    def _batch(self, asset: str) -> Batch:
        batch = self._batches.get(asset)
        if batch is None:
            batch = self._batches[asset] = Batch()
        return batch

    # --- when it begins

    def begin(self) -> None:
        """Begin one now, unless one is under way: then another follows it."""
        if self._commit is None:
            self._begin()

    def begin_soon(self) -> None:
        """Write what changed of the cursors within ``ack_s``."""
        if self._commit is None:
            self._later(self._settings.ack_s)

    async def end(self) -> None:
        """Commit what waits; what the disk does not take within one try fails."""
        self._is_ending = True
        while self._commit is not None or self._batches or self._cursors.is_changed:
            self.begin()
            if self._commit is not None:
                idle: Deferred[None] = Deferred()
                self._idle.append(idle)
                await idle
            if self._has_failed and not self._batches:
                break  # that was the last try
        self._stop_timer()

    def stop(self, error: SmapError) -> None:
        """Whoever waits still is told that."""
        self._teller.add(self._flushes, error)
        self._flushes = []

    def _gathered(self) -> None:
        if self._commit is None and self._is_waiting():
            self._begin()

    def _is_waiting(self) -> bool:
        """Whether anybody waits for a commit."""
        return bool(self._batches or self._flushes or self._cursors.is_urgent)

    def _later(self, seconds: float) -> None:
        if self._timer is None and not self._is_ending:
            self._timer = self._clock.later(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._cursors.is_changed:
            self.begin()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.discard()
            self._timer = None

    def _begin(self) -> None:
        """Begin a commit of what waits; none is under way."""
        self._stop_timer()
        changes = self._cursors.take(bool(self._flushes) or self._is_ending)
        commit = self._commit = Commit(self._batches, changes)
        self._batches = {}
        commit.flushed, self._flushes = self._flushes, []
        work, streams = commit.work, self._streams
        for asset, batch in commit.batches.items():
            first = streams.next_offset(asset)
            if batch.records:
                times = [record.systime_ms for record in batch.records]
                work.parts.append(Part(asset, first, batch.events, times, batch.ids))
                work.size += batch.size
            if batch.dropped_at is not None:
                work.bases[asset] = first + batch.dropped_at
        for (name, asset), change in commit.changes.items():
            base = work.bases.get(asset, streams.base(asset))
            work.cursors[name, asset] = change.place(streams.next_offset(asset), base)
        self._on_disk(self._write, work).addCallbacks(self._done, self._failed)

    def _write(self, work: Work) -> bool:
        """On the disk's thread."""
        began_s = self._clock.seconds()
        try:
            return self._store.commit(work)
        finally:
            self._took(self._clock.seconds() - began_s)

    # --- how it went

    def _done(self, taken: bool) -> None:
        commit, self._commit = self._commit, None
        assert commit is not None
        self.count += 1
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
            self._streams.dropped(asset, base)
            self._teller.add(commit.batches[asset].droppers, None)
        for key, change in commit.changes.items():
            self._streams.add(key[1])
            self._cursors.written(change, work.cursors[key], self._streams.next_offset)
        self._teller.add(commit.flushed, None)
        self._go_on()

    def _take_in(self, part: Part, batch: Batch) -> None:
        """The events of one asset are durable."""
        self.waiting_bytes -= batch.size
        for _at, one in batch.ids:
            del self._underway[part.asset, one]
        self._durable(part, batch)
        for at, told in batch.appends:
            self._teller.add(told, part.first + at)
        self._streams.moved(part.asset, part.first + len(batch.records))

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
        if self._cursors.is_changed:
            self._later(self._backoff.next())
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
            self.waiting_bytes -= batch.size
            self.refused += len(batch.appends)
            for _at, one in batch.ids:
                del self._underway[asset, one]
            for _at, told in batch.appends:
                self._teller.add(told, error)

    def _go_on(self) -> None:
        """Tell those who waited for this commit; the next one begins when they had a chance."""
        if self._is_waiting():
            self._gathering.wait()
        elif self._cursors.is_changed:
            self._later(self._settings.ack_s)
        self._teller.add(self._idle, None)
        self._idle = []
        self._teller.tell()

    def _too_little_space(self) -> StorageFull:
        mib = self._settings.min_free // 2**20
        error = StorageFull(
            f"Events are refused: less than MinFree = {mib} MiB is free on the disk of "
            f"{self._store.directory}."
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

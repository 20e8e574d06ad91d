"""The event log: each asset's events in order, durable before their publisher is told.

This is the reactor's side. It makes one commit at a time on the disk's thread, which begins at
once; what arrives while it runs goes together into the next, with what those publish who were told
just now (`commits`, `gathering`). So a lone publisher waits for one commit, and many share one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from smapd.errors import ShutdownRequested, SmapError
from smapd.interfaces import IBackoff, IClock, IEventCursor, IEventLog, IFaults, IThreads
from smapd.values import EventRecord, Json, Start

from ..opening_failed import cannot_open
from .batches import OVERHEAD, Batch, check_name, packed
from .commits import Commits
from .cursors import Cursors, EventCursor
from .ids import Ids
from .reads import Reads
from .recent import Recent
from .settings import EventSettings
from .state import Opened, Part
from .store import EventStore
from .streams import Streams
from .teller import Teller

POOL: Final = "disk-events"
"""The pool of one thread that everything here runs on."""

TRIM_S: Final = 60.0

T = TypeVar("T")


@implementer(IEventLog)
class EventLog:
    """The event log in ``directory``. On the reactor's thread, but for what it hands to the disk's.

    ``start`` first, ``stop`` last. Counters since the start: ``appended`` events and their
    ``appended_bytes``, ``repeated`` appends whose dedupe id was known, ``recent_reads`` and
    ``disk_reads``; of ``commits``: ``count``, ``refused`` appends (the disk did not take them),
    ``busy`` ones (too much waited), and ``error``.
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
        took: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """``took``: is told how long each commit took, those that failed too; on the disk's
        thread."""
        self.settings = settings if settings is not None else EventSettings()
        self.store = EventStore(
            directory, quarantine, self.settings, clock.wall_ms, seconds=clock.seconds
        )
        self.appended = self.appended_bytes = self.repeated = 0
        self.recent_reads = self.disk_reads = 0
        self._clock, self._threads, self._faults = clock, threads, faults
        self._teller = Teller()
        self._streams = Streams(self._teller)
        self._cursors = Cursors(self._teller)
        self._reads = Reads(self._on_disk, self._log_notes)
        self._recent = Recent(self.settings.recent_bytes)
        self._ids = Ids(self.settings.id_s, self.settings.ids)
        self.commits = Commits(
            self.store,
            self.settings,
            clock,
            backoff,
            faults,
            on_disk=self._on_disk,
            streams=self._streams,
            cursors=self._cursors,
            teller=self._teller,
            durable=self._durable,
            took=took,
        )
        self._trimmer: Any = None
        self._running = False
        self._stopping: Deferred[None] | None = None
        self._noted = 0

    @property
    def error(self) -> str:
        """Why the last commit failed; "" while the disk takes what comes."""
        return self.commits.error

    # --- life

    def start(self) -> Deferred[None]:
        """Open the files, mend what is damaged; fires when events may be appended.

        :raises DataDirUnusable: (as a failure) if the disk is full, fails or is not ours.
        """
        opening = self._on_disk(self.store.open)
        return opening.addCallbacks(self._opened, self._unusable)

    def _unusable(self, failure: Any) -> None:
        if failure.check(OSError, sqlite3.Error) is None:
            failure.raiseException()
        what = f"The event log in {self.store.directory}"
        raise cannot_open(what, self.store.directory, failure.value) from failure.value

    def _opened(self, opened: Opened) -> None:
        for name, following, base in opened.assets:
            self._streams.add(name, following, base)
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
        if self.store.gone_note:
            self._faults.fault("events gone", self.store.gone_note)

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
        stopping = ShutdownRequested()
        try:
            await self.commits.end()
            self._reads.stop(stopping)
            await self._on_disk(self.store.close)
        finally:
            for part in (self._cursors, self.commits, self._streams):
                part.stop(stopping)
            assert self._stopping is not None
            self._teller.add([self._stopping], None)
            self._teller.tell()

    # --- events in

    def append(
        self, asset: str, records: Sequence[EventRecord], dedupe_id: str | None = None
    ) -> Deferred[int]:
        """Keep these, all or none: the offset of the first; see ``IEventLog``."""
        if not self._running:
            return fail(ShutdownRequested())
        if dedupe_id is not None:
            key = (asset, dedupe_id)
            known = self._ids.get(key)
            if known is not None:
                self.repeated += 1
                return succeed(known)
            same = self.commits.waiting_for(key)
            if same is not None:
                self.repeated += 1
                again: Deferred[int] = Deferred()
                same.append(again)
                return again
        try:
            events, size = packed(asset, records, self.settings.append_bytes)
            return self.commits.add(asset, records, events, size, dedupe_id)
        except SmapError as error:
            return fail(error)

    def _durable(self, part: Part, batch: Batch) -> None:
        count = len(batch.records)
        self.appended += count
        self.appended_bytes += batch.size - OVERHEAD * count
        self._recent.add(part.asset, part.first, batch.records, batch.size)
        if batch.ids:
            named = [((part.asset, one), part.first + at) for at, one in batch.ids]
            self._ids.add(named, self._clock.seconds())

    def next_offset(self, asset: str) -> int:
        """The offset behind the newest durable event; 0 for an asset never seen."""
        return self._streams.next_offset(asset)

    def base(self, asset: str) -> int:
        """The first offset of its present life."""
        return self._streams.base(asset)

    def assets(self) -> list[str]:
        """All streams there ever were an event or a cursor of."""
        return self._streams.names()

    def drop(self, asset: str) -> Deferred[None]:
        """The asset is gone; see ``IEventLog``."""
        if not self._running:
            return fail(ShutdownRequested())
        cursors = self._cursors.of(asset)
        if not (cursors or asset in self._streams or self.commits.knows(asset)):
            return succeed(None)
        for cursor in cursors:
            self._cursors.remove(cursor)
        return self.commits.drop(asset)

    # --- events out

    def read(
        self, asset: str, offset: int, limit: int = 1000, limit_bytes: int = 2**22
    ) -> Deferred[list[EventRecord]]:
        """Durable events from ``offset`` on; see ``IEventLog``."""
        if not self._running:
            return fail(ShutdownRequested())
        offset = max(offset, self._streams.base(asset))
        if offset >= self._streams.next_offset(asset):
            return succeed([])
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
        return self._streams.when_more(asset, offset)

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
        known = self._cursors.get((name, asset))
        if known is None or known.is_gone:
            cursor = EventCursor(self, name, asset, self.base(asset))
            waiting = self.commits.waiting_events(asset)
            change = self._cursors.make(cursor, start, waiting)
        else:
            making = self.commits.making(known)
            if making is None:
                return succeed(known)
            change = making
        done: Deferred[IEventCursor] = Deferred()
        change.makers.append(done)
        self.commits.begin()
        return done

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
        self.commits.begin()
        return done

    def acked(self, cursor: EventCursor) -> None:
        """For `EventCursor.ack`: its place is written with the next commit."""
        if self._running:
            self._cursors.acked(cursor)
            self.commits.begin_soon()

    def flush(self, cursor: EventCursor) -> Deferred[None]:
        """For `EventCursor.flush`."""
        if not self._running:
            return fail(ShutdownRequested())
        return self.commits.flush(cursor.key) or succeed(None)

    # --- looking

    def status(self) -> Json:
        """What ``/status`` shows."""
        store, commits = self.store, self.commits
        return {
            "error": commits.error,
            "assets": len(self._streams),
            "cursors": len(self._cursors),
            "events": store.events,
            "appended": self.appended,
            "appended_bytes": self.appended_bytes,
            "commits": commits.count,
            "written_bytes": store.written_bytes,
            "waiting_bytes": commits.waiting_bytes,
            "repeated": self.repeated,
            "refused": commits.refused,
            "busy": commits.busy,
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

    def _on_disk(self, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call it on the disk's thread, after what was asked for before."""
        return self._threads.to_pool(POOL, f, *a)

    def _trim(self) -> None:
        self._trimmer = self._clock.later(TRIM_S, self._trim)
        self._on_disk(self.store.look_after).addCallbacks(
            lambda _: self._log_notes(), self._trim_failed
        )

    def _trim_failed(self, failure: Any) -> None:
        if failure.check(OSError, sqlite3.Error, ShutdownRequested) is None:
            self._clock.background(fail(failure), "letting go of old events")

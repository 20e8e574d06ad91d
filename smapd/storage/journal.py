"""The readings journal: every reading once, and a cursor for each who wants it.

This is the reactor's side. It gives the streams their numbers, takes what the tree hands over, has
it made durable (`commits`), and tells the cursors when there is more.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from smapd.errors import Busy, ShutdownRequested, SmapError
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

from .commits import Commits
from .cursors import Cursor
from .opening_failed import cannot_open
from .packing import Numbers
from .parts import Opened, Work
from .settings import Settings
from .store import Store

POOL: Final = "disk-readings"
"""The pool of one thread that everything here runs on."""

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
        record: Callable[[int, int], Deferred[None] | None] = lambda flush, readings: None,
        took: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """``highest``: the last flush and number of readings known from elsewhere; on the disk's
        thread. ``record``: keep them there; on the reactor's thread, once a minute at most, and it
        may answer with a Deferred. ``took``: is told how long each commit took, those that failed
        too; on the disk's thread."""
        self.settings = settings if settings is not None else Settings()
        self.store = Store(
            directory, quarantine, self.settings, clock.wall_ms, seconds=clock.seconds
        )
        self.newest = Position(1, 0)
        self.notes: list[str] = []
        self._clock, self._threads, self._faults = clock, threads, faults
        self._highest, self._record = highest, record
        self._numbers = Numbers()
        self._commits = Commits(
            self.store,
            self.settings,
            clock,
            backoff,
            faults,
            self._numbers,
            on_disk=self.on_disk,
            took=took,
            written=self._written,
            told=self._told,
        )
        self._trimmer: Any = None
        self._cursors: dict[str, Cursor] = {}
        self._known: dict[str, tuple[Position, Limits]] = {}
        self._stopping: Deferred[None] | None = None
        self._recorded = (0, 0)
        self._noted = 0

    @property
    def taken(self) -> int:
        """Readings taken to be kept, since the start."""
        return self._commits.taken

    @property
    def committed(self) -> int:
        """Those of them that are durable."""
        return self._commits.committed

    @property
    def lost_uncommitted(self) -> int:
        """Those that had to go before they were, because too many waited; each is in a gap."""
        return self._commits.pending.lost

    @property
    def error(self) -> str:
        """Why the last commit failed; "" while the disk takes what comes."""
        return self._commits.error

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
        self._commits.is_running = True
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
            if self._trimmer is not None:
                self._trimmer.discard()
            self._stopping = Deferred()
            self._clock.background(Deferred.fromCoroutine(self._end()), "closing the journal")
        answer: Deferred[None] = Deferred()

        def ended(result: None) -> None:
            answer.callback(None)

        self._stopping.addCallback(ended)
        return answer

    async def _end(self) -> None:
        try:
            await self._commits.end()
            newest = await self.on_disk(self._close_files)
            with contextlib.suppress(OSError, sqlite3.Error, SmapError):  # it is worth no more
                await self._keep_record(newest)
        finally:
            stopping = self._stopping
            assert stopping is not None
            stopping.callback(None)

    def _close_files(self) -> tuple[int, int]:
        """On the disk's thread; the last flush, and readings ever."""
        self.store.close()
        return self._flushed()

    def _flushed(self) -> tuple[int, int]:
        return self.store.newest.flush - 1, self.store.readings

    def _keep_record(self, now: tuple[int, int]) -> Deferred[None]:
        """Have it written down elsewhere how far the journal goes, if that is not known yet."""
        if now == self._recorded:
            return succeed(None)

        def recorded(_: None) -> None:
            self._recorded = now

        recording: Deferred[Any] = maybeDeferred(self._record, *now)
        return recording.addCallback(recorded)

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
        self._commits.append(batch)

    def _written(self, work: Work, newest: Position) -> None:
        """That is durable."""
        self.newest = newest
        for name, position in work.acks.items():
            cursor = self._cursors.get(name)
            if cursor is not None:
                cursor.position = max(cursor.position, position)
        self._log_notes()

    def _told(self, newest: Position) -> None:
        for cursor in list(self._cursors.values()):
            cursor.moved(newest)

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
        self._commits.keep(name)
        adding = self.on_disk(self.store.add_cursor, name, selects, start, limits)

        def added(position: Position) -> None:
            cursor.position = max(position, cursor.position) if known else position
            if known is None or known[1] != limits:
                self._commits.touch(name)
                self._commits.go_on()

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
        return self._commits.forget(name)

    def ack(self, cursor: Cursor, position: Position) -> Deferred[None]:
        """For `Cursor.ack`."""
        if self._cursors.get(cursor.name) is not cursor:
            return succeed(None)  # forgotten meanwhile
        return self._commits.ack(cursor.name, position, is_last=position >= self.newest)

    def change(self, cursor: Cursor) -> Deferred[None]:
        """For `Cursor.change`."""
        self._commits.touch(cursor.name)
        name, selects, limits = cursor.name, cursor.selects, cursor.limits
        self._known[name] = (cursor.position, limits)
        changing = self.on_disk(self.store.change, name, selects, limits)
        return changing.addCallback(lambda _: self._commits.soon())

    def durable(self) -> Deferred[None]:
        """Fires once all that was appended is on the disk; see ``IReadings``."""
        return self._commits.durable()

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

    def status(self) -> Json:
        """What ``/status`` shows."""
        store, commits = self.store, self._commits
        return {
            "error": self.error,
            "taken": self.taken,
            "committed": self.committed,
            "uncommitted": commits.uncommitted,
            "uncommitted_bytes": commits.pending.packed_bytes,
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
                for within, beyond in (store.waiting(cursor.name),)
            },
        }

    # --- private

    def on_disk(self, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Call it on the disk's thread, after what was asked for before."""
        return self._threads.to_pool(POOL, f, *a)

    def _trim(self) -> None:
        self._trimmer = self._clock.later(TRIM_S, self._trim)

        def trim() -> tuple[int, int]:
            self.store.trim()
            return self._flushed()

        trimming = self.on_disk(trim).addCallback(self._keep_record)
        trimming.addErrback(self._trim_failed)

    def _trim_failed(self, failure: Any) -> None:
        if failure.check(OSError, sqlite3.Error, Busy, ShutdownRequested) is None:
            self._clock.background(fail(failure), "letting go of old readings")

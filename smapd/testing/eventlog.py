"""The event log without a disk: the same promises, kept for as long as the object lives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from smapd.errors import BadRequest, Busy, ShutdownRequested, StorageFull, TooLarge
from smapd.interfaces import IEventCursor, IEventLog
from smapd.values import EVENT_FORMS, EventRecord, Start

MOST_BYTES: Final = 8 * 2**20
MOST_WAITING: Final = 16 * 2**20
ASSET_LETTERS: Final = 200

Key = tuple[str, str]


class _Stream:
    """What is durable of one asset."""

    def __init__(self) -> None:
        self.records: dict[int, EventRecord] = {}
        self.next = 0
        self.base = 0


@implementer(IEventLog)
class MemoryEventLog:
    """Keeps the events of all assets: everything is durable at once, unless on ``hold``.

    ``error``: what every change fails with, while set; ``fill`` sets it to a full disk.
    ``restart`` gives the log that a new process would find.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.reads = 0
        """How often it was asked for events, for tests of who should not ask."""
        self._streams: dict[str, _Stream] = {}
        self._ids: dict[Key, int] = {}
        self._places: dict[Key, int] = {}
        self._cursors: dict[Key, MemoryEventCursor] = {}
        self._making: dict[Key, list[Deferred[IEventCursor]]] = {}
        self._waiters: dict[str, list[tuple[int, Deferred[None]]]] = {}
        self._underway: dict[Key, list[Deferred[int]]] = {}
        self._held: list[Callable[[], None]] | None = None
        self._held_bytes = 0
        self._stopped = False

    # --- the test's side

    def hold(self) -> None:
        """From now on nothing becomes durable, as while a commit runs."""
        if self._held is None:
            self._held = []

    def let_go(self) -> None:
        """Commit what was held, in order; from now on everything is durable at once again."""
        while self._held:
            self._held.pop(0)()
        self._held = None
        self._held_bytes = 0

    def fill(self) -> None:
        """The disk is full until ``error`` is None again."""
        self.error = StorageFull("The event log cannot be written: the disk is full.")

    def lose(self, asset: str, offset: int) -> None:
        """One event is damaged: reading skips it."""
        del self._streams[asset].records[offset]

    def restart(self) -> MemoryEventLog:
        """The log of a new process: what was durable. This one has stopped."""
        self.stop()
        after = MemoryEventLog()
        after._streams, after._ids, after._places = self._streams, self._ids, self._places
        for key, place in after._places.items():
            after._cursors[key] = MemoryEventCursor(after, *key, place)
        return after

    def stop(self) -> None:
        """Take no more; what waits fails."""
        self._stopped = True
        self._held = None
        stopping = ShutdownRequested()
        for waiters in self._waiters.values():
            for _offset, waiting in waiters:
                waiting.errback(stopping)
        self._waiters.clear()

    # --- events

    def append(
        self, asset: str, records: Sequence[EventRecord], dedupe_id: str | None = None
    ) -> Deferred[int]:
        """Keep these; see ``IEventLog``."""
        if self._stopped:
            return fail(ShutdownRequested())
        key = None if dedupe_id is None else (asset, dedupe_id)
        if key is not None:
            if key in self._ids:
                return succeed(self._ids[key])
            if key in self._underway:
                again: Deferred[int] = Deferred()
                self._underway[key].append(again)
                return again
        size = sum(len(record.data) + 64 for record in records)
        try:
            _check(asset, records, size)
        except (BadRequest, TooLarge) as refused:
            return fail(refused)
        if self._held_bytes + size > MOST_WAITING:
            return fail(Busy("More events wait for the disk than may; nothing was taken."))
        if self._held is not None:
            self._held_bytes += size
        done: Deferred[int] = Deferred()
        if key is not None:
            self._underway[key] = [done]

        def commit() -> None:
            told = [done] if key is None else self._underway.pop(key)
            if self.error is not None:
                for one in told:
                    one.errback(self.error)
                return
            stream = self._streams.setdefault(asset, _Stream())
            first = stream.next
            for offset, record in enumerate(records, first):
                stream.records[offset] = record._replace(offset=offset)
            stream.next = first + len(records)
            if key is not None:
                self._ids[key] = first
            for one in told:
                one.callback(first)
            self._wake(asset, stream.next)

        self._commit(commit)
        return done

    def next_offset(self, asset: str) -> int:
        """The offset behind the newest durable event."""
        stream = self._streams.get(asset)
        return 0 if stream is None else stream.next

    def base(self, asset: str) -> int:
        """The first offset of its present life."""
        stream = self._streams.get(asset)
        return 0 if stream is None else stream.base

    def read(
        self, asset: str, offset: int, limit: int = 1000, limit_bytes: int = 2**22
    ) -> Deferred[list[EventRecord]]:
        """Durable events from ``offset`` on; see ``IEventLog``."""
        if self._stopped:
            return fail(ShutdownRequested())
        self.reads += 1
        found: list[EventRecord] = []
        stream = self._streams.get(asset)
        if stream is not None:
            size = 0
            for at in range(max(offset, stream.base), stream.next):
                record = stream.records.get(at)
                if record is None:
                    continue
                size += len(record.data)
                if found and (len(found) >= limit or size > limit_bytes):
                    break
                found.append(record)
        return succeed(found)

    def offset_at(self, asset: str, ms: int) -> Deferred[int]:
        """The first offset whose ``systime_ms`` is at or behind ``ms``."""
        if self._stopped:
            return fail(ShutdownRequested())
        stream = self._streams.get(asset)
        if stream is None:
            return succeed(0)
        for at in range(stream.base, stream.next):
            record = stream.records.get(at)
            if record is not None and record.systime_ms >= ms:
                return succeed(at)
        return succeed(stream.next)

    def when_more(self, asset: str, offset: int) -> Deferred[None]:
        """Fires when the event of that offset is durable."""
        if self._stopped:
            return fail(ShutdownRequested())
        if self.next_offset(asset) > offset:
            return succeed(None)
        waiters = self._waiters.setdefault(asset, [])
        more: Deferred[None] = Deferred(lambda d: waiters.remove((offset, d)))
        waiters.append((offset, more))
        return more

    # --- cursors

    def cursor(
        self, name: str, asset: str, start: Start | int = Start.OLDEST
    ) -> Deferred[IEventCursor]:
        """The cursor of that name on that asset; see ``IEventLog``."""
        if self._stopped:
            return fail(ShutdownRequested())
        key = (name, asset)
        done: Deferred[IEventCursor] = Deferred()
        if key in self._making:
            self._making[key].append(done)
            return done
        known = self._cursors.get(key)
        if known is not None:
            return succeed(known)
        self._making[key] = [done]

        def commit() -> None:
            told = self._making.pop(key, [])
            if self.error is not None:
                for one in told:
                    one.errback(self.error)
                return
            stream = self._streams.setdefault(asset, _Stream())
            if isinstance(start, int):
                place = min(max(start, stream.base), stream.next)
            else:
                place = stream.base if start is Start.OLDEST else stream.next
            self._places[key] = place
            cursor = self._cursors[key] = MemoryEventCursor(self, name, asset, place)
            for one in told:
                one.callback(cursor)

        self._commit(commit)
        return done

    def cursors(self, name: str | None = None) -> list[tuple[str, str, int]]:
        """(name, asset, place) of all cursors, or of those of that name."""
        return sorted(
            (cursor.name, cursor.asset, cursor.place)
            for cursor in self._cursors.values()
            if name is None or cursor.name == name
        )

    def forget(self, name: str, asset: str | None = None) -> Deferred[None]:
        """Remove that cursor, or all of that name."""
        return self._change(
            lambda: self._remove(lambda key: key[0] == name and asset in (None, key[1]))
        )

    def drop(self, asset: str) -> Deferred[None]:
        """The asset is gone; see ``IEventLog``."""

        def gone() -> None:
            stream = self._streams.get(asset)
            if stream is not None:
                stream.base = stream.next
            self._remove(lambda key: key[1] == asset)

        return self._change(gone)

    def assets(self) -> list[str]:
        """All streams there ever were an event or a cursor of."""
        return sorted(self._streams)

    # --- for the cursors

    def is_present(self, cursor: MemoryEventCursor) -> bool:
        """Whether that cursor is still the one of its name and asset."""
        return not self._stopped and self._cursors.get((cursor.name, cursor.asset)) is cursor

    def keep(self, cursor: MemoryEventCursor) -> Deferred[None]:
        """Make the place of this cursor durable."""

        def kept() -> None:
            if self._cursors.get((cursor.name, cursor.asset)) is cursor:
                self._places[cursor.name, cursor.asset] = cursor.place

        return self._change(kept)

    # --- private

    def _remove(self, is_meant: Callable[[Key], bool]) -> None:
        for key in [key for key in self._cursors if is_meant(key)]:
            del self._cursors[key]
            self._places.pop(key, None)

    def _change(self, do: Callable[[], None]) -> Deferred[None]:
        if self._stopped:
            return fail(ShutdownRequested())
        done: Deferred[None] = Deferred()

        def commit() -> None:
            if self.error is not None:
                done.errback(self.error)
                return
            do()
            done.callback(None)

        self._commit(commit)
        return done

    def _commit(self, do: Callable[[], None]) -> None:
        if self._held is None:
            do()
        else:
            self._held.append(do)

    def _wake(self, asset: str, behind: int) -> None:
        waiters = self._waiters.get(asset)
        if not waiters:
            return
        ready = [pair for pair in waiters if pair[0] < behind]
        for pair in ready:
            waiters.remove(pair)
        for _offset, more in ready:
            more.callback(None)


@implementer(IEventCursor)
class MemoryEventCursor:
    """A cursor of ``MemoryEventLog``: its acks are durable with the next change, or ``flush``."""

    def __init__(self, log: MemoryEventLog, name: str, asset: str, place: int) -> None:
        self._log = log
        self.name, self.asset, self.place = name, asset, place

    def ack(self, place: int) -> None:
        """All before ``place`` are done with; durable at once, unless the log is on hold."""
        if not self._log.is_present(self):
            return
        place = min(place, self._log.next_offset(self.asset))
        if place > self.place:
            self.place = place
            self._log.keep(self).addErrback(lambda failure: None)  # as a commit that is repeated

    def flush(self) -> Deferred[None]:
        """Fires once all acks made until now are durable."""
        return self._log.keep(self)


def _check(asset: str, records: Sequence[EventRecord], size: int) -> None:
    """:raises BadRequest: as the log on a disk does."""
    if not 0 < len(asset) <= ASSET_LETTERS:
        raise BadRequest(f"{asset[:50]!r} is no asset's id: it has 1 to {ASSET_LETTERS} letters.")
    if not records:
        raise BadRequest("There is no event to keep.")
    for record in records:
        if record.form not in EVENT_FORMS:
            raise BadRequest(f"{record.form!r} is no form of an event; they are json and avro.")
    if size > MOST_BYTES:
        raise TooLarge(f"The events have {size} bytes; {MOST_BYTES} may be published at once.")

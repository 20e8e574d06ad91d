"""One consumer's place in the journal, as the reactor's side sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smapd.interfaces import ICursor
from smapd.values import JournalBatch, Limits, Position

if TYPE_CHECKING:
    from .journal import Readings


@implementer(ICursor)
class Cursor:
    """A cursor of ``Readings``; made by ``Readings.cursor``. On the reactor's thread."""

    def __init__(
        self,
        journal: Readings,
        name: str,
        position: Position,
        selects: Callable[[int], bool] | None,
        limits: Limits,
    ) -> None:
        self.name, self.position, self.limits = name, position, limits
        self.selects = selects
        self.dropped = 0
        """Readings this consumer lost to its limits, in this run of the daemon."""
        self._journal = journal
        self._waiters: list[Deferred[None]] = []
        self._reading = False

    def __repr__(self) -> str:
        return f"<Cursor {self.name} at {self.position.flush}+{self.position.offset}>"

    def read(
        self, limit_readings: int = 10_000, limit_bytes: int = 2**22, until: Position | None = None
    ) -> Deferred[JournalBatch]:
        """What comes next; see ``ICursor``.

        :raises RuntimeError: if a read is under way.
        """
        if self._reading:
            raise RuntimeError(f"cursor {self.name}: a read is under way already")
        self._reading = True

        def done(result: JournalBatch) -> JournalBatch:
            self._reading = False
            return result

        reading = Deferred.fromCoroutine(self._read(limit_readings, limit_bytes, until))
        return reading.addBoth(done)

    async def _read(
        self, limit_readings: int, limit_bytes: int, until: Position | None
    ) -> JournalBatch:
        journal = self._journal
        while True:
            batch = await journal.on_disk(
                journal.store.read, self.name, limit_readings, limit_bytes, until
            )
            if batch is not None:
                self.position = max(self.position, batch.first)
                return batch

    def ack(self, position: Position) -> Deferred[None]:
        """All before this is done with; fires when that is durable."""
        if position <= self.position:
            # It may have been moved on by a limit while this was under way: its gap is told then.
            return self._journal.ack(self, position) if self._is_told(position) else succeed(None)
        return self._journal.ack(self, position)

    def waiting(self) -> int:
        """How many committed readings it still has to read, those in flight included."""
        return self._journal.store.waiting(self.name)[0]

    def overdue(self) -> int:
        """How many wait beyond the limit: they will be a gap."""
        return self._journal.store.waiting(self.name)[1]

    def when_more(self) -> Deferred[None]:
        """Fires when something is committed at or behind the position; at once if it is."""
        if self._journal.newest > self.position:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._forget)
        self._waiters.append(waiter)
        return waiter

    def change(self, selects: Callable[[int], bool] | None, limits: Limits) -> Deferred[None]:
        """From now on these streams and limits."""
        self.selects, self.limits = selects, limits
        return self._journal.change(self)

    # --- for the journal

    def moved(self, newest: Position) -> None:
        """Something was committed."""
        if self._waiters and newest > self.position:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.callback(None)

    def _is_told(self, position: Position) -> bool:
        return any(r[1] <= position for r in self._journal.store.pending.get(self.name, ()))

    def _forget(self, waiter: Deferred[None]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

"""One commit of readings at a time: what waits for it, when it begins, and how it went.

All readings share it, and with them go the places of the cursors. One that the disk does not take
is kept and tried again, with what came meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from smapd.errors import ShutdownRequested, StorageFull
from smapd.interfaces import IBackoff, IClock, IFaults
from smapd.values import Batch, Position

from .packing import Numbers
from .parts import Work
from .pending import Pending
from .settings import Settings
from .store import Store


class Commits:
    """Makes readings, acks and changes of cursors durable; on the reactor's thread.

    ``on_disk(f, *a)`` calls it on the disk's thread. ``took``: is told, there, how long each commit
    took. ``written(work, newest)``: told of what is durable, before who waits for it is;
    ``told(newest)``: behind them. ``taken``, ``committed``: readings, since the start. ``error``:
    why the last one failed; "" while the disk takes what comes.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: IClock,
        backoff: IBackoff,
        faults: IFaults,
        numbers: Numbers,
        *,
        on_disk: Callable[..., Deferred[Any]],
        took: Callable[[float], None],
        written: Callable[[Work, Position], None],
        told: Callable[[Position], None],
    ) -> None:
        self.pending = Pending(settings, numbers)
        self.taken = 0
        self.committed = 0
        self.error = ""
        self.is_running = False
        """Whether the journal is open, and is not being closed."""
        self._store, self._settings, self._clock = store, settings, clock
        self._backoff, self._faults, self._numbers = backoff, faults, numbers
        self._on_disk, self._took = on_disk, took
        self._written, self._have_told = written, told
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
        self._is_ending = False

    # --- what waits

    @property
    def uncommitted(self) -> int:
        """Readings that a crash would lose."""
        return self.pending.count + (_count(self._work) if self._work is not None else 0)

    def append(self, batch: Batch) -> None:
        """Keep these; returns at once, durable with the next commit."""
        count = batch.count
        if not count:
            return
        pending = self.pending
        pending.add(batch, count)
        self.taken += count
        if self._work is not None:
            if pending.is_crowded:
                pending.pack()
                pending.bound(self._work, self._retry is not None)
        elif pending.count >= self._settings.commit_readings:
            self._commit()
        elif self._timer is None:
            self._timer = self._clock.later(self._settings.commit_s, self._due)

    def ack(self, name: str, position: Position, *, is_last: bool) -> Deferred[None]:
        """A cursor is done with all before that; fires when that is durable.

        ``is_last``: it has all there is, so it is in no hurry: the next readings' commit takes it
        along.
        """
        self._acks[name] = max(position, self._acks.get(name, position))
        if not is_last or not self.is_running:
            return self.soon()
        done: Deferred[None] = Deferred()
        self._calm.append(done)
        if self._timer is None and self._work is None:
            self._timer = self._clock.later(self._settings.commit_s, self._due)
        return done

    def touch(self, name: str) -> None:
        """A cursor is new, or was changed: write it with the next commit."""
        self._touched.add(name)

    def keep(self, name: str) -> None:
        """A cursor that was to be forgotten is wanted again."""
        self._forgets.discard(name)

    def forget(self, name: str) -> Deferred[None]:
        """Remove a cursor; fires when that is durable."""
        self._acks.pop(name, None)
        self._touched.discard(name)
        self._forgets.add(name)
        return self.soon()

    def soon(self) -> Deferred[None]:
        """Fires with the next commit, which begins when none is under way."""
        done: Deferred[None] = Deferred()
        self._told.append(done)
        if self._work is None:
            self._commit()
        return done

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
        return self.committed + self.pending.lost

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

    # --- when it begins

    def go_on(self) -> None:
        """Begin one, or wait for more, by what waits; nothing happens while one is under way."""
        if self._work is not None:
            return
        waiting = self.pending.count
        is_asked = self._told or self._forgets or self._touched or self._promised
        if is_asked or waiting >= self._settings.commit_readings:
            self._commit()
        elif (waiting or self._acks) and self._timer is None and self.is_running:
            self._timer = self._clock.later(self._settings.commit_s, self._due)

    async def end(self) -> None:
        """Commit what waits; what a full disk does not take within one last try is lost."""
        self.is_running, self._is_ending = False, True
        self._stop_timer()
        while self._is_waited_for():
            if self._work is not None and self._retry is None:
                told: Deferred[None] = Deferred()
                self._work_told.append(told)
                await told.addErrback(lambda _: None)
            elif self._retry is not None:
                self._retry.discard()
                self._retry = None
                if not await self._last_try():
                    break
            else:
                self._commit()

    async def _last_try(self) -> bool:
        work = self._work
        assert work is not None
        try:
            newest = await self._on_disk(self._store.commit, work)
        except (sqlite3.Error, OSError) as error:
            self._faults.fault(
                "journal stop",
                f"{self.uncommitted} readings are lost: the journal could not be written ({error})",
            )
            return False
        self._done(newest)
        return True

    def _is_waited_for(self) -> bool:
        return bool(
            self.pending or self._work is not None or self._acks or self._touched or self._forgets
        )

    def _due(self) -> None:
        self._timer = None
        if self._work is None:
            self._commit()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.discard()
            self._timer = None

    def _commit(self) -> None:
        """Begin one; none is under way."""
        self._stop_timer()
        self.pending.pack()
        work = Work()
        self.pending.give(work)
        if work.rows:
            work.streams = self._numbers.take_fresh()
        self._take_along(work)
        self._work_told = self._told + self._calm
        self._told, self._calm = [], []
        if not work:
            self._tell()
            return
        self._work = work
        self._send()

    def _again(self) -> None:
        """Try the one that failed once more, with what came meanwhile."""
        work = self._work
        assert work is not None
        self.pending.pack()
        self.pending.bound(work, self._retry is not None)
        self._retry = None
        self.pending.give(work)
        work.streams += self._numbers.take_fresh()
        self._take_along(work)
        self._work_told += self._told + self._calm
        self._told, self._calm = [], []
        self._send()

    def _take_along(self, work: Work) -> None:
        work.acks |= self._acks
        work.touched |= self._touched
        work.forgets |= self._forgets
        self._acks, self._touched, self._forgets = {}, set(), set()

    def _send(self) -> None:
        assert self._work is not None
        self._on_disk(self._write, self._work).addCallbacks(self._done, self._failed)

    def _write(self, work: Work) -> Position:
        """On the disk's thread."""
        began_s = self._clock.seconds()
        try:
            return self._store.commit(work)
        finally:
            self._took(self._clock.seconds() - began_s)

    # --- how it went

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
        self._written(work, newest)
        self._tell()
        self._keep_promises()
        self._have_told(newest)
        self.go_on()

    def _tell(self) -> None:
        told, self._work_told = self._work_told, []
        for one in told:
            one.callback(None)

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
        if self._is_ending:
            self._tell()


def _count(work: Work) -> int:
    return sum(packed.count for packed, _ in work.rows)

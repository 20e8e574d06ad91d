"""What came of the resources, on its way to the disk: one commit at a time, of all that waits.

A deploy goes on behind a result only when that is durable. While one commit runs, what comes joins
the one after; so a deploy of many resources costs few commits, and a single one waits for one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested
from smapd.interfaces import IBackoff, IClock, IFaults, IThreads, ITimer
from smapd.storage.recovery import is_disk
from smapd.values import Json

from .actions import AgentLogs, bounded
from .store import POOL, Store, Writes

_KEY: Final = ("desired", "ledger")


class Ledger:
    """Writes to the store from the reactor's thread. ``start`` once the store is open."""

    def __init__(
        self,
        store: Store,
        logs: AgentLogs,
        threads: IThreads,
        clock: IClock,
        backoff: IBackoff,
        faults: IFaults,
        told: Callable[[Json], None],
    ) -> None:
        """``told`` is called with each action once it is durable, in order."""
        self._store, self._logs, self._threads = store, logs, threads
        self._clock, self._backoff, self._faults, self._told = clock, backoff, faults, told
        self._open = Writes()
        self._waiting: list[Deferred[None]] = []
        self._is_writing = False
        self._is_stopped = False
        self._retry: ITimer | None = None
        self._seq = 0
        self._over: list[Deferred[None]] = []
        self.error = ""
        """Why the last commit failed, "" while the disk takes what comes."""
        self.commits = 0

    def start(self) -> None:
        """The store is open: number what comes behind what it has."""
        self._seq = self._store.newest_action

    def stop(self) -> Deferred[None]:
        """Fires when what was given is on the disk, or cannot be brought there now."""
        self._is_stopped = True
        if self._retry is not None:  # the disk takes nothing; one try more
            self._retry.discard()
            self._retry = None
        self._begin()
        done: Deferred[None] = Deferred()
        self._over.append(done)
        self._end_if_idle()
        return done

    def deploy(self, d: int, deploy: Json) -> None:
        """Keep what a deploy is now."""
        self._open.deploys[d] = deploy

    def result(self, d: int, i: int, result: Json) -> None:
        """Keep what came of resource ``i`` of that deploy's version."""
        self._open.results.append((d, i, result))

    def fact(self, resource: str, name: str, fact: Json) -> None:
        """Keep a fact."""
        self._open.facts.append((resource, name, fact))

    def action(self, action: dict[str, Json]) -> int:
        """Keep an action; its number."""
        self._seq += 1
        kept = bounded({"seq": self._seq, **action})
        self._open.actions.append((self._seq, kept["resource"], kept["ended_ms"], kept))
        return self._seq

    def durable(self) -> Deferred[None]:
        """Fires when all that was given until now is on the disk.

        Waits while the disk is full; fails with ShutdownRequested if that is so at the end.
        """
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if self._retry is None:
            self._begin()
        return done

    # --- private

    def _begin(self) -> None:
        if self._is_writing:
            return
        writes, self._open = self._open, Writes()
        waiting, self._waiting = self._waiting, []
        if not writes and not waiting:
            return
        self._is_writing = True
        done = self._threads.to_pool(POOL, self._write, writes)
        done.addCallbacks(self._written, self._failed, (writes, waiting), {}, (writes, waiting), {})
        self._clock.background(done, "keeping what came of the desired state")

    def _write(self, writes: Writes) -> None:
        if writes:
            self._store.write(writes)
        if writes.actions:
            self._logs.write([action for *_, action in writes.actions])

    def _written(self, done: None, writes: Writes, waiting: list[Deferred[None]]) -> None:
        self.commits += 1
        self.error = ""
        self._backoff.reset()
        self._faults.cleared(_KEY, "what comes of the desired state is kept again")
        for *_, action in writes.actions:
            self._told(action)
        for one in waiting:
            one.callback(None)
        self._is_writing = False  # only now: what came of these callbacks goes together
        self._begin()
        self._end_if_idle()

    def _failed(self, failure: Failure, writes: Writes, waiting: list[Deferred[None]]) -> Any:
        """Put it back before what came meanwhile, and try again."""
        self._is_writing = False
        error = failure.value
        if self._is_stopped or isinstance(error, ShutdownRequested):
            why = ShutdownRequested(f"it was not kept, since smapd is stopping: {error}")
            for done in waiting:
                done.errback(why)
            self._end_if_idle()
            return None
        later = self._open
        self._open = writes
        writes.deploys.update(later.deploys)
        writes.results += later.results
        writes.actions += later.actions
        writes.facts += later.facts
        self._waiting = [*waiting, *self._waiting]
        self.error = " ".join(str(error).split()).rstrip(".")
        text = f"what comes of the desired state cannot be kept: {self.error}; it waits"
        is_known = isinstance(error, sqlite3.Error | OSError) and is_disk(error)
        if is_known:
            self._faults.fault(_KEY, text)
        else:
            self._faults.fault(_KEY, text, failure=failure)
        self._retry = self._clock.later(self._backoff.next(), self._again, not is_known)
        return None

    def _again(self, reopen: bool) -> None:
        self._retry = None
        if not reopen:
            self._begin()
            return
        # A damaged file does not mend itself: opening it sets it aside, and keeps what it can.
        opened = self._threads.to_pool(POOL, self._reopen)
        opened.addErrback(lambda _: None).addCallback(lambda _: self._begin())
        self._clock.background(opened, "opening desired.db again")

    def _reopen(self) -> None:
        self._store.close()
        self._store.open()

    def _end_if_idle(self) -> None:
        if self._over and not self._is_writing and not self._waiting:
            over, self._over = self._over, []
            for done in over:
                done.callback(None)


def at_the_end(failure: Failure) -> None:
    """For ``durable``: kept no more, since smapd stops; it is done again at the next start."""
    failure.trap(ShutdownRequested)  # type: ignore[no-untyped-call]

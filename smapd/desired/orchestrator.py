"""The desired state as the daemon keeps it: versions, blobs, deploys, actions and facts.

Stands between those who ask (the routes of /desired) and three others: the store, on a disk's
thread; the dispatcher, which drives the deploys; and the agents, embedded or elsewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.errors import (
    Busy,
    Forbidden,
    NoSuchResource,
    NoSuchVersion,
    NotReady,
    StorageFull,
)
from smapd.interfaces import IBackoff, IClock, IDesired, IFaults, IThreads, IWatching
from smapd.storage import cannot_open
from smapd.storage.recovery import is_disk
from smapd.values import ActionFilter, Json

from .actions import AgentLogs
from .blobs import Blobs
from .dispatch import Dispatcher
from .elsewhere import Elsewhere
from .jobs import Drift, IAgent
from .ledger import Ledger, at_the_end
from .options import Limits
from .runs import DONE, OVERTAKEN, RUNNING, Run
from .shelf import Shelf
from .store import POOL, Store, Writes
from .tidying import tidied
from .versions import Version
from .views import Views, name_of
from .watching import Watchers

TIDY_EACH_S: Final = 3600.0
T = TypeVar("T")
_log = Logger()


@implementer(IDesired)
class Orchestrator:
    """See the top of this file; on the reactor's thread.

    ``looked``: told of each look for repair (id, ms, status, how many fields differed).
    ``drifted``: told of each drift.
    """

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        logs: AgentLogs,
        threads: IThreads,
        clock: IClock,
        backoff: IBackoff,
        faults: IFaults,
        limits: Limits,
        *,
        looked: Callable[[str, int, str, int], None] = lambda *a: None,
        drifted: Callable[[Drift], None] = lambda drift: None,
    ) -> None:
        self._store, self._blobs, self._threads, self._clock = store, blobs, threads, clock
        self._limits = limits
        watchers = Watchers()
        self._ledger = Ledger(store, logs, threads, clock, backoff, faults, watchers.tell)
        self.dispatcher = Dispatcher(self._ledger, clock, looked, drifted, self._ended)
        self.elsewhere = Elsewhere(self.dispatcher, clock)
        self._shelf = Shelf(store, blobs, self._on_disk, clock)
        self._views = Views(
            store,
            self._shelf,
            self.dispatcher,
            watchers,
            self._on_disk,
            self.deploys,
            self._load,
        )
        self._deploys: dict[int, Json] = {}
        self._newest_deploy = 0
        self._tidying: Any = None
        self._is_open = False

    # --- life

    async def start(self) -> None:
        """Open what is kept, and go on with the deploy that was under way.

        :raises DataDirUnusable: if it cannot be opened.
        """
        try:
            await self._threads.to_pool(POOL, self._open)
        except (sqlite3.Error, OSError) as error:
            path = self._store.path
            raise cannot_open(path, path.parent, error) from error
        for note in self._store.notes:
            _log.warn("{note}", note=note)
        self._ledger.start()
        self._is_open = True
        found = await self._threads.to_pool(POOL, self._store.deploys)
        self._newest_deploy = max(found, default=0)
        self._deploys = {d: one for d, one in found.items() if not one.get("is_dropped")}
        await self._resume()
        self._tidying = self._clock.later(60.0, self._tidy)

    async def stop(self) -> None:
        """Begin nothing more, wait for what runs, keep what came of it, and close the files."""
        if not self._is_open:
            return
        self._is_open = False
        if self._tidying is not None:
            self._tidying.discard()
        self.elsewhere.stop()
        await self.dispatcher.stop()
        await self._ledger.stop()

    async def close(self) -> None:
        """Let go of the files; after ``stop``, whether that ended in time or not."""
        await self._threads.to_pool(POOL, self._store.close)

    def add_agent(self, agent: IAgent) -> None:
        """An agent of this process takes jobs from now on."""
        self.dispatcher.add_agent(agent)

    # --- versions

    def versions(self) -> Deferred[list[Json]]:
        """Every version without its resources, oldest first."""
        return self._on_disk(self._store.versions).addCallback(self._views.with_states)

    def add(self, body: Any, *, token: bool) -> Deferred[int]:
        """Keep a version; its number, once it is durable."""
        return Deferred.fromCoroutine(self._add(body, token))

    def version(self, n: int, after: int, limit: int) -> Deferred[dict[str, Json]]:
        """A version with resources ``after`` to ``after + limit``, and what became of each."""
        return Deferred.fromCoroutine(self._views.version(n, after, limit))

    def difference(self, n: int, other: int | None) -> Deferred[dict[str, Json]]:
        """What version ``n`` changes beside ``other``, None for the one that is deployed."""
        return Deferred.fromCoroutine(self._views.difference(n, other))

    async def _add(self, body: Any, token: bool) -> int:
        self._check_open()
        current = self.dispatcher.current

        def check(made: Version) -> None:
            _check_code(made, token)

        deployed = None if current is None else current.version
        return (await self._shelf.add(body, deployed, check)).number

    # --- deploys

    def deploy(self, n: int, *, dry_run: bool, token: bool) -> Deferred[int]:
        """Begin to deploy a version; the deploy's number, once it is durable."""
        return Deferred.fromCoroutine(self._deploy(n, dry_run, token))

    def deploys(self) -> list[Json]:
        """The deploys known, newest first, without their results."""
        live = {run.number: run.told() for run in self.dispatcher.runs()}
        return [live.get(d, told) for d, told in sorted(self._deploys.items(), reverse=True)]

    def deployed(self, d: int, after: int, limit: int) -> Deferred[dict[str, Json]]:
        """A deploy with up to ``limit`` results behind the first ``after``, as they came."""
        return Deferred.fromCoroutine(self._views.deployed(d, after, limit))

    async def _deploy(self, n: int, dry_run: bool, token: bool) -> int:
        self._check_open()
        version = await self._load(n)
        _check_code(version, token)
        self._newest_deploy += 1
        d = self._newest_deploy
        run = Run(d, version, dry_run=dry_run, began_ms=self._clock.wall_ms())
        self._deploys[d] = run.told()
        try:
            await self._on_disk(self._keep_deploy, d, run.told(), None if dry_run else n)
        except StorageFull:
            self._drop(d, run)  # its row may be there, and only what stands beside it not
            raise
        except BaseException:
            del self._deploys[d]
            raise
        self._check_open()
        newest = max((one.number for one in self.dispatcher.runs() if not one.dry_run), default=0)
        if not dry_run and newest > d:  # a newer one was faster
            run.state, run.ended_ms = OVERTAKEN, self._clock.wall_ms()
            self._deploys[d] = run.told()
            self._ledger.deploy(d, run.told())
            return d
        try:
            self.dispatcher.begin(run)
        except Busy:
            self._drop(d, run)
            raise
        return d

    def _drop(self, d: int, run: Run) -> None:
        """It is not begun after all: at a start nobody goes on with it."""
        del self._deploys[d]
        run.state = OVERTAKEN
        self._ledger.deploy(d, run.told() | {"is_dropped": True})
        kept = self._ledger.durable().addErrback(at_the_end)
        self._clock.background(kept, f"dropping deploy {d}")

    def _ended(self, run: Run) -> None:
        self._deploys[run.number] = run.told()

    def _keep_deploy(self, d: int, told: Json, deployed: int | None) -> None:
        self._store.write(Writes(deploys={d: told}))
        if deployed is not None:
            self._store.mark_deployed(d, deployed)

    async def _resume(self) -> None:
        """The newest deploy goes on, or is kept as it is; a dry run of before is not."""
        real = [d for d, told in self._deploys.items() if not told["dry_run"]]
        for d, told in self._deploys.items():
            if told["state"] not in (DONE, OVERTAKEN) and d != max(real, default=0):
                self._deploys[d] = {**told, "state": OVERTAKEN}
                self._ledger.deploy(d, self._deploys[d])
        if not real:
            return
        told = self._deploys[max(real)]
        if told["state"] == OVERTAKEN:  # by one whose row is lost
            told = {**told, "state": RUNNING}
        try:
            version = await self._load(told["version"])
        except NoSuchVersion as error:
            text = "the version that is deployed cannot be read, so nothing is repaired: {error}"
            _log.error(text, error=str(error))
            return
        results = await self._on_disk(self._store.results, max(real))
        run = Run(
            max(real),
            version,
            dry_run=False,
            began_ms=told.get("began_ms") or self._clock.wall_ms(),
            ended_ms=told.get("ended_ms"),
            state=told["state"],
            results={i: one for i, one in results.items() if i < len(version.ids)},
        )
        self.dispatcher.resume(run)

    # --- blobs

    def put_blob(self, sha256: str, data: bytes) -> Deferred[bool]:
        """Keep a file; whether it was new."""
        return self._on_disk(self._blobs.put, sha256, data)

    def blob(self, sha256: str) -> Deferred[bytes]:
        """A file's bytes."""
        return self._on_disk(self._blobs.get, sha256)

    # --- resources

    def resource(self, id: str) -> Deferred[dict[str, Json]]:
        """One resource: what is desired, its state, its facts."""
        return Deferred.fromCoroutine(self._views.resource(id))

    def check_facts(self, id: str) -> Deferred[dict[str, Json]]:
        """Have the handler find out what it can about a resource; that is kept, and given."""
        self._check_open()
        name = name_of(id)
        run = self.dispatcher.current
        if run is None or name not in run.version.index:
            raise NoSuchResource(f"There is no resource {name} that is deployed.")
        return self.dispatcher.check_facts(run, name)

    def actions(self, id: str, asked: ActionFilter) -> Deferred[list[Json]]:
        """What was done to a resource, with the handler's log."""
        return Deferred.fromCoroutine(self._views.actions(id, asked))

    def resources(self, states: Sequence[str], after: int, limit: int) -> dict[str, Json]:
        """The resources that are deployed, each with its state, and how many stand where."""
        return self._views.resources(states, after, limit)

    def follow(self, id: str, asked: ActionFilter, give: Callable[[Json], None]) -> IWatching:
        """Give each action that comes from now on, once it is durable."""
        return self._views.follow(id, asked, give)

    # --- agents

    def agents(self) -> list[Json]:
        """Every agent: its names, handlers, and what it does."""
        return [agent.status() for agent in self.dispatcher.agents.values()]

    def work(self, agent: str, body: Any) -> Deferred[Json]:
        """What an agent elsewhere is to do next."""
        if not self._is_open:
            return fail(NotReady("The desired state is not served now."))
        return self.elsewhere.work(agent, body)

    def results(self, agent: str, body: Any) -> Deferred[Json]:
        """What an agent elsewhere has done; fires once it is durable."""
        self._check_open()
        told = self.elsewhere.results(agent, body)
        return self._ledger.durable().addCallback(lambda _: told)

    def status(self) -> dict[str, Json]:
        """What /status shows."""
        current = self.dispatcher.current
        return {
            "versions": self._store.newest,
            "deploy": None if current is None else current.told(),
            "dry_run": None if self.dispatcher.dry is None else self.dispatcher.dry.told(),
            "under_way": self.dispatcher.under_way,
            "drifts": self.dispatcher.repair.drifts,
            "agents": self.agents(),
            "commits": self._ledger.commits,
            "damaged_rows": self._store.damaged,
            "damaged_blobs": self._blobs.damaged,
            "error": self._ledger.error,
        }

    # --- private

    def _open(self) -> None:
        self._blobs.open()
        self._store.open()

    def _check_open(self) -> None:
        if not self._is_open:
            raise NotReady("The desired state is not served now.")

    async def _load(self, n: int) -> Version:
        for run in self.dispatcher.runs():
            if run.version.number == n:
                return run.version
        return await self._shelf.load(n)

    def _on_disk(self, f: Callable[..., T], *a: Any) -> Deferred[T]:
        if not self._is_open:
            return fail(NotReady("The desired state is not served now."))
        return self._threads.to_pool(POOL, f, *a).addErrback(_as_ours)

    def _tidy(self) -> None:
        """Once an hour: what is past its bounds goes."""
        self._tidying = self._clock.later(TIDY_EACH_S, self._tidy)
        current = self.dispatcher.current
        kept = {run.version.number for run in self.dispatcher.runs()}
        deploy = 0 if current is None else current.number
        self._clock.background(
            self._on_disk(
                tidied,
                self._store,
                self._blobs,
                self._limits,
                self._clock.wall_ms(),
                kept,
                deploy,
            ).addCallback(self._after_tidying),
            "tidying the desired state",
        )

    def _after_tidying(self, left: set[int]) -> None:
        known = {run.number for run in self.dispatcher.runs()} | left | {self._newest_deploy}
        self._deploys = {d: told for d, told in self._deploys.items() if d in known}


def _check_code(version: Version, token: bool) -> None:
    if version.code and not token:
        raise Forbidden(
            "A version that brings code for handlers needs the token, over loopback too.",
            hint="Set [server] Token, and send it as Authorization: Bearer TOKEN.",
        )


def _as_ours(failure: Failure) -> Any:
    error = failure.value
    if isinstance(error, sqlite3.Error | OSError) and is_disk(error):
        raise StorageFull(f"It could not be written: {error}.") from error
    return failure

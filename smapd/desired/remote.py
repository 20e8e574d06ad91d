"""An agent as a process of its own: asks a daemon for work, does it, and tells what came.

One thread asks, ``threads`` others work, one more tells results; all blocking, without a reactor.
It goes on for ever: while the daemon does not answer it waits and asks again, and results that
could not be told are told when it is back. See ``elsewhere.py`` for the messages.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, Protocol

from twisted.python.failure import Failure

from smapd.errors import BadRequest, NotRunning, SmapError
from smapd.runtime import Backoff, attempt
from smapd.runtime.program import Flag, Mailbox, ProgramThread, seconds, spawn
from smapd.values import Json

from . import registry as classes
from .cache import AgentCache
from .context import LogRecord
from .handler import told
from .ids import Id
from .options import AgentSettings
from .perform import AgentSide, ResourceRun, Task
from .registry import FrozenRegistry
from .wheels import load_wheels

TICK_S: Final = 5.0
MOST_FILES: Final = 64
MOST_FILE_BYTES: Final = 64 * 1024 * 1024


class IDaemon(Protocol):
    """The daemon as such an agent sees it; every method blocks, from any thread.

    They raise NotRunning while nobody answers, and SmapError with what was answered.
    """

    def work(self, agent: str, body: Json) -> Json:
        """POST /desired/agents/NAME/work."""

    def results(self, agent: str, body: Json) -> Json:
        """POST /desired/agents/NAME/results."""

    def version(self, n: int) -> Json:
        """GET /desired/versions/N, without its resources."""

    def blob(self, sha256: str) -> bytes:
        """GET /desired/blobs/ID; NoSuchBlob if there is none."""


class RemoteAgent:
    """One agent. ``say`` takes a sentence for the operator; ``rng`` spreads the pauses."""

    def __init__(
        self,
        settings: AgentSettings,
        daemon: IDaemon,
        say: Callable[[str], None],
        rng: Callable[[], float],
        on_log: Callable[[str, LogRecord], None] | None = None,
    ) -> None:
        self.settings, self._daemon, self._say, self._rng = settings, daemon, say, rng
        self._on_log = on_log
        self._session = secrets.token_hex(16)
        self._registry = FrozenRegistry()
        self._hashes: dict[str, str] = {}
        self._cache = AgentCache()
        self._sides: dict[str, AgentSide] = {}
        self._versions: dict[int, _VersionHere] = {}
        self._jobs: Mailbox[Json | None] = Mailbox()
        self._results: Mailbox[Json | None] = Mailbox()
        self._under_way: dict[int, _Begun] = {}
        self._stopping = Flag()
        self._threads: list[ProgramThread] = []
        self._spare = 0

    def start(self) -> None:
        """Import the handlers, and begin to work.

        :raises SmapError: naming the module that cannot be imported.
        """
        for name in self.settings.handlers:
            found = attempt(import_module, name)
            if isinstance(found, Failure):
                raise BadRequest(f"The handlers {name} cannot be imported: {told(found)}.")
        self._registry = classes.frozen()
        self._hashes = self._registry.handler_hashes()
        name = self.settings.name
        for n in range(self.settings.threads):
            self._threads.append(spawn(f"agent-{name}-{n + 1}", self._work))
        self._threads.append(spawn(f"agent-{name}-tell", self._tell))
        self._threads.append(spawn(f"agent-{name}-watch", self._watch))

    def ask(self) -> None:
        """Ask for work until ``stop``; on the caller's thread.

        :raises SmapError: if the daemon answers that it will never have this agent, as for a wrong
            token.
        """
        backoff, was_away = Backoff(self._rng), False
        while not self._stopping.is_set():
            try:
                answer = self._daemon.work(self.settings.name, self._asking())
            except SmapError as error:
                if _is_final(error):
                    raise
                if not was_away:
                    self._say(f"{error.message} It is asked again.")
                was_away = True
                self._stopping.wait(backoff.next())
                continue
            if was_away:
                self._say("The daemon answers again.")
            was_away = False
            backoff.reset()
            self._take(answer)

    def stop(self, timeout_s: float = 3.0) -> None:
        """Take no more; wait for what runs, at most so long, and tell what came of it."""
        self._stopping.set()
        ends_s = seconds() + timeout_s
        for _ in self._threads:
            self._jobs.put(None)
        while self._under_way and seconds() < ends_s:
            if not any(not begun.is_ended for begun in list(self._under_way.values())):
                break
            Flag().wait(0.02)
        self._results.put(None)
        for thread in self._threads:
            thread.join(max(0.05, ends_s - seconds()))
        self._cache.close()

    # --- the thread that asks

    def _asking(self) -> Json:
        settings = self.settings
        return {
            "session": self._session,
            "names": sorted(settings.names),
            "threads": settings.threads,
            "repair_s": settings.repair_s,
            "device": settings.device,
            "handlers": self._hashes,
            "running": list(self._under_way),
        }

    def _take(self, answer: Mapping[str, Any]) -> None:
        for job in answer.get("jobs", ()):
            if job["job"] not in self._under_way:
                self._under_way[job["job"]] = _Begun()
                self._jobs.put(job)
        for n in answer.get("closed", ()):
            if self._versions.pop(n, None) is not None:
                self._cache.close_version(n)

    # --- the threads that work

    def _work(self) -> None:
        while True:
            job = self._jobs.take()
            if job is None:
                return
            begun = self._under_way.get(job["job"])
            if begun is None or self._stopping.is_set():
                continue
            result = attempt(self._do, job, begun)
            if isinstance(result, Failure):
                self._say(f"{job['resource'].get('id')}: {told(result)}")
                self._under_way.pop(job["job"], None)  # it will be handed again
            elif begun.is_ended:  # past its time limit; another thread took the place of this one
                return
            else:
                begun.is_ended = True
                self._results.put({"job": job["job"], **result})

    def _do(self, job: Mapping[str, Any], begun: _Begun) -> Json:
        task = Task.from_json(job)
        version = self._version(int(job["version"]))
        id_ = Id.parse_id(task.resource["id"])
        side = self._sides.get(id_.agent_name)
        if side is None:
            side = AgentSide(id_.agent_name, self._cache, self._file, None, self._on_log)
            self._sides[id_.agent_name] = side
        run = ResourceRun(task, version.registry, side, hashes=version.hashes)
        begun.run, begun.since_s = run, seconds()
        return run.run().as_json()

    def _version(self, n: int) -> _VersionHere:
        known = self._versions.get(n)
        if known is not None:
            return known
        header = self._daemon.version(n)
        registry, hashes = self._registry, self._hashes
        if header["code"] and self.settings.accept_code:
            found = attempt(load_wheels, header["code"], self._daemon.blob)
            if isinstance(found, Failure):
                self._say(f"The code of version {n} cannot be loaded: {told(found)}.")
            else:
                registry, hashes = found, found.handler_hashes()
        made = _VersionHere(header["files"], registry, hashes)
        if self._versions.setdefault(n, made) is made:
            self._cache.open_version(n)
        return self._versions[n]

    def _file(self, name: str, version: int) -> bytes | None:
        here = self._versions.get(version)
        sha256 = name if here is None else here.files.get(name, name)
        found = attempt(self._daemon.blob, sha256)
        if not isinstance(found, Failure):
            return found
        if isinstance(found.value, SmapError) and not isinstance(found.value, NotRunning):
            return None
        return found.raiseException()

    # --- the one that looks at the clock

    def _watch(self) -> None:
        limit_s = self.settings.time_limit_s
        while not self._stopping.wait(min(TICK_S, limit_s / 4)):
            self._cache.tick()
            for number, begun in list(self._under_way.items()):
                run = begun.run
                if run is None or begun.is_ended or seconds() - begun.since_s < limit_s:
                    continue
                begun.is_ended = True
                reason = f"Its handler did not end within {limit_s:g} s; its thread is left."
                self._say(f"{run.id}: {reason}")
                self._results.put({"job": number, **run.abandon(reason).as_json()})
                self._spare += 1
                self._threads.append(
                    spawn(f"agent-{self.settings.name}-more-{self._spare}", self._work)
                )

    # --- the one that tells results

    def _tell(self) -> None:
        backoff = Backoff(self._rng)
        while True:
            first = self._results.take()
            if first is None:
                return
            told_now, is_last = [first], False
            while len(self._results) and len(told_now) < 100 and not is_last:
                more = self._results.take()
                is_last = more is None
                if more is not None:
                    told_now.append(more)
            while True:
                body = {"session": self._session, "results": told_now}
                answer = attempt(self._daemon.results, self.settings.name, body)
                if not isinstance(answer, Failure):
                    backoff.reset()
                    break
                error = answer.value
                if not isinstance(error, SmapError) or _is_refusal(error):
                    self._say(f"{len(told_now)} results are not taken: {told(answer)}")
                    break
                if self._stopping.wait(backoff.next()):
                    break
            for one in told_now:
                self._under_way.pop(one["job"], None)
            if is_last:
                return


class _Begun:
    """A job that this process has, until its result was answered."""

    __slots__ = ("is_ended", "run", "since_s")

    def __init__(self) -> None:
        self.run: ResourceRun | None = None
        self.since_s = 0.0
        self.is_ended = False


class _VersionHere:
    """What this process knows of a version."""

    __slots__ = ("files", "hashes", "registry")

    def __init__(
        self, files: Mapping[str, str], registry: FrozenRegistry, hashes: dict[str, str]
    ) -> None:
        self.files, self.registry, self.hashes = files, registry, hashes


def _is_final(error: SmapError) -> bool:
    """Whether asking again is of no use: the token is wrong, or this is no such daemon."""
    return getattr(error, "status", None) in (400, 401, 403, 404)


def _is_refusal(error: SmapError) -> bool:
    status = getattr(error, "status", None)
    return status is not None and 400 <= status < 500

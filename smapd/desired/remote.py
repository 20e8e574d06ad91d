"""An agent as a process of its own: asks a daemon for work, does it, and tells what came.

One thread asks, ``threads`` others work, one more tells results; all blocking, without a reactor.
It goes on for ever: while the daemon does not answer it waits and asks again, and results that
could not be told are told when it is back. See ``elsewhere.py`` for the messages.

A daemon that was started anew knows nothing of the jobs that are here, and hands their resources
again under other numbers. What runs, or has run and could not be told, then answers for the new
number; and whatever is handed, of one resource, or device, one job runs at a time.
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
from .perform import HANGS, AgentSide, ResourceRun, Task
from .registry import FrozenRegistry
from .wheels import load_wheels

TICK_S: Final = 5.0
_WHAT: Final = ("deploy", "kind", "version", "resource", "handler", "dependency_changed")
KEPT_S: Final = 600.0
"""How long a result that the daemon did not know of is there for when it asks again."""
HELD_S: Final = 0.1
"""How long a job waits, again and again, while its resource is worked on by another."""


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
        self._jobs: Mailbox[_Begun | None] = Mailbox()
        self._results: Mailbox[_Begun | None] = Mailbox()
        self._under_way: dict[int, _Begun] = {}
        self._at_work: dict[str, _Begun] = {}
        """Whose thread has a resource or device now, past its time limit too."""
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
            if all(begun.is_ended for begun in list(self._under_way.values())):
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
            if job["job"] not in self._under_way and not self._is_here(job):
                begun = self._under_way[job["job"]] = _Begun(job, self.settings.device)
                self._jobs.put(begun)
        for n in answer.get("closed", ()):
            if self._versions.pop(n, None) is not None:
                self._cache.close_version(n)

    def _is_here(self, job: Json) -> bool:
        """Whether it is the very work of a job that the daemon forgot, which then stands for it."""
        for older in list(self._under_way.values()):
            if older.job["kind"] == "deploy" and not older.is_given_up and older.is_same(job):
                self._under_way.pop(older.number, None)
                older.number = job["job"]
                self._under_way[older.number] = older
                if older.is_unknown:
                    older.is_unknown = False
                    self._results.put(older)
                return True
        return False

    # --- the threads that work

    def _work(self) -> None:
        while True:
            begun = self._jobs.take()
            if begun is None:
                return
            if self._under_way.get(begun.number) is not begun or self._stopping.is_set():
                continue
            holder = self._taken(begun)
            if holder is not None and not holder.is_given_up:
                self._stopping.wait(HELD_S)
                self._jobs.put(begun)
                continue
            result = attempt(self._do, begun, holder is not None)
            self._let_go(begun)
            if begun.is_given_up:  # past its time limit; another thread took the place of this one
                return
            if isinstance(result, Failure):
                self._say(f"{begun.name}: {told(result)}")
                self._under_way.pop(begun.number, None)  # it will be handed again
            else:
                begun.result, begun.is_ended = result, True
                self._results.put(begun)

    def _taken(self, begun: _Begun) -> _Begun | None:
        """Who works on its resource or device; nobody, and then it has both from now on."""
        for key in begun.keys:
            holder = self._at_work.setdefault(key, begun)
            if holder is not begun and (key == begun.name or not holder.is_given_up):
                self._let_go(begun)
                return holder
        return None

    def _let_go(self, begun: _Begun) -> None:
        for key in begun.keys:
            if self._at_work.get(key) is begun:
                del self._at_work[key]

    def _do(self, begun: _Begun, is_hanging: bool) -> Json:
        job = begun.job
        task = Task.from_json(job)
        version = self._version(int(job["version"]))
        id_ = Id.parse_id(task.resource["id"])
        side = self._sides.get(id_.agent_name)
        if side is None:
            side = AgentSide(id_.agent_name, self._cache, self._file, None, self._on_log)
            self._sides[id_.agent_name] = side
        run = ResourceRun(task, version.registry, side, hashes=version.hashes)
        if is_hanging:
            return run.refuse(HANGS).as_json()
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
            for begun in list(self._under_way.values()):
                run = begun.run
                if begun.is_unknown and seconds() - begun.kept_s > KEPT_S:
                    self._under_way.pop(begun.number, None)
                if run is None or begun.is_ended or seconds() - begun.since_s < limit_s:
                    continue
                begun.is_given_up = begun.is_ended = True
                reason = f"Its handler did not end within {limit_s:g} s; its thread is left."
                self._say(f"{run.id}: {reason}")
                begun.result = run.abandon(reason).as_json()
                self._results.put(begun)
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
            numbers, unknown = self._told(told_now, backoff)
            for one, number in zip(told_now, numbers, strict=True):
                if one.number != number:  # it was asked for by another one meanwhile
                    self._results.put(one)
                elif number not in unknown or one.is_given_up or one.job["kind"] != "deploy":
                    self._under_way.pop(number, None)
                else:  # it will be handed again, and has been done
                    one.is_unknown, one.kept_s = True, seconds()
                    if one.number != number:  # at this very moment
                        self._results.put(one)
            if is_last:
                return

    def _told(self, results: list[_Begun], backoff: Backoff) -> tuple[list[int], set[int]]:
        """Tell these; by which numbers, and which of those the daemon did not know."""
        while True:
            numbers = [one.number for one in results]
            told_now = [{**one.result, "job": n} for one, n in zip(results, numbers, strict=True)]
            body = {"session": self._session, "results": told_now}
            answer = attempt(self._daemon.results, self.settings.name, body)
            if not isinstance(answer, Failure):
                backoff.reset()
                return numbers, set(answer.get("unknown", ()))
            error = answer.value
            if not isinstance(error, SmapError) or _is_refusal(error):
                self._say(f"{len(told_now)} results are not taken: {told(answer)}")
                return numbers, set()
            if self._stopping.wait(backoff.next()):
                return numbers, set()


class _Begun:
    """A job that this process has, until its result was answered."""

    __slots__ = (
        "is_ended",
        "is_given_up",
        "is_unknown",
        "job",
        "keys",
        "kept_s",
        "name",
        "number",
        "result",
        "run",
        "since_s",
    )

    def __init__(self, job: Json, device: str) -> None:
        self.job = job
        self.number: int = job["job"]
        self.name = Id.parse_id(job["resource"]["id"]).resource_str()
        sits_on = job["resource"].get(device) if device else None
        self.keys = (self.name,) if sits_on is None else (self.name, f"on {sits_on}")
        self.run: ResourceRun | None = None
        self.since_s = 0.0
        self.is_ended = False
        self.is_given_up = False
        """Past its time limit; its thread is still at it, or has come back since."""
        self.result: Json = None
        self.is_unknown = False
        """The daemon did not know of it when it was told."""
        self.kept_s = 0.0

    def is_same(self, job: Json) -> bool:
        """Whether that asks for just what this one does."""
        return all(self.job.get(key) == job.get(key) for key in _WHAT)


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

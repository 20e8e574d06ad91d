"""The agents of ``[agent NAME]``: handlers in this process, on threads of the agent's own."""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.errors import BadRequest, NoSuchBlob, NotConnected, ShutdownRequested
from smapd.interfaces import ITimer
from smapd.runtime import Clock, FaultLog, PoolSize, Repeating, Threads, attempt
from smapd.values import Json

from . import registry as classes
from .cache import AgentCache
from .handler import told
from .ids import Id
from .jobs import Job
from .options import AgentSettings
from .perform import HANGS, AgentSide, ResourceRun
from .registry import FrozenRegistry
from .versions import Version
from .wheels import load_wheels

SPARE_THREADS: Final = 64
"""Handlers past their time limit that may hang beside those that work."""
MOST_CODES: Final = 3
"""Versions whose own code is kept."""
TICK_S: Final = 5.0
IMPORT_AGAIN_S: Final = 60.0

_log = Logger()


class EmbeddedAgent:
    """One section ``[agent NAME]``; on the reactor's thread, its handlers on ``agent-NAME``.

    ``read_blob``: gives the bytes of a sha256, or raises NoSuchBlob; any thread. ``services``: what
    the daemon has for handlers, by name.
    """

    def __init__(
        self,
        settings: AgentSettings,
        threads: Threads,
        clock: Clock,
        faults: FaultLog,
        read_blob: Callable[[str], bytes],
        services: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.names = settings.names
        self.repair_s = settings.repair_s
        self.device = settings.device
        self.done = 0
        self.abandoned = 0
        self.errors: dict[str, str] = {}
        """Why a module of handlers cannot be imported, by its name."""
        self._threads, self._clock, self._faults = threads, clock, faults
        self._read_blob, self._services = read_blob, services
        self._pool = f"agent-{settings.name}"
        self._under_way: dict[int, ResourceRun] = {}
        self._hanging: set[str] = set()
        """Resources whose handler is past its time limit, and has not come back."""
        self._is_stopping = False
        self._is_ready = False
        self._registry = FrozenRegistry()
        self._hashes: dict[str, str] = {}
        self._brought: dict[int, Deferred[None]] = {}
        self._by_version: dict[int, tuple[FrozenRegistry, dict[str, str]]] = {}
        self._sides: dict[str, AgentSide] = {}
        self._open_versions: dict[int, Mapping[str, str]] = {}
        self._cache = AgentCache(clock)
        self._ticks: Repeating | None = None
        threads.add_pool(
            self._pool,
            PoolSize(
                kept=0,
                most=settings.threads,
                queue=10_000,
                spare=SPARE_THREADS,
                hung_s=max(settings.time_limit_s, 1.0),
            ),
        )

    # --- life

    def start(self) -> Deferred[None]:
        """Import the handlers; fires when that is done, well or not."""
        self._ticks = self._clock.every(TICK_S, self._tick)
        return self._import()

    def stop(self) -> Deferred[None]:
        """What it keeps for its handlers ends; call it when nothing of it is under way."""
        self._is_stopping = True
        if self._ticks is not None:
            self._ticks.stop()
        return self._on_pool(self._cache.close)

    # --- for the dispatcher

    @property
    def free(self) -> int:
        """How many jobs it takes now; none until its handlers are imported."""
        if self._is_stopping or not self._is_ready:
            return 0
        return self.settings.threads - len(self._under_way)

    def run(self, job: Job) -> Deferred[Json]:
        """Do it; within the time limit, or it has failed."""
        refused = self._why_not(job)
        if refused:
            return succeed(self._made(job).refuse(refused).as_json())
        version = job.version
        if version.number not in self._open_versions:
            self._open_versions[version.number] = version.files
            self._cache.open_version(version.number)
        if version.code and self.settings.accept_code:
            self._under_way[job.number] = self._made(job)
            brought = self._bring(version)
            done: Deferred[Json] = Deferred()
            brought.addCallback(lambda _: self._begin(job).chainDeferred(done))
            return done
        return self._begin(job)

    def close_version(self, version: int) -> None:
        """What is cached for it goes."""
        if self._open_versions.pop(version, None) is None:
            return
        if version not in self._by_version:  # the next deploy of it tries again
            self._brought.pop(version, None)
        closed = self._on_pool(self._cache.close_version, version)
        self._clock.background(closed, f"closing version {version} of agent {self.name}")

    def status(self) -> dict[str, Json]:
        """What /desired/agents shows."""
        return {
            "name": self.name,
            "names": sorted(self.names),
            "elsewhere": False,
            "handlers": dict(self._hashes),
            "types": sorted(self._registry.providers),
            "warnings": list(self._registry.warnings),
            "errors": dict(self.errors),
            "threads": self.settings.threads,
            "repair_s": self.repair_s,
            "under_way": len(self._under_way),
            "done": self.done,
            "abandoned": self.abandoned,
            "hanging": len(self._hanging),
            "cached": len(self._cache),
        }

    # --- one job

    def _why_not(self, job: Job) -> str:
        """Why it cannot be begun now, "" if it can: each that hangs holds a thread for good."""
        if job.name in self._hanging:
            return HANGS
        if len(self._hanging) >= SPARE_THREADS:
            return (
                f"{len(self._hanging)} handlers of agent {self.name} are past their time limit and"
                " have not come back; nothing more is begun beside them."
            )
        return ""

    def _made(self, job: Job) -> ResourceRun:
        registry, hashes = self._by_version.get(job.version.number, (self._registry, self._hashes))
        side = self._side(Id.parse_id(job.name).agent_name)
        return ResourceRun(job.task(), registry, side, hashes=hashes, now_ms=self._clock.wall_ms)

    def _begin(self, job: Job) -> Deferred[Json]:
        run = self._under_way[job.number] = self._made(job)
        done: Deferred[Json] = Deferred()
        limit_s = self.settings.time_limit_s
        timer = self._clock.later(limit_s, self._give_up, job, run, done)
        ended = self._threads.to_pool(self._pool, _run, run)
        ended.addCallbacks(
            self._ended, self._failed, (job, done, timer), {}, (job, done, timer), {}
        )
        self._clock.background(ended, f"{job.kind} of {job.name}")
        return done

    def _ended(self, result: Json, job: Job, done: Deferred[Json], timer: ITimer) -> None:
        timer.discard()
        if self._under_way.pop(job.number, None) is None:
            self._hanging.discard(job.name)
            _log.info(
                "{resource}: its handler has come back after its time limit", resource=job.name
            )
            return
        self.done += 1
        done.callback(result)

    def _failed(
        self, failure: Failure, job: Job, done: Deferred[Json], timer: ITimer
    ) -> Failure | None:
        """It was never begun, or the thread was abandoned at the stop."""
        timer.discard()
        if self._under_way.pop(job.number, None) is None:
            self._hanging.discard(job.name)
            return None
        if failure.check(ShutdownRequested) is None:
            done.errback(NotConnected(f"Agent {self.name} did not begin it."))
            return failure
        done.errback(failure)
        return None

    def _give_up(self, job: Job, run: ResourceRun, done: Deferred[Json]) -> None:
        limit_s = self.settings.time_limit_s
        self._under_way.pop(job.number, None)
        self._hanging.add(job.name)
        self.abandoned += 1
        reason = f"Its handler did not end within {limit_s:g} s; its thread is left to itself."
        _log.warn("{resource}: {reason}", resource=job.name, reason=reason)
        result = run.abandon(reason).as_json()
        record = {
            "ms": self._clock.wall_ms(),
            "level": "error",
            "message": reason,
            "kwargs": {},
        }
        done.callback({**result, "logs": [*result["logs"], record]})

    def _side(self, agent: str) -> AgentSide:
        side = self._sides.get(agent)
        if side is None:
            side = AgentSide(agent, self._cache, self._file, self._services)
            self._sides[agent] = side
        return side

    def _file(self, name: str, version: int) -> bytes | None:
        """The bytes of a file, for a handler; on a thread of the agent."""
        names = self._open_versions.get(version, {})
        try:
            return self._read_blob(names.get(name, name))
        except (NoSuchBlob, BadRequest):
            return None

    # --- code

    def _import(self) -> Deferred[None]:
        names = [name for name in self.settings.handlers if self.errors.get(name, "new")]
        found = self._on_pool(_import_all, names, self._registry)
        return found.addCallback(self._imported)

    def _imported(self, found: tuple[dict[str, str], FrozenRegistry, dict[str, str]]) -> None:
        errors, self._registry, self._hashes = found
        self._is_ready = True
        for name in self.settings.handlers:
            key = ("agent", self.name, name)
            if name in errors:
                text = f"[agent {self.name}] Handlers: {name} cannot be imported: {errors[name]}"
                self._faults.fault(key, text)
            else:
                self._faults.cleared(key, f"[agent {self.name}] Handlers: {name} is imported")
            self.errors[name] = errors.get(name, "")
        self.errors = {name: why for name, why in self.errors.items() if why}
        if self.errors and not self._is_stopping:
            self._clock.later(IMPORT_AGAIN_S, self._import_again)

    def _import_again(self) -> None:
        self._clock.background(self._import(), f"importing the handlers of agent {self.name}")

    def _bring(self, version: Version) -> Deferred[None]:
        """The code that the version brings is imported; once, before its first resource."""
        waiting: Deferred[None] = Deferred()
        brought = self._brought.get(version.number)
        if brought is None:
            brought = self._brought[version.number] = self._on_pool(self._load, version.code)
            brought.addCallbacks(
                self._loaded, self._not_loaded, (version.number,), {}, (version.number,), {}
            )

        def pass_on(result: None) -> None:
            waiting.callback(None)

        brought.addCallback(pass_on)
        return waiting

    def _load(self, code: Any) -> tuple[FrozenRegistry, dict[str, str]]:
        found = load_wheels(code, self._read_blob)
        return found, found.handler_hashes()

    def _loaded(self, found: tuple[FrozenRegistry, dict[str, str]], number: int) -> None:
        self._by_version[number] = found
        while len(self._by_version) > MOST_CODES:
            oldest = next(iter(self._by_version))
            del self._by_version[oldest], self._brought[oldest]  # it may be brought again
        _log.info("agent {agent} has the code of version {n}", agent=self.name, n=number)

    def _not_loaded(self, failure: Failure, number: int) -> None:
        """Its handlers stay as they are, and say themselves whether they fit."""
        text = f"agent {self.name}: the code of version {number} cannot be loaded: {told(failure)}"
        self._faults.fault(("agent", self.name, "code"), text)

    def _tick(self) -> Deferred[None] | None:
        return self._on_pool(self._cache.tick) if len(self._cache) else None

    def _on_pool(self, f: Callable[..., Any], *a: Any) -> Deferred[Any]:
        done = self._threads.to_pool(self._pool, f, *a)
        return done.addErrback(self._at_the_end)

    def _at_the_end(self, failure: Failure) -> Any:
        if self._is_stopping and failure.check(ShutdownRequested) is not None:
            return None
        return failure


def _run(run: ResourceRun) -> Json:
    return run.run().as_json()


def _import_all(
    names: list[str], before: FrozenRegistry
) -> tuple[dict[str, str], FrozenRegistry, dict[str, str]]:
    """Import these; why not, by name; what is registered then; and the hashes of the handlers."""
    errors = {}
    for name in names:
        found = attempt(import_module, name)
        if isinstance(found, Failure):
            errors[name] = told(found)
    frozen = classes.frozen()
    return errors, frozen, frozen.handler_hashes()

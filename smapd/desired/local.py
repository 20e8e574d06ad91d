"""A whole deployment in this process, without a daemon: for tests, tools and small programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final

from smapd.errors import BadModel
from smapd.runtime.program import Mailbox, ProgramThread, seconds, spawn
from smapd.values import Json, wall_ms

from . import registry as classes
from .cache import AgentCache, Seconds
from .deploy import Deployment
from .ids import Id
from .perform import AgentSide, ResourceResult, ResourceRun, Task
from .registry import FrozenRegistry
from .resources import Resource
from .states import Action, Settled

THREADS: Final = 4
TIME_LIMIT_S: Final = 300.0


def deploy(
    resources: Iterable[Resource | Mapping[str, Json]],
    requires: Mapping[Any, Iterable[Any]] | None = None,
    version: int = 1,
    *,
    dry_run: bool = False,
    threads: int = THREADS,
    time_limit_s: float = TIME_LIMIT_S,
    registry: FrozenRegistry | None = None,
    agents: MutableMapping[str, AgentSide] | None = None,
    files: Mapping[str, bytes] | None = None,
    device: str = "",
    clock: Seconds | None = None,
) -> dict[str, ResourceResult]:
    """Bring these resources about, each behind what it requires; what came of each, by id.

    Blocks until all is done; handlers run on ``threads`` threads of their own. ``requires``: for a
    resource, or its id, what it needs beside what its own ``requires`` says. ``agents``: what the
    handlers of each agent share, made here for names that are missing, and for the caller to keep
    and close; without it, all ends with the deployment. ``files``: the bytes behind
    ``handler.get_file``, by sha256 and name, as ``Export.contents()`` has them. ``device``: the
    field that names a resource's device; of one device one runs at a time. A handler that takes
    longer than ``time_limit_s`` has failed, and its thread is left to itself.

    The ids that come back are without version.

    :raises BadModel: for a double id, an unknown requirement or a ring; nothing has run then.
    """
    if not threads >= 1 or not time_limit_s > 0:
        raise ValueError(f"deploy takes threads >= 1 and a limit > 0 s: {threads}, {time_limit_s}")
    told = _told(resources, requires or {}, version)
    deployment = Deployment(
        told,
        version,
        dry_run=dry_run,
        device_of=None if not device else lambda one: _device(one, device),
    )
    shared: MutableMapping[str, AgentSide] = agents if agents is not None else {}
    known = files or {}
    for name in deployment.agents():
        if name not in shared:
            shared[name] = AgentSide(name, AgentCache(clock), lambda hash_id, _: known.get(hash_id))
    for name in deployment.agents():
        shared[name].cache.open_version(version)
    action = Action.DRY_RUN if dry_run else Action.DEPLOY
    try:
        return _Local(deployment, shared, registry, action, threads, time_limit_s).run()
    finally:
        for name in deployment.agents():
            shared[name].cache.close_version(version)
        if agents is None:
            for side in shared.values():
                side.cache.close()


class _Local:
    """The threads of one ``deploy``, and what is under way on them."""

    def __init__(
        self,
        deployment: Deployment,
        agents: Mapping[str, AgentSide],
        registry: FrozenRegistry | None,
        action: Action,
        threads: int,
        time_limit_s: float,
    ) -> None:
        self._deployment, self._agents, self._action = deployment, agents, action
        self._registry = registry if registry is not None else classes.frozen()
        self._threads, self._time_limit_s = threads, time_limit_s
        self._work: Mailbox[ResourceRun | None] = Mailbox()
        self._came: Mailbox[tuple[ResourceRun, ResourceResult]] = Mailbox()
        self._open: dict[ResourceRun, float] = {}
        self._workers: list[ProgramThread] = []
        self._results: dict[str, ResourceResult] = {}

    def run(self) -> dict[str, ResourceResult]:
        try:
            self._begin()
            while self._open:
                self._take_one()
                self._begin()
        finally:
            for _ in self._workers:
                self._work.put(None)
        return {name: self._results[name] for name in self._deployment.resources}

    def _begin(self) -> None:
        room = self._threads - len(self._open)
        for name in self._deployment.take(limit=room):
            changed = self._deployment.dependency_changed(name)
            resource = self._deployment.resources[name]
            task = Task(resource, self._action, dependency_changed=changed)
            side = self._agents[Id.parse_id(name).agent_name]
            started = ResourceRun(task, self._registry, side)
            self._open[started] = seconds() + self._time_limit_s
            if len(self._workers) < self._threads and len(self._workers) < len(self._open):
                self._hire()
            self._work.put(started)

    def _hire(self) -> None:
        self._workers.append(spawn(f"deploy-{len(self._workers) + 1}", self._serve))

    def _serve(self) -> None:
        while True:
            started = self._work.take()
            if started is None:
                return
            result = started.run()
            if started.is_abandoned:  # another thread has taken this one's place
                return
            self._came.put((started, result))

    def _take_one(self) -> None:
        due_s = min(self._open.values())
        try:
            ended, result = self._came.take(due_s - seconds())
        except TimeoutError:
            now_s = seconds()
            for late in [one for one, at_s in self._open.items() if at_s <= now_s]:
                reason = f"It took longer than the {self._time_limit_s:g} s that it may take."
                self._settle(late, late.abandon(reason))
                self._hire()
            return
        if ended in self._open:
            self._settle(ended, result)

    def _settle(self, ended: ResourceRun, result: ResourceResult) -> None:
        del self._open[ended]
        self._results[result.resource] = result
        settled = self._deployment.settle(result.resource, result.status, result.change)
        for skipped in settled[1:]:
            self._results[skipped.id] = self._skipped(skipped)
        for side in self._agents.values():
            side.cache.tick()

    def _skipped(self, one: Settled) -> ResourceResult:
        now_ms = wall_ms()
        return ResourceResult(
            one.id,
            self._deployment.version,
            self._action,
            one.state,
            one.reason,
            began_ms=now_ms,
            ended_ms=now_ms,
        )


def _told(
    resources: Iterable[Resource | Mapping[str, Json]],
    requires: Mapping[Any, Iterable[Any]],
    version: int,
) -> Sequence[Mapping[str, Json]]:
    """The resources in JSON, of this version, with all that they require."""
    told: dict[str, dict[str, Json]] = {}
    problems: list[str] = []
    for one in resources:
        try:
            made = one.serialize() if isinstance(one, Resource) else dict(one)
            name = _name(made.get("id", ""))
        except ValueError as problem:
            problems.append(f"{problem}.")
            continue
        if name in told:
            problems.append(f"{name} is there twice: an id names one resource.")
        told[name] = {**made, "id": f"{name},v={version}"}
    for name, others in _named(requires, problems):
        if name not in told:
            problems.append(f"{name} requires something, but is not in the model.")
            continue
        told[name]["requires"] = [*told[name].get("requires", ()), *others]
    if problems:
        raise BadModel(problems)
    return list(told.values())


def _named(
    requires: Mapping[Any, Iterable[Any]], problems: list[str]
) -> Iterator[tuple[str, list[str]]]:
    for one, others in requires.items():
        some = [others] if isinstance(others, Resource | Id | str) else others
        try:
            yield _name(one), [_name(other) for other in some]
        except ValueError as problem:
            problems.append(f"In requires: {problem}.")


def _name(one: Any) -> str:
    """Its id without version.

    :raises ValueError: if that is no resource, id, or text of one.
    """
    if isinstance(one, Resource):
        return one.id.resource_str()
    return (one if isinstance(one, Id) else Id.parse_id(one)).resource_str()


def _device(resource: Mapping[str, Json], name: str) -> str:
    value = resource.get(name)
    return "" if value is None else f"{Id.parse_id(resource['id']).agent_name} {value}"

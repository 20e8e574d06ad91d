"""One run of one resource on an agent's thread: what is asked, what it is done with, what came.

A task in JSON, as it goes to an agent in another process::

    {"resource": {"id": …,v=N, "requires": […], field: value, …},
     "action": "deploy" | "dry_run" | "facts",
     "handler": "sha256 of the handler's code that the model was made with, or ''",
     "dependency_changed": false}              whether to offer it to the handler's do_reload

Its result::

    {"resource": "std::File[edge,path=/etc/motd]", "version": 3, "action": "deploy",
     "status": "deployed" | "dry" | "skipped" | "failed" | "unavailable",
     "reason": "a sentence where it is not deployed or dry", "change": "nochange" | …,
     "changes": {field: {"current": …, "desired": …}}, "facts": {name: value},
     "logs": [{"ms", "level", "message", "template", "kwargs"}],
     "began_ms": …, "ended_ms": …}
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from twisted.python.failure import Failure

from smapd.runtime import attempt
from smapd.values import Json, wall_ms

from .cache import AgentCache
from .context import HandlerContext, LogRecord
from .handler import CRUDHandler, SkipResource, told
from .ids import Id
from .registry import FrozenRegistry
from .resources import Resource
from .states import Action, Change, ResourceState

HANGS: Final = (
    "Its handler has not come back since it went past its time limit; it is not begun once more"
    " beside that."
)
_WELL: Final = (ResourceState.DEPLOYED, ResourceState.DRY)


@dataclass(frozen=True, slots=True)
class Task:
    """What an agent is asked to do. ``resource``: in JSON. ``handler``: "" for any code."""

    resource: Mapping[str, Json]
    action: Action = Action.DEPLOY
    handler: str = ""
    dependency_changed: bool = False

    def as_json(self) -> dict[str, Json]:
        """As it goes to an agent elsewhere."""
        return {
            "resource": dict(self.resource),
            "action": str(self.action),
            "handler": self.handler,
            "dependency_changed": self.dependency_changed,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Json]) -> Self:
        """:raises ValueError: if it is none."""
        resource = told.get("resource") if isinstance(told, Mapping) else None
        if not isinstance(resource, Mapping):
            raise ValueError("a task is an object with a resource")
        return cls(
            resource,
            Action(told.get("action", "deploy")),
            str(told.get("handler", "")),
            bool(told.get("dependency_changed", False)),
        )


@dataclass(frozen=True, slots=True)
class ResourceResult:
    """What came of a task. ``resource``: its id without version; all values are plain JSON."""

    resource: str
    version: int
    action: Action
    status: ResourceState
    reason: str = ""
    change: Change = Change.NOCHANGE
    changes: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)
    logs: tuple[LogRecord, ...] = ()
    began_ms: int = 0
    ended_ms: int = 0

    @property
    def was_looked_at(self) -> bool:
        """Whether its current state is known: what ``changes`` says of it holds only then."""
        return self.status in _WELL

    def as_json(self) -> dict[str, Json]:
        """As it is stored and served."""
        return {
            "resource": self.resource,
            "version": self.version,
            "action": str(self.action),
            "status": str(self.status),
            "reason": self.reason,
            "change": str(self.change),
            "changes": {name: dict(change) for name, change in self.changes.items()},
            "facts": dict(self.facts),
            "logs": [record.as_json() for record in self.logs],
            "began_ms": self.began_ms,
            "ended_ms": self.ended_ms,
        }


class AgentSide:
    """What the handlers of one agent share: its name, its cache, the files of the model.

    ``files``: gives the bytes of a sha256, or of a name in a version, None if it has none; called
    on the agent's threads.
    ``services``: what else the daemon has for handlers, by name. ``on_log``: called with each log
    record and its resource's id as it is written, on the agent's threads.
    """

    def __init__(
        self,
        name: str,
        cache: AgentCache | None = None,
        files: Callable[[str, int], bytes | None] | None = None,
        services: Mapping[str, Any] | None = None,
        on_log: Callable[[str, LogRecord], None] | None = None,
    ) -> None:
        self.name = name
        self.cache = cache if cache is not None else AgentCache()
        self.services: Mapping[str, Any] = services if services is not None else {}
        self.on_log = on_log
        self._files = files

    def get_file(self, hash_id: str, version: int) -> bytes | None:
        """The bytes of that sha256, or that name in the version; None if there are none."""
        return self._files(hash_id, version) if self._files is not None else None


class ResourceRun:
    """A task on its way. ``run`` on an agent's thread; ``abandon`` from any other.

    The first of the two to end has the say.
    """

    def __init__(
        self,
        task: Task,
        registry: FrozenRegistry,
        agent: AgentSide,
        *,
        hashes: Mapping[str, str] | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """``hashes``: ``registry.handler_hashes()``, so that not every run reads the code anew.

        :raises ValueError: if the task's resource has no sound id.
        """
        self.task = task
        self.id = Id.parse_id(task.resource["id"])
        self.is_abandoned = False
        self._registry, self._agent, self._hashes = registry, agent, hashes
        self._now_ms = now_ms
        self._ctx: HandlerContext | None = None
        self._began_ms = now_ms()

    def run(self) -> ResourceResult:
        """Do it; raises nothing. After ``abandon`` its result is of no account."""
        self._began_ms = self._now_ms()
        if self.is_abandoned:  # while it waited for a thread
            return self._result(ResourceState.FAILED)
        result = attempt(self._run)
        if isinstance(result, Failure):
            ctx, why = self._context(None), told(result)
            if isinstance(result.value, SkipResource):
                ctx.warning("It is skipped: %(reason)s", reason=str(result.value))
                return self._result(ResourceState.SKIPPED, str(result.value) or why)
            ctx.exception("%(exception)s", exc_info=result.value, exception=why)
            return self._result(ResourceState.FAILED, why)
        return result

    def abandon(self, reason: str) -> ResourceResult:
        """It does not come to an end: it failed for this reason, with the log so far.

        The thread that runs it goes on by itself.
        """
        self.is_abandoned = True
        return self._result(ResourceState.FAILED, reason)

    def refuse(self, reason: str) -> ResourceResult:
        """It is not begun at all: it failed for this reason."""
        self._began_ms = self._now_ms()
        self._context(None).error("%(reason)s", reason=reason)
        return self._result(ResourceState.FAILED, reason)

    # --- on the agent's thread

    def _run(self) -> ResourceResult:
        name = self.id.entity_type
        found = self._registry.providers.get(name)
        if found is None:
            return self._unavailable(f"Agent {self._agent.name} has no handler for {name}.")
        wanted = self.task.handler
        if wanted:
            here = self._hashes if self._hashes is not None else self._registry.handler_hashes()
            if here.get(name, wanted) != wanted:
                return self._unavailable(
                    f"The handler for {name} that agent {self._agent.name} has is not the one that"
                    " the model was made with: bring both to one version."
                )
        if name not in self._registry.resources:
            return self._unavailable(f"Agent {self._agent.name} has no class for {name}.")
        resource = Resource.deserialize(self.task.resource, self._registry)
        ctx = self._context(resource)
        handler = _made(found.cls, self._agent)
        handler._agent, handler._version = self._agent, self.id.version
        try:
            if not handler.available(resource):
                return self._unavailable(f"The handler {found.name} is not available for it.")
            if self.task.action is Action.FACTS:
                handler.check_facts(ctx, resource)
                return self._result(ResourceState.DRY)
            handler.execute(ctx, resource, ctx.is_dry_run())
            status = ctx.status or ResourceState.FAILED
            changed = status is ResourceState.DEPLOYED and self.task.dependency_changed
            if changed and handler.can_reload():
                ctx.debug("Reloading it: something that it requires changed.")
                handler.do_reload(ctx, resource)
        finally:
            closed = attempt(handler.close)
            if isinstance(closed, Failure):
                ctx.exception("close failed: %(why)s", exc_info=closed.value, why=told(closed))
        return self._result(status, ctx.reason)

    def _context(self, resource: Resource | None) -> HandlerContext:
        if self._ctx is None:
            self._ctx = HandlerContext(
                resource,
                self.task.action is Action.DRY_RUN,
                on_log=self._log if self._agent.on_log is not None else None,
                now_ms=self._now_ms,
            )
        return self._ctx

    def _log(self, record: LogRecord) -> None:
        if self._agent.on_log is not None and not self.is_abandoned:
            self._agent.on_log(self.id.resource_str(), record)

    def _unavailable(self, reason: str) -> ResourceResult:
        self._context(None).error("%(reason)s", reason=reason)
        return self._result(ResourceState.UNAVAILABLE, reason)

    def _result(self, status: ResourceState, reason: str = "") -> ResourceResult:
        ctx = self._ctx
        return ResourceResult(
            resource=self.id.resource_str(),
            version=self.id.version,
            action=self.task.action,
            status=status,
            reason=reason,
            change=ctx.change if ctx is not None else Change.NOCHANGE,
            changes=ctx.changes if ctx is not None else {},
            facts=ctx.facts if ctx is not None else {},
            logs=tuple(ctx.logs) if ctx is not None else (),
            began_ms=self._began_ms,
            ended_ms=self._now_ms(),
        )


def _made(cls: type[CRUDHandler], agent: AgentSide) -> CRUDHandler:
    """A handler; its own ``__init__`` may take (agent, io), (agent) or nothing."""
    if cls.__init__ is CRUDHandler.__init__:
        return cls(agent)
    signature = inspect.signature(cls)
    for given in ((agent, None), (agent,), ()):
        try:
            signature.bind(*given)
        except TypeError:
            continue
        return cls(*given)
    raise TypeError(f"{cls.__qualname__} is made with (agent, io), (agent) or nothing")

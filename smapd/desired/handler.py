"""Handlers: the code that brings a resource of one type into its desired state.

What ``execute`` does, in this order:

1. ``pre``.
2. ``read_resource`` with a copy of the desired resource, whose ``purged`` is False: the method sets
   on it what it finds, or raises ``ResourcePurged`` if there is nothing.
3. ``calculate_diff``: the fields in which the two differ. A field that is desired as None differs
   never. ``ResourcePurged`` here means the same as above.
4. One of ``create_resource`` (it is not, and should be), ``delete_resource`` (it is, and should not
   be), ``update_resource`` (it is, and differs), or nothing. In a dry run nothing.
5. ``post``, always; if it fails, that is logged, and the outcome stays.

What a method raises decides the outcome: ``SkipResource`` skips the resource, all else fails it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from twisted.python.failure import Failure

from smapd.errors import BadModel
from smapd.runtime import attempt
from smapd.values import Json

from . import registry as classes
from .cache import AgentCache
from .context import HandlerContext
from .ids import Id
from .jsonable import text_of
from .registry import Provider
from .resources import Resource
from .states import ResourceState

H = TypeVar("H", bound="type[CRUDHandler]")

_PURGED = "purged"


class SkipResource(Exception):
    """Leave this resource for now, for this reason; raised by a handler."""


class ResourcePurged(Exception):
    """The resource does not exist; raised by ``read_resource`` or ``calculate_diff``."""


class IAgentSide(Protocol):
    """What a handler has of its agent: ``perform.AgentSide`` is one."""

    @property
    def name(self) -> str:
        """The agent's name in the resources' ids."""

    @property
    def cache(self) -> AgentCache:
        """Shared by all of its handlers."""

    def get_file(self, hash_id: str, version: int) -> bytes | None:
        """The bytes of that sha256, or of that name in that version; None if there are none."""


class CRUDHandler:
    """Base of every handler; one is made for each run of a resource, and closed after it.

    Override the four methods ``…_resource``; the others as needed. They run on one of the agent's
    threads, and may block as long as the agent's time limit allows.
    """

    _agent: IAgentSide | None = None
    _own_cache: AgentCache | None = None
    _version = 0

    def __init__(self, agent: IAgentSide | None = None, io: Any = None) -> None:
        """``agent``: None where there is none, as in a test. ``io``: not used."""
        self._agent = agent

    # --- to override

    def pre(self, ctx: HandlerContext, resource: Resource) -> None:
        """Called before anything else."""

    def post(self, ctx: HandlerContext, resource: Resource) -> None:
        """Called after everything else, whatever happened."""

    def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """Set on ``resource``, a copy of the desired one, what it really is.

        :raises ResourcePurged: if it does not exist.
        """
        raise self._missing("read_resource")

    def create_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """Make it; then call ``ctx.set_created``."""
        raise self._missing("create_resource")

    def update_resource(
        self, ctx: HandlerContext, changes: dict[str, dict[str, Any]], resource: Any
    ) -> None:
        """Change it as ``{field: {"current": …, "desired": …}}``; then ``ctx.set_updated``."""
        raise self._missing("update_resource")

    def delete_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """Take it away; then call ``ctx.set_purged``."""
        raise self._missing("delete_resource")

    def calculate_diff(
        self, ctx: HandlerContext, current: Any, desired: Any
    ) -> dict[str, dict[str, Any]]:
        """The fields in which the two differ, as ``{field: {"current": …, "desired": …}}``."""
        return self._diff(current, desired)

    def facts(self, ctx: HandlerContext, resource: Any) -> Mapping[str, Any]:
        """What is worth knowing about the resource, by name."""
        return {}

    def available(self, resource: Any) -> bool:
        """Whether this handler can deal with the resource here; if not, it is unavailable."""
        return True

    def can_reload(self) -> bool:
        """Whether ``do_reload`` is wanted when something that the resource requires changed."""
        return False

    def do_reload(self, ctx: HandlerContext, resource: Any) -> None:
        """Something that it requires changed: take notice. After a deploy that went well."""

    def close(self) -> None:
        """The handler is not used any more."""

    # --- to use

    @property
    def cache(self) -> AgentCache:
        """The agent's; one of its own where there is no agent."""
        if self._agent is not None:
            return self._agent.cache
        if self._own_cache is None:
            self._own_cache = AgentCache()
        return self._own_cache

    def set_cache(self, cache: AgentCache) -> None:
        """Use this one where there is no agent; for tests."""
        self._own_cache = cache

    def get_file(self, hash_id: str) -> bytes | None:
        """The bytes that the model uploaded, by their sha256 or their name; None if there are none.

        Blocks while they come from elsewhere.
        """
        return None if self._agent is None else self._agent.get_file(hash_id, self._version)

    # --- to call

    def execute(self, ctx: HandlerContext, resource: Resource, dry_run: bool | None = None) -> None:
        """Bring ``resource`` about; ``ctx`` has the outcome. Raises nothing.

        ``dry_run``: only find what differs; as ``ctx`` says if None.
        """
        is_dry = ctx.is_dry_run() if dry_run is None else dry_run
        result = attempt(self._execute, ctx, resource, is_dry)
        if not isinstance(result, Failure):
            ctx.set_status(ResourceState.DRY if is_dry else ResourceState.DEPLOYED)
        elif isinstance(result.value, SkipResource):
            reason = text_of(result.value) or "its handler gives no reason"
            ctx.set_status(ResourceState.SKIPPED, reason)
            ctx.warning(
                "%(resource_id)s is skipped: %(reason)s",
                resource_id=str(resource.id),
                reason=reason,
            )
        else:
            ctx.set_status(ResourceState.FAILED, told(result))
            ctx.exception(
                "%(resource_id)s failed: %(exception)s",
                exc_info=result.value,
                resource_id=str(resource.id),
                exception=told(result),
            )
        if ctx.spoiled and ctx.status is not ResourceState.FAILED:
            ctx.set_status(ResourceState.FAILED, ctx.spoiled)
            ctx.error("%(reason)s", reason=ctx.spoiled)
        self._after(ctx, resource)

    def check_facts(self, ctx: HandlerContext, resource: Resource) -> dict[str, Json]:
        """What is found out about ``resource``, by name: ``facts`` between ``pre`` and ``post``.

        What ``set_fact`` was told is among them. Raises what ``pre`` or ``facts`` raise.
        """
        try:
            self.pre(ctx, resource)
            found = self.facts(ctx, resource) or {}
            for name, value in dict(found).items():
                ctx.set_fact(name, value)
        finally:
            self._after(ctx, resource)
        return ctx.facts

    # --- inside

    def _execute(self, ctx: HandlerContext, desired: Resource, is_dry: bool) -> None:
        self.pre(ctx, desired)
        has_purged = _PURGED in type(desired).fields
        wants_purged = has_purged and bool(getattr(desired, _PURGED))
        current = desired.clone(purged=False) if has_purged else desired.clone()
        try:
            ctx.debug("Reading the current state.")
            self.read_resource(ctx, current)
            changes = dict(self.calculate_diff(ctx, current, desired) or {})
        except ResourcePurged:
            changes = {}
            if not wants_purged:
                changes[_PURGED] = {"current": True, "desired": False}
        ctx.update_changes(changes)
        if is_dry:
            return
        if _PURGED in changes:
            if wants_purged:
                ctx.debug("Deleting it.")
                self.delete_resource(ctx, desired)
            else:
                ctx.debug("Creating it.")
                self.create_resource(ctx, desired)
        elif changes and not wants_purged:
            ctx.debug("Updating it.", changes=changes)
            self.update_resource(ctx, changes, desired)

    def _diff(self, current: Resource, desired: Resource) -> dict[str, dict[str, Any]]:
        changes = {}
        for name in type(desired).fields:
            wanted = getattr(desired, name)
            found = getattr(current, name)
            if wanted is not None and found != wanted:
                changes[name] = {"current": found, "desired": wanted}
        return changes

    def _after(self, ctx: HandlerContext, resource: Resource) -> None:
        result = attempt(self.post, ctx, resource)
        if isinstance(result, Failure):
            ctx.exception(
                "post failed for %(resource_id)s: %(exception)s",
                exc_info=result.value,
                resource_id=str(resource.id),
                exception=told(result),
            )

    def _missing(self, name: str) -> NotImplementedError:
        return NotImplementedError(
            f"the handler {type(self).__qualname__} has no {name}, and it is needed here"
        )


def provider(type_name: str, name: str = "") -> Callable[[H], H]:
    """Register a subclass of ``CRUDHandler`` for the resources of type ``type_name``.

    ``name``: of the handler, for the log. The newest registration for a type is the one used.

    :raises BadModel: if that is no type's name, or the class is no handler.
    """

    def register(cls: H) -> H:
        if not (isinstance(cls, type) and issubclass(cls, CRUDHandler)):
            raise BadModel(f"@provider({type_name!r}): {cls!r} is not a subclass of CRUDHandler.")
        classes.add_provider(Provider(type_name, name or cls.__name__, cls))
        return cls

    try:
        Id(type_name, "agent", "attribute", "value")
    except ValueError as problem:
        raise BadModel(f"@provider({type_name!r}): {problem}.") from None
    return register


def told(failure: Failure) -> str:
    """A foreign exception in a few words, for the operator."""
    problem = failure.value
    text = " ".join(text_of(problem, 1000).split())
    return f"{type(problem).__name__}{': ' * bool(text)}{text}"

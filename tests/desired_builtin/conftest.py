"""The resources that come with smapd, registered for each test here and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import smapd.desired.builtin.handlers  # noqa: F401
from smapd.desired import (
    AgentSide,
    Exporter,
    HandlerContext,
    Resource,
    ResourceResult,
    ResourceState,
    deploy,
    registry,
)

BUILTIN = registry.frozen()
NAMES = ("std::File", "smap::Actuator", "smap::Report")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = registry.frozen()
    registry.clear()
    for name in NAMES:
        registry.add_resource(BUILTIN.resources[name])
        registry.add_provider(BUILTIN.providers[name])
    yield
    registry.clear()
    for kind in before.resources.values():
        registry.add_resource(kind)
    for provider in before.providers.values():
        registry.add_provider(provider)


def brought_about(*entities: Any, dry_run: bool = False) -> ResourceResult:
    """Export the entities, deploy them in memory, and what came of the last one."""
    export = Exporter().run(entities, 1)
    results = deploy(export.resources, export.requires, 1, files=export.contents(), dry_run=dry_run)
    return list(results.values())[-1]


def run(entity: Any, side: AgentSide, *, dry_run: bool = False) -> HandlerContext:
    """What the handler of one entity does, on this thread; its context."""
    (resource,) = Exporter().run([entity], 1).resources
    return run_resource(resource, side, dry_run=dry_run)


def run_resource(resource: Resource, side: AgentSide, *, dry_run: bool = False) -> HandlerContext:
    ctx = HandlerContext(resource, dry_run)
    handler = registry.frozen().providers[resource.id.entity_type].cls(side)
    assert handler.available(resource)
    handler.execute(ctx, resource)
    return ctx


def failed(ctx: HandlerContext | ResourceResult, reason: str) -> None:
    assert ctx.status is ResourceState.FAILED
    assert ctx.reason == f"NotDone: {reason}"

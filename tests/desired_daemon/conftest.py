"""The desired state of a daemon on fake time: real store, blobs, dispatcher and agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smapd.desired import CRUDHandler, PurgeableResource, ResourcePurged, provider, registry
from smapd.desired import resource as resource_type
from smapd.desired.actions import AgentLogs
from smapd.desired.agents import EmbeddedAgent
from smapd.desired.blobs import Blobs
from smapd.desired.options import AgentSettings, Limits
from smapd.desired.orchestrator import Orchestrator
from smapd.desired.store import POOL, Store
from smapd.runtime import PoolSize
from smapd.testing import FakeRuntime


class World:
    """What the handlers act on: name -> level. ``asked``: (method, name), in order."""

    def __init__(self) -> None:
        self.lamps: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self.broken: dict[str, Exception] = {}
        self.before: Callable[[str], None] = lambda name: None
        self.found_out: dict[str, Any] = {}


def register(world: World) -> None:
    """``test::Lamp[agent,name=…]`` with a level, kept in that world."""

    @resource_type("test::Lamp", agent="host", id_attribute="name")
    class Lamp(PurgeableResource):
        fields = ("name", "level", "bus")

    @provider("test::Lamp", name="lamps")
    class LampHandler(CRUDHandler):
        def read_resource(self, ctx: Any, resource: Any) -> None:
            world.asked.append(("read", resource.name))
            world.before(resource.name)
            for name, value in world.found_out.items():
                ctx.set_fact(name, value)
            if resource.name in world.broken:
                raise world.broken[resource.name]
            if resource.name not in world.lamps:
                raise ResourcePurged
            resource.level = world.lamps[resource.name]

        def create_resource(self, ctx: Any, resource: Any) -> None:
            world.asked.append(("create", resource.name))
            world.lamps[resource.name] = resource.level
            ctx.info("Made %(name)s", name=resource.name)
            ctx.set_created()

        def update_resource(self, ctx: Any, changes: Any, resource: Any) -> None:
            world.asked.append(("update", resource.name))
            world.lamps[resource.name] = resource.level
            ctx.set_updated()

        def delete_resource(self, ctx: Any, resource: Any) -> None:
            world.asked.append(("delete", resource.name))
            del world.lamps[resource.name]
            ctx.set_purged()

        def facts(self, ctx: Any, resource: Any) -> Any:
            if "facts" in world.broken:
                raise world.broken["facts"]
            return {"color": "red"}


def lamp(
    name: str, level: int = 1, *, requires: tuple[str, ...] = (), agent: str = "edge", **more: Any
) -> dict[str, Any]:
    """One resource as it is posted."""
    return {
        "id": f"test::Lamp[{agent},name={name}]",
        "requires": [lamp_id(other) for other in requires],
        "name": name,
        "level": level,
        "bus": None,
        "purged": False,
        "purge_on_delete": False,
        **more,
    }


def lamp_id(name: str, agent: str = "edge") -> str:
    return f"test::Lamp[{agent},name={name}]"


class Daemon:
    """One orchestrator with the agent ``edge`` on a data directory; may be made again there."""

    def __init__(self, home: Path, world: World, **settings: Any) -> None:
        self.home, self.world = home, world
        self.run = FakeRuntime(pools={POOL: PoolSize(kept=1, most=1)})
        self.store = Store(home, home / "quarantine")
        self.blobs = Blobs(home / "blobs", home / "quarantine")
        self.looked: list[tuple[Any, ...]] = []
        self.drifted: list[Any] = []
        self.desired = Orchestrator(
            self.store,
            self.blobs,
            AgentLogs(home / "log"),
            self.run.threads,
            self.run.clock,
            self.run.backoff(),
            self.run.faults,
            Limits(),
            looked=lambda *a: self.looked.append(a),
            drifted=self.drifted.append,
        )
        known = {"name": "edge", "names": frozenset({"edge"}), "repair_s": 600.0, **settings}
        self.agent = EmbeddedAgent(
            AgentSettings(**known),
            self.run.threads,
            self.run.clock,
            self.run.faults,
            self.blobs.get,
        )

    def start(self, *, with_agent: bool = True) -> None:
        if with_agent:
            result(self.agent.start())
            self.desired.add_agent(self.agent)
        result(Deferred.fromCoroutine(self.desired.start()))

    def stop(self) -> None:
        result(Deferred.fromCoroutine(self.desired.stop()))
        result(Deferred.fromCoroutine(self.desired.close()))
        self.run.clock.stop()

    def post(self, *resources: dict[str, Any], **more: Any) -> int:
        found: int = result(self.desired.add({"resources": list(resources), **more}, token=False))
        return found

    def deploy(self, *resources: dict[str, Any], dry_run: bool = False) -> int:
        n = self.post(*resources)
        found: int = result(self.desired.deploy(n, dry_run=dry_run, token=False))
        return found

    def deployed(self, d: int) -> dict[str, Any]:
        found: dict[str, Any] = result(self.desired.deployed(d, 0, 10_000))
        return found

    def statuses(self, d: int) -> dict[str, str]:
        """By the name of the lamp."""
        return {
            one["resource"].partition("name=")[2].rstrip("]"): one["status"]
            for one in self.deployed(d)["results"]
        }


def result(done: Deferred[Any]) -> Any:
    """What a Deferred has fired with; raises what it failed with."""
    found: list[Any] = []
    done.addBoth(found.append)
    assert found, "it has not fired"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


@pytest.fixture
def world() -> Iterator[World]:
    registry.clear()
    made = World()
    register(made)
    yield made
    registry.clear()


@pytest.fixture
def daemon(tmp_path: Path, world: World) -> Iterator[Any]:
    """Makes daemons on one directory: ``daemon(**settings of the agent)``; the first is stopped."""
    made: list[Daemon] = []

    def make(*, start: bool = True, with_agent: bool = True, **settings: Any) -> Daemon:
        for old in made:
            old.run.clock.stop()
            old.store.close()
        one = Daemon(tmp_path / "data", world, **settings)
        made.append(one)
        if start:
            one.start(with_agent=with_agent)
        return one

    yield make
    for old in made:
        old.run.clock.stop()
        old.store.close()

"""A deployment in this process."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from smapd.desired import (
    AgentCache,
    AgentSide,
    Change,
    CRUDHandler,
    HandlerContext,
    PurgeableResource,
    Resource,
    ResourceState,
    cache,
    deploy,
    provider,
    registry,
    resource,
)
from smapd.errors import BadModel

pytestmark = pytest.mark.real

WAIT_S = 20

Read = Callable[[CRUDHandler, HandlerContext, Any], None]


def lamp(name: str, agent: str = "bus", **fields: Any) -> Resource:
    kind = registry.resource_type("hall::Lamp")
    assert kind is not None
    made: Resource = kind.cls(f"hall::Lamp[{agent},name={name}]")
    for key, value in {"name": name, "purged": False, "level": 1, **fields}.items():
        setattr(made, key, value)
    return made


def id_of(name: str, agent: str = "bus") -> str:
    return f"hall::Lamp[{agent},name={name}]"


@pytest.fixture
def real() -> dict[str, int]:
    """The lamps as they are; a handler that reads and sets them is registered."""
    state: dict[str, int] = {}

    @resource("hall::Lamp", agent="bus.name", id_attribute="name")
    class Lamp(PurgeableResource):
        fields = ("name", "level", "bus")

    @provider("hall::Lamp", name="dict")
    class LampHandler(CRUDHandler):
        def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
            resource.level = state.setdefault(resource.name, 0)

        def update_resource(self, ctx: HandlerContext, changes: Any, resource: Any) -> None:
            state[resource.name] = resource.level
            ctx.set_updated()

    return state


def handle(read: Read) -> None:
    """Register a handler that does this and nothing else."""

    @resource("hall::Lamp", agent="bus.name", id_attribute="name")
    class Lamp(PurgeableResource):
        fields = ("name", "level", "bus")

    @provider("hall::Lamp", name="x")
    class LampHandler(CRUDHandler):
        def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
            read(self, ctx, resource)


def test_resources_are_brought_about_and_then_left_alone(real: dict[str, int]) -> None:
    """IM-17, IM-19"""
    lamps = [lamp(str(i), level=i) for i in range(20)]

    first = deploy(lamps, {}, 1)
    second = deploy(lamps, {}, 2)

    assert real == {str(i): i for i in range(20)}
    assert list(first) == [id_of(str(i)) for i in range(20)]
    assert {r.status for r in (*first.values(), *second.values())} == {ResourceState.DEPLOYED}
    assert [r.change for r in first.values()] == [Change.NOCHANGE, *[Change.UPDATED] * 19]
    assert {r.change for r in second.values()} == {Change.NOCHANGE}
    assert {r.version for r in second.values()} == {2}


def test_a_dry_run_does_nothing(real: dict[str, int]) -> None:
    """IM-23"""
    found = deploy([lamp("1")], {}, 1, dry_run=True)

    assert found[id_of("1")].status is ResourceState.DRY
    assert found[id_of("1")].changes == {"level": {"current": 0, "desired": 1}}
    assert real == {"1": 0}


def test_requirements_are_told_in_any_way(real: dict[str, int]) -> None:
    """IM-32"""
    a, b, c, d = (lamp(name) for name in "abcd")
    d.requires = {c.id}
    order: list[str] = []
    handle(lambda self, ctx, resource: order.append(resource.name))

    deploy([d.serialize(), c, b, a], {c: [b.id], b.id.resource_str(): a}, 1)

    assert order == ["a", "b", "c", "d"]


def test_what_requires_a_failed_one_is_skipped() -> None:
    """IM-22, IM-32, IM-35: also on another agent."""

    def read(self: Any, ctx: Any, resource: Any) -> None:
        if resource.name == "1":
            raise ValueError("grim")

    handle(read)
    first, second, third = lamp("1"), lamp("2", "far"), lamp("3")

    results = deploy([third, second, first], {second: [first], third: [second]}, 1)

    assert [r.status for r in results.values()] == [
        ResourceState.SKIPPED,
        ResourceState.SKIPPED,
        ResourceState.FAILED,
    ]
    assert results[id_of("2", "far")].reason == f"It requires {id_of('1')}, which is failed."


def test_one_without_a_handler_is_unavailable_and_the_rest_goes_on(real: dict[str, int]) -> None:
    """IM-33"""

    @resource("hall::Other", agent="a", id_attribute="b")
    class Other(Resource):
        fields = ()

    results = deploy([Other("hall::Other[x,b=1]"), lamp("1")], {}, 1)

    assert [r.status for r in results.values()] == [
        ResourceState.UNAVAILABLE,
        ResourceState.DEPLOYED,
    ]


def test_what_cannot_be_deployed_is_refused_before_anything_runs(real: dict[str, int]) -> None:
    """IM-34"""
    a, b = lamp("a"), lamp("b")
    cases: list[tuple[list[Any], dict[Any, Any], str]] = [
        ([a, b], {a: [b], b: [a]}, "A ring of requirements"),
        ([a], {a: [b]}, "not in the model"),
        ([a], {b: [a]}, "requires something, but is not in the model"),
        ([a, a], {}, "is there twice"),
        ([a], {"nonsense": []}, "'nonsense' is not the id"),
        ([{"x": 1}], {}, "'' is not the id"),
        ([lamp("c", level=object())], {}, "the field level of .* holds a value of type object"),
    ]
    for resources, requires, sentence in cases:
        with pytest.raises(BadModel, match=sentence):
            deploy(resources, requires, 1)
    assert real == {}
    with pytest.raises(ValueError, match="threads >= 1"):
        deploy([a], {}, 1, threads=0)


def test_independent_ones_run_side_by_side() -> None:
    together = threading.Barrier(4)
    handle(lambda self, ctx, resource: together.wait(WAIT_S) and None)

    results = deploy([lamp(str(i)) for i in range(4)], {}, 1, threads=4)

    assert {r.status for r in results.values()} == {ResourceState.DEPLOYED}


def test_of_one_device_one_runs_at_a_time() -> None:
    running: dict[str, int] = {}
    most: list[int] = []
    lock = threading.Lock()
    pause = threading.Event()

    def read(self: Any, ctx: Any, resource: Any) -> None:
        with lock:
            running[resource.bus] = running.get(resource.bus, 0) + 1
            most.append(running[resource.bus])
        pause.wait(0.01)
        with lock:
            running[resource.bus] -= 1

    handle(read)

    results = deploy([lamp(str(i), bus="ab"[i % 2]) for i in range(20)], {}, 1, device="bus")

    assert {r.status for r in results.values()} == {ResourceState.DEPLOYED}
    assert max(most) == 1


def test_a_handler_that_hangs_fails_and_the_rest_goes_on() -> None:
    release = threading.Event()

    def read(self: Any, ctx: Any, resource: Any) -> None:
        if resource.name == "1":
            ctx.info("begins to hang")
            release.wait(WAIT_S)

    handle(read)
    lamps = [lamp("1"), lamp("2"), lamp("3")]
    try:
        results = deploy(lamps, {lamps[1]: [lamps[0]]}, 1, threads=1, time_limit_s=0.2)
    finally:
        release.set()

    assert [r.status for r in results.values()] == [
        ResourceState.FAILED,
        ResourceState.SKIPPED,
        ResourceState.DEPLOYED,
    ]
    hung = results[id_of("1")]
    assert hung.reason == "It took longer than the 0.2 s that it may take."
    assert "begins to hang" in [record.message for record in hung.logs]


class Conn:
    closed = 0

    def close(self) -> None:
        self.closed += 1


def connecting(made: list[Conn]) -> None:
    class Base(CRUDHandler):
        @cache(timeout=120, ignore=["ctx"], call_on_delete=lambda c: c.close())
        def connect(self, ctx: Any, device: str, version: int) -> Conn:
            made.append(Conn())
            return made[-1]

        def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
            connection = self.connect(ctx, resource.bus, resource.id.version)
            assert connection.closed == 0

    @resource("hall::Lamp", agent="bus.name", id_attribute="name")
    class Lamp(PurgeableResource):
        fields = ("name", "level", "bus")

    provider("hall::Lamp", name="x")(Base)


def test_resources_of_a_version_share_a_connection_until_it_is_deployed() -> None:
    """IM-38, IM-41, IM-43: one a device and agent, closed once, also where the agents are kept."""
    made: list[Conn] = []
    connecting(made)
    lamps = [lamp(str(i), "xy"[i % 2], bus="ab"[i // 10]) for i in range(20)]
    kept: dict[str, AgentSide] = {}

    deploy(lamps, {}, 1)
    deploy(lamps, {}, 2, agents=kept)

    assert [c.closed for c in made] == [1] * 8
    assert sorted(kept) == ["x", "y"]
    assert [len(side.cache) for side in kept.values()] == [0, 0]


def test_a_timed_entry_outlives_the_deployment_where_the_agents_are_kept() -> None:
    """IM-38, IM-39"""
    clock = Clock()
    made: list[Conn] = []

    class Timed(CRUDHandler):
        @cache(timeout=120, call_on_delete=lambda c: c.close())
        def connect(self, device: str) -> Conn:
            made.append(Conn())
            return made[-1]

        def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
            self.connect(resource.bus)

    handle(lambda *_: None)
    provider("hall::Lamp", name="timed")(Timed)
    agents = {"bus": AgentSide("bus", AgentCache(clock))}

    deploy([lamp("1", bus="a")], {}, 1, agents=agents)
    deploy([lamp("2", bus="a")], {}, 2, agents=agents)
    clock.advance(120)
    deploy([lamp("3", bus="a")], {}, 3, agents=agents)

    assert [c.closed for c in made] == [1, 0]


def test_what_is_over_is_let_go_of_between_two_resources() -> None:
    """IM-43"""
    clock = Clock()
    made: list[Conn] = []
    seen: list[int] = []

    class Timed(CRUDHandler):
        @cache(timeout=120, call_on_delete=lambda c: c.close())
        def connect(self) -> Conn:
            made.append(Conn())
            return made[-1]

        def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
            if resource.name == "1":
                self.connect()
                clock.advance(120)
            seen.append(made[0].closed)

    handle(lambda *_: None)
    provider("hall::Lamp", name="timed")(Timed)
    first, second = lamp("1"), lamp("2")

    deploy([first, second], {second: [first]}, 1, clock=clock)

    assert seen == [0, 1]


def test_handlers_have_the_files() -> None:
    """IM-08"""
    seen: list[bytes | None] = []
    handle(lambda self, ctx, resource: seen.append(self.get_file("motd")))

    deploy([lamp("1")], {}, 1, files={"motd": b"hello"})

    assert seen == [b"hello"]


def test_the_handlers_are_those_of_the_beginning(real: dict[str, int]) -> None:
    """IM-13"""

    def read(self: Any, ctx: Any, resource: Any) -> None:
        registry.clear()

    handle(read)

    results = deploy([lamp(str(i)) for i in range(5)], {}, 1, threads=1)

    assert {r.status for r in results.values()} == {ResourceState.DEPLOYED}


def test_a_change_is_offered_to_what_requires_it(real: dict[str, int]) -> None:
    seen: list[str] = []
    kind = registry.frozen().providers["hall::Lamp"].cls

    @provider("hall::Lamp", name="reloading")
    class Reloading(kind):  # type: ignore[misc, valid-type]
        def can_reload(self) -> bool:
            return True

        def do_reload(self, ctx: HandlerContext, resource: Any) -> None:
            seen.append(resource.name)

    a, b, c = lamp("a"), lamp("b"), lamp("c", level=0)
    deploy([a, b, c], {b: [a], a: [c]}, 1)

    assert seen == ["b"]

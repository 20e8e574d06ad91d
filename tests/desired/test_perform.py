"""One run of a resource on an agent's thread."""

from typing import Any

import orjson
import pytest

from smapd.desired import (
    Action,
    AgentSide,
    Change,
    CRUDHandler,
    HandlerContext,
    LogRecord,
    Resource,
    ResourcePurged,
    ResourceResult,
    ResourceRun,
    ResourceState,
    SkipResource,
    Task,
    provider,
    registry,
    resource,
)

ID = "hall::Lamp[bus,name=l1]"


@pytest.fixture(autouse=True)
def lamp() -> type[Resource]:
    @resource("hall::Lamp", agent="bus.name", id_attribute="name")
    class Lamp(Resource):
        fields = ("name", "level")

    return Lamp


def handler(**methods: Any) -> type[CRUDHandler]:
    methods.setdefault("read_resource", lambda self, ctx, resource: None)
    return provider("hall::Lamp", name="x")(
        type("H", (CRUDHandler,), {"__module__": __name__, **methods})
    )


def told(**fields: Any) -> dict[str, Any]:
    return {"id": f"{ID},v=3", "requires": [], "name": "l1", "level": 1} | fields


def perform(task: Task | None = None, side: AgentSide | None = None) -> ResourceResult:
    times = iter(range(1000, 9000))
    side = side or AgentSide("bus")
    task = task or Task(told())
    return ResourceRun(task, registry.frozen(), side, now_ms=lambda: next(times)).run()


def test_the_result_says_what_was_done() -> None:
    """IM-26, IM-27"""

    def read_resource(self: Any, ctx: HandlerContext, resource: Any) -> None:
        resource.level = 2
        ctx.set_fact("seen", 2)

    def update_resource(self: Any, ctx: HandlerContext, changes: Any, resource: Any) -> None:
        ctx.info("set to %(level)s", level=resource.level)
        ctx.set_updated()

    handler(read_resource=read_resource, update_resource=update_resource)

    result = perform()

    as_json = result.as_json()
    assert orjson.loads(orjson.dumps(as_json)) == as_json
    logs = as_json.pop("logs")
    assert as_json == {
        "resource": ID,
        "version": 3,
        "action": "deploy",
        "status": "deployed",
        "reason": "",
        "change": "updated",
        "changes": {"level": {"current": 2, "desired": 1}},
        "facts": {"seen": 2},
        "began_ms": result.began_ms,
        "ended_ms": result.ended_ms,
    }
    assert 1000 <= result.began_ms < result.ended_ms
    assert logs[-1]["message"] == "set to 1"


def test_a_dry_run_says_whether_it_looked() -> None:
    """U-12: what it could not look at is no "nothing to change"."""

    def read_resource(self: Any, ctx: HandlerContext, resource: Any) -> None:
        if resource.level is None:
            raise SkipResource("no cable")
        resource.level = 2

    handler(read_resource=read_resource)

    looked = perform(Task(told(), Action.DRY_RUN))
    blind = perform(Task(told(level=None), Action.DRY_RUN))

    assert (looked.status, looked.was_looked_at) == (ResourceState.DRY, True)
    assert looked.changes == {"level": {"current": 2, "desired": 1}}
    assert looked.change is Change.NOCHANGE
    assert (blind.status, blind.was_looked_at) == (ResourceState.SKIPPED, False)
    assert blind.reason == "no cable"


def test_without_a_handler_it_is_unavailable() -> None:
    """IM-33"""
    result = perform()

    assert result.status is ResourceState.UNAVAILABLE
    assert result.reason == "Agent bus has no handler for hall::Lamp."
    assert result.logs[-1].message == result.reason
    assert not result.was_looked_at


def test_without_its_class_it_is_unavailable() -> None:
    handler()
    known = registry.FrozenRegistry(providers=registry.frozen().providers)

    result = ResourceRun(Task(told()), known, AgentSide("bus")).run()

    assert result.status is ResourceState.UNAVAILABLE
    assert result.reason == "Agent bus has no class for hall::Lamp."


def test_with_other_code_than_the_model_had_it_is_unavailable() -> None:
    """IM-14"""
    handler()
    here = registry.frozen().handler_hashes()["hall::Lamp"]

    same = perform(Task(told(), handler=here))
    other = perform(Task(told(), handler="0" * 64))

    assert same.status is ResourceState.DEPLOYED
    assert other.status is ResourceState.UNAVAILABLE
    assert "is not the one that the model was made with" in other.reason


def test_the_hashes_are_not_reckoned_for_each_run_if_given() -> None:
    handler()

    run = ResourceRun(
        Task(told(), handler="abc"),
        registry.frozen(),
        AgentSide("bus"),
        hashes={"hall::Lamp": "abc"},
    )

    assert run.run().status is ResourceState.DEPLOYED


def test_a_handler_may_say_it_is_not_available() -> None:
    handler(available=lambda self, resource: False)

    assert perform().status is ResourceState.UNAVAILABLE


def test_the_resource_knows_its_version() -> None:
    """IM-41"""
    seen: list[Any] = []
    handler(read_resource=lambda self, ctx, r: seen.append((r.id.version, self.cache, str(r.id))))
    side = AgentSide("bus")

    perform(side=side)

    assert seen == [(3, side.cache, f"{ID},v=3")]


@pytest.mark.parametrize(
    ("where", "raised", "status"),
    [
        ("__init__", ValueError("grim"), ResourceState.FAILED),
        ("available", ValueError("grim"), ResourceState.FAILED),
        ("available", SkipResource("grim"), ResourceState.SKIPPED),
        ("pre", SystemExit("grim"), ResourceState.FAILED),
        ("can_reload", ValueError("grim"), ResourceState.FAILED),
        ("do_reload", ValueError("grim"), ResourceState.FAILED),
    ],
)
def test_whatever_a_handler_raises_ends_in_a_result(
    where: str, raised: BaseException, status: ResourceState
) -> None:
    """IM-22"""

    def fails(*_: Any) -> Any:
        raise raised

    handler(**{"can_reload": lambda self: True, where: fails})

    result = perform(Task(told(), dependency_changed=True))

    assert result.status is status
    assert "grim" in result.reason
    assert "grim" in result.logs[-1].message


def test_a_resource_that_cannot_be_read_fails() -> None:
    handler()

    result = perform(Task({"id": f"{ID},v=3", "name": "x"}))

    assert result.status is ResourceState.FAILED
    assert "has no field level" in result.reason
    with pytest.raises(ValueError, match="is not the id"):
        ResourceRun(Task({"id": "x"}), registry.frozen(), AgentSide("bus"))


@pytest.mark.parametrize(
    "init",
    [
        lambda self: None,
        lambda self, agent: CRUDHandler.__init__(self, agent),
        lambda self, agent, io: CRUDHandler.__init__(self, agent, io),
        lambda self, agent, io=None: None,
        lambda self, *args, **kwargs: CRUDHandler.__init__(self, *args, **kwargs),
    ],
)
def test_a_handler_may_be_made_in_several_ways(init: Any) -> None:
    seen: list[Any] = []
    handler(__init__=init, read_resource=lambda self, ctx, r: seen.append(self._agent))
    side = AgentSide("bus")

    assert perform(side=side).status is ResourceState.DEPLOYED
    assert seen == [side]


def test_one_that_cannot_be_made_fails_with_a_sentence() -> None:
    handler(__init__=lambda self, a, b, c: None)

    result = perform()

    assert "is made with (agent, io), (agent) or nothing" in result.reason


def test_each_run_has_a_handler_of_its_own_and_it_is_closed() -> None:
    seen: list[Any] = []

    def close(self: Any) -> None:
        seen.append(self)
        raise ValueError("grim")

    handler(close=close)

    results = [perform(), perform()]

    assert [r.status for r in results] == [ResourceState.DEPLOYED] * 2
    assert len(set(map(id, seen))) == 2
    assert "close failed: ValueError: grim" in results[0].logs[-1].message


@pytest.mark.parametrize(
    ("changed", "can", "action", "reloaded"),
    [
        (True, True, Action.DEPLOY, True),
        (False, True, Action.DEPLOY, False),
        (True, False, Action.DEPLOY, False),
        (True, True, Action.DRY_RUN, False),
    ],
)
def test_a_change_of_a_requirement_is_offered_for_reload(
    changed: bool, can: bool, action: Action, reloaded: bool
) -> None:
    seen: list[Any] = []
    handler(can_reload=lambda self: can, do_reload=lambda self, ctx, r: seen.append(r))

    perform(Task(told(), action, dependency_changed=changed))

    assert bool(seen) is reloaded


def test_facts_alone_change_nothing() -> None:
    """IM-36"""
    calls: list[str] = []
    handler(
        pre=lambda self, ctx, r: calls.append("pre"),
        facts=lambda self, ctx, r: calls.append("facts") or {"ip": "10.0.0.1"},
        post=lambda self, ctx, r: calls.append("post"),
        read_resource=lambda self, ctx, r: calls.append("read"),
    )

    result = perform(Task(told(), Action.FACTS))

    assert calls == ["pre", "facts", "post"]
    assert result.facts == {"ip": "10.0.0.1"}
    assert result.status is ResourceState.DRY


def test_facts_that_fail_say_why() -> None:
    def facts(self: Any, ctx: Any, r: Any) -> Any:
        raise ResourcePurged

    handler(facts=facts)

    result = perform(Task(told(), Action.FACTS))

    assert (result.status, result.reason) == (ResourceState.FAILED, "ResourcePurged")


def test_each_log_record_is_told_at_once_with_its_resource() -> None:
    """IM-31"""
    seen: list[tuple[str, LogRecord]] = []
    handler(read_resource=lambda self, ctx, r: ctx.info("here"))

    perform(side=AgentSide("bus", on_log=lambda id_, record: seen.append((id_, record))))

    assert [(id_, record.message) for id_, record in seen] == [
        (ID, "Reading the current state."),
        (ID, "here"),
    ]


def test_one_that_hangs_is_abandoned_with_its_log_so_far() -> None:
    """What the thread says later is of no account."""
    seen: list[str] = []
    ended: list[ResourceResult] = []
    runs: list[ResourceRun] = []

    def read_resource(self: Any, ctx: HandlerContext, resource: Any) -> None:
        ctx.info("before")
        ended.append(runs[0].abandon("It took longer than 5 s."))
        ctx.info("after")

    handler(read_resource=read_resource)
    side = AgentSide("bus", on_log=lambda _, record: seen.append(record.message))
    runs.append(ResourceRun(Task(told()), registry.frozen(), side))

    runs[0].run()

    (result,) = ended
    assert (result.status, result.reason) == (ResourceState.FAILED, "It took longer than 5 s.")
    assert [record.message for record in result.logs][-1] == "before"
    assert "after" not in seen
    assert runs[0].is_abandoned


def test_one_may_be_abandoned_before_it_began() -> None:
    result = ResourceRun(Task(told()), registry.frozen(), AgentSide("bus")).abandon("stopped")

    assert (result.status, result.reason, result.logs) == (ResourceState.FAILED, "stopped", ())


def test_a_task_travels_as_json() -> None:
    task = Task(told(), Action.DRY_RUN, "abc", True)

    assert Task.from_json(orjson.loads(orjson.dumps(task.as_json()))) == task
    assert Task.from_json({"resource": told()}) == Task(told())


@pytest.mark.parametrize("wrong", [{}, {"resource": 3}, [], {"resource": {}, "action": "dance"}])
def test_what_is_no_task_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        Task.from_json(wrong)

"""What a handler's run does, and how it ends."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from smapd.desired import (
    AgentSide,
    Change,
    CRUDHandler,
    HandlerContext,
    Id,
    PurgeableResource,
    Resource,
    ResourcePurged,
    ResourceState,
    SkipResource,
)

METHODS = ("pre", "read_resource", "calculate_diff", "create_resource", "update_resource")
METHODS += ("delete_resource", "post")


class Lamp(PurgeableResource):
    fields = ("level", "mode")


class Plain(Resource):
    fields = ("level",)


class Device(CRUDHandler):
    """A handler on a dict: None is a lamp that does not exist."""

    def __init__(self, real: dict[str, Any] | None, **raises: BaseException) -> None:
        super().__init__()
        self.real, self.raises = real, raises
        self.calls: list[str] = []

    def note(self, name: str) -> None:
        self.calls.append(name)
        if name in self.raises:
            raise self.raises[name]

    def pre(self, ctx: HandlerContext, resource: Any) -> None:
        self.note("pre")

    def post(self, ctx: HandlerContext, resource: Any) -> None:
        self.note("post")

    def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
        self.note("read_resource")
        self.given = resource.clone()
        if self.real is None:
            raise ResourcePurged
        for name, value in self.real.items():
            setattr(resource, name, value)

    def calculate_diff(self, ctx: HandlerContext, current: Any, desired: Any) -> Any:
        self.note("calculate_diff")
        return super().calculate_diff(ctx, current, desired)

    def create_resource(self, ctx: HandlerContext, resource: Any) -> None:
        self.note("create_resource")
        ctx.set_created()

    def update_resource(self, ctx: HandlerContext, changes: Any, resource: Any) -> None:
        self.note("update_resource")
        self.changes = changes
        ctx.set_updated()

    def delete_resource(self, ctx: HandlerContext, resource: Any) -> None:
        self.note("delete_resource")
        ctx.set_purged()


def lamp(cls: type[Resource] = Lamp, **fields: Any) -> Resource:
    made = cls(Id.parse_id("hall::Lamp[bus,name=l1],v=1"))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def execute(handler: CRUDHandler, resource: Resource, dry_run: bool = False) -> HandlerContext:
    ctx = HandlerContext(resource, dry_run)
    handler.execute(ctx, resource, dry_run)
    return ctx


CREATE, UPDATE, DELETE = "create_resource", "update_resource", "delete_resource"

TABLE = [
    # what is, what is desired, what is called
    (None, {"purged": False, "level": 1}, CREATE),
    (None, {"purged": None, "level": 1}, CREATE),
    (None, {"purged": True, "level": 1}, None),
    ({"purged": True}, {"purged": False, "level": 1}, CREATE),
    ({"purged": True, "level": 2}, {"purged": False, "level": 1}, CREATE),
    ({"purged": True, "level": 2}, {"purged": True, "level": 1}, None),
    ({"level": 1}, {"purged": False, "level": 1}, None),
    ({"level": 2}, {"purged": False, "level": 1}, UPDATE),
    ({"level": 2}, {"purged": False, "level": None}, None),
    ({"level": None}, {"purged": False, "level": 1}, UPDATE),
    ({"level": 0}, {"purged": False, "level": False}, None),
    ({"level": 1}, {"purged": True, "level": 1}, DELETE),
    ({"level": 2}, {"purged": True, "level": 1}, DELETE),
    ({}, {"purged": True}, DELETE),
    ({}, {"purged": False}, None),
]


@pytest.mark.parametrize(("real", "wanted", "called"), TABLE)
def test_one_of_the_three_or_none_is_called(
    real: dict[str, Any] | None, wanted: dict[str, Any], called: str | None
) -> None:
    """IM-15 to IM-21, IM-25: the decision table."""
    handler = Device(real)

    ctx = execute(handler, lamp(**wanted))

    assert [name for name in handler.calls if name in (CREATE, UPDATE, DELETE)] == (
        [called] if called else []
    )
    assert ctx.status is ResourceState.DEPLOYED
    expected = {CREATE: Change.CREATED, UPDATE: Change.UPDATED, DELETE: Change.PURGED}
    assert ctx.change is expected.get(called or "", Change.NOCHANGE)


@pytest.mark.parametrize(("real", "wanted", "called"), TABLE)
def test_a_dry_run_finds_the_same_and_does_nothing(
    real: dict[str, Any] | None, wanted: dict[str, Any], called: str | None
) -> None:
    """IM-23"""
    dry, wet = Device(real), Device(real)

    found = execute(dry, lamp(**wanted), dry_run=True)
    done = execute(wet, lamp(**wanted))

    assert dry.calls[-1] == "post"
    assert not {CREATE, UPDATE, DELETE}.intersection(dry.calls)
    assert found.status is ResourceState.DRY
    assert found.changes == done.changes
    assert found.change is Change.NOCHANGE


def test_the_methods_come_in_their_order() -> None:
    """IM-20"""
    handler = Device({"level": 2})

    execute(handler, lamp(level=1))

    assert handler.calls == [
        "pre",
        "read_resource",
        "calculate_diff",
        "update_resource",
        "post",
    ]


def test_update_is_given_the_changes() -> None:
    """IM-17"""
    handler = Device({"level": 2, "mode": "b"})

    ctx = execute(handler, lamp(level=1, mode="a"))

    assert handler.changes == {
        "level": {"current": 2, "desired": 1},
        "mode": {"current": "b", "desired": "a"},
    }
    assert ctx.changes == handler.changes


def test_read_has_a_copy_of_the_desired_one_that_is_not_purged() -> None:
    """IM-15"""
    resource = lamp(level=[1, 2], purged=True)

    handler = Device({"level": 5, "requires": None})
    execute(handler, resource)

    assert (handler.given.level, handler.given.purged) == ([1, 2], False)
    assert (resource.level, resource.purged) == ([1, 2], True)  # type: ignore[attr-defined]
    assert handler.given.id == resource.id


def test_a_create_is_one_change_of_purged() -> None:
    """IM-16"""
    ctx = execute(Device(None), lamp(level=1))

    assert ctx.changes == {"purged": {"current": True, "desired": False}}


def test_a_resource_without_purged_is_made_too_and_never_deleted() -> None:
    for real, called in ((None, [CREATE]), ({"level": 2}, [UPDATE]), ({"purged": True}, [])):
        handler = Device(real)
        execute(handler, lamp(Plain, level=1))
        assert [n for n in handler.calls if n in (CREATE, UPDATE, DELETE)] == called


@pytest.mark.parametrize("where", ["read_resource", "calculate_diff"])
def test_purged_in_read_or_diff_means_it_does_not_exist(where: str) -> None:
    """IM-21"""
    handler = Device({"level": 1}, **{where: ResourcePurged()})

    ctx = execute(handler, lamp(level=1))

    assert handler.calls[-2] == CREATE
    assert ctx.status is ResourceState.DEPLOYED


@pytest.mark.parametrize(
    ("where", "real", "wanted"),
    [
        ("pre", {}, {}),
        (CREATE, None, {}),
        (UPDATE, {"level": 2}, {"level": 1}),
        (DELETE, {}, {"purged": True}),
    ],
)
def test_purged_elsewhere_fails(where: str, real: Any, wanted: dict[str, Any]) -> None:
    ctx = execute(Device(real, **{where: ResourcePurged()}), lamp(**wanted))

    assert ctx.status is ResourceState.FAILED


@pytest.mark.parametrize("where", METHODS[:-1])
@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (SkipResource("no cable"), ResourceState.SKIPPED),
        (ValueError("no cable"), ResourceState.FAILED),
        (SystemExit("no cable"), ResourceState.FAILED),
    ],
)
def test_what_is_raised_decides(where: str, raised: BaseException, status: ResourceState) -> None:
    """IM-22: and post comes all the same."""
    real: dict[str, Any] | None = {"level": 2}
    if where == CREATE:
        real = None
    handler = Device(real, **{where: raised})

    ctx = execute(handler, lamp(level=1, purged=where == DELETE))

    assert ctx.status is status
    assert handler.calls[-1] == "post"
    assert "no cable" in ctx.reason
    assert "no cable" in ctx.logs[-1].message
    assert ctx.change is Change.NOCHANGE
    if status is ResourceState.FAILED:
        assert type(raised).__name__ in ctx.logs[-1].kwargs["traceback"]


@pytest.mark.parametrize("raised", [ValueError("late"), SkipResource("late"), ResourcePurged()])
@pytest.mark.parametrize("real", [{"level": 1}, {"level": 2}])
def test_a_failure_in_post_is_logged_and_the_status_stays(
    raised: Exception, real: dict[str, Any]
) -> None:
    """IM-24"""
    ctx = execute(Device(real, post=raised), lamp(level=1))

    assert ctx.status is ResourceState.DEPLOYED
    assert ctx.logs[-1].level == "error"
    assert type(raised).__name__ in ctx.logs[-1].message


def test_a_failure_in_post_leaves_the_first_reason() -> None:
    handler = Device({}, pre=ValueError("first"), post=ValueError("second"))

    ctx = execute(handler, lamp())

    assert (ctx.status, ctx.reason) == (ResourceState.FAILED, "ValueError: first")


def test_a_second_report_of_what_was_done_fails_the_resource() -> None:
    """IM-26: also when the handler catches what it raises."""

    class Twice(Device):
        swallow = False

        def update_resource(self, ctx: HandlerContext, changes: Any, resource: Any) -> None:
            ctx.set_updated()
            try:
                ctx.set_created()
            except RuntimeError:
                if not self.swallow:
                    raise

    for swallow in (False, True):
        handler = Twice({"level": 2})
        handler.swallow = swallow
        ctx = execute(handler, lamp(level=1))
        assert (ctx.status, ctx.change) == (ResourceState.FAILED, Change.UPDATED)
        assert "created after it had reported updated" in ctx.reason


def test_dry_run_is_as_the_context_says_if_not_given() -> None:
    handler = Device(None)
    ctx = HandlerContext(lamp(), dry_run=True)

    handler.execute(ctx, lamp())

    assert ctx.status is ResourceState.DRY
    assert CREATE not in handler.calls


def test_a_calculate_diff_of_its_own_decides() -> None:
    class Own(Device):
        def calculate_diff(self, ctx: HandlerContext, current: Any, desired: Any) -> Any:
            return {"mode": {"current": "x", "desired": "y"}}

    handler = Own({"level": 7})

    execute(handler, lamp(level=1))

    assert handler.changes == {"mode": {"current": "x", "desired": "y"}}


def test_a_handler_without_its_methods_fails_with_a_sentence() -> None:
    """IM-48"""

    class Empty(CRUDHandler):
        pass

    class Reader(CRUDHandler):
        def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
            resource.level = 2

    class Gone(CRUDHandler):
        def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
            raise ResourcePurged

    cases: list[tuple[CRUDHandler, dict[str, Any], str]] = [
        (Empty(), {}, "the handler test_a_.*Empty has no read_resource"),
        (Reader(), {"level": 1}, "Reader has no update_resource"),
        (Reader(), {"purged": True}, "Reader has no delete_resource"),
        (Gone(), {}, "Gone has no create_resource"),
    ]
    for handler, wanted, sentence in cases:
        ctx = execute(handler, lamp(**wanted))
        assert ctx.status is ResourceState.FAILED
        assert re.search(sentence, ctx.reason)


# --- facts


class WithFacts(Device):
    found: Callable[[HandlerContext], Any] = staticmethod(lambda ctx: {"ip": "10.0.0.1"})

    def facts(self, ctx: HandlerContext, resource: Any) -> Any:
        self.note("facts")
        return self.found(ctx)


def test_check_facts_is_pre_facts_post() -> None:
    """IM-36"""
    handler = WithFacts({})

    facts = handler.check_facts(HandlerContext(lamp()), lamp())

    assert facts == {"ip": "10.0.0.1"}
    assert handler.calls == ["pre", "facts", "post"]


def test_facts_may_be_set_or_returned() -> None:
    """IM-36"""
    handler = WithFacts({})

    def found(ctx: HandlerContext) -> None:
        ctx.set_fact("a", {1})

    handler.found = found

    assert handler.check_facts(HandlerContext(lamp()), lamp()) == {"a": "{1}"}


def test_post_comes_after_facts_that_fail_and_its_own_failure_is_logged() -> None:
    ctx = HandlerContext(lamp())
    handler = WithFacts({}, facts=OSError("no"), post=ValueError("late"))

    with pytest.raises(OSError, match="no"):
        handler.check_facts(ctx, lamp())

    assert handler.calls == ["pre", "facts", "post"]
    assert "post failed" in ctx.logs[-1].message


# --- what a handler has


def test_files_come_from_the_agent() -> None:
    """IM-08"""
    asked: list[Any] = []

    def files(hash_id: str, version: int) -> bytes | None:
        asked.append((hash_id, version))
        return b"bytes" if hash_id == "x" else None

    handler = CRUDHandler(AgentSide("bus", files=files))

    assert (handler.get_file("x"), handler.get_file("y")) == (b"bytes", None)
    assert asked == [("x", 0), ("y", 0)]
    assert CRUDHandler().get_file("x") is None


def test_the_cache_is_the_agents() -> None:
    """IM-38"""
    side = AgentSide("bus")
    alone = CRUDHandler()

    assert CRUDHandler(side).cache is side.cache is CRUDHandler(side).cache
    assert alone.cache is alone.cache is not side.cache
    alone.set_cache(side.cache)
    assert alone.cache is side.cache

"""What a handler reports and logs."""

import orjson
import pytest

from smapd.desired import Change, HandlerContext, InvalidOperation, LogRecord
from smapd.desired.context import MOST_LOGS


def context() -> HandlerContext:
    return HandlerContext(now_ms=lambda: 1234)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_each_level_logs(level: str) -> None:
    """IM-27"""
    ctx = context()

    getattr(ctx, level)("hello")

    assert ctx.logs == [LogRecord(1234, level, "hello", {})]


def test_a_template_is_filled_in_and_its_arguments_are_kept() -> None:
    """IM-28"""
    ctx = context()

    ctx.debug("Creating loadbalancer with security group %(sg)s", sg={"id": [1, 2]})

    assert ctx.logs[0].as_json() == {
        "ms": 1234,
        "level": "debug",
        "message": "Creating loadbalancer with security group {'id': [1, 2]}",
        "template": "Creating loadbalancer with security group %(sg)s",
        "kwargs": {"sg": {"id": [1, 2]}},
    }


def test_a_message_without_arguments_stands_as_it_is() -> None:
    ctx = context()

    ctx.info("100 % of %(x)s")

    assert ctx.logs[0].message == "100 % of %(x)s"
    assert "template" not in ctx.logs[0].as_json()


def test_arguments_by_position_are_filled_in_too() -> None:
    ctx = context()

    ctx.info("%s of %d", "x", 3)

    assert ctx.logs[0].message == "x of 3"
    assert ctx.logs[0].kwargs == {"args": ["x", 3]}


def test_a_kwarg_may_be_called_like_ours() -> None:
    ctx = context()

    ctx.info("%(msg)s %(level)s %(self)s", msg="a", level="b", self="c")

    assert ctx.logs[0].message == "a b c"


@pytest.mark.parametrize(("template", "kwargs"), [("%(a)s", {"b": 1}), ("%(a)d", {"a": "x"})])
def test_a_template_that_does_not_fit_is_logged_all_the_same(
    template: str, kwargs: dict[str, object]
) -> None:
    ctx = context()

    ctx.info(template, **kwargs)

    assert ctx.logs[0].message.startswith(f"{template} (cannot be filled in: ")
    assert ctx.logs[0].kwargs == kwargs


def test_what_is_not_json_is_kept_as_text() -> None:
    """IM-29"""
    ctx = context()

    ctx.info("%(x)s", x=object, y=[b"\x00"], z=float("nan"))

    told = ctx.logs[0].as_json()
    assert told["kwargs"] == {"x": "<class 'object'>", "y": ["b'\\x00'"], "z": "nan"}
    assert orjson.dumps(told)


def test_exception_carries_the_traceback() -> None:
    """IM-30"""
    ctx = context()

    try:
        raise ValueError("grim")
    except ValueError:
        ctx.exception("it went %(how)s", how="wrong")

    record = ctx.logs[0]
    assert (record.level, record.message) == ("error", "it went wrong")
    assert "ValueError: grim" in record.kwargs["traceback"]
    assert "test_exception_carries_the_traceback" in record.kwargs["traceback"]


def test_exception_without_one_is_an_error() -> None:
    ctx = context()

    ctx.exception("nothing is being handled")

    assert ctx.logs[0].kwargs == {"traceback": ""}


def test_the_log_is_bounded_and_says_what_is_missing() -> None:
    ctx = context()

    for i in range(MOST_LOGS + 500):
        ctx.debug(str(i))

    logs = ctx.logs
    assert len(logs) == MOST_LOGS + 1
    assert (logs[0].message, logs[-1].message) == ("0", str(MOST_LOGS + 499))
    assert [r.message for r in logs if r.level == "warning"] == [
        "500 records of this log were left out."
    ]


def test_a_message_is_bounded() -> None:
    ctx = context()

    ctx.info("%(x)s", x="y" * 10_000_000)

    assert len(orjson.dumps(ctx.logs[0].as_json())) < 200_000


def test_each_record_is_handed_on_at_once() -> None:
    seen: list[str] = []
    ctx = HandlerContext(on_log=lambda record: seen.append(record.message))

    ctx.info("now")

    assert seen == ["now"]


def test_changes_are_reported_by_field() -> None:
    """IM-26"""
    ctx = context()

    ctx.add_change("a", desired=1, current=0)
    ctx.add_change("b", 2)
    ctx.add_changes(c=3, d=object)
    ctx.update_changes({"e": {"current": 1, "desired": 2}, "f": (3, 4)})

    assert ctx.changes == {
        "a": {"current": 0, "desired": 1},
        "b": {"current": None, "desired": 2},
        "c": {"current": None, "desired": 3},
        "d": {"current": None, "desired": "<class 'object'>"},
        "e": {"current": 1, "desired": 2},
        "f": {"current": 3, "desired": 4},
    }


@pytest.mark.parametrize("change", [3, (1, 2, 3), None, "ab"])
def test_a_change_that_is_none_is_refused(change: object) -> None:
    with pytest.raises(InvalidOperation, match="The change of x is"):
        context().update_changes({"x": change})


@pytest.mark.parametrize(
    ("report", "change"),
    [
        (HandlerContext.set_created, Change.CREATED),
        (HandlerContext.set_updated, Change.UPDATED),
        (HandlerContext.set_purged, Change.PURGED),
    ],
)
def test_one_thing_is_done_and_once(report: object, change: Change) -> None:
    """IM-26"""
    ctx = context()
    assert (ctx.change, ctx.changed) == (Change.NOCHANGE, False)

    report(ctx)  # type: ignore[operator]

    assert (ctx.change, ctx.changed) == (change, True)
    for again in (ctx.set_created, ctx.set_updated, ctx.set_purged):
        with pytest.raises(InvalidOperation, match=f"after it had reported {change}"):
            again()
    assert ctx.change is change
    assert "a run does one thing" in ctx.spoiled


def test_things_are_kept_from_one_method_to_the_next() -> None:
    ctx = context()
    thing = object()

    ctx.set("x", thing)

    assert ctx.contains("x")
    assert ctx.get("x") is thing
    assert not ctx.contains("y")
    with pytest.raises(KeyError):
        ctx.get("y")


def test_facts_are_json_and_bounded() -> None:
    """IM-36"""
    ctx = context()

    ctx.set_fact("ip", "10.0.0.1")
    ctx.set_fact("odd", {1})

    assert ctx.facts == {"ip": "10.0.0.1", "odd": "{1}"}
    for i in range(998):
        ctx.set_fact(str(i), i)
    with pytest.raises(InvalidOperation, match="1000 facts"):
        ctx.set_fact("one more", 0)


def test_a_context_is_made_for_a_dry_run_or_not() -> None:
    assert HandlerContext(None, dry_run=True).is_dry_run()
    assert not HandlerContext(None).is_dry_run()
    assert HandlerContext(None).status is None

"""The protocol without sockets: what is sent, and what each message of the server means."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.connectors.vantiq import VantiqConnectorConfigException
from smapd.connectors.vantiq.protocol import (
    Authenticated,
    Bad,
    Configured,
    Denied,
    Nothing,
    Published,
    Queried,
    ReconnectRequired,
    SourceProtocol,
    Step,
    Told,
    answer,
    notification_head,
)

CONFIGURE = {
    "op": "configureExtension",
    "resourceName": "SOURCES",
    "resourceId": "pump",
    "object": {"config": {"rate": 5}},
}


def at(step: Step) -> SourceProtocol:
    protocol = SourceProtocol("pump", "a-token", "pump_x")
    if step is not Step.VALIDATING:
        assert isinstance(protocol.receive(b'{"status":200}'), Authenticated)
    if step is Step.RUNNING:
        assert isinstance(protocol.receive(orjson.dumps(CONFIGURE)), Configured)
    assert protocol.step is step
    return protocol


def told(step: Step, message: Any) -> Any:
    frame = message if isinstance(message, bytes) else orjson.dumps(message)
    return at(step).receive(frame)


def test_the_first_message_holds_the_token() -> None:
    """W-02."""
    assert orjson.loads(at(Step.VALIDATING).validate()) == {
        "op": "validate",
        "resourceName": "system.credentials",
        "object": "a-token",
    }


def test_there_is_no_login_without_a_token() -> None:
    with pytest.raises(VantiqConnectorConfigException, match="no token"):
        SourceProtocol("pump", "", "x")


def test_a_good_token_is_followed_by_the_source() -> None:
    """W-03, W-04, W-05."""
    found = told(Step.VALIDATING, {"status": 200, "body": {}})

    assert orjson.loads(found.reply) == {
        "op": "connectExtension",
        "resourceName": "sources",
        "resourceId": "pump",
        "parameters": {"reconnectSecret": "pump_x"},
    }


@pytest.mark.parametrize("body", [None, [], [{"code": "c", "message": "m"}], {"message": "m"}, "m"])
def test_status_401_refuses_the_token_for_good(body: Any) -> None:
    """W-03: with or without a body."""
    found = told(Step.VALIDATING, {"status": 401, "body": body})

    assert isinstance(found, Denied)
    assert found.fatal
    assert "status 401" in found.why


@pytest.mark.parametrize("status", [300, 400, 403, 500, 503])
def test_other_statuses_refuse_for_now(status: int) -> None:
    for step in (Step.VALIDATING, Step.CONNECTING):
        found = told(step, {"status": status, "body": [{"code": "c", "message": "m"}]})
        assert isinstance(found, Denied)
        assert not found.fatal
        assert found.why.endswith(f"status {status}: c: m")


def test_401_for_the_source_is_not_about_the_token() -> None:
    assert told(Step.CONNECTING, {"status": 401}) == Denied(
        "source pump was refused: status 401", False
    )


def test_messages_before_the_configuration_are_skipped() -> None:
    """W-06: 0 to 9 messages without op."""
    protocol = at(Step.CONNECTING)

    for status in (100, 200, 201, 204, 299, 200, 200, 200, 200):
        assert protocol.receive(orjson.dumps({"status": status, "body": {}})) == Nothing()
    assert protocol.receive(orjson.dumps(CONFIGURE)) == Configured({"rate": 5})


def test_the_configuration_is_a_dict() -> None:
    """VQ-21, W-07."""
    assert told(Step.CONNECTING, CONFIGURE) == Configured({"rate": 5})
    assert told(Step.CONNECTING, CONFIGURE | {"object": {"config": None}}) == Configured({})


def test_a_publish_needs_only_op_and_object() -> None:
    """VQ-22, W-08."""
    assert told(Step.RUNNING, {"op": "publish", "object": {"a": 1}}) == Published({"a": 1})


def test_a_query_has_its_values_and_its_address() -> None:
    """VQ-23, W-09."""
    headers = {"REPLY_ADDR_HEADER": "A"}
    query = {"op": "query", "object": {"a": 1}, "messageHeaders": headers}

    assert told(Step.RUNNING, query) == Queried({"a": 1}, "A")
    assert told(Step.RUNNING, query | {"object": None}) == Queried({}, "A")
    for none in ({}, None, [], "A", {"REPLY_ADDR_HEADER": None}, {"REPLY_ADDR_HEADER": {}}):
        assert told(Step.RUNNING, query | {"messageHeaders": none}) == Queried({"a": 1}, None)


def test_a_reconnect_may_be_required() -> None:
    """W-13."""
    assert told(Step.RUNNING, {"op": "reconnectRequired", "x": 1}) == ReconnectRequired()


def test_later_statuses_are_ignored_or_told() -> None:
    """W-14."""
    assert told(Step.RUNNING, {"status": 200}) == Nothing()
    assert told(Step.RUNNING, {"status": 500, "body": {"message": "no"}}) == Told(
        "the server reports: status 500: no"
    )


def test_answers_and_notifications_are_as_the_wire_has_them() -> None:
    """W-10, W-12."""
    assert orjson.loads(answer(200, "A", b'{"a":1}')) == {
        "status": 200,
        "headers": {"X-Reply-Address": "A"},
        "body": {"a": 1},
    }
    assert orjson.loads(answer(204, 7, None)) == {"status": 204, "headers": {"X-Reply-Address": 7}}
    assert orjson.loads(notification_head("pump") + b'{"a":1}}') == {
        "op": "notification",
        "resourceName": "sources",
        "resourceId": "pump",
        "object": {"a": 1},
    }


def test_a_server_that_echoes_our_secrets_is_not_repeated() -> None:
    body = [{"code": "bad", "message": "x" * 290 + " a-token and pump_x " + "y" * 400}]
    found = told(Step.VALIDATING, {"status": 400, "body": body})

    assert "a-token" not in found.why
    assert "a-tok" not in found.why
    assert "pump_x" not in found.why
    assert len(found.why) < 400


BAD: list[Any] = [
    b"",
    b"not JSON",
    b"{",
    b'{"op":"publish","object":{"a":NaN}}',
    b"\xff\xfe\x00binary",
    b"[" * 100_000,
    b'{"a":' * 5000,
    b'{"op":"publish","object":{"a":"\xff"}}',
    [],
    [{"op": "publish", "object": {}}],
    None,
    True,
    7,
    "text",
    {},
    {"object": {}},
    {"op": None},
    {"op": 7},
    {"op": {"a": 1}},
    {"op": "dance", "object": {}},
    {"op": "x" * 10_000},
    {"op": "publish"},
    {"op": "publish", "object": None},
    {"op": "publish", "object": [1]},
    {"op": "publish", "object": "text"},
    {"op": "query", "object": [1]},
    {"op": "query", "object": 7, "messageHeaders": 3},
    {"op": "configureExtension"},
    {"op": "configureExtension", "object": {}},
    {"op": "configureExtension", "object": {"config": [1]}},
    {"op": "validate", "object": "x"},
    {"op": "notification", "object": {}},
    {"status": None},
    {"status": "200"},
    {"status": True},
    {"status": 2.5},
    {"status": [200]},
]


@pytest.mark.parametrize("message", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("step", Step)
def test_a_bad_frame_changes_nothing(step: Step, message: Any) -> None:
    protocol = at(step)
    found = protocol.receive(message if isinstance(message, bytes) else orjson.dumps(message))

    assert isinstance(found, Bad)
    assert len(found.why) < 400
    assert protocol.step is step


def test_what_is_published_or_asked_too_early_is_ignored() -> None:
    for step in (Step.VALIDATING, Step.CONNECTING):
        assert isinstance(told(step, {"op": "publish", "object": {}}), Bad)
        early = told(step, {"op": "query", "messageHeaders": {"REPLY_ADDR_HEADER": "A"}})
        assert isinstance(early, Bad)
        assert early.address == "A"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 999) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["op", "status", "object", "messageHeaders", "body", "resourceId"])
ops = st.sampled_from(["publish", "query", "configureExtension", "reconnectRequired", "validate"])
odd = st.one_of(
    st.binary(max_size=40),
    json_values.map(orjson.dumps),
    st.dictionaries(names, json_values | ops, max_size=6).map(orjson.dumps),
)


@given(st.sampled_from(Step), st.lists(odd, max_size=8))
def test_no_frame_raises_and_no_step_goes_back(step: Step, frames: list[bytes]) -> None:
    order = list(Step)
    protocol = at(step)

    for frame in frames:
        before = order.index(protocol.step)
        protocol.receive(frame)
        assert order.index(protocol.step) >= before

"""Answers to queries: what may be said, and to which query."""

from __future__ import annotations

import json
from typing import Any

import numpy
import orjson
import pytest

from smapd.connectors.vantiq import VantiqConnector, VantiqConnectorException
from smapd.connectors.vantiq.answers import (
    Queries,
    Query,
    QueryContext,
    check_context,
    error_frame,
    notification_json,
    own_error,
    response_frame,
)

COMPLETE, PARTIAL = VantiqConnector.QUERY_COMPLETE, VantiqConnector.QUERY_PARTIAL
EMPTY = VantiqConnector.QUERY_EMPTY
CONTEXT = {VantiqConnector.SOURCE_NAME: "pump", VantiqConnector.RESPONSE_ADDRESS: "A"}
ERROR = {
    VantiqConnector.ERROR_CODE: "my.code",
    VantiqConnector.ERROR_TEMPLATE: "{0} is not {1}",
    VantiqConnector.ERROR_PARAMETERS: ["this", "that"],
}


@pytest.mark.parametrize("message", [{"a": 1}, [{"a": 1}, {"b": 2}], [], ({"a": 1},)])
@pytest.mark.parametrize("code", [COMPLETE, PARTIAL])
def test_an_answer_is_a_dict_or_a_list_of_dicts(code: int, message: Any) -> None:
    """VQ-14, W-11."""
    found = orjson.loads(response_frame("pump", CONTEXT, code, message))

    assert found["status"] == code
    assert found["headers"] == {"X-Reply-Address": "A"}
    assert found["body"] == (list(message) if isinstance(message, tuple) else message)


def test_an_empty_answer_has_no_body() -> None:
    """VQ-05: QUERY_EMPTY 204."""
    assert "body" not in orjson.loads(response_frame("pump", CONTEXT, EMPTY, None))


@pytest.mark.parametrize(
    ("code", "message", "part"),
    [
        (EMPTY, {}, "its message is None"),
        (COMPLETE, None, "only QUERY_EMPTY goes with None"),
        (PARTIAL, None, "only QUERY_EMPTY goes with None"),
        (COMPLETE, "text", "not a str"),
        (COMPLETE, 7, "not a int"),
        (COMPLETE, [1], "not a list"),
        (COMPLETE, [{}, None], "a dict or a list of dicts"),
        (COMPLETE, {"a": object()}, "cannot be told in JSON"),
        (400, {"a": 1}, "400 is no code of an answer"),
        (201, {"a": 1}, "201 is no code"),
        ("200", {"a": 1}, "'200' is no code"),
        (None, {"a": 1}, "None is no code"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(code: Any, message: Any, part: str) -> None:
    with pytest.raises(VantiqConnectorException) as raised:
        response_frame("pump", CONTEXT, code, message)

    assert raised.value.message.startswith("source pump: ")
    assert part in raised.value.message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"n": 2**70}, {"n": 2**70}),
        ({1: "a"}, {"1": "a"}),
        ({"a": numpy.array([1.5, 2.5])}, {"a": [1.5, 2.5]}),
        ({"a": numpy.int64(3)}, {"a": 3}),
        ({"a": float("nan")}, {"a": None}),
        ({"ü": "😀"}, {"ü": "😀"}),
    ],
)
def test_what_python_has_becomes_json(value: Any, expected: Any) -> None:
    assert json.loads(notification_json("pump", value)) == expected


@pytest.mark.parametrize("message", [None, [], "text", 7, [{"a": 1}]])
def test_a_notification_is_a_dict(message: Any) -> None:
    """VQ-13."""
    with pytest.raises(VantiqConnectorException, match="a notification is a dict, not"):
        notification_json("pump", message)


def test_a_notification_that_is_no_json_is_refused() -> None:
    ring: dict[str, Any] = {}
    ring["self"] = ring

    for value in ({"a": {1, 2}}, ring, {"a": b"bytes"}, {"a": "\ud800"}):
        with pytest.raises(VantiqConnectorException, match="cannot be told in JSON"):
            notification_json("pump", value)


def test_an_error_goes_out_as_the_wire_has_it() -> None:
    """VQ-15, VQ-03."""
    found = orjson.loads(error_frame("pump", CONTEXT, ERROR))

    assert found["status"] == 400
    assert found["body"] == {
        "messageCode": "my.code",
        "messageTemplate": "{0} is not {1}",
        "parameters": ["this", "that"],
    }


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({VantiqConnector.ERROR_CODE: None}, "lacks messageCode"),
        ({VantiqConnector.ERROR_TEMPLATE: None}, "lacks messageTemplate"),
        ({VantiqConnector.ERROR_PARAMETERS: None}, "lacks parameters"),
        ({VantiqConnector.ERROR_CODE: 7}, "messageCode is a text"),
        ({VantiqConnector.ERROR_TEMPLATE: []}, "messageTemplate is a text"),
        ({VantiqConnector.ERROR_PARAMETERS: "ab"}, "parameters is a list"),
        ({VantiqConnector.ERROR_PARAMETERS: ["this"]}, "asks for {1}, and there is 1 parameter"),
        ({VantiqConnector.ERROR_PARAMETERS: []}, "asks for {1}, and there are 0 parameters"),
        ({VantiqConnector.ERROR_TEMPLATE: "{2,number}"}, "asks for {2}, and there are 2 param"),
        ({VantiqConnector.ERROR_PARAMETERS: ["a", object()]}, "cannot be told in JSON"),
    ],
)
def test_an_incomplete_error_is_refused(change: dict[str, Any], part: str) -> None:
    """VQ-15: each {n} of the template must have its parameter; never a KeyError."""
    with pytest.raises(VantiqConnectorException) as raised:
        error_frame("pump", CONTEXT, ERROR | change)

    assert part in raised.value.message


@pytest.mark.parametrize("missing", ERROR)
def test_an_error_without_a_part_is_refused(missing: str) -> None:
    message = {key: value for key, value in ERROR.items() if key != missing}

    for wrong in (message, {}, None, "text"):
        with pytest.raises(VantiqConnectorException):
            error_frame("pump", CONTEXT, wrong)


def test_braces_that_are_no_places_are_left_alone() -> None:
    template = {VantiqConnector.ERROR_TEMPLATE: "{} {a} '{0}' {1}"}

    assert error_frame("pump", CONTEXT, ERROR | template)


def test_an_error_of_ours_is_complete() -> None:
    assert error_frame("pump", CONTEXT, own_error("busy", "{0} and {1}", "a", "b"))


@pytest.mark.parametrize(
    "context",
    [
        None,
        "A",
        {},
        {VantiqConnector.SOURCE_NAME: "other", VantiqConnector.RESPONSE_ADDRESS: "A"},
        {VantiqConnector.RESPONSE_ADDRESS: "A"},
    ],
)
def test_a_context_of_no_query_is_refused(context: Any) -> None:
    """VQ-20."""
    with pytest.raises(VantiqConnectorException, match="no context of one of its queries"):
        check_context("pump", context)


def test_the_context_of_a_publish_cannot_be_answered() -> None:
    """VQ-22: answering the context of a publish is an error."""
    with pytest.raises(VantiqConnectorException, match="this context cannot be answered"):
        check_context("pump", {VantiqConnector.SOURCE_NAME: "pump"})


def test_a_context_finds_its_own_query() -> None:
    """An address may be used by several queries at once; a copied context finds the oldest."""
    queries = Queries(10, 1000)
    first, second = Query("A", 1, 0.0), Query("A", 1, 0.0)
    assert queries.add(first)
    assert queries.add(second)

    assert queries.find(QueryContext("pump", second)) is second
    assert queries.find(dict(QueryContext("pump", second))) is first
    first.answered = True
    queries.done(first)
    assert queries.find(CONTEXT) is second
    assert queries.find(QueryContext("pump", first)) is None
    second.answered = True
    queries.done(second)
    assert queries.find(CONTEXT) is None
    assert len(queries) == 0


def test_open_queries_are_bounded_by_number_and_bytes() -> None:
    queries = Queries(2, 100)
    big = Query("big", 1000, 0.0)
    assert queries.add(big)  # alone it may be as large as a message may be
    assert not queries.add(Query("A", 1, 0.0))
    queries.done(big)

    assert queries.add(Query("A", 1, 0.0))
    assert queries.add(Query("B", 1, 0.0))
    assert not queries.add(Query("C", 1, 0.0))


def test_what_is_overdue_was_not_answered_for_so_long() -> None:
    queries = Queries(10, 1000)
    old, new, done = Query("A", 1, 1.0), Query("B", 1, 5.0), Query("C", 1, 1.0)
    for query in (old, new, done):
        queries.add(query)
    done.answered = True

    assert list(queries.overdue(3.0)) == [old]

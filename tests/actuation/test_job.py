"""How a list of jobs is read from a body: all that may be wrong, each with its sentence."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.actuation.job import MAX_AHEAD_MS, MOST_ACTIONS, Action, read_orders
from smapd.errors import BadRequest

NOW_MS = 1_700_000_000_500
DO = {"Path": "/x", "State": 1}


def test_a_whole_job_is_read() -> None:
    """SM-34: Name, StartTime, After, Actions."""
    body = [{"Name": "b", "StartTime": NOW_MS + 5, "After": "a", "Actions": [DO]}]

    [order] = read_orders(body, NOW_MS)

    assert (order.name, order.start_ms, order.after) == ("b", NOW_MS + 5, "a")
    assert order.actions == (Action("/x", "1"),)
    assert order.given == [DO]


def test_only_actions_are_needed() -> None:
    """SM-34: null counts as left out, and a job may do nothing."""
    bare, nulls = read_orders(
        [{"Actions": []}, {"Name": None, "StartTime": None, "After": None, "Actions": []}], NOW_MS
    )

    assert bare == nulls == (None, None, None, (), [])


@pytest.mark.parametrize(
    ("state", "text"),
    [(1, "1"), (20.5, "20.5"), (2.0, "2"), (-3, "-3"), ("on", "on"), ("", ""), (1e300, "1e+300")],
)
def test_a_state_is_a_number_or_text(state: Any, text: str) -> None:
    """SM-34: read as the text of a PUT would be; a whole float as a whole number."""
    [order] = read_orders([{"Actions": [{"Path": "/x", "State": state}]}], NOW_MS)

    assert order.actions[0].state == text


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "The body is a list of jobs"),
        (None, "not missing or null"),
        ("x", "not a str"),
        (7, "not an int"),
        ([7], "Job 0: a job is an object with Actions, not an int."),
        ([{"Actions": []}, []], "Job 1: a job is an object with Actions, not a list."),
        ([{}], "Job 0: Actions is a list of"),
        ([{"Actions": None}], "not missing or null."),
        ([{"Actions": {}}], "not a dict."),
        ([{"Actions": [1]}], "Job 0, action 0: an action is"),
        ([{"Actions": [{"State": 1}]}], "action 0: Path is text like /hall/lamp, not missing"),
        ([{"Actions": [DO, {"Path": 5, "State": 1}]}], "action 1: Path is text"),
        ([{"Actions": [{"Path": "/x"}]}], "State is a number or text, not missing"),
        ([{"Actions": [{"Path": "/x", "State": True}]}], "State is a number or text, not a bool"),
        ([{"Actions": [{"Path": "/x", "State": [1]}]}], "State is a number or text, not a list."),
        ([{"Actions": [DO] * (MOST_ACTIONS + 1)}], "at most 100 actions, not 101."),
        ([{"Name": 5, "Actions": []}], "Name is text of at most 200 letters, not an int."),
        ([{"Name": "n" * 201, "Actions": []}], "Name is text of at most 200 letters"),
        ([{"After": [], "Actions": []}], "After is text of at most 200 letters, not a list."),
        ([{"StartTime": "noon", "Actions": []}], "StartTime is a time in ms since 1970, not a str"),
        ([{"StartTime": 1.5, "Actions": []}], "not a float."),
        ([{"StartTime": True, "Actions": []}], "not a bool."),
        ([{"StartTime": 1_700_000_000, "Actions": []}], "StartTime was 1.7e+09 s ago; it is in ms"),
        ([{"StartTime": NOW_MS - 501, "Actions": []}], "StartTime was 0.501 s ago"),
        ([{"StartTime": NOW_MS + MAX_AHEAD_MS + 1, "Actions": []}], "more than ten years ahead"),
        ([{"Starttime": NOW_MS, "Actions": []}], "'Starttime' is no key; there are Name, Start"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: Any, sentence: str) -> None:
    """SM-34: 400 where the original answered 500, or set at once what was to wait."""
    with pytest.raises(BadRequest) as caught:
        read_orders(body, NOW_MS)

    assert sentence in caught.value.message


def test_a_start_within_this_second_is_now() -> None:
    """SM-34: as the original, whose clock shows whole seconds."""
    assert read_orders([{"StartTime": NOW_MS - 500, "Actions": []}], NOW_MS)[0].start_ms


def test_what_the_original_wrote_into_a_job_is_ignored() -> None:
    """SM-34: uuid is given by us."""
    assert read_orders([{"uuid": "x", "Async": True, "Actions": []}], NOW_MS)

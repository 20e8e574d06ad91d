"""Texts to numbers, and the words of a refusal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from smapd.actuation.states import not_a_state, not_readable, number, whole


@pytest.mark.parametrize(
    ("given", "found"),
    [("5", 5), (" 5\n", 5), ("+5", 5), ("-0", 0), (5, 5), (2.7, 2), (True, 1)]
    + [(np.int16(7), 7), (Decimal("3"), 3), ("99999999999999999999", 99999999999999999999)],
)
def test_a_whole_number_is_read(given: Any, found: int) -> None:
    """SM-33: text as int() of Python 2 takes it; what a device gives, cut to a whole number."""
    assert whole(given) == found


@pytest.mark.parametrize(
    "given",
    ["", "5.0", "five", "0x5", "1_0", "5L", "\u0665", "9" * 201, None, float("nan"), float("inf")]
    + [[], b"x"],
)
def test_what_is_no_whole_number_is_refused_in_a_sentence(given: Any) -> None:
    """SM-33: also what only newer Pythons take: underscores, digits of other scripts."""
    with pytest.raises(ValueError, match="is not a whole number$"):
        whole(given)


@pytest.mark.parametrize(
    ("given", "found"),
    [("20.5", 20.5), (" 1e2 ", 100.0), (3, 3.0), (np.float32(0.5), 0.5), ("-.5", -0.5)],
)
def test_a_number_is_read(given: Any, found: float) -> None:
    """SM-33: as a float."""
    assert number(given) == found
    assert type(number(given)) is float


@pytest.mark.parametrize("given", ["", "x", "1_0", "1,5", "\u0661", "0x1p3", None, [], "1" * 201])
def test_what_is_no_number_is_refused_in_a_sentence(given: Any) -> None:
    """SM-33: 400 where the original answered 500."""
    with pytest.raises(ValueError, match="is not a number$"):
        number(given)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (None, "None"),
        (3, "3"),
        (31.0, "31.0"),
        (30.6, "30.6"),
        (1e12, "1e+12"),
        (1e10, "10000000000.0"),
    ]
    + [(30.500000000001, "30.5"), (float("nan"), "nan"), (float("-inf"), "-inf"), ("cat", "cat")],
)
def test_a_refusal_begins_as_the_original_printed_the_state(state: Any, text: str) -> None:
    """SM-33: ``Invalid state: `` and the state as Python 2 has it."""
    assert not_a_state(state, {}).message == f"Invalid state: {text}"


@pytest.mark.parametrize(
    ("description", "hint"),
    [
        ({"Model": "binary", "States": [["0", "off"], ["1", "on"]]}, "It is one of 0, off, 1, on."),
        ({"Model": "discrete", "Values": [1, 2, 5]}, "It is one of 1, 2, 5."),
        ({"Model": "continuous", "MinValue": 10.0, "MaxValue": 30}, "a number from 10.0 to 30."),
        ({"Model": "continuousInteger", "States": [0, 9]}, "It is a whole number from 0 to 9."),
        ({"Model": "integer"}, "It is a whole number from -9223372036854775808 to"),
        ({"Model": "of their own"}, ""),
    ],
)
def test_a_refusal_says_what_would_do(description: Any, hint: str) -> None:
    """SM-33: from the description that GET shows."""
    assert hint in not_a_state(7, description).hint
    assert hint in not_readable(ValueError("'x' is not a number"), description).hint


def test_a_long_list_of_states_is_cut() -> None:
    """SM-33: a hint is a sentence, not a page."""
    hint = not_a_state(-1, {"Values": list(range(1000))}).hint

    assert hint.endswith("18, 19, ….")

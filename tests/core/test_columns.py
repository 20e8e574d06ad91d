"""Blocks in columns: the checks of single adds, in bulk."""

from __future__ import annotations

import array
import contextlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.core.columns import column, fit_columns
from smapd.core.fitting import Unfit
from smapd.core.shape import Shape


def shape(data_type: str = "long", milliseconds: bool = False) -> Shape:
    return Shape(
        unit="V",
        data_type=data_type,
        timezone="UTC",
        timezone_given=True,
        buffersz=1,
        milliseconds=milliseconds,
    )


@pytest.mark.parametrize(
    "given_",
    [
        [1, 2],
        (1, 2),
        array.array("i", [1, 2]),
        np.array([1, 2], "int16"),
        range(1, 3),
        iter([1, 2]),
    ],
)
def test_anything_that_can_be_gone_through_is_a_column(given_: Any) -> None:
    """SM-05"""
    found = column(given_, "Times")
    assert found == [1, 2]
    assert all(type(item) is int for item in found)


@pytest.mark.parametrize("given_", ["12", b"12", 5, None, np.int64(5)])
def test_text_and_scalars_are_no_columns(given_: Any) -> None:
    with pytest.raises(TypeError, match="Values are a column of readings, not "):
        column(given_, "Values")


def test_a_column_given_stays_the_callers() -> None:
    mine = [1, 2]
    assert column(mine, "Times") is not mine


@pytest.mark.parametrize(
    ("data_type", "values", "kept"),
    [
        ("long", [1, True, 2**63 - 1], [1, True, 2**63 - 1]),
        ("double", [1.5, math.inf], [1.5, math.inf]),
        ("double", [1, 2.5, True], [1.0, 2.5, 1.0]),
        ("double", np.array([0.5, 1], "float32"), [0.5, 1.0]),
        ("string", ["a", "b"], ["a", "b"]),
    ],
)
def test_a_plain_column_is_kept_in_plain_types(data_type: str, values: Any, kept: Any) -> None:
    """SM-06: ints on a double are floats, bools on a long stay."""
    values = column(values, "Values")
    _, found, refused, _ = fit_columns(shape(data_type), list(range(len(kept))), values)

    assert found == kept
    assert [type(v) for v in found] == [type(v) for v in kept]
    assert refused == 0


def test_what_does_not_fit_is_left_out_and_the_rest_kept() -> None:
    """SM-06: refused and counted, never the whole block."""
    ms, values, refused, why = fit_columns(
        shape(), [1, 2.0005, None, 4, 2**62], [1, 2**63, 3, 4, 5]
    )

    assert (ms, values, refused) == ([1000, 4000], [1, 4], 3)
    assert why == "the time is out of range"


@pytest.mark.parametrize(
    ("data_type", "times", "values", "kept"),
    [
        ("long", [1, 2, 3], [1, 2**63, 3], [1, 3]),
        ("long", [1, 2, 3], [1, -(2**63) - 1, 3], [1, 3]),
        ("double", [1, 2, 3], [1, 2**63, 3.0], [1.0, 3.0]),
        ("double", [1.0, math.inf, 3.0], [1.0, 2.0, 3.0], [1.0, 3.0]),
        ("double", [1.0, math.nan, 3.0], [1.0, 2.0, 3.0], [1.0, 3.0]),
        ("double", [1.0, 1e300, 3.0], [1.0, 2.0, 3.0], [1.0, 3.0]),
        ("double", [1, 2**70, 3], [1.0, 2.0, 3.0], [1.0, 3.0]),
        ("double", [1, -(2**70), 3], [1.0, 2.0, 3.0], [1.0, 3.0]),
    ],
)
def test_one_beyond_range_is_left_out_of_a_plain_column(
    data_type: str, times: list[Any], values: list[Any], kept: list[Any]
) -> None:
    """SM-06"""
    ms, found, refused, why = fit_columns(shape(data_type), times, values)

    assert (ms, found, refused) == ([1000, 3000], kept, 1)
    assert why


def test_a_bad_block_has_times_alone() -> None:
    """U-03"""
    assert fit_columns(shape("double"), [1, 2.5], None) == ([1000, 2500], [None, None], 0, "")


TIMES = st.one_of(
    st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=8),
    st.lists(st.floats(), min_size=1, max_size=8),
    st.lists(
        st.integers() | st.floats() | st.booleans() | st.text(max_size=3), min_size=1, max_size=8
    ),
)


@given(
    st.sampled_from(["long", "double", "string"]),
    st.booleans(),
    TIMES,
    st.data(),
)
def test_bulk_says_what_one_by_one_says(
    data_type: str, milliseconds: bool, times: list[Any], data: st.DataObject
) -> None:
    """SM-05, SM-06: add_many is as many adds."""
    of = shape(data_type, milliseconds)
    any_value = st.integers(-(2**65), 2**65) | st.floats() | st.booleans() | st.text(max_size=3)
    one_kind = st.sampled_from([st.integers(-(2**65), 2**65), st.floats(), st.text(max_size=3)])
    values = data.draw(
        st.lists(any_value, min_size=len(times), max_size=len(times))
        | one_kind.flatmap(lambda k: st.lists(k, min_size=len(times), max_size=len(times)))
    )
    expected = []
    for time, value in zip(times, values, strict=True):
        with contextlib.suppress(Unfit):
            expected.append((of.to_ms(time), of.fit(value)))

    ms, kept, refused, _ = fit_columns(of, list(times), list(values))

    assert repr(list(zip(ms, kept, strict=True))) == repr(expected)
    assert refused == len(times) - len(expected)

"""Times as ``add`` takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.core.fitting import Unfit
from smapd.core.times import MS_MAX, from_milliseconds, from_seconds


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        (1300000000, 1300000000000),
        (0, 0),
        (-1, -1000),
        (1300000000.123, 1300000000123),
        (1300000000.0004, 1300000000000),
        (1300000000.0006, 1300000000001),
        (-0.5, -500),
        ("1300000000", 1300000000000),
        (" 1300000000.25 ", 1300000000250),
        ("-1e3", -1000000),
        (np.int64(1300000000), 1300000000000),
        (np.float64(1300000000.5), 1300000000500),
        (np.float32(0.5), 500),
        (np.array(7), 7000),
        (Decimal("1300000000.123"), 1300000000123),
        (datetime(1970, 1, 1, 0, 0, 1, 999_499, tzinfo=UTC), 1999),
        (datetime(1970, 1, 1, 0, 0, 1, 999_500, tzinfo=UTC), 2000),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")), 1782900000000),
    ],
)
def test_seconds_become_ms(time: Any, ms: int) -> None:
    """SM-05: an int is whole seconds, a float or aware datetime keeps its milliseconds."""
    found = from_seconds(time)
    assert found == ms
    assert type(found) is int


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        (1300000000123, 1300000000123),
        (1300000000123.9, 1300000000123),
        ("1300000000123", 1300000000123),
        (np.int64(5), 5),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1000),
    ],
)
def test_numbers_are_ms_on_a_milliseconds_stream(time: Any, ms: int) -> None:
    """SM-05"""
    assert from_milliseconds(time) == ms


@pytest.mark.parametrize("read", [from_seconds, from_milliseconds])
@pytest.mark.parametrize(
    "time",
    [None, True, "", "soon", "1_000", "١", "nan", "inf", float("nan"), float("inf"), 1j, b"1"]
    + [datetime(2026, 1, 1), np.datetime64("2026-01-01"), np.array([1, 2]), [], 2**70, 1e300, 1e306]
    + ["9" * 65, np.bool_(True)],
)
def test_what_is_no_time_is_unfit(read: Any, time: Any) -> None:
    """SM-05: a time that does not fit is refused; a naive datetime is one."""
    with pytest.raises(Unfit):
        read(time)


def test_the_range_is_that_of_64_bits_of_ms() -> None:
    """SM-05"""
    assert from_milliseconds(MS_MAX) == MS_MAX
    assert from_milliseconds(-MS_MAX) == -MS_MAX
    for read, time in ((from_milliseconds, MS_MAX + 1), (from_seconds, MS_MAX // 1000 + 1)):
        with pytest.raises(Unfit, match="out of range"):
            read(time)


@given(st.from_type(object))
def test_whatever_is_given_is_a_time_or_unfit(time: Any) -> None:
    """SM-05: nothing but Unfit is raised."""
    said = ""
    try:
        ms = from_seconds(time)
    except Unfit as unfit:
        said, ms = str(unfit), 0
    assert len(said) < 200
    assert abs(ms) <= MS_MAX


@given(st.integers(-(10**12), 10**13))
def test_a_float_of_whole_ms_comes_back_exactly(ms: int) -> None:
    """SM-05"""
    assert from_seconds(ms / 1000) == ms

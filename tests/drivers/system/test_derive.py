"""drivers/system/derive.py"""

import pytest

from smapd.drivers.system.derive import derive
from smapd.drivers.system.metrics import Kind, Row

LONG = Row("bytes", "n", Kind.COUNTER, "B", "long")
GAUGE = Row("level", "n", Kind.GAUGE, "%")
RATE = Row("rate", "n", Kind.RATE, "B/s")
SHARE = Row("busy", "busy", Kind.SHARE, "%")
BUSY = Row("busy", "ms", Kind.BUSY_MS, "%")


def test_gauge_is_a_float_and_needs_no_earlier_look() -> None:
    value = derive(GAUGE, None, {"n": 3}, 0)

    assert value == 3.0
    assert isinstance(value, float)


def test_long_counter_is_a_whole_number() -> None:
    value = derive(LONG, None, {"n": 3.0}, 0)

    assert value == 3
    assert isinstance(value, int)


def test_field_that_is_not_there_says_nothing() -> None:
    assert derive(GAUGE, None, {}, 5) is None


def test_rate_is_growth_by_second() -> None:
    assert derive(RATE, {"n": 100}, {"n": 200}, 4) == 25.0


def test_rate_says_nothing_at_the_first_look() -> None:
    assert derive(RATE, None, {"n": 200}, 5) is None


def test_rate_says_nothing_when_the_field_is_new() -> None:
    assert derive(RATE, {}, {"n": 200}, 5) is None


def test_rate_says_nothing_when_the_counter_began_anew() -> None:
    assert derive(RATE, {"n": 100}, {"n": 5}, 5) is None


def test_rate_says_nothing_when_no_time_has_gone_by() -> None:
    assert derive(RATE, {"n": 1}, {"n": 5}, 0.0) is None


def test_share_is_percent_of_the_growth_of_the_total() -> None:
    before, after = {"busy": 10.0, "total": 100.0}, {"busy": 15.0, "total": 120.0}

    assert derive(SHARE, before, after, 5) == 25.0


@pytest.mark.parametrize(("busy", "share"), [(9.99, 0.0), (99.0, 100.0)])
def test_share_stays_within_0_and_100(busy: float, share: float) -> None:
    before, after = {"busy": 10.0, "total": 100.0}, {"busy": busy, "total": 120.0}

    assert derive(SHARE, before, after, 5) == share


def test_share_says_nothing_when_the_total_stood_still() -> None:
    same = {"busy": 10.0, "total": 100.0}

    assert derive(SHARE, same, same, 5) is None


def test_busy_is_milliseconds_in_percent_of_the_time_gone_by() -> None:
    assert derive(BUSY, {"ms": 1000}, {"ms": 3500}, 5) == 50.0


def test_busy_says_nothing_when_the_counter_began_anew() -> None:
    assert derive(BUSY, {"ms": 1000}, {"ms": 3}, 5) is None

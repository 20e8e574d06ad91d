import math

import pytest

from smapd.cli.lines import line
from smapd.core import SmapInstance, Timeseries
from smapd.values import Quality, Reading, bad, uncertain

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
AT_MS = 1_795_165_431_123
AT = "2026-11-20T09:03:51.123Z"


def stream(path: str = "/x", unit: str | None = "V") -> Timeseries:
    return SmapInstance(ROOT).add_timeseries(path, "key", unit)


def test_a_line_is_path_time_value_and_unit() -> None:
    """SM-18"""
    assert line(stream("/hall/meter"), Reading(AT_MS, 5)) == f"/hall/meter\t{AT}\t5\tV"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-(2**63), "-9223372036854775808"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (True, "true"),
        ("two words", "two words"),
        ("nan", "nan"),
        ("True", "True"),
        ("", ""),
        ("a\tb\nc", "a\\tb\\nc"),
        ("\x1b[31m", "\\x1b[31m"),
    ],
)
def test_a_value_is_on_its_own_and_steers_no_terminal(value: object, shown: str) -> None:
    assert line(stream(), Reading(AT_MS, value)).split("\t") == ["/x", AT, shown, "V"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "quality", "columns"),
    [
        (None, bad("no answer"), ["-", "V", "bad: no answer"]),
        (7, uncertain("clock set"), ["7", "V", "uncertain: clock set"]),
        (7, Quality(uncertain("").level), ["7", "V", "uncertain"]),
    ],
)
def test_what_is_not_good_says_why_in_a_fifth_column(
    value: int | None, quality: Quality, columns: list[str]
) -> None:
    assert line(stream(), Reading(AT_MS, value, quality)).split("\t") == ["/x", AT, *columns]


def test_no_unit_is_a_dash() -> None:
    assert line(stream(unit=None), Reading(AT_MS, 1)).endswith("\t1\t-")


def test_a_time_beyond_all_calendars_is_a_number() -> None:
    assert line(stream(), Reading(2**62, 1)).split("\t")[1] == str(2**62)

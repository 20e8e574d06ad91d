"""When data will be lost, at the rate of now."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from smapd.reports.forecast import outage
from smapd.storage import seconds_until_loss
from smapd.testing import RecordingSink
from smapd.values import Limits, Retry

from .house import House, plant, section


@pytest.mark.parametrize(
    ("limits", "hz", "away_s", "expected"),
    [
        (Limits(10_000), 1.0, 0.0, 10_000.0),
        (Limits(10_000), 1.0, 4_000.0, 6_000.0),
        (Limits(10_000), 1.0, 20_000.0, 0.0),
        (Limits(10_000), None, 0.0, None),
        (Limits(10_000), 0.0, 0.0, None),
        (Limits(None), 5.0, 0.0, None),
        (Limits(None, keep_s=1_000.0), 5.0, 100.0, 900.0),
        (Limits(10_000, max_age_s=60.0), 1.0, 0.0, 60.0),
    ],
)
def test_the_bound_that_is_nearest_counts(
    limits: Limits, hz: float | None, away_s: float, expected: float | None
) -> None:
    """N-10."""
    assert seconds_until_loss(limits, hz, away_s) == expected


def test_status_says_how_many_hours_are_left_for_the_fastest_stream() -> None:
    """N-10: 10,000 readings at 1 Hz are 2.8 hours, and fewer while nobody takes them."""
    house = House([section()], grow=plant, make=lambda d: RecordingSink())
    hours = [house.reports.status()[0]["hours_until_loss"]]
    for second in range(3600):
        if second == 60:
            hours.append(house.reports.status()[0]["hours_until_loss"])
            house.sink.answers += [Retry(None, "down")] * 1_000
        house.tree.add("/a/x", second, second)
        house.run.advance(1.0)
    hours.append(house.reports.status()[0]["hours_until_loss"])

    assert hours[0] is None
    assert hours[1] == pytest.approx(2.78, abs=0.02)
    assert hours[2] == pytest.approx(2.78 - 3540 / 3600, abs=0.05)


RATES = {"/hall": 5.0, "/hall/fast": 0.1, "/cellar": 60.0}
GIB = 2**30


@pytest.mark.parametrize(
    ("keys", "hours", "bound", "driver"),
    [
        ({}, 10_000 * 0.1 / 3600, "MaxReadings", "/hall/fast"),
        ({"ReportResource": "/cellar/+"}, 10_000 * 60 / 3600, "MaxReadings", "/cellar"),
        ({"ReportResource": "/cellar/meter"}, 10_000 * 60 / 3600, "MaxReadings", "/cellar"),
        ({"ReportResource": "/cellars"}, None, "MaxReadings", ""),
        ({"MaxReadings": "36000"}, 1.0, "MaxReadings", "/hall/fast"),
        ({"Keep": "14d"}, 336.0, "Keep", "/hall/fast"),
        ({"Keep": "14d", "MaxReadings": "36000"}, 1.0, "MaxReadings", "/hall/fast"),
        ({"Keep": "14d", "MaxAge": "2h"}, 2.0, "MaxAge", "/hall/fast"),
        ({"KeepBytes": "1GiB"}, None, "KeepBytes", ""),
    ],
)
def test_the_bound_that_is_nearest_is_known_before_anything_runs(
    keys: dict[str, str], hours: float | None, bound: str, driver: str
) -> None:
    """N-10: at one reading of each stream a poll, as the drivers' Rate says."""
    _name, options = section(**keys)

    found = outage(options, RATES, 2 * GIB)

    assert found.hours == pytest.approx(hours)
    assert (found.bound, found.driver) == (bound, driver)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {},
            "an outage of 0.3 h loses nothing: 10000 readings of a stream at one each 0.1 s "
            "(/hall/fast); [server] MaxBytes has room for 107 million readings, enough for "
            "110,000 a second.",
        ),
        (
            {"Keep": "14d", "KeepBytes": "64MiB"},
            "an outage of 336 h loses nothing: Keep; KeepBytes has room for 3.36 million readings, "
            "enough for 2.8 a second.",
        ),
        (
            {"ReportResource": "/x"},
            "an outage loses nothing until 10000 readings of a stream wait: 2.8 h at one a second; "
            "[server] MaxBytes has room for 107 million readings in all.",
        ),
        (
            {"KeepBytes": "1GiB"},
            "an outage loses nothing as long as KeepBytes has room for 53.7 million readings.",
        ),
    ],
)
def test_it_is_told_in_one_sentence(keys: dict[str, Any], said: str) -> None:
    """N-10."""
    _name, options = section(**keys)

    assert outage(options, RATES, 2 * GIB).sentence() == said


def test_hours_in_which_nothing_came_do_not_count() -> None:
    """N-10: a report that is paused with nothing waiting loses nothing before its whole bound."""
    house = House([section(Keep="1h")], grow=plant, make=lambda d: RecordingSink())
    house.tree.add("/a/x", 0, 0)
    house.run.advance(5.0)
    house.reports.set_paused(UUID(house.reports.status()[0]["uuid"]), True)

    house.run.advance(1800.0)

    assert house.reports.status()[0]["waiting"] == 0
    assert house.reports.status()[0]["hours_until_loss"] == 1.0

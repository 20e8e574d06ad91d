"""When data will be lost, at the rate of now."""

from __future__ import annotations

import pytest

from smapd.reports.forecast import seconds_until_loss
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

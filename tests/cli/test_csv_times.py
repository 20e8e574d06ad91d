"""Times in CSV files: formats, zones, and the two nights a year when a wall clock jumps."""

from __future__ import annotations

import pytest

from smapd.cli.csv_times import TimeFormat, zone

NOON = 1_700_000_000_000


@pytest.mark.parametrize(
    ("format_", "where", "text", "ms"),
    [
        ("s", None, "1700000000", NOON),
        ("s", None, "1700000000.1235", NOON + 124),
        ("s", None, "-1.5", -1500),
        ("ms", None, "1700000000123", NOON + 123),
        ("us", None, "1700000000123456", NOON + 123),
        ("iso", None, "2023-11-14T22:13:20Z", NOON),
        ("iso", None, "2023-11-14 23:13:20.5+01:00", NOON + 500),
        ("iso", "Europe/Berlin", "2023-11-14 23:13:20", NOON),
        ("iso", "-08:00", "2023-11-14T14:13:20", NOON),
        ("%d.%m.%Y %H:%M:%S", "Europe/Berlin", "14.11.2023 23:13:20", NOON),
        ("%m/%d/%y %I:%M:%S %p", "UTC", "11/14/23 10:13:20 PM", NOON),
        ("%d/%b/%Y:%H:%M:%S %z", None, "14/Nov/2023:23:13:20 +0100", NOON),
        ("excel", "UTC", "45244.92592592593", NOON),
    ],
)
def test_a_time_is_read(format_: str, where: str | None, text: str, ms: int) -> None:
    found = TimeFormat(format_, None if where is None else zone(where))
    found.check()

    assert found.read(text) == ms


BERLIN = TimeFormat("iso", zone("Europe/Berlin"))
TWICE_FIRST, TWICE_SECOND = 1_792_888_200_000, 1_792_891_800_000  # 02:30 on 25 October 2026


@pytest.mark.parametrize(
    ("ambiguous", "before", "ms"),
    [
        ("first", None, TWICE_FIRST),
        ("second", None, TWICE_SECOND),
        ("order", None, TWICE_FIRST),
        ("order", TWICE_FIRST - 900_000, TWICE_FIRST),
        ("order", TWICE_FIRST, TWICE_SECOND),
        ("order", TWICE_FIRST + 900_000, TWICE_SECOND),
        ("order", TWICE_SECOND - 900_000, TWICE_SECOND),
    ],
)
def test_the_hour_that_comes_twice(ambiguous: str, before: int | None, ms: int) -> None:
    found = TimeFormat("iso", zone("Europe/Berlin"), ambiguous)

    assert found.read("2026-10-25 02:30", before) == ms


def test_a_night_of_quarter_hours_in_order_is_evenly_spaced() -> None:
    labels = ["01:45", *["02:00", "02:15", "02:30", "02:45"] * 2, "03:00"]
    before, found = None, []
    for label in labels:
        before = BERLIN.read(f"2026-10-25 {label}", before)
        found.append(before)

    assert {b - a for a, b in zip(found, found[1:], strict=False)} == {900_000}


@pytest.mark.parametrize(
    ("format_", "text", "why"),
    [
        (BERLIN, "2026-03-29 02:30", "was skipped by the clocks in Europe/Berlin"),
        (TimeFormat("iso", zone("Europe/Berlin"), "reject"), "2026-10-25 02:30", "came twice"),
        (TimeFormat("iso", None), "2026-10-25 02:30", "names no zone"),
        (TimeFormat("iso", None), "noon", "is not like 2026-11-20T09:00:00Z"),
        (TimeFormat("%H:%M", zone("UTC")), "25:00", "is not like %H:%M"),
        (TimeFormat("s", None), "1700000000000", "is beyond the year 9999"),
        (TimeFormat("s", None), "nan", "is no number"),
        (TimeFormat("s", None), "1_0", "is no number"),
        (TimeFormat("ms", None), "", "is no number"),
        (TimeFormat("excel", zone("UTC")), "1e12", "beyond the year 9999"),
    ],
)
def test_what_is_no_time_says_why(format_: TimeFormat, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        format_.read(text)


@pytest.mark.parametrize(
    ("format_", "why"),
    [
        (TimeFormat("epoch", None), "no such format"),
        (TimeFormat("excel", None), "Write its Zone"),
        (TimeFormat("%d.%m.%Y", None), "Write the Zone"),
        (TimeFormat("%Q", zone("UTC")), "bad directive"),
    ],
)
def test_a_format_that_can_read_nothing_is_refused(format_: TimeFormat, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        format_.check()


@pytest.mark.parametrize("text", ["Berlin", "+1", "../etc/passwd", "+25:00", ""])
def test_what_is_no_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no such zone"):
        zone(text)

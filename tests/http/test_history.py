"""The past of one stream over HTTP: what may be asked, and how pages fit together."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.errors import BadRequest
from smapd.http.history import MOST, Range, page, wanted
from smapd.values import Gap, Reading

STREAM = UUID("b37e5c5f-e9b0-59a6-8275-08729beeff46")


def ask(**args: str) -> Range | None:
    return wanted({key.rstrip("_").encode(): [value.encode()] for key, value in args.items()})


def test_without_its_arguments_no_past_is_asked_for() -> None:
    assert wanted({b"quality": [b"1"]}) is None
    assert wanted(None) is None


def test_times_are_milliseconds_or_iso_with_a_zone() -> None:
    asked = ask(from_="2026-03-01T12:00:00.250Z", to="1772366400500", limit="7", order="desc")

    assert asked == Range(1772366400250, 1772366400500, 7, True, False)
    # a plus sign of a zone arrives as a blank
    assert ask(from_="2026-03-01T13:00:00 01:00") == Range(
        1772366400000, 2**63 - 1, 1000, False, False
    )


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ({"from_": "yesterday"}, "from = yesterday: not a time"),
        ({"to": "2026-03-01T12:00"}, "to = 2026-03-01T12:00: not a time"),
        ({"limit": "0"}, "limit = 0"),
        ({"limit": str(MOST + 1)}, "limit = 10001"),
        ({"limit": "x"}, "limit = x"),
        ({"order": "up"}, "order = up: write asc or desc"),
        ({"from_": "5", "to": "5"}, "from is not before to"),
    ],
)
def test_what_cannot_be_read_is_named(args: dict[str, str], names: str) -> None:
    with pytest.raises(BadRequest, match=names):
        ask(**args)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40),
    st.integers(1, 6),
    st.booleans(),
)
def test_pages_put_together_are_the_whole(times: list[int], limit: int, desc: bool) -> None:
    """Each reading comes once, in order, if no millisecond holds more than the limit."""
    if max(times.count(t) for t in times) > limit:
        return
    every = [Reading(ms, n, seq=n) for n, ms in enumerate(sorted(times))]
    every.sort(key=lambda r: (r.ms, r.seq or 0), reverse=desc)
    asked = Range(-100, 100, limit, desc, False)
    got: list[Reading] = []
    for _ in range(len(every) + 1):
        left = [r for r in every if asked.from_ms <= r.ms < asked.to_ms][: limit + 1]
        shown, beside = page(asked, left, [])
        got += shown
        if "Next" not in beside:
            break
        edge = beside["Next"]
        asked = Range(*((-100, edge) if desc else (edge, 100)), limit, desc, False)

    assert got == every


def test_gaps_come_when_asked_for() -> None:
    """N-02: with numbers, times, count and cause."""
    gap = Gap(STREAM, "/x", 3, 5, 10, 30, 3, "disk")

    _, told = page(Range(0, 100, 10, False, True), [], [gap])
    _, silent = page(Range(0, 100, 10, False, False), [], [gap])

    assert told == {"Gaps": [{"From": [3, 10], "To": [5, 30], "Count": 3, "Why": "disk"}]}
    assert silent == {}

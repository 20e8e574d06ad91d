"""Notifications as JSON: what is in them, and that a stream's readings keep their order."""

from __future__ import annotations

import json
import math
from typing import Any
from uuid import UUID

import pytest

from smapd.connectors.tree.lines import MOST_READINGS, encode, event_line, gap_lines, lines_of
from smapd.values import Gap, OneEach, Run, bad, uncertain

ONE = UUID("3b2b9b0e-0000-11e1-8000-000000000001")
TWO = UUID("3b2b9b0e-0000-11e1-8000-000000000002")


def run(*values: Any, first: int = 0, stream: UUID = ONE, **more: Any) -> Run:
    number = 1 if stream == ONE else 2
    ms = [1000 * (first + i) for i in range(len(values))]
    return Run(stream, number, first, ms, list(values), path=f"/s{number}", **more)


def lines(*runs: Run, **how: bool) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(runs, **how)]


def test_readings_of_a_stream_are_one_notification() -> None:
    told = lines(run(1.5, 2), run("x", stream=TWO), run(3, first=2))

    assert told == [
        {"path": "/s1", "uuid": str(ONE), "Readings": [[0, 1.5], [1000, 2], [2000, 3]]},
        {"path": "/s2", "uuid": str(TWO), "Readings": [[0, "x"]]},
    ]


def test_one_reading_each_comes_to_the_same_as_by_way_of_runs() -> None:
    paths = ["/a", '/b","c', "/d\\", "/é"]
    streams = [UUID(int=n) for n in range(4)]
    each = OneEach(streams, [1, 2, 3, 4], [0, 1, 2, 3], [5, 6, 7, 8], [1.5, -2, 1e300, 0], paths)

    assert list(map(json.loads, lines_of(each))) == list(map(json.loads, lines_of(list(each))))


@pytest.mark.parametrize("value", ["text", math.nan, 'a "quoted" one'])
def test_one_reading_each_of_any_kind_is_told(value: Any) -> None:
    each = OneEach([ONE, TWO], [1, 2], [0, 0], [5, 6], [1.5, value], ["/a", "/b"])

    told = list(map(json.loads, lines_of(each)))

    assert told == list(map(json.loads, lines_of(list(each))))
    assert [one["path"] for one in told] == ["/a", "/b"]


def test_what_is_not_finite_is_null_and_named() -> None:
    (told,) = lines(run(1.0, math.nan, math.inf, -math.inf))

    assert [value for _, value in told["Readings"]] == [1.0, None, None, None]
    assert told["NonFinite"] == [[1, "NaN"], [2, "Infinity"], [3, "-Infinity"]]


def test_bad_readings_are_left_out_unless_their_place_is_told() -> None:
    with_bad = run(1.0, None, 3.0, quality=[None, bad("cut"), uncertain("old")])

    assert lines(with_bad)[0]["Readings"] == [[0, 1.0], [2000, 3.0]]
    assert lines(with_bad, sequence=True)[0]["Readings"][1] == [1000, None]
    assert lines(with_bad, quality=True)[0]["Quality"] == [
        ["good", ""],
        ["bad", "cut"],
        ["uncertain", "old"],
    ]
    assert lines(run(None, quality=[bad("cut")])) == []


def test_with_numbers_a_hole_begins_a_notification() -> None:
    told = lines(run(1.0, 2.0), run(3.0, first=2), run(9.0, first=8), sequence=True)

    assert [(one["First"], len(one["Readings"])) for one in told] == [(0, 3), (8, 1)]
    assert len(lines(run(1.0, 2.0), run(9.0, first=8))) == 1


def test_a_drivers_own_numbers_stand_behind_the_value() -> None:
    assert lines(run(1.0, 2.0, seqnos=[7, None]))[0]["Readings"] == [[0, 1.0, 7], [1000, 2.0]]


def test_a_notification_holds_so_many_readings_and_so_much_text() -> None:
    """Bounded: a server refuses messages that are too large."""
    many = lines(run(*[1.0] * (2 * MOST_READINGS + 5)), sequence=True)
    assert [len(one["Readings"]) for one in many] == [MOST_READINGS, MOST_READINGS, 5]
    assert [one["First"] for one in many] == [0, MOST_READINGS, 2 * MOST_READINGS]

    long = lines(run(*["x" * 100_000] * 5))
    assert [len(one["Readings"]) for one in long] == [2, 2, 1]


def test_gaps_are_told_stream_by_stream() -> None:
    gap = Gap(ONE, "/s1", 3, 5, 3000, 5000, 3, "bounds")
    told = [json.loads(line) for line in gap_lines([gap, gap])]

    assert told == [
        {
            "path": "/s1",
            "uuid": str(ONE),
            "Readings": [],
            "Gaps": [{"From": [3, 3000], "To": [5, 5000], "Count": 3, "Why": "bounds"}] * 2,
        }
    ]


def test_an_event_is_what_the_twin_shows_with_its_asset() -> None:
    told = json.loads(event_line("a-1", {"offset": 7, "name": "Said", "data": {"x": [1]}}))

    assert told == {"asset": "a-1", "offset": 7, "name": "Said", "data": {"x": [1]}}


@pytest.mark.parametrize("value", [2**70, {"half": "\ud800"}, {1: math.nan}, [[2**70, math.inf]]])
def test_whatever_a_reading_or_event_may_hold_is_one_line_of_json(value: Any) -> None:
    line = encode(value)

    assert b"\n" not in line
    json.loads(line)

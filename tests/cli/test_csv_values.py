"""Cells to readings: numbers as people write them, columns, tags, and what cannot be read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from smapd.cli.csv_mapping import REPORT, Mapping_, Rows, Stream
from smapd.cli.csv_times import TimeFormat
from smapd.cli.csv_values import Targets, Values
from smapd.errors import SmapError
from tests.cli.memory_peer import MemoryPeer

STREAMS = {"/d": "double", "/l": "long", "/s": "string"}
WIDE = Mapping_(("t",), TimeFormat("s", None), (Stream("/d", "v"),))


def values(mapping: Mapping_, header: list[str] | None) -> Values:
    return Values(mapping, header, Targets(MemoryPeer(STREAMS)), "d.csv")


def read(kind: str, text: str, **options: Any) -> Any:
    """What a cell of a stream of that type gives: its value, or why it gives none."""
    stream = options.pop("stream", Stream(f"/{kind}", "v"))
    mapping = replace(WIDE, streams=(stream,), **options)
    found = list(values(mapping, ["t", "v"]).read(["1", text]))
    if not found:
        return None
    (one,) = found
    return one if isinstance(one, str) else one[1].value


@pytest.mark.parametrize(
    ("kind", "text", "options", "value"),
    [
        ("d", "21.5", {}, 21.5),
        ("d", " -1e3 ", {}, -1000.0),
        ("d", "21,5", {"decimal_comma": True}, 21.5),
        ("d", "1.234.567,5", {"decimal_comma": True, "thousands": "."}, 1234567.5),
        ("d", "1,234.5", {"thousands": ","}, 1234.5),
        ("d", "1\u00a0234,5", {"decimal_comma": True, "thousands": " "}, 1234.5),
        ("d", "inf", {}, math.inf),
        ("d", "", {}, None),
        ("d", "n/a", {"missing": frozenset({"n/a"})}, None),
        ("l", "17", {}, 17),
        ("l", "17.0", {}, 17),
        ("l", "true", {}, True),
        ("s", "on", {}, "on"),
        ("d", "1.1", {"stream": Stream("/d", "v", None, 1000.0)}, 1100.0),
        ("d", "20", {"stream": Stream("/d", "v", None, 1.8, 32.0)}, 68.0),
        ("l", "1.5", {"stream": Stream("/l", "v", None, 10.0)}, 15),
    ],
)
def test_a_cell_is_read_as_its_stream_wants_it(
    kind: str, text: str, options: dict[str, Any], value: object
) -> None:
    assert read(kind, text, **options) == value


@pytest.mark.parametrize(
    ("kind", "text", "options", "why"),
    [
        ("d", "warm", {}, "/d takes a number (double), not 'warm'"),
        ("d", "21,5", {}, "/d takes a number (double), not '21,5'"),
        ("d", "21.5", {"decimal_comma": True}, "'21.5' has a dot, and the decimal sign is a comma"),
        ("d", "1.23,5", {"decimal_comma": True, "thousands": "."}, "not between thousands"),
        ("l", "1.5", {}, "/l takes a whole number (long), not '1.5'"),
        ("l", "99999999999999999999", {}, "/l: a long has 64 bits; this number has 67"),
        ("l", "1.55", {"stream": Stream("/l", "v", None, 10.0)}, "takes a whole number (long)"),
        ("s", "x" * 70_000, {}, "a string has at most"),
    ],
)
def test_a_cell_that_cannot_be_read_says_why(
    kind: str, text: str, options: dict[str, Any], why: str
) -> None:
    found = read(kind, text, **options)

    assert isinstance(found, str)
    assert why in found


def test_one_bad_cell_does_not_take_the_others_with_it() -> None:
    mapping = replace(WIDE, streams=(Stream("/d", "a"), Stream("/l", "b")))

    found = list(values(mapping, ["t", "a", "b"]).read(["1", "ERR", "2"]))

    assert isinstance(found[0], str)
    assert found[1][1].value == 2


def test_a_row_for_each_reading_finds_its_stream_by_uuid_path_or_tag() -> None:
    uuid = MemoryPeer(STREAMS).get("/data/d")["uuid"]
    rows = Rows("path", "uuid", "v", "/")
    mapping = Mapping_(("t",), TimeFormat("s", None), (Stream("/l", None, "LI-1", 10.0),), rows)
    load = values(mapping, ["t", "uuid", "path", "v"])

    found = [
        next(iter(load.read(cells)))
        for cells in (
            ["1", uuid.upper(), "/elsewhere", "1"],
            ["2", "", "d", "2"],
            ["3", "", "LI-1", "3"],
            ["4", "", "/nowhere", "4"],
            ["5"],
        )
    ]

    assert [f if isinstance(f, str) else (f[0].path, f[1].ms, f[1].value) for f in found] == [
        ("/d", 1000, 1.0),
        ("/d", 2000, 2.0),
        ("/l", 3000, 30),
        "there is no timeseries '/nowhere'",
        "there is no cell 2 for the uuid",
    ]


def test_a_reports_line_is_read_without_a_mapping() -> None:
    uuid = MemoryPeer(STREAMS).get("/data/s")["uuid"]
    load = values(REPORT, None)

    assert [item.value for _, item in load.read([uuid, "/s", "1.5", " on "])] == [" on "]


@pytest.mark.parametrize(
    ("mapping", "header", "why"),
    [
        (WIDE, ["t", "x"], "d.csv has no column 'v', that of /d. It has 't', 'x'."),
        (WIDE, ["t", "v", "v"], "d.csv: two columns are called 'v', that of /d."),
        (WIDE, None, "d.csv has no header, so the column of time is a number, not 't'."),
        (
            replace(WIDE, streams=(Stream("/no", "v", line=9),), file="map.ini"),
            ["t", "v"],
            "map.ini:9: the daemon has no timeseries /no.",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_the_file_is_refused_at_once(
    mapping: Mapping_, header: list[str] | None, why: str
) -> None:
    with pytest.raises(SmapError) as caught:
        values(mapping, header)

    assert caught.value.message == why


def test_columns_may_be_numbers() -> None:
    mapping = replace(WIDE, time_columns=("2", "3"), streams=(Stream("/d", "1"),))
    mapping = replace(mapping, time=TimeFormat("%Y-%m-%d %H", None))
    mapping = replace(mapping, time=TimeFormat("%Y-%m-%d %H %z", None))
    mapping = replace(mapping, time_columns=("2", "3", "4"))

    ((_, item),) = values(mapping, None).read(["7", "1970-01-02", "0", "+0000"])

    assert item.ms == 86_400_000

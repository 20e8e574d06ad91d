"""The formats of a report: the recorded bodies, what JSON cannot hold, and independent readers."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.reports import FORMATS as NAMES
from smapd.sinks import FORMATS
from smapd.values import (
    GOOD,
    Gap,
    NodePart,
    OneByPath,
    OneEach,
    Quality,
    ReportBody,
    Run,
    Value,
    bad,
    uncertain,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "reports.jsonl"
A = UUID("2fd35f87-dc3a-5878-bbb8-429ceedc9a46")
B = UUID("4e88d7ac-a0c2-56ec-9a0b-3d7efb2c8b1f")
NAN, INF = float("nan"), float("inf")


def recorded(path: str) -> list[Any]:
    """The bodies that the original sent there, in order."""
    lines = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
    return [x["body"] for x in lines if x["scenario"] == "formats" and x.get("path") == path]


def body_of(report: dict[str, Any]) -> ReportBody:
    """A recorded JSON body as the neutral model has it, in the order of its keys."""
    runs: dict[str, list[Run]] = {}
    nodes: dict[str, NodePart] = {}
    for path, node in report.items():
        fields = {k: v for k, v in node.items() if k not in ("uuid", "Readings")}
        uuid = UUID(node["uuid"]) if "uuid" in node else None
        if fields:
            nodes[path] = NodePart(uuid, fields)
        if uuid and node["Readings"]:
            runs[path] = [run(uuid, *node["Readings"])]
    return ReportBody(runs, nodes)


def run(
    stream: UUID,
    *readings: Any,
    first: int = 0,
    quality: list[Quality | None] | None = None,
    seqnos: list[int | None] | None = None,
) -> Run:
    times, values = [r[0] for r in readings], [r[1] for r in readings]
    return Run(stream, 1, first, times, values, quality, seqnos)


def written(name: str, body: ReportBody) -> bytes:
    payload = FORMATS[name].encode(body)
    packed = dict(payload.headers).get("Content-Encoding") == "gzip"
    return gzip.decompress(payload.body) if packed else payload.body


def as_json(body: ReportBody) -> Any:
    return json.loads(written("json", body))


def test_every_format_of_a_config_file_is_there() -> None:
    """SM-28: Format json, gzip-json, avro, gzip-avro, csv."""
    assert tuple(FORMATS) == tuple(NAMES)


@pytest.mark.parametrize(
    ("name", "kind", "packed"),
    [
        ("json", "application/json", False),
        ("gzip-json", "application/json", True),
        ("avro", "avro/binary", False),
        ("gzip-avro", "avro/binary", True),
        ("csv", "text/csv", False),
    ],
)
def test_a_payload_says_what_it_is(name: str, kind: str, packed: bool) -> None:
    payload = FORMATS[name].encode(ReportBody({"/a": [run(A, [0, 1], [1, 2]), run(A, [2, 3])]}))

    headers = [("Content-Type", kind)] + [("Content-Encoding", "gzip")] * packed
    assert list(payload.headers) == headers
    assert payload.count == 3
    assert (payload.body[:2] == b"\x1f\x8b") is packed


# --- as recorded


@pytest.mark.parametrize("name", ["json", "gzip-json"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_json_is_as_recorded(name: str, n: int) -> None:
    """SM-26, SM-28: a report whole with its ancestors, then {uuid, Readings}."""
    report = recorded(f"/{name}")[n]

    assert json.loads(written(name, body_of(report))) == report


def datum(data: bytes) -> Any:
    """Avro read by another's reader, under sMAP's schema and our one more branch for texts."""
    stream = io.BytesIO(data)
    found = fastavro.schemaless_reader(
        stream, SCHEMA, SCHEMA, return_record_name=True, return_record_name_override=True
    )
    assert stream.read() == b""
    return found


@pytest.mark.parametrize("name", ["avro", "gzip-avro"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_avro_is_as_recorded(name: str, n: int) -> None:
    """SM-28: each entry byte for byte; their order in a map means nothing."""
    golden = bytes.fromhex(recorded("/gzip-avro")[n]["hex"])
    ours = written(name, body_of(recorded("/json")[n]))

    assert len(ours) == len(golden)
    assert datum(ours) == datum(golden)
    assert sorted(entries(ours)) == sorted(entries(golden))


def entries(data: bytes) -> Iterator[bytes]:
    """The entries of a datum, one by one, as bytes."""
    stream = io.BytesIO(data)
    count = data[0] // 2
    stream.read(1)
    for _ in range(count):
        start = stream.tell()
        fastavro.schemaless_reader(stream, "string", "string")
        fastavro.schemaless_reader(stream, SCHEMA["values"], SCHEMA["values"])
        yield data[start : stream.tell()]
    assert stream.read() == b"\0"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_csv_is_as_recorded_with_a_newline_after_each_line(n: int) -> None:
    """SM-28: uuid,path,seconds,value; the original glued streams together."""
    golden = recorded("/csv")[n]
    ours = written("csv", body_of(recorded("/json")[n])).decode()

    lines = ours.splitlines(keepends=True)
    assert all(line.endswith("\n") for line in lines)
    assert sorted("".join(lines).replace("\n", "")) == sorted(golden.replace("\n", ""))
    assert all(line[:-1] in golden for line in lines)


# --- json


def test_nan_is_null_and_named() -> None:
    """NaN blocked a report for ever in the original."""
    body = ReportBody({"/a": [run(A, [1, 1.5], [2, NAN], [3, INF])], "/b": [run(B, [1, -INF])]})

    assert as_json(body) == {
        "/a": {
            "uuid": str(A),
            "Readings": [[1, 1.5], [2, None], [3, None]],
            "NonFinite": [[1, "NaN"], [2, "Infinity"]],
        },
        "/b": {"uuid": str(B), "Readings": [[1, None]], "NonFinite": [[0, "-Infinity"]]},
    }


def test_the_word_null_in_a_text_changes_nothing() -> None:
    body = ReportBody({"/a": [run(A, [1, "null"])]})

    assert as_json(body) == {"/a": {"uuid": str(A), "Readings": [[1, "null"]]}}


def test_a_number_of_the_drivers_own_is_the_third_element() -> None:
    body = ReportBody({"/a": [run(A, [1, 5], [2, 6], [3, 7], seqnos=[9, None, 0])]})

    assert as_json(body)["/a"]["Readings"] == [[1, 5, 9], [2, 6], [3, 7]]


def test_bad_readings_are_left_out_unless_asked_for() -> None:
    body = ReportBody(
        {
            "/a": [run(A, [1, 5], [2, None], quality=[None, bad("open wire")])],
            "/b": [run(B, [1, None], quality=[bad("dead")])],
        }
    )

    assert as_json(body) == {"/a": {"uuid": str(A), "Readings": [[1, 5]]}}


def test_quality_stands_beside_the_readings() -> None:
    judged: list[Quality | None] = [None, uncertain("drift"), bad("open wire"), GOOD]
    runs = {"/a": [run(A, [1, 5], [2, 6], [3, None], [4, 7], first=40, quality=judged)]}

    assert as_json(ReportBody(runs, quality=True)) == {
        "/a": {
            "uuid": str(A),
            "Readings": [[1, 5], [2, 6], [3, None], [4, 7]],
            "Quality": [
                ["good", "", 40],
                ["uncertain", "drift", 41],
                ["bad", "open wire", 42],
                ["good", "", 43],
            ],
        }
    }


def test_sequence_numbers_every_reading() -> None:
    """SM-29: a consumer can prove that nothing is missing."""
    body = ReportBody(
        {
            "/a": [
                run(A, [1, 5], [2, None], first=7, quality=[None, bad("x")]),
                run(A, [3, 6], first=9),
            ],
            "/b": [run(B, [1, 5], first=2), run(B, [2, 6], first=5), run(B, [3, 7], first=6)],
        },
        sequence=True,
    )

    assert as_json(body) == {
        "/a": {"uuid": str(A), "Readings": [[1, 5], [2, None], [3, 6]], "First": 7},
        "/b": {"uuid": str(B), "Readings": [[1, 5], [2, 6], [3, 7]], "First": 2, "Jumps": [[1, 5]]},
    }


def test_gaps_stand_at_their_stream() -> None:
    """SM-29: what was dropped is reported to who asks."""
    gaps = [Gap(A, "/a", 3, 9, 100, 200, 7, "bounds"), Gap(B, "/b", None, None, 5, 6, 0, "damage")]
    body = ReportBody({"/a": [run(A, [300, 1])]}, gaps=gaps)

    assert as_json(body) == {
        "/a": {
            "uuid": str(A),
            "Readings": [[300, 1]],
            "Gaps": [{"From": [3, 100], "To": [9, 200], "Count": 7, "Why": "bounds"}],
        },
        "/b": {
            "uuid": str(B),
            "Readings": [],
            "Gaps": [{"From": [None, 5], "To": [None, 6], "Count": 0, "Why": "damage"}],
        },
    }


def test_what_goes_out_whole_without_readings_has_empty_ones() -> None:
    nodes = {"/": NodePart(None, {"Contents": ["a"]}), "/a": NodePart(A, {"Properties": {}})}

    assert as_json(ReportBody({}, nodes)) == {
        "/": {"Contents": ["a"]},
        "/a": {"uuid": str(A), "Properties": {}, "Readings": []},
    }


def test_several_runs_of_a_stream_are_one_list() -> None:
    body = ReportBody({"/a": [run(A, [1, 1], [2, 2]), run(A, [1, 3])]})

    assert as_json(body)["/a"]["Readings"] == [[1, 1], [2, 2], [1, 3]]


def test_the_models_own_objects_are_not_changed() -> None:
    fields = {"Contents": ["a"]}
    body = ReportBody(
        {"/a": [run(A, [1, NAN])]}, {"/": NodePart(None, fields), "/a": NodePart(A, fields)}
    )

    for form in FORMATS.values():
        form.encode(body)

    assert fields == {"Contents": ["a"]}
    assert body.runs["/a"][0].ms == [1]


# --- csv


def test_csv_keeps_milliseconds_where_there_are_some() -> None:
    times = [1_300_000_001_000, 1_300_000_001_020, 0, -5000, -500, -1500]
    body = ReportBody({"/a": [run(A, *([ms, 1] for ms in times))]})

    lines = written("csv", body).decode().splitlines()

    seconds = [line.split(",")[2] for line in lines]
    assert seconds == ["1300000001", "1300000001.020", "0", "-5", "-0.500", "-1.500"]


@pytest.mark.parametrize("together", [True, False])
def test_csv_writes_values_alike_alone_and_together(together: bool) -> None:
    values = [1, 0.1, 1e300, True, NAN, INF, -INF, "plain", 'a,"b"\nc', -(2**63), 1e-7]
    readings = [[1000, value] for value in values]
    whole = [run(A, *readings)] if together else [run(A, reading) for reading in readings]

    text = written("csv", ReportBody({"/a": whole})).decode()

    head = f"{A},/a,1,"
    expected = ["1", "0.1", "1e+300", "1", "nan", "inf", "-inf", "plain", '"a,""b""\nc"']
    assert text == "".join(f"{head}{v}\n" for v in [*expected, str(-(2**63)), "1e-07"])


def test_csv_leaves_bad_readings_out() -> None:
    body = ReportBody({"/a": [run(A, [1000, None], [2000, 2], quality=[bad("x"), None])]})

    assert written("csv", body).decode() == f"{A},/a,2,2\n"


def test_csv_of_nothing_but_nodes_is_empty() -> None:
    assert written("csv", ReportBody({}, {"/": NodePart(None, {"Contents": []})})) == b""


# --- avro


def test_avro_has_a_field_for_each_known_metadata() -> None:
    metadata = {
        "SourceName": "s",
        "Instrument": {
            "Manufacturer": "m",
            "ModelName": "left out",
            "MinValue": "-5",
            "MaxValue": 2.5,
            "Resolution": "0.1",
            "Precision": "about one",
            "SamplingPeriod": "5 s",
        },
        "Location": {"Altitude": "12", "City": "Zürich", "Latitude": 47.1, "Uri": "u"},
        "Operator": {"Expression": "mean", "SourceStreams": [str(A), "no uuid"]},
        "BACnet": {"Units": 3},
        "Extra": {"A": "x", "B": {"C": "y"}, "D": ["p", "q"]},
        "Weather": {"Station": "left out"},
    }
    actuator = {"Model": "discrete", "MinValue": 1, "Values": [1, 2.5, "on", None]}
    fields = {"Metadata": metadata, "Description": "d", "Actuator": actuator}

    found = datum(written("avro", ReportBody({}, {"/a": NodePart(A, fields)})))["/a"][1]

    assert found["Description"] == "d"
    assert found["Readings"] == []
    told = found["Metadata"]
    assert told["SourceName"] == "s"
    instrument = {k: v for k, v in told["Instrument"].items() if v is not None}
    assert instrument == {
        "Manufacturer": "m",
        "MinValue": -5,
        "MaxValue": 2.5,
        "Resolution": 0.1,
        "SamplingPeriod": "5 s",
    }
    location = {k: v for k, v in told["Location"].items() if v is not None}
    assert location == {"Altitude": 12, "City": "Zürich", "Latitude": "47.1", "Uri": "u"}
    assert told["Operator"] == {
        "Expression": "mean",
        "SourceStreams": [A.bytes],
        "Materialized": True,
    }
    assert told["BACnet"] == {"Units": "3"}
    assert told["Extra"] == {"A": "x", "B/C": "y", "D": "p, q"}
    assert found["Actuator"]["Model"] == "discrete"
    assert found["Actuator"]["Values"] == [1, 2.5, "on", None]


def test_avro_readings_are_doubles_and_texts() -> None:
    body = ReportBody(
        {
            "/a": [run(A, [1, 5], [2, True], [3, "on"], [4, None], seqnos=[7, None, 8, None])],
            "/b": [run(B, [1, None], quality=[bad("x")])],
        }
    )

    found = datum(written("avro", body))

    assert set(found) == {"/a"}
    readings = found["/a"][1]["Readings"]
    assert readings == [[1.0, 5.0, 7.0], [2.0, 1.0], [3.0, "on", 8.0]]


def test_avro_of_nothing_is_an_empty_map() -> None:
    assert datum(written("avro", ReportBody({}))) == {}


# --- nothing stops a body


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
_TEXT = st.text(st.characters(exclude_categories=()), max_size=5)  # halves of characters too
_VALUE = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | _TEXT
_GROUP = st.sampled_from(["Instrument", "Location", "Operator", "BACnet", "Extra", "SourceName"])
_KEY = st.sampled_from(["MinValue", "Altitude", "City", "Expression", "SourceStreams", "X"]) | _TEXT


@pytest.mark.parametrize("name", FORMATS)
@given(
    values=st.lists(st.tuples(st.integers(-(2**52), 2**52), _VALUE, st.booleans()), min_size=1),
    metadata=st.dictionaries(_GROUP, st.dictionaries(_KEY, _JSON | _TEXT, max_size=4) | _JSON),
    sequence=st.booleans(),
    quality=st.booleans(),
)
def test_no_reading_and_no_metadata_stops_a_body(
    name: str,
    values: list[tuple[int, Value, bool]],
    metadata: dict[str, Any],
    sequence: bool,
    quality: bool,
) -> None:
    """SM-31: what cannot be written would be retried for ever."""
    times = [ms for ms, _, _ in values]
    judged: list[Quality | None] = [bad("x") if v is None else None for _, v, _ in values]
    numbered = [3 if some else None for _, _, some in values]
    runs = {"/a": [Run(A, 1, 0, times, [v for _, v, _ in values], judged, numbered)]}
    nodes = {"/": NodePart(None, {"Metadata": metadata}), "/a": NodePart(A, {"Metadata": metadata})}

    data = written(name, ReportBody(runs, nodes, sequence=sequence, quality=quality))

    finite = [v for _, v, _ in values if v is not None]
    if name.endswith("json"):
        readings = json.loads(data)["/a"]["Readings"]
        assert len(readings) == (len(values) if sequence or quality else len(finite))
    elif name.endswith("avro"):
        assert len(datum(data)["/a"][1]["Readings"]) == len(finite)
    else:
        data.decode()


def _optional(*kinds: Any) -> list[Any]:
    return ["null", *kinds]


def _record(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": k, "type": v} for k, v in fields.items()],
    }


def _schema() -> Any:
    text, number = _optional("string"), _optional("long", "double")
    uuid = {"type": "fixed", "name": "uuid", "size": 16}
    units = {"type": "enum", "name": "UnitofTime", "symbols": ["second", "minute"]}
    duration = _record("Duration", Value="long", UnitofTime=units)
    instrument = _record(
        "Instrument",
        **dict.fromkeys(["Manufacturer", "Model", "PartNumber", "SerialNumber", "Text"], text),
        **dict.fromkeys(["MinValue", "MaxValue", "Resolution", "Precision", "Accuracy"], number),
        SamplingPeriod=_optional("string", duration),
    )
    places = "Area Building Campus City Country Description Floor Latitude Longitude Postalcode"
    location = _record(
        "Location",
        Altitude=_optional("long"),
        **dict.fromkeys([*places.split(), "Room", "State", "Street", "Text", "Uri"], text),
    )
    operator = _record(
        "Operator",
        Expression=["string"],
        SourceStreams={"type": "array", "items": uuid},
        Materialized="boolean",
    )
    texts = {"type": "map", "values": "string"}
    metadata = _record(
        "Metadata",
        SourceName=text,
        Instrument=_optional(instrument),
        Location=_optional(location),
        Operator=_optional(operator),
        BACnet=_optional(_record("BACnet", Units=_optional("int")), texts),
        Extra=_optional(texts),
    )
    collection = _record(
        "Collection",
        Proxy=_optional("boolean"),
        Metadata=_optional(metadata),
        Contents={"type": "array", "items": "string"},
    )
    kinds = {"type": "enum", "name": "ReadingType", "symbols": ["long", "double", "string"]}
    models = ["binary", "discrete", "continuous", "continuousInteger"]
    actuator = _record(
        "Actuator",
        Model={"type": "enum", "name": "Models", "symbols": models},
        **dict.fromkeys(["MinValue", "MaxValue", "StepSize"], number),
        Values=_optional({"type": "array", "items": ["null", "long", "double", "string"]}),
    )
    reading = {"type": "array", "items": ["long", "double", "string"]}
    timeseries = _record(
        "Timeseries",
        uuid="uuid",
        Description=text,
        Metadata=_optional("Metadata"),
        Properties=_optional(
            _record("Properties", UnitofMeasure="string", ReadingType=kinds, Timezone=text)
        ),
        Actuator=_optional(actuator),
        Readings=_optional({"type": "array", "items": reading}),
    )
    return fastavro.parse_schema({"type": "map", "values": [collection, timeseries]})


SCHEMA = _schema()


# --- a reading of each of many streams


def each_of(rows: list[tuple[str, int, Value]]) -> OneEach:
    uuids = [UUID(int=2**90 + i) for i in range(len(rows))]
    numbers, seqs = list(range(len(rows))), [5] * len(rows)
    paths, times, values = zip(*rows, strict=True)
    return OneEach(uuids, numbers, seqs, list(times), list(values), list(paths))


def as_runs(each: OneEach) -> dict[str, list[Run]]:
    return {run.path: [run] for run in each}


PATHS = st.text(st.sampled_from('abé,"\\/\n') | st.characters(), min_size=1, max_size=8)
TIMES = st.integers(-5_000, 5_000) | st.integers(1_600_000_000_000, 1_900_000_000_000)
VALUES = (
    st.floats()
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.text(st.sampled_from('a,"n\ud800'), max_size=5)
)


@given(st.lists(st.tuples(PATHS, TIMES, VALUES), min_size=1, max_size=6, unique_by=lambda r: r[0]))
def test_columns_are_written_as_the_runs_they_stand_for(rows: list[tuple[str, int, Value]]) -> None:
    """SM-28: byte for byte, in every format, whatever a path or a value holds."""
    each = each_of(rows)

    for name in FORMATS:
        assert written(name, ReportBody(OneByPath(each))) == written(
            name, ReportBody(as_runs(each))
        )
        assert FORMATS[name].encode(ReportBody(OneByPath(each))).count == len(rows)


def test_many_finite_numbers_are_written_as_the_runs_they_stand_for() -> None:
    """SM-28: the way that nearly every body goes; whole seconds and the thousandths too."""
    each = each_of([(f"/s{i}", 1_700_000_000_000 + 250 * i, i * 0.1) for i in range(300)])

    for name in FORMATS:
        assert written(name, ReportBody(OneByPath(each))) == written(
            name, ReportBody(as_runs(each))
        )


def test_reports_that_are_given_the_same_are_written_once() -> None:
    """P-12: a second report costs no second encoding, but one that says more is its own."""
    each = each_of([("/a", 1_700_000_000_123, 1.5), ("/b", 1_700_000_000_456, 2.5)])
    first = FORMATS["json"].encode(ReportBody(OneByPath(each)))

    again = FORMATS["json"].encode(ReportBody(OneByPath(each)))
    numbered = FORMATS["json"].encode(ReportBody(OneByPath(each), sequence=True))
    with_node = FORMATS["json"].encode(
        ReportBody(OneByPath(each), {"/": NodePart(None, {"Contents": ["a", "b"]})})
    )

    assert again.body is first.body
    assert json.loads(numbered.body)["/a"]["First"] == 5
    assert "/" in json.loads(with_node.body)
    assert written("gzip-json", ReportBody(OneByPath(each))) == first.body

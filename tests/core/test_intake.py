"""Readings from outside: all of a body, or nothing."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from smapd.core import Intake, SmapInstance
from smapd.errors import BadRequest, Busy, NoSuchPath
from smapd.interfaces import IIntake
from smapd.values import GOOD, bad, uncertain
from tests.core.support import Recorder, tree


def made(**options: Any) -> tuple[SmapInstance, Intake, Recorder]:
    inst = tree(**options)
    inst.add_timeseries("/l", "l", "V")
    inst.add_timeseries("/a/d", "d", "V", data_type="double")
    inst.add_timeseries("/s", "s", "V", data_type="string")
    listener = Recorder()
    inst.attach(listener)
    intake = Intake(inst)
    assert verifyObject(IIntake, intake)
    return inst, intake, listener


def test_a_body_is_in_the_tree_when_take_returns() -> None:
    inst, intake, listener = made()
    taken = intake.take(
        {
            "/l": {"Readings": [[1000, 1], [2000, True, 42], [3000, 3, 0]]},
            "a/d/": {"Readings": [[1500, 2], [1501.0, 2.5]]},
            "/s": {"Readings": [[1, "on"]]},
        }
    )

    assert taken == inst.taken == 6
    assert len(listener.batches) == 1
    assert [(p, *r[:2], r.seqno) for p, r in listener.readings] == [
        ("/l", 1000, 1, None),
        ("/l", 2000, True, 42),
        ("/l", 3000, 3, None),
        ("/a/d", 1500, 2.0, None),
        ("/a/d", 1501, 2.5, None),
        ("/s", 1, "on", None),
    ]
    assert all(r.quality is GOOD for _, r in listener.readings)


def test_the_uuid_finds_a_stream_that_stands_elsewhere() -> None:
    inst, intake, listener = made()
    stream = inst.get_timeseries("/l")
    assert stream is not None
    intake.take({"/their/path": {"uuid": str(stream.uuid), "Readings": [[1, 1]]}})
    intake.take({"/s": {"uuid": str(stream.uuid), "Readings": [[2, 2]]}})
    assert [(p, r.value) for p, r in listener.readings] == [("/l", 1), ("/l", 2)]


def test_a_uuid_that_is_nobodys_is_refused_with_the_one_that_stands_there() -> None:
    """SEC-06: readings of another stream do not end up in the one that has its path by chance."""
    inst, intake, _ = made()
    stream, foreign = inst.get_timeseries("/l"), inst.uuid("unknown")
    assert stream is not None

    with pytest.raises(BadRequest) as caught:
        intake.take({"/l": {"uuid": str(foreign), "Readings": [[2, 2]]}})

    assert caught.value.message == (
        f"/l: its uuid is {stream.uuid}, not {foreign}, which no other stream has either."
    )
    assert inst.taken == 0
    with pytest.raises(NoSuchPath):
        intake.take({"/nope": {"uuid": str(foreign), "Readings": [[2, 2]]}})


def test_a_whole_report_is_a_body() -> None:
    """What one daemon sends another takes: collections and metadata are passed over."""
    inst, intake, listener = made()
    inst.set_metadata("/a", {"Extra/x": "y"})
    inst.add("/a/d", 1, math.nan)
    inst.add("/l", 1, 7, 42)
    body = orjson.loads(orjson.dumps({p: node.as_json(quality=True) for p, node in inst.walk()}))
    other, intake, listener = made()

    assert intake.take(body) == 2
    assert other.get("/l").as_json() == inst.get("/l").as_json()  # type: ignore[union-attr]
    assert other.get("/a/d").as_json() == inst.get("/a/d").as_json()  # type: ignore[union-attr]
    assert other.root.metadata is None


def test_non_finite_values_and_quality_come_through() -> None:
    """U-03"""
    _, intake, listener = made()
    intake.take(
        {
            "/a/d": {
                "Readings": [[1, None], [2, None], [3, 1.5], [4, None]],
                "NonFinite": [[1, "Infinity"]],
                "Quality": [["bad", "no answer", 9], ["good", ""], ["uncertain", "x"], ["bad", ""]],
            }
        }
    )
    assert [(r.value, r.quality) for _, r in listener.readings] == [
        (None, bad("no answer")),
        (math.inf, GOOD),
        (1.5, uncertain("x")),
        (None, bad("")),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], 'The body is an object like {"/path": {"Readings": [[ms, value]]}}, not a list.'),
        (None, "The body is an object like"),
        ({"/l": [[1, 2]]}, "/l: a node is an object with Readings, not a list."),
        ({"/l": {"Readings": {}}}, "/l: Readings is a list, not an object."),
        ({"/l": {"Readings": None}}, "/l: Readings is a list, not null."),
        ({"/l": {"Readings": False}}, "/l: Readings is a list, not false."),
        ({"/l": None}, "/l: a node is an object with Readings, not null."),
        ({"/l": 5}, "/l: a node is an object with Readings, not int 5."),
        ({"": {"Readings": []}}, "/: a collection takes no readings."),
        ({"": []}, "/: a node is an object with Readings, not a list."),
        ({"//a//": {"Readings": []}}, "/a: a collection takes no readings."),
        (
            {"/l": {"Readings": [[None, 1]]}},
            "/l: Readings[0]: a time is a number of milliseconds, ",
        ),
        ({"/l": {"Readings": [[1, 2.0**64]]}}, "/l: Readings[0]: a long goes from -9223372036854"),
        ({"/l": {"Readings": [[1, 2**63]]}}, "/l: Readings[0]: a long goes from -9223372036854775"),
        ({"/l": {"Readings": [[1, 1, 2**63]]}}, "/l: Readings[0]: a sequence number goes from -92"),
        ({"/l": {"Readings": [[1, 1], [2]]}}, "/l: Readings[1]: a reading is [ms, value] or"),
        ({"/l": {"Readings": [[1, 1, 1, 1]]}}, "/l: Readings[0]: a reading is [ms, value] or"),
        ({"/l": {"Readings": [5]}}, "/l: Readings[0]: a reading is [ms, value] or"),
        ({"/l": {"Readings": [["1", 1]]}}, "/l: Readings[0]: a time is a number of milliseconds"),
        ({"/l": {"Readings": [[True, 1]]}}, "/l: Readings[0]: a time is a number of milliseconds"),
        ({"/l": {"Readings": [[2**63, 1]]}}, "/l: Readings[0]: the time is out of range."),
        ({"/l": {"Readings": [[1, 1.5]]}}, "/l: Readings[0]: a long takes whole numbers, not flo"),
        ({"/l": {"Readings": [[1, None]]}}, "/l: Readings[0]: null needs a place in NonFinite"),
        ({"/l": {"Readings": [[1, 1, "x"]]}}, "/l: Readings[0]: a sequence number is a whole"),
        ({"/a/d": {"Readings": [[1, 2**64]]}}, "/a/d: Readings[0]: a whole number for a double"),
        ({"/a": {"Readings": []}}, "/a: a collection takes no readings."),
        ({"/l": {"uuid": "x", "Readings": []}}, "/l: uuid: the text 'x' is no uuid."),
        ({"/l": {"uuid": 5, "Readings": []}}, "/l: uuid: int 5 is no uuid."),
        ({"/l": {"Readings": [], "NonFinite": [[0, "NaN"]]}}, "/l: NonFinite is a list of"),
        (
            {"/a/d": {"Readings": [[1, None], [2, 1.5]], "NonFinite": [[0, "NaN"], [1, "NaN"]]}},
            "/a/d: Readings[1]: NonFinite says what a null stands for, but this is float 1.5.",
        ),
        (
            {"/a/d": {"Readings": [[1, 1]], "NonFinite": [[0, "NaN"]], "Quality": [["bad", ""]]}},
            "/a/d: Readings[0]: NonFinite says what a null stands for, but this is int 1.",
        ),
        ({"/a/d": {"Readings": [5], "NonFinite": [[0, "NaN"]]}}, "/a/d: Readings[0]: a reading is"),
        ({"/a/d": {"Readings": [[1, 1]], "NonFinite": [[0, "nan"]]}}, "/a/d: NonFinite is a list"),
        ({"/a/d": {"Readings": [[1, 1]], "NonFinite": [[[], "NaN"]]}}, "/a/d: NonFinite is a"),
        ({"/a/d": {"Readings": [[1, 1]], "NonFinite": "NaN"}}, "/a/d: NonFinite is a list"),
        ({"/l": {"Readings": [[1, None]], "NonFinite": [[0, "NaN"]]}}, "/l: Readings[0]: a long"),
        ({"/l": {"Readings": [[1, 1]], "Quality": []}}, "/l: Quality is a list as long as"),
        ({"/l": {"Readings": [[1, 1]], "Quality": [["fine", ""]]}}, "/l: Quality is a list as"),
        ({"/l": {"Readings": [[1, 1]], "Quality": [[[], ""]]}}, "/l: Quality is a list as"),
        ({"/l": {"Readings": [[1, 1]], "Quality": [["bad", 5]]}}, "/l: Quality is a list as"),
    ],
)
def test_one_fault_and_nothing_of_the_body_is_taken(body: Any, said: str) -> None:
    inst, intake, _ = made()
    if isinstance(body, dict):
        body = {"/s": {"Readings": [[1, "first"]]}, **body}

    with pytest.raises(BadRequest) as caught:
        intake.take(body)

    assert caught.value.message.startswith(said)
    assert inst.taken == inst.refused == inst.drain() == 0


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        (
            {"UnitofMeasure": "kV", "ReadingType": "double"},
            "/a/d: Properties: UnitofMeasure is the text 'kV', but /a/d has the text 'V'.",
        ),
        (
            {"UnitofMeasure": "V", "ReadingType": "long"},
            "/a/d: Properties: ReadingType is the text 'long', but /a/d has the text 'double'.",
        ),
        (
            {"UnitofMeasure": None},
            "/a/d: Properties: UnitofMeasure is null, but /a/d has the text 'V'.",
        ),
        ([], "/a/d: Properties is an object, not a list."),
    ],
)
def test_readings_of_another_unit_or_type_are_refused(properties: Any, said: str) -> None:
    """SM-06: a stream's values stay in its unit."""
    inst, intake, _ = made()

    with pytest.raises(BadRequest) as caught:
        intake.take({"/a/d": {"Properties": properties, "Readings": [[1, 1.5]]}})

    assert caught.value.message == said
    assert inst.taken == 0


@pytest.mark.parametrize(
    "properties",
    [
        None,
        {},
        {"Timezone": "Mars/Olympus"},
        {"UnitofMeasure": "V"},
        {"ReadingType": "double", "Timezone": "UTC", "More": 1},
    ],
)
def test_properties_that_agree_are_fine(properties: Any) -> None:
    """SM-06: what is not given is not compared; a timezone is only how times are shown."""
    _, intake, _ = made()
    assert intake.take({"/a/d": {"Properties": properties, "Readings": [[1, 1.5]]}}) == 1


def test_a_stream_without_a_unit_takes_none() -> None:
    """SM-06"""
    inst, intake, _ = made()
    inst.add_timeseries("/u", "u", None)
    assert intake.take({"/u": {"Properties": {"UnitofMeasure": None}, "Readings": [[1, 1]]}}) == 1
    with pytest.raises(BadRequest, match="UnitofMeasure is the text 'W', but /u has none"):
        intake.take({"/u": {"Properties": {"UnitofMeasure": "W"}, "Readings": [[1, 1]]}})


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"Reedings": [[1, 1]]}, "/l: no such key of a node: Reedings. Did you mean Readings?"),
        ({"readings": [[1, 1]]}, "/l: no such key of a node: readings. Did you mean Readings?"),
        (
            {"uuid": "x", "Reading": []},
            "/l: no such key of a node: Reading. Did you mean Readings?",
        ),
        ({"Metadat": {}}, "/l: no such key of a node: Metadat. Did you mean Metadata?"),
        ({"value": 5}, "/l: no such key of a node: value."),
        ({"\n": 5}, "/l: no such key of a node: \\n."),
        (
            {"Readings": [[1, 1]], "Qualty": [["bad", ""]]},
            "/l: no such key of a node: Qualty. Did you mean Quality?",
        ),
        (
            {"Readings": [[1, None]], "NonFinit": [[0, "NaN"]]},
            "/l: no such key of a node: NonFinit. Did you mean NonFinite?",
        ),
    ],
)
def test_a_key_that_may_be_misspelt_is_refused(node: Any, said: str) -> None:
    """SEC-06: readings under a wrong name are not answered as if they had been taken."""
    inst, intake, _ = made()

    with pytest.raises(BadRequest) as caught:
        intake.take({"/s": {"Readings": [[1, "first"]]}, "/l": node})

    assert caught.value.message == said
    assert inst.taken == 0


def test_strange_keys_beside_readings_are_passed_over() -> None:
    """SM-20: other programs say more of a stream than we know; however much that is."""
    _, intake, _ = made()
    more = {f"x-{i}-{'y' * 40}": i for i in range(20_000)}
    body = {"/l": {"Readings": [[1, 1]], "Instrument": {}, "Parent": "/", **more}}

    assert intake.take(body) == 1


def test_objects_without_readings_are_passed_over() -> None:
    """SM-20: a report tells of collections, and of news of metadata alone."""
    _, intake, _ = made()
    assert intake.take({"/": {"Contents": ["l"]}, "/x": {"Metadata": {}}, "/l": {}}) == 0
    assert intake.take({"/l": {"uuid": "any", "Properties": {}, "Description": "d"}}) == 0


@pytest.mark.parametrize("ms", [-(2**63) + 1, -1, 0, 2**53 * 1000, 2**63 - 1, 9.3e15])
def test_times_of_any_age_are_taken(ms: float) -> None:
    """SM-20: before 1970 and beyond 2262 too, as documented."""
    _, intake, listener = made()
    assert intake.take({"/l": {"Readings": [[ms, 1]]}}) == 1
    assert [r.ms for _, r in listener.readings] == [int(ms)]


def test_an_unknown_stream_is_told_by_its_path() -> None:
    inst, intake, _ = made()
    for path, shown in (("/nope/", "/nope"), ("/no\npe", "/no\\npe"), ("/l/+", "/l/+")):
        with pytest.raises(NoSuchPath) as caught:
            intake.take({"/l": {"Readings": [[1, 1]]}, path: {"Readings": []}})
        assert caught.value.message == f"No such timeseries or collection: {shown}"
    assert inst.taken == 0


def test_more_than_the_queue_holds_is_refused_whole() -> None:
    inst, intake, _ = made(queue_limit=3)
    with pytest.raises(Busy, match="4 readings are more than the queue has room for"):
        intake.take({"/l": {"Readings": [[i, i] for i in range(4)]}})
    assert intake.take({"/l": {"Readings": [[i, i] for i in range(3)]}}) == 3
    assert (inst.taken, inst.dropped) == (3, 0)


def test_an_empty_body_is_fine() -> None:
    inst, intake, listener = made()
    assert intake.take({}) == intake.take({"/l": {"Readings": []}}) == 0
    assert listener.batches == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["NaN", "bad", "x"]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["/l", "/a/d", "/s", "/a", "/x", "", "/+"]),
        JSON
        | st.dictionaries(
            st.sampled_from(["Readings", "uuid", "NonFinite", "Quality", "Properties", "X"]), JSON
        )
        | st.fixed_dictionaries({"Readings": st.lists(st.lists(JSON, max_size=4), max_size=3)}),
        max_size=3,
    )
)
def test_any_json_is_taken_whole_or_refused_with_a_sentence(body: Any) -> None:
    inst, intake, _ = made()
    try:
        taken = intake.take(body)
    except (BadRequest, NoSuchPath):
        taken = 0
    assert inst.taken == taken

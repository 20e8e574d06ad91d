"""What a series and a collection answer."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from smapd.core import SmapInstance, Timeseries
from smapd.values import GOOD, Level, Quality, Reading, bad, uncertain
from tests.core.support import NOW, tree


def made(**options: Any) -> tuple[SmapInstance, Timeseries]:
    inst = tree()
    return inst, inst.add_timeseries("/s", "s", "V", **{"data_type": "double", **options})


def test_a_series_has_the_keys_of_the_original() -> None:
    """SM-06"""
    inst, stream = made(data_type="long")
    inst.add("/s", 1300000000, 7)

    assert orjson.loads(orjson.dumps(stream.as_json())) == {
        "uuid": str(inst.uuid("s")),
        "Properties": {
            "ReadingType": "long",
            "Timezone": "America/Los_Angeles",
            "UnitofMeasure": "V",
        },
        "Readings": [[1300000000000, 7]],
    }


def test_no_unit_no_key_for_it() -> None:
    stream = tree().add_timeseries("/s")
    assert stream.as_json()["Properties"] == {
        "ReadingType": "long",
        "Timezone": "America/Los_Angeles",
    }


def test_a_new_series_has_no_readings() -> None:
    for size in (1, 3):
        _, stream = made(buffersz=size)
        assert stream.as_json()["Readings"] == []
        assert stream.as_json(quality=True)["Readings"] == []
        assert stream.as_json(quality=True)["Quality"] == []
        assert (stream.readings(), stream.last()) == ([], None)


def test_the_last_readings_are_kept_oldest_first() -> None:
    """SM-06: as many as BufferSize says."""
    inst, one = made()
    three = inst.add_timeseries("/three", "V", data_type="double", buffersz=3)
    for i in range(5):
        inst.add("/s", i, i + 0.5)
        inst.add("/three", i, i + 0.5)

    assert one["Readings"] == [[4000, 4.5]]
    assert three["Readings"] == [[2000, 2.5], [3000, 3.5], [4000, 4.5]]
    assert three.readings()[0] == Reading(2000, 2.5, GOOD, 2, None)
    assert three.last() == Reading(4000, 4.5, GOOD, 4, None)


def test_a_block_leaves_its_last_readings() -> None:
    inst, one = made()
    three = inst.add_timeseries("/three", "V", data_type="double", buffersz=3)
    inst.add("/three", 0, -1.0)
    inst.add_many("/three", [1, 2], [1.0, 2.0])
    inst.add_many("/s", [1, 2], [1.0, 2.0])

    assert one["Readings"] == [[2000, 2.0]]
    assert three["Readings"] == [[0, -1.0], [1000, 1.0], [2000, 2.0]]
    inst.add_many("/three", range(10), range(10), quality=uncertain("x"))
    assert [(r.ms, r.seq, r.quality) for r in three.readings()] == [
        (7000, 10, uncertain("x")),
        (8000, 11, uncertain("x")),
        (9000, 12, uncertain("x")),
    ]


def test_a_number_of_the_drivers_own_stands_third_and_0_is_left_out() -> None:
    inst, one = made(data_type="long")
    for seqno, shown in ((42, [[1000, 1, 42]]), (0, [[1000, 1]]), (None, [[1000, 1]])):
        inst.add("/s", 1, 1, seqno)
        assert one["Readings"] == shown

    inst, stream = made(data_type="long", buffersz=3)
    inst.add("/s", 1, 1, 42)
    inst.add("/s", 1, 2, 0)
    inst.add("/s", 1, 3)

    assert stream["Readings"] == [[1000, 1, 42], [1000, 2], [1000, 3]]
    assert [r.seqno for r in stream.readings()] == [42, 0, None]


def test_a_bool_on_a_long_is_true_on_the_wire() -> None:
    """SM-06"""
    inst, stream = made(data_type="long")
    inst.add("/s", 1, True)
    assert b"[[1000,true]]" in orjson.dumps(stream.as_json())


@pytest.mark.parametrize("size", [1, 2])
def test_what_json_cannot_hold_is_null_and_named_beside(size: int) -> None:
    """SM-06: NaN and the infinities."""
    inst, stream = made(buffersz=size)
    inst.add("/s", 1, math.inf)
    for value, word in ((math.nan, "NaN"), (-math.inf, "-Infinity"), (math.inf, "Infinity")):
        inst.add("/s", 2, value)
        answer = stream.as_json()
        assert answer["Readings"][-1] == [2000, None]
        assert answer["NonFinite"][-1] == [size - 1, word]
        assert len(answer["NonFinite"]) == size
        orjson.dumps(answer)
    inst.add("/s", 3, 1.0)
    inst.add("/s", 3, 1.0)
    assert "NonFinite" not in stream.as_json()


@pytest.mark.parametrize("size", [1, 3])
def test_bad_readings_are_left_out_unless_asked_for(size: int) -> None:
    """U-03: Quality runs parallel to Readings."""
    inst, stream = made(buffersz=size)
    inst.add("/s", 1, 1.5, quality=uncertain("drift"))
    inst.add("/s", 2, math.nan)
    inst.add("/s", 3, None, quality=bad("no answer"))

    plain, told = stream.as_json(), stream.as_json(quality=True)

    assert plain["Readings"] == [[1000, 1.5], [2000, None]][: size - 1]
    assert "Quality" not in plain
    assert told["Readings"] == [[1000, 1.5], [2000, None], [3000, None]][-size:]
    assert (
        told["Quality"]
        == [["uncertain", "drift", 0], ["good", "", 1], ["bad", "no answer", 2]][-size:]
    )
    assert told.get("NonFinite", []) == [[1, "NaN"]][: size - 1]
    assert plain.get("NonFinite", []) == [[1, "NaN"]][: size - 1]


def test_a_note_of_the_clock_is_shown_with_quality() -> None:
    """N-05"""
    inst, stream = made()
    inst.stamp_note = lambda: Quality(Level.GOOD, "clock stepped")
    inst.add("/s", 1.0)
    assert stream.as_json(quality=True)["Quality"] == [["good", "clock stepped", 0]]
    assert stream.last() == Reading(NOW, 1.0, Quality(Level.GOOD, "clock stepped"), 0, None)


def test_any_key_that_get_shows_can_be_asked_for() -> None:
    inst, stream = made()
    inst.add("/s", 1, 2.5)
    assert stream["Readings"][-1][0] == 1000
    assert stream["uuid"] == str(stream.uuid)
    assert stream["Properties"]["UnitofMeasure"] == "V"
    assert inst.root["Contents"] == ["s"]
    for node, key in ((stream, "Metadata"), (inst.root, "uuid")):
        with pytest.raises(KeyError):
            node[key]  # type: ignore[index]


def test_each_answer_is_a_dict_of_its_own() -> None:
    inst, stream = made()
    inst.add("/s", 1, 2.5)
    stream.as_json()["Readings"].append("mine")
    stream.as_json()["more"] = 1
    inst.root.as_json()["Contents"].append("mine")
    assert stream.as_json().keys() == {"uuid", "Properties", "Readings"}
    assert stream["Readings"] == [[1000, 2.5]]
    assert inst.root["Contents"] == ["s"]

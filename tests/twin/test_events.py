"""Event types: classes with Avro schemas, what fits them, and what becomes of older versions."""

from __future__ import annotations

import logging
import math
import sys
import types
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smapd.errors import BadRequest, ConfigError
from smapd.interfaces import IEventTypes
from smapd.testing import START_MS
from smapd.twin import AssetEvent, Event, EventInvalid, EventTypes, UnknownEvent, field
from smapd.twin.event import InternalEvent, IntTwinEofReplay
from smapd.twin.event.shapes import Misfit, NotJson, Shape
from smapd.values import EventRecord
from tests.twin.programs import Said

NONE = EntryPoints(())
PART = [field("Matnr", "string", doc="Material number"), field("Amount", ["null", "long"])]


def parts(*fields: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "record", "name": "Part", "fields": list(fields)}}


class BomBuiltSet(AssetEvent):
    """All parts of an asset, as it was built."""

    @classmethod
    def _default_version(cls) -> int:
        return 2

    @classmethod
    def _known_versions(cls) -> dict[int, Any]:
        price = field("Price", "double", default=0.5)
        return {1: parts(*PART), 2: parts(*PART, price), 3: parts(*PART, field("New", "string"))}

    def _validate_data(self) -> None:
        assert all(part["Matnr"] != "" for part in self.data), "a part needs a number"


def record(event: AssetEvent, offset: int = 0) -> EventRecord:
    form, body = event.encode()
    return EventRecord(
        event.name(), event.version, "sap", event.time_ms, START_MS, form, body, offset
    )


def known(*classes: type[AssetEvent]) -> EventTypes:
    found = EventTypes(offers=NONE)
    found.add(*classes)
    return found


# --- an event


def test_an_event_before_it_is_published() -> None:
    """FO-15, FO-16: offset -1, and its repr."""
    event = BomBuiltSet("1000020", data=[], time=datetime(2026, 1, 2, tzinfo=UTC))

    assert repr(event) == "<BomBuiltSet v2 ('1000020'@-1)>"
    assert (event.offset, event.source, event.systime, event.version) == (-1, "", None, 2)
    assert event.name() == "BomBuiltSet"
    assert Event is AssetEvent


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), 1767225600000),
        (datetime(2026, 1, 1), 1767225600000),
        (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 1767225600000),
        (1767225600, 1767225600000),
        (1767225600.25, 1767225600250),
        ("1767225600", 1767225600000),
        ("2026-01-01T00:00:00Z", 1767225600000),
        ("2026-01-01", 1767225600000),
        (-1, -1000),
    ],
)
def test_a_time_is_taken_in_many_ways(time: Any, ms: int) -> None:
    """IN-15: without a timezone UTC is meant."""
    event = Said("a", time)

    assert event.time_ms == ms
    assert event.time.utcoffset() == timedelta(0)


@pytest.mark.parametrize("time", ["yesterday", math.nan, True, [], 1e300, 10**15, b"1"])
def test_what_is_no_time_is_refused(time: Any) -> None:
    """IN-15."""
    with pytest.raises(EventInvalid, match="is no time of an event"):
        Said("a", time)


def test_a_version_that_the_type_lacks_is_refused() -> None:
    """FO-24."""
    assert BomBuiltSet("a", data=[], version=1).version == 1
    with pytest.raises(EventInvalid, match=r"BomBuiltSet has no version 7; it has 1, 2, 3\."):
        BomBuiltSet("a", data=[], version=7)


def test_a_type_without_a_schema_has_no_data() -> None:
    """FO-24."""

    class Started(AssetEvent):
        pass

    assert Started("a").encode() == ("json", b"null")
    with pytest.raises(EventInvalid, match="data: 1 is not null"):
        Started("a", data=1).encode()


# --- what fits


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([{"Matnr": 5}], r"data\[0\].Matnr: 5 is not a text"),
        ([{"Matnr": "x"}, {}], r"data\[1\].Matnr: it is missing"),
        ([{"Matnr": "x", "Amount": "two"}], r"data\[0\].Amount: 'two' is none of null, long"),
        ([{"Matnr": "x", "Price": "2"}], r"data\[0\].Price: '2' is not a number"),
        ([{"Matnr": "x", "Amount": 2**63}], "is none of null, long"),
        ({"Matnr": "x"}, r"data: \{'Matnr': 'x'\} is not a list"),
        ([5], r"data\[0\]: 5 is not an object with Amount, Matnr, Price"),
        ([{"Matnr": ""}], "a part needs a number"),
        ([{"Matnr": "\ud800"}], "surrogate"),
        (None, "data: None is not a list"),
    ],
)
def test_data_that_do_not_fit_are_refused_with_their_place(data: Any, text: str) -> None:
    """FO-24: the sentence names the field."""
    with pytest.raises(EventInvalid, match=text) as caught:
        BomBuiltSet("a", data=data).encode()
    assert caught.value.message.startswith("The data of BomBuiltSet")
    assert isinstance(caught.value, BadRequest)


def test_what_the_schema_does_not_name_is_left_out() -> None:
    """FO-24: programs hand on what their source gave them; over HTTP it is a slip."""
    data = [{"Matnr": "x", "Amount": 2, "Price": 1, "__metadata": {}}]

    assert BomBuiltSet("a", data=data).encode()[1] == b'[{"Matnr":"x","Amount":2,"Price":1}]'
    with pytest.raises(EventInvalid, match=r"data\[0\].__metadata: there is no such field"):
        known(BomBuiltSet).check("BomBuiltSet", None, data)


def test_what_may_be_null_or_has_a_default_may_be_left_out() -> None:
    """FO-24."""
    body = BomBuiltSet("a", data=({"Matnr": "x"},)).encode()

    assert body == ("json", b'[{"Matnr":"x","Amount":null,"Price":0.5}]')


def everything(**more: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Everything",
        "fields": [
            field("on", "boolean"),
            field("small", "int"),
            field("ratio", "float"),
            field("colour", {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}),
            field("counts", {"type": "map", "values": "long"}),
            field("other", ["null", "Colour"]),
            field("below", ["null", "Everything"]),
            field("day", {"type": "long", "logicalType": "date"}),
        ],
    }


GOOD = {
    "on": True,
    "small": -5,
    "ratio": 1.5,
    "colour": "RED",
    "counts": {"x": 1},
    "other": "BLUE",
    "below": None,
    "day": 1504828800000,
}


def test_every_kind_of_schema_is_checked() -> None:
    """FO-24: named types, recursion, and a logical type that Avro does not have."""
    shape = Shape(everything())

    assert shape.is_json
    assert shape.check({**GOOD, "below": GOOD}) == {**GOOD, "below": GOOD}


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("on", 1, "neither true nor false"),
        ("small", 2**31, "beyond the 32 bits"),
        ("small", 1.0, "not a whole number"),
        ("small", True, "not a whole number"),
        ("ratio", "1", "not a number"),
        ("colour", "GREEN", "not one of RED, BLUE"),
        ("counts", [1], "is not an object"),
        ("counts", {1: 1}, "the key 1 is not a text"),
        ("counts", {"x": "y"}, "'y' is not a whole number"),
        ("other", "GREEN", "none of null, Colour"),
        ("below", {"on": True}, "it is missing"),
    ],
)
def test_every_kind_of_misfit_says_where(key: str, value: Any, text: str) -> None:
    """FO-24."""
    with pytest.raises(Misfit, match=text) as caught:
        Shape(everything()).check({**GOOD, key: value})
    assert caught.value.where.startswith(f"data.{key}")


def test_a_misfit_deep_in_a_union_says_where_it_is() -> None:
    """FO-24: and not just that the union does not fit."""
    with pytest.raises(Misfit) as caught:
        Shape(everything()).check({**GOOD, "below": {**GOOD, "small": "x"}})

    assert caught.value.where == "data.below.small"


def test_nan_goes_as_avro_and_comes_back() -> None:
    """FO-24: JSON has no word for it."""
    with pytest.raises(NotJson):
        Shape("double").check(math.nan)
    event = BomBuiltSet("a", data=[{"Matnr": "x", "Price": math.inf}])
    types_ = known(BomBuiltSet)

    found = types_.event("a", record(event))

    assert event.encode()[0] == "avro"
    assert found.data == [{"Matnr": "x", "Amount": None, "Price": math.inf}]
    assert types_.decode(record(event)) == [{"Matnr": "x", "Amount": None, "Price": "inf"}]


class Photo(AssetEvent):
    @classmethod
    def _known_versions(cls) -> dict[int, Any]:
        when = {"type": "long", "logicalType": "timestamp-millis"}
        fields = [
            field("image", "bytes"),
            field("hash", {"type": "fixed", "name": "Hash", "size": 4}),
            field("at", when),
            field("id", {"type": "string", "logicalType": "uuid"}),
        ]
        return {1: {"type": "record", "name": "Photo", "fields": fields}}


def test_bytes_and_times_go_as_avro() -> None:
    """FO-24: JSON cannot hold them; whoever looks by JSON sees texts."""
    from uuid import UUID

    at, uuid = datetime(2026, 1, 1, tzinfo=UTC), UUID(int=5)
    data = {"image": b"\x00\xff", "hash": b"abcd", "at": at, "id": uuid}
    event = Photo("a", data=data)
    types_ = known(Photo)

    assert event.encode()[0] == "avro"
    assert types_.event("a", record(event)).data == data
    shown = types_.decode(record(event))
    assert shown["image"] == "\x00ÿ"
    assert shown["at"] == "2026-01-01T00:00:00+00:00"
    for wrong in ({"hash": b"abc"}, {"image": "text"}, {"at": "now"}):
        with pytest.raises(EventInvalid):
            Photo("a", data={**data, **wrong}).encode()


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(DATA)
def test_whatever_the_data_they_fit_or_are_refused(data: Any) -> None:
    """FO-24: there is no third way, and what fits comes back as it was checked."""
    types_ = known(Said)
    event = Said("a", 0, data={"words": data})
    try:
        body = event.encode()
    except EventInvalid:
        return
    assert isinstance(data, str)
    assert types_.event("a", record(event)).data == {"words": data}
    assert body[0] == "json"


# --- versions


def test_an_older_version_comes_as_it_was_written() -> None:
    """FO-25: readable, in its own version; and as the newer one on demand."""
    old = BomBuiltSet("a", data=[{"Matnr": "x", "Amount": 2}], version=1)

    found = known(BomBuiltSet).event("a", record(old, 3))

    assert (type(found), found.version, found.offset) == (BomBuiltSet, 1, 3)
    assert found.data == [{"Matnr": "x", "Amount": 2}]
    assert found.data_as() == [{"Matnr": "x", "Amount": 2, "Price": 0.5}]
    assert found.data_as(1) is found.data


def test_versions_that_cannot_be_brought_together_say_so() -> None:
    """FO-25: a new field without a default."""
    found = BomBuiltSet("a", data=[{"Matnr": "x"}], version=1)

    with pytest.raises(EventInvalid, match="cannot be read as version 3"):
        found.data_as(3)
    with pytest.raises(EventInvalid, match="has no version 9"):
        found.data_as(9)


def test_a_newer_version_than_is_known_is_an_unknown_event() -> None:
    """FO-25: of a package that is older here."""
    newer = record(BomBuiltSet("a", data=[{"Matnr": "x"}]))._replace(version=9)

    found = known(BomBuiltSet).event("a", newer)

    assert (type(found), found.name(), found.version) == (UnknownEvent, "BomBuiltSet", 9)


def test_a_body_that_cannot_be_read_is_told_as_it_is() -> None:
    """FO-08: the follower must see that there was something."""
    whole = record(Said("a", data={"words": "x"}))
    types_ = known(Said)

    for damaged in (whole._replace(data=b"{"), whole._replace(form="avro", data=b"\xff")):
        found = types_.event("a", damaged)
        assert isinstance(found, UnknownEvent)
        assert found.data == damaged.data
        assert "base64" in types_.decode(damaged)


# --- types


def test_the_interface_is_kept() -> None:
    from zope.interface.verify import verifyObject

    assert verifyObject(IEventTypes, known(Said))


def test_check_gives_version_form_and_body() -> None:
    """FO-24: for what comes over HTTP."""
    types_ = known(Said, BomBuiltSet)

    assert types_.names() == ["BomBuiltSet", "Said"]
    assert types_.check("Said", None, {"words": "x"}) == (1, "json", b'{"words":"x"}')
    assert types_.check("BomBuiltSet", 1, [])[0] == 1


@pytest.mark.parametrize(
    ("name", "version", "data", "text"),
    [
        ("Sayd", None, {}, r"no event type Sayd\. Did you mean Said\? There are: Said\."),
        ("Said", 4, {}, "Said has no version 4"),
        ("Said", None, {"words": 1}, "data.words: 1 is not a text"),
        ("Said", None, {"words": "x", "wrds": 1}, "data.wrds: there is no such field"),
    ],
)
def test_check_refuses_what_is_not_known(name: str, version: Any, data: Any, text: str) -> None:
    """Bad input: unknown type, data against the schema."""
    with pytest.raises(BadRequest, match=text):
        known(Said).check(name, version, data)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A package of events that imports a module of its own, and one that is not."""
    package, inner = types.ModuleType("acme_events"), types.ModuleType("acme_events.bom")
    inner.BomBuiltSet = BomBuiltSet  # type: ignore[attr-defined]
    package.bom, package.Said, package.sys = inner, Said, sys  # type: ignore[attr-defined]
    package.IntTwinEofReplay = IntTwinEofReplay  # type: ignore[attr-defined]
    package.AssetEvent, package.InternalEvent = AssetEvent, InternalEvent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme_events", package)
    monkeypatch.setitem(sys.modules, "acme_events.bom", inner)
    return package


@pytest.mark.usefixtures("module")
def test_types_are_found_in_modules_and_in_what_these_import() -> None:
    """FO-24: event_modules of the config."""
    assert EventTypes(["acme_events"], offers=NONE).names() == ["BomBuiltSet", "Said"]
    assert EventTypes(["acme_events:Said"], offers=NONE).names() == ["Said"]


@pytest.mark.usefixtures("module")
def test_types_are_found_by_entry_point() -> None:
    """FO-24: group smapd.events; one that is broken does not hold up the others."""
    points = [
        EntryPoint("acme", "acme_events", "smapd.events"),
        EntryPoint("gone", "acme_gone", "smapd.events"),
    ]

    assert EventTypes(offers=EntryPoints(points)).names() == ["BomBuiltSet", "Said"]


def test_a_broken_entry_point_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """FO-24."""
    points = EntryPoints([EntryPoint("gone", "acme_gone", "smapd.events")])
    with caplog.at_level(logging.WARNING):
        EventTypes(offers=points)

    assert "the event module acme_gone cannot be imported" in caplog.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("acme_gone", "the event module acme_gone cannot be imported: ModuleNotFoundError"),
        ("acme_events:Nobody", "cannot be imported: AttributeError"),
        ("sys:path", "sys:path is no event type"),
    ],
)
@pytest.mark.usefixtures("module")
def test_a_module_that_is_no_good_is_named(name: str, text: str) -> None:
    """Bad input: the key EventModules."""
    with pytest.raises(ConfigError, match=text):
        EventTypes([name], offers=NONE)


def test_two_types_of_one_name_and_a_broken_schema_are_refused() -> None:
    """FO-24: the sentence names both modules."""
    other = type("Said", (AssetEvent,), {"__module__": "elsewhere"})
    broken = type("Broken", (AssetEvent,), {"_known_versions": lambda: {1: "strng"}})

    with pytest.raises(ConfigError, match="two event types named Said"):
        known(Said, other)
    with pytest.raises(ConfigError, match="Broken version 1: that is no Avro schema"):
        known(broken)


def test_internal_events_are_importable() -> None:
    """FO-09: smapd.twin.event.internal, and field and AssetEvent from event.base."""
    from smapd.twin.event import base, internal

    assert repr(internal.IntTwinEofReplay("1000021")) == "<IntTwinEofReplay v1 ('1000021'@-1)>"
    assert (base.AssetEvent, base.field) == (AssetEvent, field)

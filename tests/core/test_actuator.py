"""Actuators in the tree: what is refused, how they are named, found, shown and forgotten."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest

from smapd.core import Actuator, DriverCalls, SmapInstance
from smapd.errors import NoSuchPath, PathExists
from smapd.values import Quality, Reading, bad

ROOT = UUID("75503ac2-abf0-11e0-b7d6-0026bb56ec92")


class Switch:
    """An actuator without any base."""

    description: Any = {"Model": "binary"}

    def get_state(self) -> int:
        return 0

    def set_state(self, state: int) -> None:
        """Take it."""

    def parse_state(self, text: str) -> int:
        return int(text)

    def valid_state(self, state: int) -> bool:
        return True

    def get_description(self) -> Any:
        return self.description


@pytest.fixture
def tree() -> SmapInstance:
    """An empty tree."""
    return SmapInstance(ROOT)


def test_an_actuator_is_named_by_its_whole_path(tree: SmapInstance) -> None:
    """SM-33: uuid5(root, full path), in a driver too, whatever its namespace."""
    scope = tree.scope("/act", tree.uuid("/act"))

    made = scope.add_actuator("/binary/", "on/off", Switch())

    assert (made.path, made.key) == ("/act/binary", "/act/binary")
    assert made.uuid == uuid5(ROOT, "/act/binary") == UUID("f1056baa-748d-5653-851d-d9d3f1e2d015")
    assert scope.streams == [made]
    with pytest.raises(PathExists):
        tree.add_actuator("/act/binary", "", Switch())


def test_the_tree_knows_its_actuators(tree: SmapInstance) -> None:
    """SM-33: all, those below a place, and none that was removed."""
    assert not tree.has_actuators
    x = tree.add_actuator("/a/x", "", Switch())
    y = tree.add_actuator("/a/b/y", "", Switch())
    z = tree.add_actuator("/ab", "", Switch())
    tree.add_timeseries("/a/plain", "V")

    assert tree.has_actuators
    assert list(tree.actuators()) == [("/a/x", x), ("/a/b/y", y), ("/ab", z)]
    assert list(tree.actuators("/a")) == [("/x", x), ("/b/y", y)]
    assert list(tree.actuators("/a/x")) == [("/", x)]
    assert list(tree.actuators("/a/plain")) == []
    with pytest.raises(NoSuchPath):
        tree.actuators("/nope")

    tree.remove("/a")
    assert list(tree.actuators()) == [("/ab", z)]
    tree.remove("/ab")
    assert not tree.has_actuators


def test_a_get_shows_what_kind_it_is(tree: SmapInstance) -> None:
    """SM-33: the key Actuator; a plain series has none."""
    plain = tree.add_timeseries("/plain", "V")
    switch = tree.add_actuator("/switch", "", Switch(), description="of the hall")

    assert plain.actuator is None
    assert "Actuator" not in plain.as_json()
    assert switch.as_json()["Actuator"] == {"Model": "binary"}
    assert switch["Description"] == "of the hall"


def test_an_answer_may_show_a_reading_that_is_not_kept(tree: SmapInstance) -> None:
    """SM-33: that one alone, or none and why not."""
    switch = tree.add_actuator("/switch", "", Switch(), data_type="double", buffersz=3)
    switch.add(1, float("nan"))
    switch.add(2, 2.5)

    assert switch.showing(Reading(7, 1.0))["Readings"] == [[7, 1.0]]
    assert "NonFinite" not in switch.showing(Reading(7, 1.0))
    assert switch.showing(Reading(7, float("inf")))["NonFinite"] == [[0, "Infinity"]]
    gone = switch.showing(None, "device is gone")
    assert (gone["Readings"], gone["Error"]) == ([], "device is gone")
    told = switch.showing(Reading(7, None, bad("no")), quality=True)
    assert told["Quality"][0][:2] == ["bad", "no"]
    assert len(switch.as_json()["Readings"]) == 2


def test_a_list_of_values_has_an_index(tree: SmapInstance) -> None:
    """SM-33: beside the value, where there is one that is in the list."""

    class Modes(Switch):
        description = {"Model": "discrete", "Values": [1, 2, 5]}

    modes = tree.add_actuator("/modes", "", Modes())

    assert modes.as_json()["Actuator"] == Modes.description
    modes.add(5)
    assert modes.as_json()["Actuator"]["Index"] == 2
    modes.add(None, quality=Quality(*bad("gone")))
    assert modes.as_json()["Actuator"] == Modes.description


def test_a_description_goes_out_as_plain_json(tree: SmapInstance) -> None:
    """SM-33: a copy, taken once: tuples are lists, numpy numbers are numbers."""

    class Odd(Switch):
        description = {"MinValue": np.float32(0.5), "Values": (np.int64(1), 2)}

    told = tree.add_actuator("/x", "", Odd()).as_json()["Actuator"]

    assert json.loads(json.dumps(told)) == {"MinValue": 0.5, "Values": [1, 2]}


@pytest.mark.parametrize("description", [None, [1], {"a": object()}, {"a": float("nan")}, 5])
def test_a_description_that_is_no_json_is_refused(tree: SmapInstance, description: Any) -> None:
    """SM-33: at set-up, in a sentence."""
    switch = Switch()
    switch.description = description

    with pytest.raises(ValueError, match="^The description of Switch "):
        tree.add_actuator("/x", "", switch)

    assert tree.get("/x") is None


def test_a_class_in_place_of_an_object_is_refused(tree: SmapInstance) -> None:
    """SM-33: as older sMAP wrote it; says what to write."""
    with pytest.raises(TypeError, match=r"Switch is a class: write Switch\(\)\."):
        tree.add_actuator("/x", "", Switch)


@pytest.mark.parametrize(
    "name", ["get_state", "set_state", "parse_state", "valid_state", "get_description"]
)
def test_what_is_no_actuator_is_refused(tree: SmapInstance, name: str) -> None:
    """SM-33: naming what it lacks."""
    half = type("Half", (Switch,), {name: None})()

    with pytest.raises(TypeError, match=f"^Half is no actuator: it has no {name}"):
        tree.add_actuator("/x", "", half)


@pytest.mark.parametrize(
    ("key", "value"),
    [("read_limit", -1), ("write_limit", float("nan")), ("settle", "2"), ("tolerance", -0.1)]
    + [("timeout_s", 0), ("timeout_s", 601), ("settle", 1e9), ("read_limit", None)]
    + [("write_limit", True), ("timeout_s", float("inf"))],
)
def test_a_number_out_of_range_is_refused(tree: SmapInstance, key: str, value: Any) -> None:
    """SM-33: naming the argument."""
    with pytest.raises(ValueError, match=f"^An actuator's {key} is "):
        tree.add_actuator("/x", "", Switch(), **{key: value})


def test_the_type_of_the_stream_is_given_or_what_the_states_need(tree: SmapInstance) -> None:
    """SM-33: long, if nothing says otherwise."""

    class Number(Switch):
        control_data_type = "double"

    class Text(Switch):
        description = {"Values": ["a", "b"]}

    assert tree.add_actuator("/a", "", Switch()).data_type == "long"
    assert tree.add_actuator("/b", "", Number()).data_type == "double"
    assert tree.add_actuator("/c", "", Number(), data_type="long").data_type == "long"
    assert tree.add_actuator("/d", "", Text(), data_type="string").data_type == "string"
    with pytest.raises(ValueError, match="The states of Text are text, which a long cannot hold"):
        tree.add_actuator("/e", "", Text())
    with pytest.raises(ValueError, match="no data type"):
        tree.add_actuator("/f", "", Switch(), data_type="bool")


# --- the two ways to write a method


ASKED: Any = object()


@pytest.mark.parametrize(
    ("method", "sees"),
    [
        (lambda self: ("none",), ("none",)),
        (lambda self, request: (request,), (ASKED,)),
        (lambda self, req, more=1: (req,), (ASKED,)),
        (lambda self, request=None: (request,), (ASKED,)),
        (lambda self, cached=True: (cached,), (True,)),
        (lambda self, *args: args, (ASKED,)),
        (lambda self, **options: ("none",), ("none",)),
    ],
)
def test_get_state_is_given_the_request_if_it_takes_one(method: Any, sees: Any) -> None:
    """SM-33: decided by its signature, once."""
    actuator = Actuator(type("X", (Switch,), {"get_state": method})(), DriverCalls())

    assert actuator.get(ASKED) == sees


@pytest.mark.parametrize(
    ("method", "sees"),
    [
        (lambda self, state: (state,), (1,)),
        (lambda self, request, state: (request, state), (ASKED, 1)),
        (lambda self, state, force=False: (state, force), (1, False)),
        (lambda self, request, state=0: (request, state), (ASKED, 1)),
        (lambda self, r, s, t=2: (r, s, t), (ASKED, 1, 2)),
        (lambda self, *args: args, (ASKED, 1)),
        (lambda self, request, *args: (request, *args), (ASKED, 1)),
    ],
)
def test_set_state_is_given_the_request_if_it_takes_two(method: Any, sees: Any) -> None:
    """SM-33: set_state(state) and set_state(request, state)."""
    actuator = Actuator(type("X", (Switch,), {"set_state": method})(), DriverCalls())

    assert actuator.set(ASKED, 1) == sees


@pytest.mark.parametrize(
    ("name", "method", "sentence"),
    [
        ("get_state", lambda self, a, b: 0, r"get_state\(self, a, b\); an actuator's is"),
        ("get_state", lambda self, *, now: 0, r"get_state\(self, \*, now\)"),
        ("set_state", lambda self: 0, r"set_state\(self\); an actuator's is set_state\(self, req"),
        ("set_state", lambda self, a, b, c: 0, r"set_state\(self, a, b, c\)"),
        ("release_state", lambda self, a, b: 0, r"release_state\(self, a, b\)"),
    ],
)
def test_a_wrong_arity_is_refused(
    tree: SmapInstance, name: str, method: Any, sentence: str
) -> None:
    """SM-33: at set-up, and says how it is written."""
    with pytest.raises(TypeError, match=sentence):
        tree.add_actuator("/x", "", type("X", (Switch,), {name: method})())


def test_release_state_is_there_if_the_driver_has_it() -> None:
    """SM-33: with or without the request."""
    bare = type("X", (Switch,), {"release_state": lambda self: "let go"})()
    asked = type("X", (Switch,), {"release_state": lambda self, request: request})()

    assert not Actuator(Switch(), DriverCalls()).can_release
    assert Actuator(bare, DriverCalls()).release(ASKED) == "let go"
    assert Actuator(asked, DriverCalls()).release(ASKED) is ASKED


def test_coroutines_are_known_beforehand() -> None:
    """SM-16: they run on the users' loop, not on a thread."""

    class Async(Switch):
        async def get_state(self) -> int:  # type: ignore[override]
            return 0

    assert Actuator(Async(), DriverCalls()).is_async == {"get_state"}

"""Asking and setting: what is checked, in which order, and what comes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smapd.actuate import (
    ContinuousActuator,
    ContinuousIntegerActuator,
    NStateActuator,
    SmapActuator,
)
from smapd.actuation import POOL, Actuators
from smapd.actuation.actuators import MOST_WAITING
from smapd.actuation.survey import SURVEY_S
from smapd.errors import (
    BadRequest,
    BadState,
    Busy,
    DeviceFailed,
    DeviceUnavailable,
    NoSuchPath,
    NotAnActuator,
    NotReady,
    RateLimited,
    ShutdownRequested,
)
from smapd.testing import START_MS
from smapd.values import ActuationRequest, Principal, Reading


class Dial(ContinuousActuator):
    """A device of numbers, which may round what it is told."""

    def __init__(self, range: Any = (0, 100), digits: int = 15) -> None:
        super().__init__(range)
        self.state: Any = 0.0
        self.digits = digits

    def get_state(self, request: Any) -> Any:
        return self.state

    def set_state(self, request: Any, state: float) -> None:
        self.state = round(state, self.digits)


# --- asking


def test_each_get_asks_the_device_and_adds_no_reading(house: Any) -> None:
    """SM-33: a GET publishes nothing."""
    lamp = house.lamp()

    assert house.result(house.actuators.get("/lamp")) == Reading(START_MS, 0)
    lamp.state = 1
    assert house.value(house.actuators.get("/lamp")) == 1

    assert lamp.calls == ["get", "get"]
    assert house.readings() == []


def test_with_autoadd_a_get_adds_its_reading_at_the_time_answered(house: Any) -> None:
    """SM-33: once, and its time is not multiplied."""
    house.lamp(autoadd=True)
    house.clock.advance(0.123)

    reading = house.result(house.actuators.get("/lamp"))

    assert house.readings() == [(reading.ms, 0)] == [(START_MS + 123, 0)]


def test_within_read_limit_the_last_reading_is_given(house: Any) -> None:
    """SM-33: the cached value, with its time; after the limit the device is asked again."""
    lamp = house.lamp(read_limit=60)
    first = house.result(house.actuators.get("/lamp"))
    lamp.state = 1
    house.clock.advance(59)

    assert house.result(house.actuators.get("/lamp")) == first
    house.clock.advance(1)
    assert house.value(house.actuators.get("/lamp")) == 1
    assert lamp.calls == ["get", "get"]


def test_within_read_limit_a_failure_is_given_again(house: Any) -> None:
    """SM-33: a device that fails is spared, too."""
    lamp = house.lamp(read_limit=60)
    lamp.broken = ValueError("device is gone")
    house.error_of(house.actuators.get, "/lamp")

    error = house.error_of(house.actuators.get, "/lamp")

    assert str(error) == "device is gone"
    assert lamp.calls == ["get"]


def test_what_was_read_back_after_a_set_is_the_cached_value(house: Any) -> None:
    """SM-33: read_limit keeps no set from being verified, nor hides it."""
    lamp = house.lamp(read_limit=3600)
    house.result(house.actuators.get("/lamp"))

    assert house.value(house.actuators.set("/lamp", "on")) == 1
    assert house.value(house.actuators.get("/lamp")) == 1
    assert lamp.calls == ["get", 1, "get"]


def test_who_asks_meanwhile_is_told_the_same(house: Any) -> None:
    """SM-33: a hundred viewers of a slow device are one call of it."""
    lamp = house.lamp()
    house.threads.hold(POOL)
    asked = [house.actuators.get("/lamp") for _ in range(100)]

    house.threads.let_go(POOL)

    assert [house.value(done) for done in asked] == [0] * 100
    assert lamp.calls == ["get"]


def test_who_asks_meanwhile_is_told_of_the_failure_too(house: Any) -> None:
    """SM-33: all of them fail with the device's text."""
    house.lamp().broken = ValueError("device is gone")
    house.threads.hold(POOL)
    asked = [house.actuators.get("/lamp") for _ in range(3)]

    house.threads.let_go(POOL)

    for done in asked:
        with pytest.raises(DeviceFailed, match="^device is gone$"):
            house.value(done)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ValueError("device is gone"), "device is gone"),
        (KeyError("x"), "'x'"),
        (RuntimeError(), "RuntimeError"),
        (DeviceUnavailable("10.0.0.7 does not answer"), "10.0.0.7 does not answer"),
        (SystemExit("bye"), "bye"),
        (ValueError(" lone \ud800\n"), "lone ?"),
    ],
)
def test_what_the_driver_raises_is_told_with_its_text(
    house: Any, raised: BaseException, message: str
) -> None:
    """SM-33: 502, the message begins with the text of the exception."""
    house.lamp().broken = raised

    error = house.error_of(house.actuators.get, "/lamp")

    assert (type(error), str(error)) == (DeviceFailed, message)
    assert error.hint == f"get_state of /lamp raised {type(raised).__name__}."


@pytest.mark.parametrize("state", [None, "on", object(), 0.5, float("nan"), 2**64, (1, 2)])
def test_a_state_that_is_none_is_the_devices_failure(house: Any, state: Any) -> None:
    """SM-33: never a 500, and never a value that the stream cannot hold."""
    house.lamp().state = state

    error = house.error_of(house.actuators.get, "/lamp")

    assert isinstance(error, DeviceFailed)
    assert str(error).startswith("get_state of /lamp gave ")


@pytest.mark.parametrize(
    ("state", "value"), [(True, 1), (1.0, 1), (np.int64(1), 1), (np.bool_(True), 1)]
)
def test_a_state_is_a_plain_number_whatever_the_driver_has(
    house: Any, state: Any, value: int
) -> None:
    """SM-33: JSON shows 1, not true and not 1.0, on a long."""
    house.lamp().state = state

    found = house.value(house.actuators.get("/lamp"))

    assert (found, type(found)) == (value, int)


def test_the_request_reaches_a_driver_that_wants_it(house: Any, lamp_class: Any) -> None:
    """SM-33: get_state(request) and set_state(request, state), decided by their signatures."""
    asked = ActuationRequest("PUT", "/data/lamp", {b"state": [b"1"]}, Principal(loopback=True))
    seen = []

    class Curious(lamp_class):  # type: ignore[misc]
        def get_state(self, request: Any) -> int:
            seen.append(request)
            return int(self.state)

        def set_state(self, request: Any, state: int) -> None:
            seen.append(request)
            self.state = state

    house.tree.add_actuator("/lamp", "on/off", Curious())
    house.result(house.actuators.set("/lamp", "1", asked))
    house.result(house.actuators.get("/lamp"))

    assert seen == [asked, asked, None]


# --- setting


def test_a_set_reads_back_and_adds_what_it_read(house: Any) -> None:
    """SM-33: the state read back is the answer, and a reading of the stream."""
    lamp = house.lamp()
    house.clock.advance(0.5)

    reading = house.result(house.actuators.set("/lamp", " ON "))

    assert reading == Reading(START_MS + 500, 1)
    assert lamp.calls == [1, "get"]
    assert house.readings() == [(START_MS + 500, 1)]


def test_the_reading_is_at_that_time_on_a_stream_of_milliseconds_too(house: Any) -> None:
    """SM-33: whatever unit the stream's own times have."""
    house.lamp(milliseconds=True)
    house.clock.advance(0.007)

    house.result(house.actuators.set("/lamp", "1"))

    assert house.readings() == [(START_MS + 7, 1)]


@pytest.mark.parametrize("text", ["2", "", "maybe", "x" * 300])
def test_what_is_no_state_never_reaches_the_device(house: Any, text: str) -> None:
    """SM-33: 400, beginning with the original's text."""
    lamp = house.lamp()

    error = house.error_of(house.actuators.set, "/lamp", text)

    assert isinstance(error, BadState)
    assert error.message.startswith("Invalid state: ")
    assert error.hint == "It is one of 0, off, 1, on."
    assert lamp.calls == []


def test_a_refused_state_does_not_count_as_a_write(house: Any) -> None:
    """SM-33: only what reached the device does."""
    house.lamp(write_limit=60)
    house.error_of(house.actuators.set, "/lamp", "maybe")

    assert house.value(house.actuators.set("/lamp", "1")) == 1


def test_within_write_limit_a_set_is_refused_and_says_when(house: Any) -> None:
    """SM-33: 503 with the original's text, and Retry-After."""
    lamp = house.lamp(write_limit=60)
    house.result(house.actuators.set("/lamp", "1"))
    house.clock.advance(10.5)

    error = house.error_of(house.actuators.set, "/lamp", "0")

    assert isinstance(error, RateLimited)
    assert error.message.startswith("Cannot actuate now due to rate limit")
    assert error.retry_after_s == 50
    assert lamp.calls == [1, "get"]
    house.clock.advance(49.5)
    assert house.value(house.actuators.set("/lamp", "0")) == 0


def test_a_set_that_failed_at_the_device_counts_as_a_write(house: Any) -> None:
    """SM-33: the limit is there to spare the device."""
    lamp = house.lamp(write_limit=60)
    lamp.broken = ValueError("device is gone")
    house.error_of(house.actuators.set, "/lamp", "1")

    assert isinstance(house.error_of(house.actuators.set, "/lamp", "1"), RateLimited)


def test_sets_that_wait_are_held_to_the_write_limit_too(house: Any) -> None:
    """SM-33: two that come at once are not both done."""
    lamp = house.lamp(write_limit=60)
    house.threads.hold(POOL)
    first, second = (house.actuators.set("/lamp", text) for text in ("1", "0"))
    house.threads.let_go(POOL)

    assert house.value(first) == 1
    with pytest.raises(RateLimited):
        house.value(second)
    assert lamp.state == 1


def test_it_is_read_back_after_it_has_settled(house: Any) -> None:
    """SM-33: not before."""
    lamp = house.lamp(settle=2)

    done = house.actuators.set("/lamp", "1")

    assert lamp.calls == [1]
    house.clock.advance(1.9)
    assert lamp.calls == [1]
    house.clock.advance(0.1)
    assert house.result(done) == Reading(START_MS + 2000, 1)


def test_a_device_that_is_not_where_it_was_set_is_told_with_both_values(house: Any) -> None:
    """SM-33: 502; what it reads is true, and becomes a reading."""
    lamp = house.lamp()
    lamp.set_state = lambda state: None  # type: ignore[method-assign]

    error = house.error_of(house.actuators.set, "/lamp", "1")

    assert isinstance(error, DeviceFailed)
    assert error.message == "/lamp was set to 1, but reads 0."
    assert house.readings() == [(START_MS, 0)]


@pytest.mark.parametrize(
    ("text", "digits", "tolerance", "is_near"),
    [
        ("20.1", 15, None, True),
        ("20.12", 1, None, False),
        ("20.12", 1, 0.02, True),
        ("20.13", 1, 0.02, False),
        ("20.12", 1, 0, False),
        ("0.3333333333333333", 8, None, True),
        ("0", 3, None, True),
    ],
)
def test_what_is_read_back_may_be_off_by_the_tolerance(
    house: Any, text: str, digits: int, tolerance: float | None, is_near: bool
) -> None:
    """SM-33: without one, a double by a millionth of it, which a float of 32 bits is."""
    house.tree.add_actuator("/dial", "C", Dial(digits=digits), tolerance=tolerance)
    done = house.actuators.set("/dial", text)

    if is_near:
        assert house.value(done) == round(float(text), digits)
    else:
        with pytest.raises(DeviceFailed, match=rf"was set to {text}, but reads 20\.1\."):
            house.value(done)


def test_a_set_whose_read_back_fails_says_that_it_was_set(house: Any) -> None:
    """SM-33: begins with the device's text."""
    lamp = house.lamp()
    lamp.get_state = lambda: 1 / 0  # type: ignore[method-assign]

    error = house.error_of(house.actuators.set, "/lamp", "1")

    assert str(error) == "division by zero (it was set to 1, and then could not be read back)"
    assert lamp.state == 1


def test_a_driver_may_refuse_a_state_as_none(house: Any) -> None:
    """SM-33: BadState out of set_state is 400; out of get_state it is the device's failure."""
    lamp = house.lamp()
    lamp.broken = BadState("the boiler is locked")

    refused = house.error_of(house.actuators.set, "/lamp", "1")
    failed = house.error_of(house.actuators.get, "/lamp")

    assert (type(refused), str(refused)) == (BadState, "the boiler is locked")
    assert (type(failed), str(failed)) == (DeviceFailed, "the boiler is locked")


def test_a_discrete_actuator_reads_its_value_and_shows_the_index(house: Any) -> None:
    """SM-33: the value, the index under Actuator; none for a state that is not in the list."""
    mode = NStateActuator([1, 2, 5])
    mode.state = 1  # type: ignore[attr-defined]
    mode.get_state = lambda: mode.state  # type: ignore[attr-defined, method-assign]
    mode.set_state = lambda state: setattr(mode, "state", state)  # type: ignore[method-assign]
    stream = house.tree.add_actuator("/mode", "state", mode)

    reading = house.result(house.actuators.set("/mode", "5"))

    assert reading.value == 5
    assert stream.showing(reading)["Actuator"] == {
        "Model": "discrete",
        "Values": [1, 2, 5],
        "Index": 2,
    }
    mode.state = 4  # type: ignore[attr-defined]
    assert "Index" not in stream.showing(house.result(house.actuators.get("/mode")))["Actuator"]


def test_text_states_make_a_stream_of_strings(house: Any) -> None:
    """SM-33: the reading is the state itself."""
    pet = NStateActuator(["cat", "dog"])
    pet.get_state = lambda: "dog"  # type: ignore[method-assign]
    pet.set_state = lambda state: None  # type: ignore[method-assign]
    stream = house.tree.add_actuator("/pet", "", pet)

    assert stream.data_type == "string"
    assert house.value(house.actuators.set("/pet", " dog ")) == "dog"
    assert "'cat'" not in str(house.error_of(house.actuators.set, "/pet", "cow"))
    assert isinstance(house.error_of(house.actuators.set, "/pet", "cow"), BadState)


def test_a_number_that_the_stream_cannot_hold_is_refused_before_the_device(house: Any) -> None:
    """SM-33: a half on a long."""
    dial = Dial()
    house.tree.add_actuator("/dial", "C", dial, data_type="long")

    assert house.value(house.actuators.set("/dial", "20")) == 20
    error = house.error_of(house.actuators.set, "/dial", "20.5")

    assert str(error) == "Invalid state: 20.5; a long takes whole numbers, not float 20.5"
    assert dial.state == 20


def test_parsing_of_a_drivers_own_runs_where_its_code_belongs(house: Any) -> None:
    """SM-33: not on the reactor; its refusal is 400 all the same."""

    class Words(ContinuousIntegerActuator):
        state = 0

        def parse_state(self, state: Any) -> Any:
            return {"low": 1, "high": 9}[state]

        def get_state(self) -> int:
            return self.state

        def set_state(self, state: int) -> None:
            self.state = state

    house.tree.add_actuator("/fan", "", Words((0, 10)))
    house.threads.hold(POOL)
    done, bad = (house.actuators.set("/fan", text) for text in ("high", "medium"))

    assert house.threads.status()[POOL]["busy"] == 1
    house.threads.let_go(POOL)
    assert house.value(done) == 9
    with pytest.raises(BadState, match="Invalid state: 'medium'"):
        house.value(bad)


def test_an_actuator_may_be_made_without_any_base(house: Any) -> None:
    """SM-33: the five methods suffice."""

    class Plain:
        state = "a"

        def get_state(self) -> str:
            return self.state

        def set_state(self, state: str) -> None:
            self.state = state

        def parse_state(self, text: str) -> str:
            return text

        def valid_state(self, state: str) -> bool:
            return state in "abc"

        def get_description(self) -> dict[str, Any]:
            return {"Model": "letters"}

    house.tree.add_actuator("/letter", "", Plain(), data_type="string")

    assert house.value(house.actuators.set("/letter", "b")) == "b"
    assert isinstance(house.error_of(house.actuators.set, "/letter", "d"), BadState)


def test_sets_come_in_the_order_of_asking(house: Any) -> None:
    """SM-33: one at a time."""
    lamp = house.lamp()
    house.threads.hold(POOL)
    done = [house.actuators.set("/lamp", text) for text in ("1", "0", "1")]

    house.threads.let_go(POOL)

    assert [house.value(one) for one in done] == [1, 0, 1]
    assert lamp.calls == [1, "get", 0, "get", 1, "get"]


def test_no_more_than_so_many_sets_wait(house: Any) -> None:
    """SM-33: more are Busy at once."""
    lamp = house.lamp()
    house.threads.hold(POOL)
    taken = [house.actuators.set("/lamp", "1") for _ in range(MOST_WAITING + 1)]

    error = house.error_of(house.actuators.set, "/lamp", "0")

    assert isinstance(error, Busy)
    house.threads.let_go(POOL)
    assert [house.value(one) for one in taken] == [1] * (MOST_WAITING + 1)
    assert lamp.state == 1


# --- letting go


def test_a_state_that_was_set_is_let_go(house: Any, lamp_class: Any) -> None:
    """SM-33: by the driver's release_state; what is then read is a reading."""

    class Held(lamp_class):  # type: ignore[misc]
        def release_state(self) -> None:
            self.calls.append("release")
            self.state = 0

    lamp = Held(1)
    house.tree.add_actuator("/lamp", "on/off", lamp)

    assert house.value(house.actuators.release("/lamp")) == 0
    assert lamp.calls == ["release", "get"]
    assert house.readings() == [(START_MS, 0)]


def test_a_driver_without_release_state_says_so(house: Any) -> None:
    """SM-33: 400, in a sentence."""
    house.lamp()

    error = house.error_of(house.actuators.release, "/lamp")

    assert isinstance(error, BadRequest)
    assert error.hint == "Its driver has no release_state; set another state."


# --- where, and when


def test_only_actuators_can_be_asked_and_set(house: Any) -> None:
    """SM-33: 404 and 405."""
    house.tree.add_timeseries("/a/plain", "V")
    for call in (house.actuators.get, lambda path: house.actuators.set(path, "1")):
        assert isinstance(house.error_of(call, "/nope"), NoSuchPath)
        assert isinstance(house.error_of(call, "/a/plain"), NotAnActuator)
        assert isinstance(house.error_of(call, "/a"), NotAnActuator)


def test_a_check_says_beforehand_what_a_set_would_refuse(house: Any) -> None:
    """SM-34: path and range; it asks no device."""
    lamp = house.lamp()
    house.tree.add_timeseries("/plain", "V")

    house.actuators.check("/lamp", "on")
    for path, text, kind in (
        ("/lamp", "maybe", BadState),
        ("/plain", "1", NotAnActuator),
        ("/nope", "1", NoSuchPath),
    ):
        with pytest.raises(kind):
            house.actuators.check(path, text)
    assert lamp.calls == []


def test_nothing_is_called_before_open_and_after_close(house: Any) -> None:
    """SM-33: 503 either way; close waits for what is under way."""
    lamp = house.lamp()
    unopened = Actuators(house.tree, house.threads, house.clock, house.runtime.faults)
    assert isinstance(house.error_of(unopened.get, "/lamp"), NotReady)
    house.threads.hold(POOL)
    done, waiting = (house.actuators.set("/lamp", text) for text in ("1", "0"))

    closed = house.actuators.close()

    assert not closed.called
    assert isinstance(house.error_of(house.actuators.set, "/lamp", "0"), ShutdownRequested)
    house.threads.let_go(POOL)
    assert house.value(done) == 1
    with pytest.raises(ShutdownRequested):
        house.value(waiting)
    assert closed.called
    assert lamp.calls == [1, "get"]


def test_an_actuator_that_is_removed_meanwhile_is_not_found(house: Any) -> None:
    """SM-37: its call ends, and nothing is added."""
    house.lamp()
    house.threads.hold(POOL)
    done = house.actuators.set("/lamp", "1")

    house.tree.remove("/lamp")
    house.threads.let_go(POOL)

    with pytest.raises(NoSuchPath):
        house.value(done)


def test_a_device_that_fails_is_logged_once_and_once_when_it_is_back(house: Any) -> None:
    """SM-33: shown in /status meanwhile."""
    lamp = house.lamp()
    lamp.broken = ValueError("device is gone")
    for _ in range(3):
        house.error_of(house.actuators.get, "/lamp")

    [fault] = house.runtime.faults.status()

    assert fault["text"] == "get_state of /lamp failed: device is gone"
    assert fault["count"] == 3
    lamp.broken = None
    house.result(house.actuators.get("/lamp"))
    assert house.runtime.faults.status() == []


def test_status_counts(house: Any) -> None:
    """SM-33: what /status shows."""
    lamp = house.lamp()
    house.result(house.actuators.set("/lamp", "1"))
    lamp.broken = ValueError("device is gone")
    house.error_of(house.actuators.get, "/lamp")

    assert house.actuators.status() == {
        "actuators": 1,
        "gets": 1,
        "sets": 1,
        "failed": 1,
        "running": 0,
        "waiting": 0,
        "hanging": [],
        "hangs": 0,
    }


# --- all below a place


def test_a_survey_asks_all_below_a_place(house: Any) -> None:
    """SM-33: with paths relative to it; others are not asked."""
    lamps = [house.lamp(path) for path in ("/a/x", "/a/b/y", "/ab")]
    lamps[1].state = 1

    found = house.result(house.actuators.survey("/a"))

    assert {path: (r.value, why) for path, (r, why) in found.items()} == {
        "/x": (0, ""),
        "/b/y": (1, ""),
    }
    assert lamps[2].calls == []
    assert house.value(house.actuators.survey("/a/x"))["/"][0].value == 0


def test_one_that_fails_shows_its_last_value_and_why(house: Any) -> None:
    """SM-33: the rest is served."""
    good, bad, never = (house.lamp(path) for path in ("/good", "/bad", "/never"))
    house.result(house.actuators.set("/bad", "1"))
    bad.broken = never.broken = ValueError("device is gone")

    found = house.result(house.actuators.survey("/"))

    assert found["/good"] == (Reading(START_MS, 0), "")
    assert found["/bad"] == (Reading(START_MS, 1), "device is gone")
    assert found["/never"] == (None, "device is gone")
    assert good.calls == ["get"]


def test_the_last_value_may_be_one_that_the_driver_added(house: Any) -> None:
    """SM-33: whichever is newer."""
    lamp = house.lamp()
    house.result(house.actuators.get("/lamp"))
    house.clock.advance(5)
    house.series().add(1)
    house.tree.drain()
    lamp.broken = ValueError("device is gone")

    [(reading, _why)] = house.result(house.actuators.survey("/")).values()

    assert (reading.ms, reading.value) == (START_MS + 5000, 1)


def test_a_survey_ends_in_time_whatever_hangs(house: Any) -> None:
    """SM-33: those not asked by then show their last value, and say so."""
    for i in range(40):
        house.lamp(f"/lamp{i}", timeout_s=60)
    house.threads.hold(POOL)
    done = house.actuators.survey("/")

    house.clock.advance(SURVEY_S)

    found = house.result(done)
    assert len(found) == 40
    assert {why for _, why in found.values()} == {"It was not asked: others took too long."}
    house.threads.let_go(POOL)


def test_a_survey_of_nothing_is_empty(house: Any) -> None:
    """SM-33: a tree without actuators."""
    assert house.result(house.actuators.survey("/")) == {}


def test_the_base_names_what_a_driver_left_out(house: Any) -> None:
    """SM-33: 502 with the class and the method."""

    class Half(SmapActuator):
        def parse_state(self, state: Any) -> Any:
            return state

        def valid_state(self, state: Any) -> bool:
            return True

    house.tree.add_actuator("/half", "", Half())

    assert str(house.error_of(house.actuators.get, "/half")) == "Half has no get_state"

"""Where a driver's code runs, and what becomes of a call that does not return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from smapd.actuate import BinaryActuator
from smapd.actuation import MOST_HUNG, POOL
from smapd.actuation.calls import AT_ONCE, MOST_HUNG_EACH, PLACE_S, WAIT_S
from smapd.actuation.survey import SURVEY_S
from smapd.errors import ActuationTimeout, Busy, DeviceFailed


def scoped(house: Any, path: str, count: int, lamp_class: Any, **options: Any) -> list[Any]:
    """``count`` lamps of one driver at ``path``."""
    scope = house.tree.scope(path, house.tree.uuid(path))
    lamps = [lamp_class() for _ in range(count)]
    for i, lamp in enumerate(lamps):
        scope.add_actuator(f"/lamp{i}", "on/off", lamp, **options)
    return lamps


def test_a_call_that_was_not_begun_in_time_never_is(house: Any) -> None:
    """SM-33: a set that was answered with an error must not be done an hour later."""
    lamp = house.lamp(timeout_s=1, write_limit=60)
    house.threads.hold(POOL)
    done = house.actuators.set("/lamp", "1")
    house.clock.advance(1)
    with pytest.raises(Busy):
        house.value(done)

    house.threads.let_go(POOL)

    assert lamp.calls == []
    assert house.value(house.actuators.set("/lamp", "1")) == 1  # nor did it count as a write


class Hanging:
    """A pool whose threads begin each call at once and return when told to."""

    def __init__(self, house: Any) -> None:
        self.begun: list[Any] = []
        self._real = house.threads.to_pool
        house.threads.to_pool = self.to_pool

    def to_pool(self, name: str, f: Any, *a: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self._real(name, f, *a).addBoth(lambda result: self.begun.append((done, result)))
        return done

    def return_(self, i: int = 0) -> None:
        done, result = self.begun.pop(i)
        done.callback(result)


@pytest.fixture
def hanging(house: Any) -> Iterator[Hanging]:
    """The house's pool, whose calls all return at the end of the test."""
    hanging = Hanging(house)
    yield hanging
    while hanging.begun:
        hanging.return_()


def test_one_that_hangs_takes_no_other_call_until_it_returns(house: Any, hanging: Hanging) -> None:
    """SM-33: one thread for one hanging device, however often it is asked."""
    lamp = house.lamp(timeout_s=2)
    done = house.actuators.set("/lamp", "1")
    waiting = house.actuators.get("/lamp")
    house.clock.advance(2)

    with pytest.raises(ActuationTimeout, match=r"^set_state of /lamp has not returned within 2 s"):
        house.value(done)
    with pytest.raises(ActuationTimeout, match="has not returned for 2 s; the actuator takes no"):
        house.value(waiting)
    house.clock.advance(28)
    for call in (house.actuators.get, lambda path: house.actuators.set(path, "0")):
        error = house.error_of(call, "/lamp")
        assert isinstance(error, ActuationTimeout)
        assert "has not returned for 30 s" in error.message
    assert house.actuators.status()["hanging"] == [{"call": "set_state of /lamp", "seconds": 30.0}]
    assert lamp.calls == [1]

    hanging.return_()

    again = house.actuators.get("/lamp")
    hanging.return_()
    assert house.value(again) == 1
    assert house.actuators.status()["hanging"] == []


def test_one_that_hangs_on_the_read_back_says_that_it_was_set(house: Any, hanging: Hanging) -> None:
    """SM-33: 504, and what is known."""
    house.lamp(timeout_s=2)
    done = house.actuators.set("/lamp", "1")
    hanging.return_()
    house.clock.advance(2)

    with pytest.raises(ActuationTimeout, match=r"^get_state of .* \(it was set to 1 before\)$"):
        house.value(done)


def test_a_late_failure_is_nobodys(house: Any, hanging: Hanging) -> None:
    """SM-33: it is logged, and the actuator is free again."""
    lamp = house.lamp(timeout_s=2)
    lamp.broken = ValueError("device is gone")
    house.actuators.get("/lamp").addErrback(lambda _: None)
    house.clock.advance(2)

    hanging.return_()

    assert house.actuators.status()["hanging"] == []


def test_a_call_holds_its_place_for_a_second_at_most(
    house: Any, hanging: Hanging, lamp_class: Any
) -> None:
    """SM-33: however many devices are slow, the next one is asked soon."""
    for driver in range(6):
        scoped(house, f"/slow{driver}", 4, lamp_class)
    scoped(house, "/good", 1, lamp_class)
    for driver in range(6):
        for i in range(4):
            house.actuators.get(f"/slow{driver}/lamp{i}").addErrback(lambda _: None)
    assert len(hanging.begun) == AT_ONCE
    good = house.actuators.get("/good/lamp0")

    house.clock.advance(3 * PLACE_S)

    assert len(hanging.begun) == 25
    hanging.return_(-1)
    assert house.value(good) == 0


def test_a_place_is_given_back_once(house: Any, hanging: Hanging, lamp_class: Any) -> None:
    """SM-33: a slow call that ends after its second frees no place twice."""
    for driver in range(4):
        scoped(house, f"/d{driver}", 4, lamp_class)
    for i in range(4):
        house.actuators.get(f"/d0/lamp{i}")
    house.clock.advance(PLACE_S)
    while hanging.begun:
        hanging.return_()

    for driver in range(1, 4):
        for i in range(4):
            house.actuators.get(f"/d{driver}/lamp{i}")

    assert len(hanging.begun) == AT_ONCE


def test_one_driver_may_have_so_many_calls_that_hang(
    house: Any, hanging: Hanging, lamp_class: Any
) -> None:
    """SM-33: its next ones are Busy, at once; another driver's are not."""
    scoped(house, "/bad", MOST_HUNG_EACH + 1, lamp_class, timeout_s=1)
    scoped(house, "/good", 1, lamp_class)
    for i in range(MOST_HUNG_EACH):
        house.actuators.get(f"/bad/lamp{i}").addErrback(lambda _: None)
        house.clock.advance(1)

    error = house.error_of(house.actuators.get, f"/bad/lamp{MOST_HUNG_EACH}")

    assert isinstance(error, Busy)
    assert error.message.endswith("was not begun: 8 other calls of its driver hang.")
    good = house.actuators.get("/good/lamp0")
    hanging.return_(-1)
    assert house.value(good) == 0


def test_there_is_an_end_to_threads_that_hang(
    house: Any, hanging: Hanging, lamp_class: Any
) -> None:
    """SM-33: past that all are Busy, at once."""
    for driver in range(MOST_HUNG // MOST_HUNG_EACH):
        scoped(house, f"/bad{driver}", MOST_HUNG_EACH, lamp_class, timeout_s=1)
        for i in range(MOST_HUNG_EACH):
            house.actuators.get(f"/bad{driver}/lamp{i}").addErrback(lambda _: None)
            house.clock.advance(1)
    scoped(house, "/good", 1, lamp_class)

    error = house.error_of(house.actuators.get, "/good/lamp0")

    assert isinstance(error, Busy)
    assert f"{MOST_HUNG} calls of other actuators hang" in error.message
    assert len(hanging.begun) == MOST_HUNG


def test_a_survey_asks_the_others_while_one_drivers_devices_hang(
    house: Any, hanging: Hanging, lamp_class: Any
) -> None:
    """SM-33: whichever stand first in the tree."""
    scoped(house, "/bad", 40, lamp_class)
    scoped(house, "/good", 2, lamp_class)
    done = house.actuators.survey("/")
    while len(hanging.begun) > AT_ONCE // 2:
        hanging.return_(-1)

    house.clock.advance(SURVEY_S)

    found = house.result(done)
    assert [found[f"/good/lamp{i}"][1] for i in range(2)] == ["", ""]
    assert all(found[f"/bad/lamp{i}"][1] for i in range(40))


def test_one_driver_has_half_of_the_places(house: Any, hanging: Hanging, lamp_class: Any) -> None:
    """SM-33: a gateway that hangs with all its points leaves room for the others."""
    scoped(house, "/gateway", AT_ONCE, lamp_class)
    scoped(house, "/other", 1, lamp_class)
    for i in range(AT_ONCE):
        house.actuators.get(f"/gateway/lamp{i}")

    other = house.actuators.get("/other/lamp0")

    assert len(hanging.begun) == AT_ONCE // 2 + 1
    hanging.return_(-1)
    assert house.value(other) == 0


def test_who_waits_too_long_for_a_turn_is_told_busy(
    house: Any, hanging: Hanging, lamp_class: Any
) -> None:
    """SM-33: 503, and nothing was done."""
    lamps = scoped(house, "/gateway", AT_ONCE, lamp_class, timeout_s=60)
    asked = [house.actuators.get(f"/gateway/lamp{i}") for i in range(AT_ONCE)]
    queued = house.actuators.set("/gateway/lamp0", "1")

    house.clock.advance(WAIT_S)

    for one in asked[AT_ONCE // 2 :]:
        with pytest.raises(Busy, match="its driver is busy"):
            house.value(one)
    with pytest.raises(Busy, match="/gateway/lamp0 is busy with calls before this"):
        house.value(queued)
    assert [lamp.calls for lamp in lamps] == [["get"]] * (AT_ONCE // 2) + [[]] * (AT_ONCE // 2)


def test_a_full_pool_is_busy(house: Any) -> None:
    """SM-33: 503; that is nobody's device."""
    lamp = house.lamp(read_limit=60)
    house.threads.full.add(POOL)

    assert isinstance(house.error_of(house.actuators.get, "/lamp"), Busy)

    house.threads.full.clear()
    assert house.value(house.actuators.get("/lamp")) == 0  # it was not asked, so it may be
    assert lamp.calls == ["get"]


def test_a_deferred_off_the_reactor_is_refused_in_a_sentence(house: Any) -> None:
    """SM-33: Twisted code on a thread is a mistake."""
    house.lamp().get_state = Deferred  # type: ignore[method-assign]

    error = house.error_of(house.actuators.get, "/lamp")

    assert isinstance(error, DeviceFailed)
    assert str(error).endswith("returned a Deferred; Twisted code needs ON_REACTOR = True")


# --- on the reactor


class Twisted(BinaryActuator):
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked: list[Deferred[int]] = []

    def get_state(self, request: Any) -> Deferred[int]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def set_state(self, request: Any, state: int) -> int:
        return state


def on_reactor(house: Any, actuator: Any, **options: Any) -> list[float]:
    """Plants it as of a driver with ON_REACTOR; what it is charged for."""
    scope = house.tree.scope("/d", house.tree.uuid("/d"))
    took: list[float] = []
    scope.calls.on_reactor, scope.calls.took = True, took.append
    scope.add_actuator("/x", "", actuator, **options)
    return took


def test_twisted_code_runs_on_the_reactor_and_may_give_a_deferred(house: Any) -> None:
    """SM-33: it is charged for the time it held the reactor."""
    actuator = Twisted()
    took = on_reactor(house, actuator)
    house.threads.full.add(POOL)

    done = house.actuators.set("/d/x", "on")
    actuator.asked[0].callback(1)

    assert house.value(done) == 1
    assert took == [0.0, 0.0]


def test_twisted_code_that_does_not_answer_is_cancelled(house: Any) -> None:
    """SM-33: 504; it hangs no thread, so it may be asked again."""
    actuator = Twisted()
    on_reactor(house, actuator, timeout_s=3)
    done = house.actuators.get("/d/x")

    house.clock.advance(3)

    with pytest.raises(ActuationTimeout, match="has not returned within 3 s"):
        house.value(done)
    again = house.actuators.get("/d/x")
    actuator.asked[1].callback(0)
    assert house.value(again) == 0


def test_what_twisted_code_raises_is_told(house: Any) -> None:
    """SM-33: at once, or by its Deferred."""
    actuator = Twisted()
    on_reactor(house, actuator)
    done = house.actuators.get("/d/x")
    actuator.asked[0].errback(ValueError("no carrier"))
    with pytest.raises(DeviceFailed, match="^no carrier$"):
        house.value(done)

    actuator.set_state = lambda request, state: 1 / 0  # type: ignore[assignment, method-assign]
    assert str(house.error_of(house.actuators.set, "/d/x", "1")) == "division by zero"


# --- async


class Async(BinaryActuator):
    """Coroutines for the users' loop."""

    state = 0
    broken = False

    async def get_state(self) -> int:
        if self.broken:
            raise ValueError("no carrier")
        return self.state

    async def set_state(self, state: int) -> None:
        self.state = state


def test_coroutines_run_on_the_users_loop(house: Any) -> None:
    """SM-33, SM-16: and need no thread of the pool."""
    actuator = Async()
    house.tree.add_actuator("/x", "", actuator)
    house.threads.full.add(POOL)

    assert house.value(house.actuators.set("/x", "1")) == 1
    actuator.broken = True
    assert str(house.error_of(house.actuators.get, "/x")) == "no carrier"


def test_code_runs_as_its_drivers(house: Any, lamp_class: Any) -> None:
    """SM-33: so that what it makes ends with its driver, and its log lines name it."""
    scope = house.tree.scope("/d", house.tree.uuid("/d"))
    ran = []

    def run(f: Any, *a: Any) -> Any:
        ran.append(True)
        return f(*a)

    scope.add_actuator("/x", "", lamp_class())
    scope.calls.run = run
    house.result(house.actuators.set("/d/x", "1"))

    assert ran == [True, True]

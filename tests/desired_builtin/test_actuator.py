"""desired/builtin/actuator.py: smap::Actuator, through the one way that leads to an actuator."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.actuate import (
    BinaryActuator,
    ContinuousActuator,
    ContinuousIntegerActuator,
    NStateActuator,
)
from smapd.actuation import POOL, Actuators
from smapd.core import SmapInstance
from smapd.desired import (
    AgentSide,
    Change,
    Exporter,
    HandlerContext,
    ResourceState,
    registry,
)
from smapd.desired.builtin import Actuator, Host
from smapd.desired.builtin.actuator import ActuatorHandler
from smapd.desired.services import services
from smapd.errors import Busy, NotReady
from smapd.runtime import PoolSize
from smapd.testing import FakeRuntime, MemoryReadings

from .conftest import failed, run, run_resource

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
HOST = Host("edge")


class Device:
    """One half of an actuator: keeps what it is told; ``off_by`` is how badly it obeys."""

    state: Any = 0
    off_by: float = 0.0
    broken: Exception | None = None
    sets = 0

    def get_state(self) -> Any:
        if self.broken is not None:
            raise self.broken
        return self.state

    def set_state(self, state: Any) -> None:
        self.sets += 1
        self.state = state + self.off_by if self.off_by else state


class Switch(Device, BinaryActuator):
    pass


class Dimmer(Device, ContinuousActuator):
    state = 0.0


class Fan(Device, ContinuousIntegerActuator):
    pass


class Mode(Device, NStateActuator):
    state = "idle"


class House:
    """A tree with one actuator of each kind, and an agent that reaches them."""

    def __init__(self, is_open: bool = True) -> None:
        self.run = FakeRuntime(pools={POOL: PoolSize(kept=0, most=8)})
        threads, clock = self.run.threads, self.run.clock
        self.tree = SmapInstance(ROOT, now=clock.wall_ms, home=threads.to_reactor)
        self.journal = MemoryReadings()
        self.tree.attach(self.journal)
        self.actuators = Actuators(self.tree, threads, clock, self.run.faults)
        if is_open:
            self.actuators.open()
        self.switch, self.dimmer, self.fan = Switch(), Dimmer((0, 100)), Fan((0, 9))
        self.mode = Mode(["idle", "heat"])
        self.tree.add_actuator("/switch", "on/off", self.switch)
        self.tree.add_actuator("/dimmer", "%", self.dimmer, tolerance=0.5)
        self.tree.add_actuator("/fan", "1", self.fan)
        self.tree.add_actuator("/mode", "mode", self.mode)
        self.tree.add_timeseries("/plain", "/plain", "V")
        reports: Any = None
        self.side = AgentSide(
            "edge", services=services(threads, self.actuators, reports, self.tree)
        )

    def bring(self, path: str, state: Any, *, dry_run: bool = False, **more: Any) -> Any:
        return run(Actuator(HOST, path, state, **more), self.side, dry_run=dry_run)


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize(
    ("path", "state", "found"),
    [
        ("/switch", True, 1),
        ("/switch", "on", 1),
        ("/switch", " ON ", 1),
        ("/switch", 1.0, 1),
        ("/dimmer", 40, 40.0),
        ("/dimmer", "40.5", 40.5),
        ("/fan", 3, 3),
        ("/fan", 3.0, 3),
        ("/fan", "3", 3),
        ("/mode", "heat", "heat"),
    ],
)
def test_a_state_is_set_once_and_then_left_alone(
    house: House, path: str, state: Any, found: Any
) -> None:
    """IM-17, IM-19: in whichever words it is desired."""
    device = getattr(house, path[1:])

    first = house.bring(path, state)
    second = house.bring(path, state)

    assert (first.status, first.change) == (ResourceState.DEPLOYED, Change.UPDATED), first.reason
    assert first.changes["state"]["desired"] == state
    assert (second.status, second.change, second.changes) == (
        ResourceState.DEPLOYED,
        Change.NOCHANGE,
        {},
    )
    assert (device.state, device.sets) == (found, 1)


def test_what_is_read_back_is_a_reading_of_the_stream(house: House) -> None:
    """It goes the way of a PUT."""
    ctx = house.bring("/dimmer", 40)
    house.tree.drain()

    assert [value for _, value in house.journal.readings("/dimmer")] == [40.0]
    assert "/dimmer was set to 40, and reads 40.0" in [record.message for record in ctx.logs]


def test_a_dry_run_asks_and_sets_nothing(house: House) -> None:
    """IM-23"""
    ctx = house.bring("/dimmer", 40, dry_run=True)

    assert ctx.status is ResourceState.DRY
    assert ctx.changes == {"state": {"current": 0.0, "desired": 40}}
    assert house.dimmer.sets == 0


def test_nearer_than_its_tolerance_is_near_enough(house: House) -> None:
    """The driver's own, unless the model gives another one."""
    house.dimmer.state = 40.4

    assert house.bring("/dimmer", 40).changes == {}
    assert house.bring("/dimmer", 40, tolerance=0.1, dry_run=True).changes != {}
    house.dimmer.state = 43.0
    assert house.bring("/dimmer", 40, dry_run=True).changes != {}
    assert house.bring("/dimmer", 40, tolerance=5).changes == {}
    house.fan.state = 4
    assert house.bring("/fan", 3, dry_run=True).changes != {}


def test_a_float_of_32_bits_is_no_difference() -> None:
    house = House()
    house.tree.add_actuator("/exact", "1", house.dimmer)
    house.dimmer.state = 0.10000000149011612

    assert house.bring("/exact", 0.1).changes == {}


def test_a_device_that_does_not_obey_fails_with_both_values(house: House) -> None:
    house.dimmer.off_by = 7.0

    ctx = house.bring("/dimmer", 40)

    assert (ctx.status, ctx.change) == (ResourceState.FAILED, Change.NOCHANGE)
    assert ctx.reason == "DeviceFailed: /dimmer was set to 40.0, but reads 47.0."


@pytest.mark.parametrize(
    ("path", "state", "reason"),
    [
        ("/nowhere", 1, "NoSuchPath: There is nothing at /nowhere."),
        ("/plain", 1, "NotAnActuator: /plain is not an actuator."),
        ("/dimmer", 101, "BadState: Invalid state: 101.0"),
        ("/switch", "blue", "NotDone: state = 'blue' cannot be told from what /switch reads, 0:"),
        ("/mode", "cool", "BadState: Invalid state: cool"),
        ("dimmer", 1, "NotDone: path = 'dimmer' is no path: write one that begins with /."),
    ],
)
def test_what_cannot_be_is_one_sentence(house: House, path: str, state: Any, reason: str) -> None:
    ctx = house.bring(path, state)

    assert ctx.status is ResourceState.FAILED
    assert ctx.reason.startswith(reason)
    assert house.dimmer.sets == house.switch.sets == house.mode.sets == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": None}, "state = None is none: write a number or a text."),
        ({"state": [1]}, "state = [1] is none: write a number or a text."),
        ({"state": float("inf")}, "state = inf is none: write a number or a text."),
        ({"tolerance": -1}, "tolerance = -1 is none: write a number of at least 0."),
        ({"tolerance": "1"}, "tolerance = '1' is none: write a number of at least 0."),
    ],
)
def test_a_field_that_cannot_be_is_named(house: House, fields: Any, reason: str) -> None:
    (resource,) = Exporter().run([Actuator(HOST, "/dimmer", 1)], 1).resources
    vars(resource).update(fields)

    failed(run_resource(resource, house.side), reason)


def test_a_device_that_does_not_answer_fails_its_resource(house: House) -> None:
    house.dimmer.broken = OSError("no answer")

    ctx = house.bring("/dimmer", 40)

    assert ctx.status is ResourceState.FAILED
    assert "no answer" in ctx.reason
    assert house.dimmer.sets == 0


def test_it_is_skipped_while_actuators_are_not_open() -> None:
    """It is not for the resource: it may do in a moment."""
    house = House(is_open=False)

    ctx = house.bring("/dimmer", 40)

    assert ctx.status is ResourceState.SKIPPED
    assert ctx.reason == "Actuators are not open yet."


def test_it_is_skipped_while_it_may_not_be_set_again(house: House) -> None:
    house.tree.add_actuator("/slow", "%", house.dimmer, write_limit=60.0)
    assert house.bring("/slow", 40).status is ResourceState.DEPLOYED

    ctx = house.bring("/slow", 50)
    house.run.advance(60)

    assert ctx.status is ResourceState.SKIPPED
    assert house.bring("/slow", 50).change is Change.UPDATED


@pytest.mark.parametrize("error", [Busy("full"), NotReady("not yet")])
def test_what_passes_is_a_skip(house: House, error: Exception) -> None:
    class Full:
        def get(self, path: str) -> Any:
            raise error

        set = get

    house.side.services["actuators"]._actuators = Full()

    ctx = house.bring("/dimmer", 40)

    assert (ctx.status, ctx.reason) == (ResourceState.SKIPPED, str(error))


def test_one_that_is_not_managed_is_left_out() -> None:
    """IM-10, IM-11"""
    export = Exporter().run([Actuator(HOST, "/a", 1, managed=False)], 1)

    assert export.resources == []
    assert export.ignored == ["Actuator '/a' is left out: it is not managed."]


def test_its_fact_is_what_it_reads(house: House) -> None:
    """IM-36"""
    house.dimmer.state = 12.0
    (resource,) = Exporter().run([Actuator(HOST, "/dimmer", 1)], 1).resources

    facts = ActuatorHandler(house.side).check_facts(HandlerContext(resource), resource)

    assert facts == {"state": 12.0, "read_ms": house.run.clock.wall_ms()}


def test_an_agent_elsewhere_has_no_actuators() -> None:
    """IM-33"""
    (resource,) = Exporter().run([Actuator(HOST, "/dimmer", 1)], 1).resources
    handler = registry.frozen().providers["smap::Actuator"].cls(AgentSide("edge"))

    assert not handler.available(resource)

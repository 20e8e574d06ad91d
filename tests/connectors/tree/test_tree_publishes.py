"""Publishes that set actuators and publish events; what fails is logged once and counted."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from smapd.errors import Forbidden
from smapd.values import Action, Principal
from tests.connectors.tree.house import House, Lamp, got, options


def plant(publish: str = "both", **keys: str) -> House:
    return House(("connector plant", options(Publish=publish, **keys)), assets=["hall-1"])


def published(house: House, message: dict[str, Any]) -> bool:
    taken = got(Deferred.fromCoroutine(house.peers["pump"].inbound.publish(message)))
    house.settle(0)
    assert isinstance(taken, bool)
    return taken


def counts(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.status()["sources"][0]["published"]
    return found


def lamp(house: House) -> Lamp:
    made = Lamp()
    house.tree.add_actuator("/hall-1/lamp", "on/off", made)
    house.settle()
    return made


@pytest.mark.parametrize("state", [1, "1", "on", True, 1.0])
def test_a_state_sets_the_actuator_and_is_read_back(state: Any) -> None:
    """VQ-22: by the same way as a PUT."""
    house = plant()
    device = lamp(house)

    assert published(house, {"path": "/hall-1/lamp", "state": state})

    assert device.state == 1
    assert counts(house)["actuated"] == 1
    assert house.tree.get_timeseries("/hall-1/lamp")["Readings"][-1][1] == 1


def test_an_event_is_published_in_the_connectors_name_and_once_for_an_id() -> None:
    house = plant()
    message = {"asset": "hall-1", "name": "Said", "data": {"words": "x"}, "time": 5, "id": "i-1"}

    assert published(house, message)
    assert published(house, message)

    events, _ = got(house.twin.events("hall-1"))
    (event,) = events
    assert (event["data"], event["time"], event["source"]) == (
        {"words": "x"},
        5,
        "connector plant",
    )
    assert counts(house)["published"] == 2


@pytest.mark.parametrize("publish", ["none", "actuate", "event"])
def test_what_the_section_does_not_allow_is_not_taken(publish: str) -> None:
    house = plant(publish)
    device = lamp(house)

    is_set = published(house, {"path": "/hall-1/lamp", "state": 1})
    is_event = published(house, {"asset": "hall-1", "name": "Said", "data": {}})

    assert (is_set, device.state) == ((True, 1) if publish == "actuate" else (False, 0))
    assert is_event is (publish == "event")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"path": "/nix", "state": 1}, "/nix"),
        ({"path": "/hall-1", "state": 1}, "/hall-1"),
        ({"path": "/hall-1/lamp", "state": "dim"}, "Invalid state"),
        ({"path": "/hall-1/lamp"}, "state: missing"),
        ({"path": "/hall-1/lamp", "state": [1]}, "state: missing"),
        ({"path": "/hall-1/lamp", "state": 1, "release": True}, "not both"),
        ({"path": 7, "state": 1}, "path: not a text"),
        ({"path": "/hall-1/lamp", "state": 1, "colour": 2}, "colour: no such key"),
        ({"asset": "nix", "name": "Said", "data": {}}, "nix"),
        ({"asset": "hall-1", "name": "Sung", "data": {}}, "There is no event type Sung"),
        ({"asset": "hall-1", "name": "Said"}, "no data"),
        ({"asset": "hall-1", "name": "Said", "data": {}, "time": "noon"}, "time: not a time"),
        ({"asset": "hall-1", "name": "Said", "data": {}, "version": "1"}, "version"),
        ({"asset": "hall-1", "name": "Said", "data": {}, "id": 7}, "id: not a text"),
        ({"asset": "hall-1", "data": {}}, "name: not a text"),
    ],
)
def test_what_fails_is_one_line_and_a_count(message: dict[str, Any], words: str) -> None:
    house = plant()
    lamp(house)

    assert published(house, message)

    assert counts(house)["failed"] == 1
    assert words in counts(house)["last_error"]
    (fault,) = house.faults()
    assert fault.startswith("[connector plant] source pump: a publish to ")
    assert words in fault


def test_a_server_cannot_fill_the_log_with_names() -> None:
    house = plant()
    for n in range(500):
        published(house, {"path": f"/nix/{n}", "state": 1})

    assert counts(house)["failed"] == 500
    assert len(house.faults()) == 1


def test_a_fault_is_over_once_it_was_not_seen_for_a_minute() -> None:
    house = plant()
    lamp(house)
    published(house, {"path": "/nix", "state": 1})
    published(house, {"path": "/hall-1/lamp", "state": 1})
    assert len(house.faults()) == 1

    house.settle(61)
    published(house, {"path": "/hall-1/lamp", "state": 0})

    assert house.faults() == []


def test_what_means_nothing_is_said_and_counted() -> None:
    house = plant()

    assert not published(house, {"rooms": 1})
    got(Deferred.fromCoroutine(house.peers["pump"].inbound.unknown({"rooms": 1})))

    assert counts(house)["unknown"] == 1
    assert "a publish with rooms means nothing here" in house.faults()[0]


def test_a_publish_asks_whether_it_may() -> None:
    class Access:
        def decide(self, who: Principal, what: Action, where: str) -> None:
            seen.append((who.name, what, where))
            raise Forbidden("not you")

    seen: list[tuple[str, Action, str]] = []
    house = plant()
    device = lamp(house)
    house.connectors._connectors[0].sources[0].inbound.publishes._access = Access()

    published(house, {"path": "/hall-1/lamp", "state": 1})
    published(house, {"asset": "hall-1", "name": "Said", "data": {}})

    assert device.state == 0
    assert seen == [
        ("connector plant", Action.ACTUATE, "/hall-1/lamp"),
        ("connector plant", Action.WRITE, "hall-1"),
    ]
    assert counts(house)["failed"] == 2

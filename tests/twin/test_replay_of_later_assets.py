"""Where a follower begins: a replay is for the assets that were there, a place for its own life."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.twin.wire import ASSETS_OPEN
from tests.twin.things import House, result


@pytest.mark.parametrize("replay", ["newest", 2])
def test_a_replay_does_not_skip_events_of_an_asset_made_later(replay: Any) -> None:
    """FO-18: its events are new to the follower, also those from before it was told."""
    house = House(assets=("old",))
    publisher, follower = house.thing("p"), house.thing("f")
    publisher.integrate()
    assert follower.follow(replay=replay)["op"] == "ok"
    assert follower.assets() == [("created", "old")]
    for n in range(ASSETS_OPEN):  # so many records may be out; what comes after them waits
        result(house.twin.create({"id": f"more-{n}"}))
    out = follower.take("asset")
    result(house.twin.create({"id": "late"}))
    for _ in range(3):
        publisher.publish("late")
        house.run.advance(0)

    for frame in out:
        follower.say("asset_done", role="follower", seq=frame.head["seq"])
    told = follower.assets()
    given = follower.events()

    assert len(out) == ASSETS_OPEN
    assert told == [("created", "late")]
    assert given == [("late", 0), ("late", 1), ("late", 2)]


def test_the_place_in_a_deleted_asset_is_not_that_of_its_next_life() -> None:
    """FO-18, FO-14: the offsets go on, and the new life is told from its first event on."""
    house = House(assets=("x",))
    publisher, follower = house.thing("p"), house.thing("f")
    publisher.integrate()
    follower.follow()
    result(house.twin.create({"id": "a"}))
    follower.assets()
    for _ in range(3):
        publisher.publish("a")
    house.run.advance(1)
    assert follower.events() == [("a", 0), ("a", 1), ("a", 2)]
    follower.ack("a", 0)
    house.run.advance(2)
    follower.session.lost("gone")

    result(house.twin.delete("a"))
    house.run.advance(1)
    result(house.twin.create({"id": "a"}))
    for _ in range(2):
        assert publisher.publish("a")["op"] == "ok"
    again = house.thing("f")
    again.follow()
    again.assets()
    house.run.advance(1)

    assert again.events() == [("a", 3), ("a", 4)]

"""Followers that stand still are told of, once, and when they go on."""

from __future__ import annotations

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from .things import House, Thing, result

MB = "x" * (2**20 - 100)


class Lines(list[str]):
    """The log's lines that are of followers."""

    def __call__(self, event: LogEvent) -> None:
        text = formatEvent(event)
        if "follower" in text:
            self.append(text)


@pytest.fixture
def lines() -> object:
    found = Lines()
    globalLogPublisher.addObserver(found)
    yield found
    globalLogPublisher.removeObserver(found)


def follower(house: House, *, name: str = "archive", **more: object) -> Thing:
    thing = house.thing(name)
    assert thing.follow(**more)["op"] == "ok"
    thing.assets()
    return thing


def say(house: House, asset: str, count: int = 1, words: str = "hello") -> None:
    for _ in range(count):
        result(house.twin.publish(asset, "Said", {"words": words}))
    house.run.advance(0)


def state(thing: Thing) -> dict[str, object]:
    return thing.session.status()["roles"]["follower"]


def test_one_that_acknowledges_nothing_is_a_fault_that_says_who_where_and_how_many(
    lines: Lines,
) -> None:
    """FO-20: what waits is kept, and somebody is told."""
    house = House(assets=("a",))
    thing = follower(house, max_unacked=3)
    say(house, "a", 10)

    house.run.advance(59)
    assert lines == []
    assert state(thing)["standing_still"] == 0
    house.run.advance(21)

    [line] = lines
    assert line.startswith("follower archive stands still at asset a: it has 3 events")
    assert "acknowledged for 60 s, and 7 more wait." in line
    assert "start it again" in line
    assert state(thing)["standing_still"] == 1
    [still] = state(thing)["still"]
    assert still == {"asset": "a", "unacked": 3, "waiting": 7, "for_s": 80.0}


def test_it_is_told_once_and_counted(lines: Lines) -> None:
    house = House(assets=("a",))
    follower(house, max_unacked=3)
    say(house, "a", 10)

    for _ in range(60):
        house.run.advance(20)
        say(house, "a")

    assert len(lines) == 1
    [fault] = house.run.faults.status()
    assert fault["count"] > 50
    house.run.advance(86_400)
    assert len(lines) == 2
    assert "times" in lines[1]


def test_it_is_told_when_it_goes_on(lines: Lines) -> None:
    house = House(assets=("a",))
    thing = follower(house, max_unacked=3)
    say(house, "a", 5)
    house.run.advance(90)

    thing.ack("a", 0)
    assert state(thing)["standing_still"] == 0
    house.run.advance(20)

    assert lines[1] == "follower archive, asset a, goes on; it had stood still for 100 s"
    assert house.run.faults.status() == []


def test_one_that_goes_does_not_go_on(lines: Lines) -> None:
    house = House(assets=("a",))
    thing = follower(house, max_unacked=3)
    say(house, "a", 5)
    house.run.advance(90)

    thing.session.lost("gone")
    house.run.advance(20)

    assert "follower archive, asset a, is not connected any more" in lines[1]
    assert house.run.faults.status() == []
    assert house.run.clock.pending == 0


def test_a_slow_one_is_none(lines: Lines) -> None:
    """Each acknowledgement is one step: it need not be quick."""
    house = House(assets=("a",))
    thing = follower(house, max_unacked=3)
    say(house, "a", 30)

    for n in range(10):
        house.run.advance(50)
        thing.ack("a", n)

    assert lines == []


def test_one_with_nothing_more_to_get_is_none(lines: Lines) -> None:
    """Three that are worked on for an hour hold up nobody."""
    house = House(assets=("a",))
    follower(house, max_unacked=3)
    say(house, "a", 3)

    house.run.advance(3600)
    assert lines == []
    say(house, "a")
    house.run.advance(20)

    assert len(lines) == 1


def test_one_with_room_is_not_looked_at() -> None:
    house = House(assets=("a",))
    house.run.advance(600)  # what the start has set is over
    thing = follower(house, max_unacked=3)
    say(house, "a", 2)

    assert house.run.clock.pending == 0
    say(house, "a")
    assert house.run.clock.pending == 1
    thing.ack("a", 0)
    house.run.advance(20)
    assert house.run.clock.pending == 0


def test_an_asset_alone_may_stand_still(lines: Lines) -> None:
    house = House(assets=("a", "b"))
    thing = follower(house, max_unacked=3)
    for _ in range(10):
        say(house, "a")
        say(house, "b")
        house.run.advance(10)
        for asset, offset in thing.events():
            if asset == "b":
                thing.ack(asset, offset)

    assert len(lines) == 1
    assert "asset a" in lines[0]
    assert [one["asset"] for one in state(thing)["still"]] == ["a"]


def test_one_that_holds_all_bytes_of_its_session_is_told_of_once(lines: Lines) -> None:
    """4 MiB are all that a session may have; the assets that wait are named."""
    house = House(assets=("a", "b"))
    thing = follower(house)
    for asset in ("a", "b"):
        say(house, asset, 6, MB)

    house.run.advance(80)

    [line] = lines
    assert line.startswith("follower archive stands still: it has 4 MiB of events")
    assert "more of a, b wait." in line or "more of b, a wait." in line
    assert state(thing)["standing_still"] == 2
    events = thing.events(ack=True)
    house.run.advance(20)
    assert len(events) == 12
    assert lines[1].startswith("follower archive goes on")


def test_many_assets_are_named_up_to_a_bound(lines: Lines) -> None:
    names = [f"a{n}" for n in range(23)]
    house = House(assets=tuple(names))
    thing = follower(house, max_unacked=1)
    for name in names:
        say(house, name, 2)

    house.run.advance(80)

    assert len(lines) == 21
    assert lines[-1] == "follower archive stands still at 3 assets beside those named."
    assert state(thing)["standing_still"] == 23
    assert len(state(thing)["still"]) == 20


def test_a_stop_of_the_daemon_is_silent(lines: Lines) -> None:
    house = House(assets=("a",))
    follower(house, max_unacked=1)
    say(house, "a", 2)
    house.run.advance(90)

    house.twin.close()
    house.run.advance(60)

    assert len(lines) == 1
    assert house.run.clock.pending == 0

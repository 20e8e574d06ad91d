"""Events of one asset for one follower: from its place, in order, until they are acknowledged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.twin.feed import Flight, Prefix

from .things import START_MS, House, Thing, result


def follower(house: House, *assets: str, name: str = "f", **more: object) -> Thing:
    thing = house.thing(name)
    assert thing.follow(*assets, **more)["op"] == "ok"
    thing.assets()
    return thing


def say(house: House, asset: str, count: int = 1, words: str = "hello") -> None:
    for _ in range(count):
        result(house.twin.publish(asset, "Said", {"words": words}))


def test_a_new_follower_gets_everything_from_the_first_offset() -> None:
    """FO-18, FO-14, FO-17."""
    house = House(assets=("a",))
    say(house, "a", 3)

    thing = follower(house)

    assert thing.events() == [("a", 0), ("a", 1), ("a", 2)]


def test_an_event_arrives_as_it_was_published() -> None:
    """FO-13."""
    house = House(assets=("a",))
    bom = house.thing("bom")
    bom.integrate()
    thing = follower(house)

    assert bom.publish("a", "word", time_ms=5, version=3) == {"op": "ok", "id": 3, "offset": 0}

    [frame] = thing.take("event")
    assert frame.head == {
        "op": "event",
        "asset": "a",
        "offset": 0,
        "name": "Said",
        "version": 3,
        "source": "bom",
        "time_ms": 5,
        "systime_ms": START_MS,
        "form": "json",
    }
    assert frame.body == b'{"words":"word"}'


def test_a_new_event_comes_without_a_read_of_the_disk() -> None:
    house = House(assets=("a",))
    thing = follower(house)
    house.run.advance(0)
    before = house.log.reads

    say(house, "a", 10)
    house.run.advance(0)

    assert len(thing.events()) == 10
    assert house.log.reads == before


def test_eof_comes_after_the_replay_also_without_events() -> None:
    """FO-10."""
    house = House(assets=("a", "empty"))
    say(house, "a", 2)

    thing = follower(house)
    say(house, "a")
    house.run.advance(0)

    shown = [
        (frame.head["op"], frame.head["asset"], frame.head["offset"])
        for frame in thing.take("event", "eof")
    ]
    assert [one for one in shown if one[1] == "a"] == [
        ("event", "a", 0),
        ("event", "a", 1),
        ("eof", "a", 2),
        ("event", "a", 2),
    ]
    assert [one for one in shown if one[1] == "empty"] == [("eof", "empty", 0)]


def test_a_restarted_follower_goes_on_behind_what_it_acknowledged() -> None:
    """FO-19, FO-20, FO-40: also after kill -9 of the daemon."""
    house = House(assets=("a",))
    say(house, "a", 5)
    thing = follower(house)
    thing.events()
    thing.ack("a", 0, 1)

    again = house.restart(assets=("a",))
    back = follower(again)

    assert back.events() == [("a", 2), ("a", 3), ("a", 4)]


def test_only_the_contiguous_prefix_counts() -> None:
    """FO-21."""
    house = House(assets=("a",))
    say(house, "a", 5)
    thing = follower(house)
    thing.events()
    thing.ack("a", 4, 1, 2)

    back = follower(house.restart(assets=("a",)))
    assert back.events() == [("a", n) for n in range(5)]
    back.ack("a", 0, 1, 3)

    assert follower(back.house.restart(assets=("a",))).events() == [("a", 2), ("a", 3), ("a", 4)]


def test_followers_have_places_of_their_own() -> None:
    """FO-22."""
    house = House(assets=("a",))
    say(house, "a", 2)
    one, two = follower(house, name="one"), follower(house, name="two")
    one.events(ack=True)

    again = house.restart(assets=("a",))

    assert follower(again, name="one").events() == []
    assert follower(again, name="two").events() == [("a", 0), ("a", 1)]
    assert two.peer.closed is None


def test_no_more_than_max_unacked_are_out() -> None:
    house = House(assets=("a",))
    say(house, "a", 10)
    thing = follower(house, max_unacked=3)

    assert thing.events() == [("a", 0), ("a", 1), ("a", 2)]
    thing.ack("a", 1)
    assert thing.events() == [("a", 3)]
    thing.ack("a", 0, 2)
    assert thing.events() == [("a", 4), ("a", 5)]


def test_a_slow_follower_delays_nobody() -> None:
    house = House(assets=("a", "b"))
    slow, fast = follower(house, name="slow", max_unacked=1), follower(house, name="fast")

    say(house, "a", 50)
    say(house, "b", 5)

    assert len(fast.events(ack=True)) == 55
    assert slow.events() == [("a", 0), ("b", 0)]


def test_the_bytes_in_flight_of_a_session_are_bounded() -> None:
    house = House(assets=("a", "b"))
    big = "x" * (2**20 - 100)
    for asset in ("a", "b"):
        say(house, asset, 4, big)

    thing = follower(house)
    out = thing.take("event")

    assert sum(len(frame.body) for frame in out) <= 5 * 2**20
    got = len(out)
    while out:
        for frame in out:
            thing.ack(frame.head["asset"], frame.head["offset"])
        out = thing.take("event")
        got += len(out)
    assert got == 8


def test_an_event_comes_until_it_is_acknowledged_after_a_lost_connection() -> None:
    house = House(assets=("a",))
    say(house, "a", 2)
    thing = follower(house)
    assert thing.events() == [("a", 0), ("a", 1)]
    thing.ack("a", 0)
    thing.session.lost("gone")

    back = follower(house)

    assert back.events() == [("a", 1)]


class TestReplay:
    def prepared(self) -> House:
        house = House(assets=("a",))
        for n in range(6):
            say(house, "a")
            house.run.advance(1)
            assert n >= 0
        thing = follower(house)
        thing.events(ack=True)
        thing.session.lost("gone")
        return house

    @pytest.mark.parametrize(
        ("replay", "offsets"),
        [
            (None, []),
            ("oldest", [0, 1, 2, 3, 4, 5]),
            ("newest", []),
            (4, [4, 5]),
            (0, [0, 1, 2, 3, 4, 5]),
            (99, []),
            ({"time_ms": START_MS + 3000}, [3, 4, 5]),
            ({"time_ms": 0}, [0, 1, 2, 3, 4, 5]),
            ({"time_ms": START_MS + 10**6}, []),
        ],
    )
    def test_it_begins_where_it_is_told(self, replay: object, offsets: list[int]) -> None:
        house = self.prepared()

        thing = follower(house, replay=replay)

        assert thing.events() == [("a", n) for n in offsets]
        assert [frame.head["offset"] for frame in thing.take("eof")] == [6]

    def test_it_does_not_move_the_durable_place_back(self) -> None:
        house = self.prepared()
        thing = follower(house, replay="oldest")
        thing.events()
        thing.ack("a", 0, 1)

        assert follower(house.restart(assets=("a",))).events() == []

    def test_newest_is_kept_for_one_never_seen(self) -> None:
        house = House(assets=("a",))
        say(house, "a", 3)
        thing = follower(house, replay="newest")
        assert thing.events() == []

        again = house.restart(assets=("a",))
        say(again, "a")

        assert follower(again).events() == [("a", 3)]

    def test_it_is_for_assets_that_were_there(self) -> None:
        house = House(assets=("a",))
        thing = follower(house, replay=5)

        house.tree.add_collection("/b", asset="b")
        thing.assets()
        say(house, "b", 2)

        assert thing.events() == [("b", 0), ("b", 1)]


class TestDeletion:
    def test_an_ack_of_a_deleted_asset_does_nothing(self) -> None:
        """FO-12."""
        house = House()
        house.tree.add_collection("/a", asset="a")
        say(house, "a", 2)
        thing = follower(house)
        thing.events()

        house.tree.remove("/a")
        assert thing.assets() == [("deleted", "a")]
        thing.ack("a", 0)

        assert thing.errors() == []

    def test_its_next_life_begins_behind_the_last(self) -> None:
        house = House()
        house.tree.add_collection("/a", asset="a")
        say(house, "a", 2)
        thing = follower(house)
        thing.events(ack=True)

        house.tree.remove("/a")
        house.tree.add_collection("/a", asset="a")
        say(house, "a")
        heard = [
            (frame.head.get("kind"), frame.head.get("offset"))
            for frame in thing.take("asset", "event")
        ]

        assert heard == [("deleted", None), ("created", None), (None, 2)]

    def test_nothing_unread_of_the_last_life_comes(self) -> None:
        house = House()
        house.tree.add_collection("/a", asset="a")
        say(house, "a", 5)
        thing = follower(house, max_unacked=1)
        assert thing.events() == [("a", 0)]

        house.tree.remove("/a")
        house.tree.add_collection("/a", asset="a")
        thing.ack("a", 0)

        assert thing.events() == []


class TestBadAcks:
    def test_of_a_future_event(self) -> None:
        house = House(assets=("a",))
        say(house, "a")
        thing = follower(house)
        thing.events()

        thing.ack("a", 1)

        [(code, text)] = thing.errors()
        assert (code, "not sent yet" in text) == ("bad_request", True)
        assert follower(house.restart(assets=("a",))).events() == [("a", 0)]

    def test_of_a_foreign_asset(self) -> None:
        house = House(assets=("a", "b"))
        say(house, "b")
        thing = follower(house, "a")

        thing.ack("b", 0)

        assert "no events of b" in thing.errors()[0][1]

    def test_of_an_asset_that_never_was(self) -> None:
        thing = follower(House(assets=("a",)))

        thing.ack("nowhere", 0)

        assert "no events of nowhere" in thing.errors()[0][1]

    def test_twice_does_nothing(self) -> None:
        house = House(assets=("a",))
        say(house, "a", 2)
        thing = follower(house)
        thing.events()

        thing.ack("a", 0, 0)

        assert thing.errors() == []


class TestFaults:
    def test_a_damaged_event_is_skipped(self) -> None:
        house = House(assets=("a",))
        say(house, "a", 5)
        house.log.lose("a", 2)
        house.log.lose("a", 4)

        thing = follower(house)

        assert thing.events(ack=True) == [("a", 0), ("a", 1), ("a", 3)]
        assert [frame.head["offset"] for frame in thing.take("eof")] == [5]
        say(house, "a")
        assert thing.events() == [("a", 5)]

    def test_a_place_that_cannot_be_kept_is_kept_later(self) -> None:
        house = House(assets=("a",))
        say(house, "a", 3)
        thing = follower(house)
        thing.events()
        house.log.fill()
        thing.ack("a", 0)
        house.log.error = None

        thing.ack("a", 1)

        assert follower(house.restart(assets=("a",))).events() == [("a", 2)]

    def test_dedupe_gives_the_same_offset_and_no_second_event(self) -> None:
        """IN-18: also after a restart of the daemon."""
        house = House(assets=("a",))
        bom = house.thing("bom")
        thing = follower(house)
        assert bom.publish("a", dedupe="1")["offset"] == 0
        assert bom.publish("a", dedupe="1")["offset"] == 0
        assert bom.publish("a", dedupe="2")["offset"] == 1
        assert thing.events() == [("a", 0), ("a", 1)]

        again = house.restart(assets=("a",))
        assert again.thing("bom").publish("a", dedupe="1")["offset"] == 0
        assert again.thing("other").publish("a", dedupe="1")["offset"] == 2


@given(st.permutations(range(20)), st.integers(0, 20))
def test_the_prefix_is_what_a_plain_list_says(order: list[int], count: int) -> None:
    prefix, done = Prefix(100), set()
    for number in range(100, 120):
        prefix.sent(number, 1)

    for number in order[:count]:
        prefix.done(100 + number)
        done.add(100 + number)

    expected = next((n for n in range(100, 120) if n not in done), 120)
    assert prefix.place == expected
    assert len(prefix) == prefix.size_bytes == 20 - count


def test_a_flight_lets_who_waited_longest_go_first() -> None:
    told: list[str] = []

    class Feed:
        def __init__(self, name: str) -> None:
            self.name = name

        def go_on(self) -> None:
            told.append(self.name)
            flight.out(10)

    flight = Flight(10)
    flight.out(10)
    assert flight.room(Feed("one")) == 0
    assert flight.room(Feed("two")) == 0

    flight.back(10)

    assert told == ["one"]

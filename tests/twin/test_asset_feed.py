"""What a thing is told of assets: once each, in order, also what happened while it was away."""

from __future__ import annotations

from smapd.core import SmapInstance

from .things import House


def test_all_there_are_are_told_in_the_order_they_were_made() -> None:
    """IN-20, FO-04."""
    house = House(assets=("b", "a", "c"))

    thing = house.thing("bom")
    thing.integrate()

    assert thing.assets() == [("created", "b"), ("created", "a"), ("created", "c")]


def test_what_comes_and_goes_later_is_told_once() -> None:
    """IN-21, IN-22, FO-04."""
    house = House(assets=("a",))
    thing = house.thing("bom")
    thing.follow()
    thing.assets()

    house.tree.add_collection("/x", asset="x")
    assert thing.assets() == [("created", "x")]
    house.tree.remove("/x")
    assert thing.assets() == [("deleted", "x")]
    assert thing.assets() == []


def test_patterns_select_assets() -> None:
    house = House(assets=("hall-1", "hall-2", "pump7", "cellar"))
    thing = house.thing("bom")

    thing.integrate("hall-*", "pump?")

    assert [asset for _, asset in thing.assets()] == ["hall-1", "hall-2", "pump7"]
    house.tree.add_collection("/y", asset="yard")
    house.tree.add_collection("/z", asset="hall-3")
    assert thing.assets() == [("created", "hall-3")]


def test_each_role_and_each_thing_is_told_for_itself() -> None:
    house = House(assets=("a",))
    one, two = house.thing("one"), house.thing("two")
    one.integrate()
    one.follow()
    two.follow()

    assert one.assets() == [("created", "a"), ("created", "a")]
    assert two.assets() == [("created", "a")]


def test_what_was_deleted_while_it_was_away_is_told() -> None:
    house = House(assets=("a",))
    house.tree.add_collection("/x", asset="x")
    thing = house.thing("bom")
    thing.follow()
    thing.assets()
    thing.session.lost("gone")

    house.tree.remove("/x")
    back = house.thing("bom")
    back.follow()

    assert back.assets() == [("created", "a"), ("deleted", "x")]


def test_what_came_and_went_while_it_was_away_is_told_in_order() -> None:
    house = House(assets=("a",))
    thing = house.thing("bom")
    thing.follow()
    thing.assets()
    thing.session.lost("gone")

    house.tree.add_collection("/x", asset="x")
    house.tree.remove("/x")
    house.tree.add_collection("/y", asset="y")
    back = house.thing("bom")
    back.follow()

    assert back.assets() == [
        ("created", "a"),
        ("created", "x"),
        ("deleted", "x"),
        ("created", "y"),
    ]


def test_what_happened_while_the_daemon_was_down_is_told() -> None:
    house = House(assets=("a", "b"))
    thing = house.thing("bom")
    thing.follow()
    thing.assets()

    again = house.restart(assets=("b", "c"))
    back = again.thing("bom")
    back.follow()

    assert sorted(back.assets()) == [("created", "b"), ("created", "c"), ("deleted", "a")]


def test_a_thing_that_is_new_hears_nothing_of_the_past() -> None:
    house = House(assets=("a",))
    house.tree.add_collection("/x", asset="x")
    house.tree.remove("/x")

    thing = house.thing("new")
    thing.follow()

    assert thing.assets() == [("created", "a")]


def test_what_is_not_done_comes_again() -> None:
    house = House()
    thing = house.thing("bom")
    thing.follow()
    house.tree.add_collection("/x", asset="x")
    house.tree.remove("/x")
    assert thing.assets(done=False) == [("created", "x"), ("deleted", "x")]

    back = house.restart().thing("bom")
    back.follow()

    assert back.assets() == [("created", "x"), ("deleted", "x")]


def test_a_record_has_one_number_for_ever() -> None:
    """A client that comes back leaves out what it was told, by that number."""
    house = House(assets=("a",))
    thing = house.thing("bom")
    thing.follow()
    [told] = thing.take("asset")

    back = house.restart(assets=("a",)).thing("bom")
    back.follow()

    [again] = back.take("asset")
    assert again.head["seq"] == told.head["seq"]


def test_one_that_came_back_is_told_as_gone_and_new() -> None:
    house = House()
    house.tree.add_collection("/x", asset="x")
    thing = house.thing("bom")
    thing.follow()
    thing.assets()
    thing.session.lost("gone")

    house.tree.remove("/x")
    house.tree.add_collection("/x", asset="x")
    back = house.thing("bom")
    back.follow()

    assert back.assets() == [("deleted", "x"), ("created", "x")]


def test_no_more_than_a_window_is_out() -> None:
    def plant(tree: SmapInstance) -> None:
        for n in range(2500):
            tree.add_collection(f"/a{n}", asset=f"a{n}")

    house = House(plant)
    thing = house.thing("bom")
    thing.integrate()

    first = thing.take("asset")
    assert len(first) == 1000
    for frame in first[:10]:
        thing.say("asset_done", role="integrator", seq=frame.head["seq"])
    assert len(thing.take("asset")) == 10
    for frame in first[10:]:
        thing.say("asset_done", role="integrator", seq=frame.head["seq"])
    assert 990 + len(thing.assets()) + 1010 >= 2500


def test_stop_ends_it() -> None:
    house = House(assets=("a",))
    thing = house.thing("bom")
    thing.integrate()
    thing.assets()

    assert thing.ask("stop", role="integrator")["op"] == "ok"

    house.tree.add_collection("/x", asset="x")
    assert thing.assets() == []


def test_a_second_start_replaces_the_first() -> None:
    house = House(assets=("a", "b"))
    thing = house.thing("bom")
    thing.follow("a")
    thing.assets()

    thing.follow("b")
    assert thing.assets() == [("created", "b")]
    house.tree.remove("/a")
    assert thing.assets() == []


def test_done_of_what_was_never_sent_is_an_error() -> None:
    thing = House(assets=("a",)).thing("bom")
    thing.follow()

    thing.say("asset_done", role="follower", seq=99)

    assert "not sent" in thing.errors()[0][1]


def test_a_start_while_the_disk_is_full_fails_and_can_be_repeated() -> None:
    house = House(assets=("a",))
    thing = house.thing("bom")
    house.log.fill()

    assert thing.follow()["error"] == "storage_full"
    house.log.error = None
    assert thing.follow()["op"] == "ok"
    assert thing.assets() == [("created", "a")]

"""Events to a source: each once, in order, from a place that outlives the daemon."""

from __future__ import annotations

from typing import Any

from smapd.connectors.tree.events import GIVE_UP_AFTER
from smapd.errors import StorageFull
from smapd.values import Accepted, Retry, TooLarge
from tests.connectors.tree.house import House, got, options, words


def plant(**keys: str) -> tuple[str, dict[str, Any]]:
    return "connector plant", options(**({"Assets": "hall-*"} | keys))


def place(house: House, asset: str = "hall-1") -> int:
    found = [at for _, of, at in house.log.cursors("connector:plant:pump") if of == asset]
    return found[0]


def test_events_of_the_assets_that_are_selected_are_sent_in_order() -> None:
    house = House(plant(), assets=["hall-1", "hall-2", "roof"])

    house.publish("hall-1", "a", "b")
    house.publish("roof", "c")
    house.publish("hall-2", "d")

    assert words(house.peers["pump"].sent) == [
        ("hall-1", 0, "a"),
        ("hall-1", 1, "b"),
        ("hall-2", 0, "d"),
    ]
    assert house.peers["pump"].sent[0]["source"] == "test"
    assert place(house) == 2


def test_what_comes_while_the_link_is_down_is_sent_when_it_is_up() -> None:
    house = House(plant(), assets=["hall-1"], begin=False)
    house.begin(up=False)
    house.publish("hall-1", "a", "b")
    assert house.peers["pump"].sent == []
    assert house.status()["sources"][0]["events"]["waiting"] == 2

    house.peers["pump"].up()
    house.settle(0.02)

    assert len(house.peers["pump"].batches) == 1
    assert words(house.peers["pump"].sent) == [("hall-1", 0, "a"), ("hall-1", 1, "b")]


def test_a_batch_that_was_not_confirmed_comes_again_whole_before_any_other() -> None:
    house = House(plant(), assets=["hall-1", "hall-2"])
    house.answers.append(Retry(None, "the connection was lost"))
    house.publish("hall-1", "a")
    house.publish("hall-2", "b")
    assert words(house.peers["pump"].batches[0]) == [("hall-1", 0, "a")]
    house.settle(2)

    assert sorted(words(house.peers["pump"].sent[1:])) == [("hall-1", 0, "a"), ("hall-2", 0, "b")]
    assert house.status()["sources"][0]["events"]["failures"] == 1
    assert "the connection was lost" in house.status()["sources"][0]["events"]["last_error"]


def test_the_next_batch_waits_until_the_place_of_the_last_is_durable() -> None:
    """So that after a crash at most one batch comes again."""
    house = House(plant(), assets=["hall-1"])
    house.log.hold()
    house.publish("hall-1", "a")
    house.log.let_go()
    house.settle()
    house.log.hold()
    house.twin.publish("hall-1", "Said", {"words": "b"})
    house.log._held.pop()()  # the event itself is durable, what follows is not
    house.settle()
    assert words(house.peers["pump"].sent) == [("hall-1", 0, "a"), ("hall-1", 1, "b")]

    house.log._held, kept = [], house.log._held
    house.twin.publish("hall-1", "Said", {"words": "c"})
    house.log._held.pop(0)()
    house.settle()
    assert len(house.peers["pump"].batches) == 2
    house.log._held = None
    for one in kept:
        one()
    house.settle()
    assert words(house.peers["pump"].batches[2]) == [("hall-1", 2, "c")]


def test_the_next_daemon_goes_on_behind_what_was_confirmed() -> None:
    house = House(plant(), assets=["hall-1"])
    house.publish("hall-1", "a")
    house.peers["pump"].down()
    house.publish("hall-1", "b")
    house.stop()

    after = house.restart(plant(), assets=["hall-1"])
    after.settle()

    assert words(after.peers["pump"].sent) == [("hall-1", 1, "b")]


def test_of_an_asset_made_since_all_events_are_sent_though_nobody_looked() -> None:
    """A kill between an event and our first look at its asset loses nothing."""
    house = House(plant(), assets=["hall-1"])
    house.run.clock.advance(10)
    house.stop()
    made = house.restart(assets=["hall-1"])  # a life without the section's doing
    got(made.twin.create({"id": "hall-9"}))
    made.publish("hall-9", "first")
    after = made.restart(plant(), assets=["hall-1"])
    after.settle()

    assert words(after.peers["pump"].sent) == [("hall-9", 0, "first")]


def test_of_an_asset_that_was_there_before_only_new_events_are_sent() -> None:
    house = House(assets=["hall-1"])
    house.publish("hall-1", "old")
    house.run.clock.advance(10)

    after = house.restart(plant(), assets=["hall-1"])
    after.run.clock.advance(1)
    after.publish("hall-1", "new")

    assert words(after.peers["pump"].sent) == [("hall-1", 1, "new")]


def test_what_is_published_before_the_section_connects_is_sent() -> None:
    """HTTP answers before drivers are set up, and connectors come behind these."""
    house = House(assets=["hall-1"])
    house.run.clock.advance(10)
    house = house.restart(plant(), assets=["hall-1"], begin=False)
    house.publish("hall-1", "early")

    house.begin()

    assert words(house.peers["pump"].sent) == [("hall-1", 0, "early")]


def test_what_is_published_in_a_first_life_that_never_connected_is_sent_by_the_next() -> None:
    """A kill before the section had begun: it was open, so events were kept for it."""
    house = House(assets=["hall-1"])
    house.run.clock.advance(10)
    killed = house.restart(plant(), assets=["hall-1"], begin=False)
    killed.publish("hall-1", "early")

    after = killed.restart(plant(), assets=["hall-1"])
    after.settle()

    assert words(after.peers["pump"].sent) == [("hall-1", 0, "early")]


def test_of_an_asset_made_while_it_runs_all_is_sent_whatever_the_clock_says() -> None:
    """A clock that is set back makes nothing old."""
    house = House(plant())
    house.run.clock.step_wall(-86_400)
    got(house.twin.create({"id": "hall-7"}))
    house.publish("hall-7", "a")  # before it was looked at

    assert words(house.peers["pump"].sent) == [("hall-7", 0, "a")]


def test_a_section_whose_places_cannot_be_written_opens_when_they_can() -> None:
    house = House(assets=["hall-1"])
    house.publish("hall-1", "old")
    house.run.clock.advance(10)
    after = house.restart(plant(Sources="pump, fan"), assets=["hall-1"], fill=True)
    assert "disk is full" in after.status()["problem"]
    assert after.peers == {}

    after.log.error = None
    after.settle(30)
    for peer in after.peers.values():
        peer.up()
    after.publish("hall-1", "new")

    assert after.status()["problem"] == ""
    assert words(after.peers["pump"].sent) == [("hall-1", 1, "new")]
    assert words(after.peers["fan"].sent) == [("hall-1", 1, "new")]


def test_an_asset_made_while_it_runs_is_followed_and_one_made_anew_too() -> None:
    house = House(plant())
    house.run.clock.advance(1)
    got(house.twin.create({"id": "hall-7"}))
    house.publish("hall-7", "a")
    got(house.twin.delete("hall-7"))
    house.settle()
    assert house.status()["sources"][0]["events"]["assets"] == 0
    got(house.twin.create({"id": "hall-7"}))
    house.publish("hall-7", "b")

    assert words(house.peers["pump"].sent) == [("hall-7", 0, "a"), ("hall-7", 1, "b")]


def test_what_the_server_itself_published_is_not_sent_back() -> None:
    house = House(plant(Publish="event"), assets=["hall-1"])
    message = {"asset": "hall-1", "name": "Said", "data": {"words": "echo"}}

    got_taken(house, message)
    house.publish("hall-1", "ours")

    assert words(house.peers["pump"].sent) == [("hall-1", 1, "ours")]
    assert place(house) == 2


def got_taken(house: House, message: dict[str, Any]) -> None:
    from twisted.internet.defer import Deferred

    assert got(Deferred.fromCoroutine(house.peers["pump"].inbound.publish(message)))
    house.settle()


def test_events_that_are_damaged_are_passed_over() -> None:
    house = House(plant(), assets=["hall-1"], begin=False)
    house.begin(up=False)
    house.publish("hall-1", "a", "b", "c")
    house.log.lose("hall-1", 1)
    house.log.lose("hall-1", 2)
    house.peers["pump"].up()
    house.settle()
    house.publish("hall-1", "d")

    assert words(house.peers["pump"].sent) == [("hall-1", 0, "a"), ("hall-1", 3, "d")]
    assert house.status()["sources"][0]["events"]["waiting"] == 0


def test_a_batch_too_large_is_halved_and_a_single_event_is_passed_over_at_last() -> None:
    """One poisoned event does not hold up those behind it for ever."""
    house = House(plant(), assets=["hall-1"], begin=False)
    house.begin(up=False)
    house.publish("hall-1", "a", "b", "c", "d")
    house.answers += [TooLarge("(1009)"), TooLarge("(1009)")]
    house.answers += [TooLarge("(1009)")] * GIVE_UP_AFTER
    house.peers["pump"].up()
    house.settle(30)

    sizes = [len(batch) for batch in house.peers["pump"].batches]
    assert sizes[:2] == [4, 2]
    status = house.status()["sources"][0]["events"]
    assert status["passed_over"] == 1
    assert words(house.peers["pump"].sent)[-1] == ("hall-1", 3, "d")
    assert status["waiting"] == 0
    assert any("passed over" in text for text in house.faults())


def test_many_assets_take_turns() -> None:
    """A noisy asset does not keep the others waiting."""
    house = House(plant(), assets=["hall-1", "hall-2"], begin=False)
    house.begin(up=False)
    house.publish("hall-1", *[f"n{i}" for i in range(1200)])
    house.publish("hall-2", "quiet")
    house.peers["pump"].up()
    house.settle(1)

    first = words(house.peers["pump"].batches[0])
    assert ("hall-2", 0, "quiet") in first
    assert len(first) <= 500
    of_one = [offset for asset, offset, _ in words(house.peers["pump"].sent) if asset == "hall-1"]
    assert of_one == list(range(1200))


def test_a_full_disk_holds_up_the_places_and_loses_nothing() -> None:
    house = House(plant(), assets=["hall-1"])
    house.publish("hall-1", "a")
    house.peers["pump"].held = []
    house.publish("hall-1", "b")
    house.log.error = StorageFull("The disk is full.")
    house.peers["pump"].held.pop().callback(Accepted())
    house.peers["pump"].held = None
    house.settle(3)
    assert "place cannot be written" in house.status()["sources"][0]["events"]["last_error"]
    house.log.error = None
    house.settle(120)
    house.publish("hall-1", "c")

    assert words(house.peers["pump"].sent) == [
        ("hall-1", 0, "a"),
        ("hall-1", 1, "b"),
        ("hall-1", 2, "c"),
    ]
    assert place(house) == 3


def test_assets_taken_out_forgets_the_places() -> None:
    house = House(plant(), assets=["hall-1"])
    assert place(house) == 0
    house.stop()

    after = house.restart(("connector plant", options()), assets=["hall-1"])

    assert after.log.cursors("connector:plant:pump") == []


def test_a_stop_in_the_middle_of_a_batch_sends_it_again_next_time() -> None:
    house = House(plant(), assets=["hall-1"])
    house.peers["pump"].held = []
    house.publish("hall-1", "a")
    assert len(house.peers["pump"].held) == 1
    house.stop()

    after = house.restart(plant(), assets=["hall-1"])
    after.settle()

    assert words(after.peers["pump"].sent) == [("hall-1", 0, "a")]


def test_a_log_that_has_stopped_ends_it_quietly() -> None:
    house = House(plant(), assets=["hall-1"])
    house.log.stop()
    house.settle(5)
    house.stop()

    assert house.faults() == []

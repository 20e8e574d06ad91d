"""Readings to a source: what is selected arrives in order, and nothing is lost while it is away."""

from __future__ import annotations

import pytest

from smapd.values import Retry, TooLarge
from tests.connectors.tree.house import House, options, texts


def plant(**keys: str) -> tuple[str, dict[str, object]]:
    return "connector plant", options(**({"Notify": "/hall/+"} | keys))


def test_what_is_selected_is_sent_and_nothing_else() -> None:
    """VQ-13: a notification for each stream of a batch."""
    house = House(plant())

    house.add("/hall/a", 1.0, 2.0)
    house.add("/other/b", 3.0)

    assert texts(house.peers["pump"].sent) == [("/hall/a", [1.0]), ("/hall/a", [2.0])]
    stream = house.tree.get_timeseries("/hall/a")
    assert house.peers["pump"].sent[0]["uuid"] == str(stream.uuid)


def test_every_source_gets_all_of_it() -> None:
    """VQ-34."""
    house = House(plant(Sources="pump, fan"))

    house.add("/hall/a", 1.0)

    assert texts(house.peers["pump"].sent) == [("/hall/a", [1.0])]
    assert texts(house.peers["fan"].sent) == [("/hall/a", [1.0])]


def test_several_selections_are_one_stream_of_notifications() -> None:
    house = House(plant(Notify0="/roof/+", Notify1="/hall/a"))

    house.add("/roof/r", 1.0)
    house.add("/hall/a", 2.0)
    house.add("/cellar/c", 3.0)

    assert texts(house.peers["pump"].sent) == [("/roof/r", [1.0]), ("/hall/a", [2.0])]


def test_what_comes_while_the_link_is_down_is_sent_when_it_is_up_at_once() -> None:
    house = House(plant(), begin=False)
    house.begin(up=False)
    house.add("/hall/a", 1.0, 2.0)
    assert house.peers["pump"].batches == []
    assert house.status()["sources"][0]["readings"]["waiting"] == 2

    house.peers["pump"].up()
    house.settle(0)

    assert texts(house.peers["pump"].sent) == [("/hall/a", [1.0, 2.0])]
    assert house.status()["sources"][0]["readings"]["waiting"] == 0


def test_a_batch_that_was_not_confirmed_comes_again_and_only_that() -> None:
    house = House(plant())
    house.add("/hall/a", 1.0)
    house.answers.append(Retry(None, "the connection was lost"))
    house.add("/hall/a", 2.0)
    house.peers["pump"].down()
    house.peers["pump"].up()
    house.settle()

    assert texts(house.peers["pump"].sent) == [
        ("/hall/a", [1.0]),
        ("/hall/a", [2.0]),
        ("/hall/a", [2.0]),
    ]
    assert house.status()["sources"][0]["readings"]["failures"] == 1


def test_the_next_daemon_goes_on_behind_what_was_confirmed() -> None:
    house = House(plant())
    house.add("/hall/a", 1.0)
    house.peers["pump"].down()
    house.add("/hall/a", 2.0)
    house.stop()

    after = house.restart(plant())

    assert texts(after.peers["pump"].sent) == [("/hall/a", [2.0])]


def test_a_source_that_is_down_does_not_hold_up_another() -> None:
    house = House(plant(Sources="pump, fan"))
    house.peers["pump"].down()

    house.add("/hall/a", 1.0)

    assert house.peers["pump"].sent == []
    assert texts(house.peers["fan"].sent) == [("/hall/a", [1.0])]


def test_beyond_max_readings_the_oldest_are_a_counted_gap_which_is_told() -> None:
    house = House(plant(MaxReadings="2", Gaps="yes", Sequence="yes"))
    house.peers["pump"].down()
    house.add("/hall/a", 1.0, 2.0, 3.0, 4.0)
    house.peers["pump"].up()
    house.settle()

    sent = house.peers["pump"].sent
    assert texts(one for one in sent if "Gaps" not in one) == [("/hall/a", [3.0, 4.0])]
    (told,) = [one for one in sent if "Gaps" in one]
    assert told["Gaps"][0]["Count"] == 2
    assert told["Readings"] == []
    assert [one["First"] for one in sent if "First" in one] == [2]
    assert house.status()["sources"][0]["readings"]["gaps"] == {"bounds": 2}
    assert "lost" in house.faults()[0]


def test_a_body_too_large_for_the_peer_is_halved() -> None:
    house = House(plant(), begin=False)
    house.begin(up=False)
    house.add("/hall/a", 1.0, 2.0, 3.0, 4.0)
    house.answers += [TooLarge("(1009)")]
    house.peers["pump"].up()
    house.settle(1)

    assert [texts(batch) for batch in house.peers["pump"].batches] == [
        [("/hall/a", [1.0, 2.0, 3.0, 4.0])],
        [("/hall/a", [1.0, 2.0])],
        [("/hall/a", [3.0, 4.0])],
    ]


def test_a_stream_that_comes_later_is_selected_too() -> None:
    house = House(plant())
    house.add("/hall/a", 1.0)
    house.add("/hall/deep/b", 2.0)

    assert texts(house.peers["pump"].sent) == [("/hall/a", [1.0]), ("/hall/deep/b", [2.0])]


def test_metadata_decides_where_the_selection_asks_for_it() -> None:
    house = House(plant(Notify="/+ where Metadata/Extra/Use = heating"))
    house.add("/hall/a", 1.0)
    house.tree.set_metadata("/hall/a", {"Extra/Use": "heating"})
    house.settle()
    house.add("/hall/a", 2.0)

    assert texts(house.peers["pump"].sent) == [("/hall/a", [2.0])]


def test_fresh_readings_may_go_first() -> None:
    house = House(plant(Order="fresh", MaxReadings="200000", CatchUpRate="100"))
    house.peers["pump"].down()
    house.tree.add_timeseries("/hall/a", "V", data_type="double", milliseconds=True)
    house.settle()
    house.tree.get_timeseries("/hall/a").add_many(list(range(1000, 61_000)), [1.0] * 60_000)
    house.settle()
    house.peers["pump"].up()
    house.settle()
    house.add("/hall/b", 7.0)

    sent = texts(house.peers["pump"].sent)
    assert ("/hall/b", [7.0]) in sent
    assert house.status()["sources"][0]["readings"]["waiting"] > 0


def test_a_connector_without_notify_leaves_the_journal_alone() -> None:
    house = House(("connector plant", options()))
    house.add("/hall/a", 1.0)

    assert house.journal.cursors() == []
    assert house.peers["pump"].sent == []


def test_notify_taken_out_forgets_what_was_pending() -> None:
    house = House(plant())
    assert house.journal.cursors() == ["connector:plant:pump"]
    house.stop()

    house.restart(("connector plant", options()))

    assert house.journal.cursors() == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, (10_000, None)),
        ({"Keep": "14d"}, (None, 14 * 86400.0)),
        ({"Keep": "14d", "MaxReadings": "5"}, (5, 14 * 86400.0)),
    ],
)
def test_the_bounds_are_those_of_a_report(
    keys: dict[str, str], expected: tuple[int | None, float | None]
) -> None:
    house = House(plant(**keys))
    source = house.connectors._connectors[0].sources[0]
    assert source.outlet is not None
    limits = source.outlet.cursor.limits

    assert (limits.max_readings, limits.keep_s) == expected

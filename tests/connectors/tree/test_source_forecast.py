"""When a connector's source loses its first reading, as /status and smapd status say it."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.cli.summary import summary
from smapd.values import Retry
from tests.connectors.tree.house import House, options


def plant(**keys: str) -> tuple[str, dict[str, Any]]:
    return "connector plant", options(**({"Notify": "/hall/+"} | keys))


def hours(house: House) -> float | None:
    found: float | None = house.status()["sources"][0]["readings"]["hours_until_loss"]
    return found


def run(house: House, seconds: int, *paths: str) -> None:
    """A reading a second of each of these."""
    for _ in range(seconds):
        for path in paths:
            house.tree.add(path, house.run.clock.wall_ms(), 1.0)
        house.settle(1)


def test_it_counts_down_at_the_rate_of_the_fastest_stream_while_the_link_is_down() -> None:
    """N-10: 10,000 readings of a stream at one a second are 2.78 hours."""
    house = House(plant())
    house.add("/hall/a", 1.0)
    house.add("/hall/b", 1.0)
    assert hours(house) is None  # it was looked at once
    run(house, 20, "/hall/a")
    assert hours(house) == pytest.approx(2.78, abs=0.15)

    house.peers["pump"].down()
    run(house, 1800, "/hall/a")

    assert hours(house) == pytest.approx(2.78 - 0.5, abs=0.15)
    house.peers["pump"].up()
    run(house, 2, "/hall/a")
    assert hours(house) == pytest.approx(2.78, abs=0.15)


def test_hours_in_which_nothing_came_do_not_count() -> None:
    """N-10: what is lost first has not waited longer than the server has been away."""
    house = House(plant(Keep="1h"))
    house.add("/hall/a", 1.0)
    for _ in range(80):
        house.settle(100)

    house.peers["pump"].down()
    house.settle(1)
    assert hours(house) == 1.0
    run(house, 360, "/hall/a")
    assert hours(house) == pytest.approx(0.9, abs=0.02)


def test_a_link_that_comes_and_goes_and_delivers_nothing_does_not_begin_anew() -> None:
    """N-10: what waits has waited since the first time."""
    house = House(plant(Keep="1h"))
    house.add("/hall/a", 1.0)
    house.answers += [Retry(None, "not read")] * 1_000
    for _ in range(6):
        house.peers["pump"].down()
        run(house, 240, "/hall/a")
        house.peers["pump"].up()
        run(house, 60, "/hall/a")
    house.peers["pump"].down()
    house.settle(1)

    assert hours(house) == pytest.approx(0.5, abs=0.02)


def test_it_counts_down_while_the_server_takes_nothing() -> None:
    """N-10: there is a connection, and no batch is read."""
    house = House(plant(Keep="1h"))
    house.add("/hall/a", 1.0)
    assert hours(house) == 1.0
    house.answers += [Retry(None, "not read")] * 1_000

    run(house, 1800, "/hall/a")

    assert hours(house) == pytest.approx(0.5, abs=0.02)


def test_streams_of_several_selections_count_and_others_do_not() -> None:
    """N-10."""
    house = House(plant(Notify0="/roof/+", MaxReadings="3600"))
    for path in ("/hall/a", "/roof/r", "/cellar/c"):
        house.add(path, 1.0)
    hours(house)
    for _ in range(20):
        for path in ("/hall/a", "/roof/r", "/roof/r", "/cellar/c", "/cellar/c", "/cellar/c"):
            house.tree.add(path, house.run.clock.wall_ms(), 1.0)
        house.settle(1)

    assert hours(house) == pytest.approx(0.5, abs=0.05)


def test_without_a_bound_in_time_nothing_is_foretold() -> None:
    """N-10: KeepBytes alone is no time."""
    house = House(plant(KeepBytes="1MiB"))
    house.add("/hall/a", 1.0)
    hours(house)
    run(house, 20, "/hall/a")

    assert hours(house) is None


def test_a_screenful_says_what_waits_and_when_the_first_is_lost() -> None:
    """N-10: the same words as for a report; a source that does well has no line of its own."""
    source = {"source": "pump", "server": "wss://a/", "state": "connected", "problem": ""}
    readings = {"waiting": 94, "hours_until_loss": 3.5, "gaps": {}}
    away = {"state": "waiting", "why": "no connection (refused)", "events": {"waiting": 7}}
    found = [
        {"name": "well", "problem": "", "sources": [source | {"readings": readings}]},
        {"name": "away", "problem": "", "sources": [source | away | {"readings": readings}]},
        {"name": "lost", "sources": [source | {"readings": readings | {"gaps": {"bounds": 2}}}]},
        {"name": "plant", "problem": "no file a.config", "sources": []},
        {"name": "old", "type": "removed", "source": "fan", "sources": []},
    ]

    lines = list(summary({"connectors": found}))

    assert lines[2:] == [
        "  connectors 2 connected, 1 waiting, 1 not open, 1 removed",
        "             away, source pump to wss://a/: no connection (refused); 94 readings wait, "
        "7 events wait, the first reading is lost in 3.5 h",
        "             lost, source pump to wss://a/; 94 readings wait, the first reading is lost "
        "in 3.5 h, 2 lost",
        "             plant: no file a.config",
    ]


def test_a_screenful_of_a_real_status_has_every_source() -> None:
    """What /status gives is what the screenful reads."""
    house = House(plant(Assets="hall-*"), assets=["hall-1"], begin=False)
    house.begin(up=False)
    house.add("/hall/a", 1.0)

    lines = list(summary({"connectors": house.connectors.status()}))

    assert lines[2:] == ["  connectors 1 idle"]

"""Sections at work: opened, opened late, taken out, stopped; and what is kept of their sources."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.connectors.tree import ConnectorSection
from smapd.connectors.tree.records import KEPT_S, KIND
from smapd.connectors.tree.selection import AnyOf, AssetPatterns
from smapd.errors import ConfigError, SmapError, StorageFull
from tests.connectors.tree.house import House, options, texts


def plant(name: str = "plant", **keys: str) -> tuple[str, dict[str, Any]]:
    return f"connector {name}", options(**({"Notify": "/hall/+"} | keys))


def rows(house: House) -> dict[str, Any]:
    import json

    return {
        key: json.loads(text)
        for (kind, key), text in house.definitions.rows.items()
        if kind == KIND
    }


def test_two_of_one_name_are_refused() -> None:
    house = House(plant())

    with pytest.raises(ConfigError, match="has the name plant already"):
        house.connectors.add(ConnectorSection("connector  plant", options(), dict))


def test_a_section_without_a_name_is_called_connector() -> None:
    house = House(("connector", options(Notify="/+")))

    assert house.journal.cursors() == ["connector:connector:pump"]


def test_what_cannot_be_opened_is_shown_and_opened_later_and_touches_nobody() -> None:
    house = House(plant(), error=SmapError("server.config: cannot be read."))
    assert house.status()["problem"] == "server.config: cannot be read."
    assert house.status()["sources"] == []
    assert "cannot be opened" in house.faults()[0]

    house.error = None
    house.settle(3)
    house.peers["pump"].up()
    house.add("/hall/a", 1.0)

    assert house.status()["problem"] == ""
    assert house.faults() == []
    assert texts(house.peers["pump"].sent) == [("/hall/a", [1.0])]


def test_what_was_pending_waits_for_a_section_that_opens_late() -> None:
    house = House(plant())
    house.add("/hall/a", 1.0)
    house.peers["pump"].down()
    house.add("/hall/a", 2.0)
    house.stop()

    after = house.restart(plant(), error=SmapError("no such file"))
    after.settle(10)
    assert [one["type"] for one in after.connectors.status()] == ["vantiq"]  # nothing is gone
    after.error = None
    after.settle(60)
    after.peers["pump"].up()
    after.settle()

    assert texts(after.peers["pump"].sent) == [("/hall/a", [2.0])]


def test_a_full_disk_at_the_start_only_delays_it() -> None:
    house = House()
    house.definitions.error = StorageFull("The disk is full.")
    after = house.restart(plant())
    assert after.status()["problem"] == "The disk is full."

    after.definitions.error = None
    after.settle(3)

    assert after.status()["problem"] == ""


def test_the_reconnect_secret_outlives_the_daemon() -> None:
    """VQ-36: after a kill the server knows the connector again, and lets it in at once."""
    house = House(plant(Sources="pump, fan"))
    secrets = [house.peers[name].record.secret for name in ("pump", "fan")]
    house.stop()

    after = house.restart(plant(Sources="pump, fan"))

    assert [after.peers[name].record.secret for name in ("pump", "fan")] == secrets
    assert len(set(secrets)) == 2


def test_a_source_taken_out_is_kept_for_a_week_with_what_is_pending() -> None:
    house = House(plant(Sources="pump, fan"))
    house.peers["fan"].down()
    house.add("/hall/a", 1.0)
    house.stop()

    without = house.restart(plant())
    without.settle()
    (gone,) = without.connectors.status()[1:]
    assert (gone["name"], gone["source"], gone["type"]) == ("plant", "fan", "removed")
    assert gone["kept_until_ms"] is not None
    without.stop()

    again = house.restart(plant(Sources="pump, fan"))
    assert rows(again)["connector:plant:fan"]["removed_ms"] is None
    assert texts(again.peers["fan"].sent) == [("/hall/a", [1.0])]


def test_after_a_week_its_places_go() -> None:
    house = House(plant(Sources="pump, fan", Assets="hall-*"), assets=["hall-1"])
    house.publish("hall-1", "a")
    house.stop()
    without = house.restart(plant(), assets=["hall-1"])

    without.settle(KEPT_S + 3700)

    assert without.journal.cursors() == ["connector:plant:pump"]
    assert set(rows(without)) == {"connector:plant:pump"}
    assert without.log.cursors("connector:plant:fan") == []
    assert len(without.connectors.status()) == 1


def test_a_damaged_record_is_left_alone() -> None:
    house = House(plant())
    house.definitions.rows[KIND, "connector:plant:x"] = '{"source": 5}'

    after = house.restart(plant())

    assert "1 records of connectors cannot be read" in after.faults()[0]


def test_stop_ends_every_link_and_pending_readings_stay() -> None:
    house = House(plant())
    house.peers["pump"].down()
    house.add("/hall/a", 1.0)

    house.stop()

    assert not house.peers["pump"].is_running
    assert texts(house.restart(plant()).peers["pump"].sent) == [("/hall/a", [1.0])]


def test_a_late_opening_that_is_stopped_does_not_begin() -> None:
    house = House(plant(), error=SmapError("no"))
    house.stop()
    house.error = None

    house.settle(100)

    assert house.peers == {}


def test_patterns_are_ids_or_wild() -> None:
    found = AssetPatterns(["hall-*", "pump.7", "a?c"])

    assert [
        one for one in ("hall-1", "pump.7", "pumpX7", "abc", "ac", "xhall-1") if one in found
    ] == [
        "hall-1",
        "pump.7",
        "abc",
    ]
    assert not AssetPatterns([])
    assert "x" not in AssetPatterns([])


def test_any_of_selects_what_one_of_them_does() -> None:
    class Part:
        def __init__(self, selects: Any) -> None:
            self.selects = selects
            self.looked = 0

        def takes(self, run: Any) -> bool:
            return self.selects is None or self.selects(run)

        def takes_each(self, numbers: set[int]) -> bool:
            return self.selects is None or all(map(self.selects, numbers))

        def nodes_added(self, nodes: Any) -> bool:
            self.looked += 1
            return True

        metadata_changed = nodes_added

    one, two = Part({1}.__contains__), Part({2}.__contains__)
    both = AnyOf([one, two])
    assert both.selects is not None
    assert [n for n in (1, 2, 3) if both.selects(n)] == [1, 2]
    assert both.takes(2)  # type: ignore[arg-type]
    assert both.takes_each({1})
    assert not both.takes_each({1, 3})
    assert both.nodes_added([])
    assert (one.looked, two.looked) == (1, 1)  # each has to look, whatever the other found
    assert AnyOf([one, Part(None)]).selects is None

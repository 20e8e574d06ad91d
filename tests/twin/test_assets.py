"""Assets: from config, drivers and HTTP; each coming and going told once, and kept."""

from __future__ import annotations

import pytest

from smapd.core import SmapInstance
from smapd.errors import (
    AssetExists,
    AssetHeld,
    AssetUnknown,
    BadPath,
    BadRequest,
    PathExists,
    StorageFull,
)
from smapd.testing import MemoryDefinitions

from .things import House, result


def test_an_asset_of_the_config_is_there() -> None:
    """IN-20: what is marked in the tree is an asset, with its path and origin."""
    house = House(assets=("hall-1",))

    result(house.opened)

    [asset] = house.twin.assets()
    assert (asset["id"], asset["path"], asset["origin"]) == ("hall-1", "/hall-1", "config")
    assert (asset["base"], asset["next"]) == (0, 0)
    assert house.history() == [("created", "hall-1")]


def test_a_restart_tells_nothing_anew() -> None:
    house = House(assets=("a", "b"))

    again = house.restart(assets=("a", "b"))

    assert again.history() == [("created", "a"), ("created", "b")]
    assert again.ids() == ["a", "b"]


def test_an_asset_taken_from_the_config_is_deleted_at_the_next_start() -> None:
    """IN-22: also what happened while the daemon was down is told."""
    house = House(assets=("a", "b"))

    again = house.restart(assets=("b",))

    assert again.ids() == ["b"]
    assert again.history()[-1] == ("deleted", "a")


def test_a_stop_deletes_nothing() -> None:
    house = House(assets=("a",))

    house.twin.close()
    house.tree.remove("/a")

    assert house.history() == [("created", "a")]


def test_an_asset_made_in_the_running_tree_is_told_at_once() -> None:
    """IN-21: created later."""
    house = House()

    house.tree.add_collection("/pump", asset="pump")

    assert house.history() == [("created", "pump")]
    assert house.twin.asset("pump")["origin"] == "program"


def test_removing_the_collection_deletes_the_asset() -> None:
    house = House(lambda tree: tree.add_collection("/x/pump", asset="pump"))

    house.tree.remove("/x")

    assert house.ids() == []
    assert house.history() == [("created", "pump"), ("deleted", "pump")]


def test_another_mark_on_a_collection_is_another_asset() -> None:
    house = House(lambda tree: tree.add_collection("/x", asset="old"))

    house.tree.set_asset("/x", "new")

    assert house.ids() == ["new"]
    assert set(house.history()[1:]) == {("deleted", "old"), ("created", "new")}


def test_a_program_that_has_not_made_its_asset_yet_keeps_it() -> None:
    house = House(lambda tree: tree.add_collection("/x", asset="x"))

    again = house.restart()

    assert again.ids() == ["x"]
    assert again.twin.asset("x")["path"] is None


class TestDrivers:
    def test_its_asset_has_the_driver_as_origin(self) -> None:
        house = House(drivers=("/plc",))

        house.tree.add_collection("/plc/pump", asset="pump")

        assert house.twin.asset("pump")["origin"] == "driver:/plc"

    def test_it_stays_until_the_driver_is_set_up(self) -> None:
        house = House(drivers=("/plc",))
        house.tree.add_collection("/plc/pump", asset="pump")

        again = house.restart(drivers=("/plc",))

        assert again.ids() == ["pump"]
        assert again.history() == [("created", "pump")]

    def test_it_goes_when_the_driver_is_set_up_without_it(self) -> None:
        house = House(drivers=("/plc",))
        house.tree.add_collection("/plc/pump", asset="pump")
        again = house.restart(drivers=("/plc",))

        again.twin.driver_ready("/plc")

        assert again.ids() == []

    def test_it_goes_at_a_start_without_the_driver_section(self) -> None:
        house = House(drivers=("/plc",))
        house.tree.add_collection("/plc/pump", asset="pump")

        again = house.restart()

        assert again.ids() == []

    def test_a_set_up_that_fails_and_takes_it_back_deletes_nothing(self) -> None:
        house = House(drivers=("/plc",))
        house.tree.add_collection("/plc/pump", asset="pump")

        house.tree.remove("/plc/pump")
        house.tree.add_collection("/plc/pump", asset="pump")
        house.twin.driver_ready("/plc")

        assert house.history() == [("created", "pump")]

    def test_what_it_removes_while_it_runs_is_deleted(self) -> None:
        house = House(drivers=("/plc",))
        house.tree.add_collection("/plc/pump", asset="pump")
        house.twin.driver_ready("/plc")

        house.tree.remove("/plc/pump")

        assert house.history()[-1] == ("deleted", "pump")

    def test_detaching_its_section_deletes_its_assets(self) -> None:
        house = House(
            lambda tree: tree.add_collection("/plc", asset="whole"),
            config={"whole": "/plc"},
            drivers=("/plc",),
        )
        house.tree.add_collection("/plc/pump", asset="pump")

        house.tree.remove("/plc")
        house.twin.section_gone("/plc")

        assert house.ids() == []


class TestOverHttp:
    def test_create_makes_a_collection_and_a_definition(self) -> None:
        house = House()

        made = result(
            house.twin.create({"id": "p7", "path": "/x/p7", "Metadata": {"A": {"B": "c"}}})
        )

        assert (made["id"], made["path"], made["origin"]) == ("p7", "/x/p7", "http")
        assert house.tree.metadata_of("/x/p7") == {"A": {"B": "c"}}
        assert house.history() == [("created", "p7")]

    def test_it_is_there_after_a_restart(self) -> None:
        house = House()
        result(house.twin.create({"id": "p7", "path": "/x/p7", "Description": "a pump"}))

        again = house.restart()

        assert again.twin.asset("p7")["path"] == "/x/p7"
        assert again.tree.get("/x/p7").description == "a pump"
        assert again.history() == [("created", "p7")]

    def test_it_is_durable_before_it_is_told(self) -> None:
        house = House()
        house.definitions.error = StorageFull()

        with pytest.raises(StorageFull):
            result(house.twin.create({"id": "p7"}))

        assert house.history() == []
        assert house.tree.by_asset("p7") is None
        house.definitions.error = None
        result(house.twin.create({"id": "p7"}))

    def test_a_full_log_takes_it_back(self) -> None:
        house = House()
        house.log.fill()

        with pytest.raises(StorageFull):
            result(house.twin.create({"id": "p7"}))

        assert house.tree.by_asset("p7") is None
        assert house.definitions.rows == {}
        house.log.error = None
        house.run.advance(60)
        assert house.history() == []

    def test_delete_takes_it_away_durably(self) -> None:
        house = House()
        result(house.twin.create({"id": "p7", "path": "/x/p7"}))

        result(house.twin.delete("p7"))

        assert house.tree.get("/x/p7") is None
        assert house.restart().history() == [("created", "p7"), ("deleted", "p7")]

    def test_what_stands_below_it_stays(self) -> None:
        house = House()
        result(house.twin.create({"id": "p7", "path": "/p7"}))
        house.tree.add_timeseries("/p7/speed", "Hz")

        result(house.twin.delete("p7"))

        assert house.tree.get("/p7/speed") is not None
        assert house.ids() == []

    def test_deleting_an_unknown_one_says_so(self) -> None:
        with pytest.raises(AssetUnknown, match="no asset p7"):
            result(House().twin.delete("p7"))

    def test_what_the_config_names_cannot_be_deleted(self) -> None:
        house = House(assets=("a",))

        with pytest.raises(AssetHeld, match="comes from the config file"):
            result(house.twin.delete("a"))

    def test_what_a_driver_made_cannot_be_deleted(self) -> None:
        house = House(drivers=("/plc",))
        house.tree.add_collection("/plc/pump", asset="pump")

        with pytest.raises(AssetHeld, match="the driver at /plc"):
            result(house.twin.delete("pump"))

    def test_an_id_twice_is_refused(self) -> None:
        house = House(assets=("a",))

        with pytest.raises(AssetExists, match="asset a already, at /a"):
            result(house.twin.create({"id": "a", "path": "/elsewhere"}))

    def test_a_path_twice_is_refused(self) -> None:
        house = House(assets=("a",))

        with pytest.raises(PathExists):
            result(house.twin.create({"id": "b", "path": "/a"}))

    @pytest.mark.parametrize(
        ("body", "what"),
        [
            ([], "object"),
            ({}, "needs an id"),
            ({"id": None}, "needs an id"),
            ({"id": "a b"}, "no asset id"),
            ({"id": "x" * 129}, "no asset id"),
            ({"id": "$assets"}, "no asset id"),
            ({"id": 7}, "no asset id"),
            ({"id": "a", "path": 1}, "path"),
            ({"id": "a", "Metadata": []}, "Metadata"),
            ({"id": "a", "Metadata": {"x": object()}}, "metadata"),
            ({"id": "a", "Description": 1}, "Description"),
            ({"id": "a", "pth": "/a"}, "pth"),
        ],
    )
    def test_a_bad_body_names_what_is_wrong(self, body: object, what: str) -> None:
        house = House()

        with pytest.raises(BadRequest, match=what):
            result(house.twin.create(body))

        assert house.ids() == []
        assert house.tree.by_asset("a") is None

    def test_a_bad_path_is_refused(self) -> None:
        with pytest.raises(BadPath):
            result(House().twin.create({"id": "a", "path": "/x/../y"}))

    def test_where_the_config_took_its_place_it_is_said(self) -> None:
        house = House()
        result(house.twin.create({"id": "p7", "path": "/p7"}))

        def plant(tree: SmapInstance) -> None:
            tree.add_timeseries("/p7", "V")

        again = house.restart(plant)

        assert "asset p7" in again.run.faults.status()[0]["text"]
        assert again.twin.asset("p7")["path"] is None  # and it is not deleted

    def test_a_driver_that_clears_its_place_gives_it_back(self) -> None:
        house = House(drivers=("/plc",))
        result(house.twin.create({"id": "p7", "path": "/plc/p7"}))

        house.tree.remove("/plc")
        house.twin.driver_ready("/plc")

        assert house.twin.asset("p7")["path"] == "/plc/p7"
        assert house.history() == [("created", "p7")]


class TestFaults:
    def test_a_full_disk_delays_what_is_told_and_loses_nothing(self) -> None:
        house = House()
        house.log.fill()
        house.tree.add_collection("/a", asset="a")
        house.tree.add_collection("/b", asset="b")

        house.log.error = None
        house.run.advance(61)

        assert house.history() == [("created", "a"), ("created", "b")]

    def test_the_start_does_not_wait_for_a_full_disk(self) -> None:
        log = House().log
        log.fill()

        house = House(assets=("a",), log=log, definitions=MemoryDefinitions())

        result(house.opened)
        assert house.ids() == []

    def test_a_deleted_assets_events_are_out_of_reach_in_its_next_life(self) -> None:
        house = House()
        house.tree.add_collection("/a", asset="a")
        result(house.twin.publish("a", "Said", {"words": "one"}))
        house.tree.remove("/a")

        house.tree.add_collection("/a", asset="a")

        assert house.twin.asset("a")["base"] == 1
        assert result(house.twin.events("a")) == ([], 1)
        assert result(house.twin.publish("a", "Said", {"words": "two"})) == 1

    def test_a_crash_between_deletion_and_drop_is_made_good(self) -> None:
        house = House()
        house.tree.add_collection("/a", asset="a")
        result(house.twin.publish("a", "Said", {"words": "one"}))
        house.log.hold()
        house.tree.remove("/a")
        house.log._held.pop(0)()  # the record is durable, the drop is not
        house.log._held.clear()

        again = house.restart()

        assert again.log.base("a") == 1

    def test_no_asset_comes_back_before_its_events_are_put_away(self) -> None:
        house = House()
        house.tree.add_collection("/a", asset="a")
        result(house.twin.publish("a", "Said", {"words": "one"}))
        house.log.hold()
        house.tree.remove("/a")
        house.tree.add_collection("/a", asset="a")

        house.log.let_go()

        assert house.history() in (
            [("created", "a")],  # gone and back before it was written: nothing happened
            [("created", "a"), ("deleted", "a"), ("created", "a")],
        )
        assert house.log.base("a") == (1 if len(house.history()) > 1 else 0)


def test_ten_thousand_assets_are_one_batch_of_a_few_commits() -> None:
    appends = 0

    def plant(tree: SmapInstance) -> None:
        for n in range(10_000):
            tree.add_collection(f"/a{n}", asset=f"a{n}")

    house = House(plant)
    appends = len(house.history())

    assert len(house.ids()) == 10_000
    assert appends == 1000  # a page: the history itself is longer


class TestWhatIsKnown:
    def test_it_is_kept_a_minute_after_a_change(self) -> None:
        house = House(assets=("a", "b"))
        house.run.advance(61)
        reads = house.log.reads

        again = house.restart(assets=("a", "b"))

        assert again.ids() == ["a", "b"]
        assert again.log.reads == 0
        assert reads == 0
        assert again.history() == [("created", "a"), ("created", "b")]

    def test_assets_outlive_the_events_that_told_of_them(self) -> None:
        house = House(assets=("a", "b"))
        house.run.advance(61)
        house.log.lose("$assets", 0)
        house.log.lose("$assets", 1)

        again = house.restart(assets=("a", "b"))
        thing = again.thing("new")
        thing.follow()

        assert thing.assets() == [("created", "a"), ("created", "b")]
        assert again.log.next_offset("$assets") == 2

    def test_it_is_kept_at_a_stop(self) -> None:
        house = House(assets=("a",))
        house.twin.close()

        again = house.restart(assets=("a",))

        assert again.log.reads == 0
        assert again.ids() == ["a"]

    def test_what_came_after_it_was_kept_is_read(self) -> None:
        house = House(assets=("a",))
        house.run.advance(61)
        house.tree.add_collection("/b", asset="b")

        assert house.restart(assets=("a",)).ids() == ["a", "b"]

    def test_it_is_not_trusted_when_the_streams_end_is_lost(self) -> None:
        house = House(assets=("a",))
        house.run.advance(61)

        again = House(assets=("a",), definitions=house.definitions)

        assert again.history() == [("created", "a")]

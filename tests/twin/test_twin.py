"""The twin as http and connectors see it: publish, read, look live."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from smapd.errors import AssetUnknown, BadRequest, Busy, ShutdownRequested, StorageFull, TooLarge
from smapd.interfaces import IExchanges, IHub, ISession, ITwin
from smapd.values import EventRecord

from .things import START_MS, House, result


def test_it_has_all_that_the_interfaces_name() -> None:
    house = House()

    assert verifyObject(ITwin, house.twin)
    assert verifyObject(IHub, house.twin.hub)
    assert verifyObject(IExchanges, house.twin.exchanges)
    assert verifyObject(ISession, house.thing("x").session)


def test_a_published_event_is_read_back() -> None:
    house = House(assets=("a",))

    offset = result(house.twin.publish("a", "Said", {"words": "hi"}, time_ms=7, source="me"))

    assert offset == 0
    assert result(house.twin.events("a")) == (
        [
            {
                "offset": 0,
                "name": "Said",
                "version": 1,
                "source": "me",
                "time": 7,
                "systime": START_MS,
                "data": {"words": "hi"},
            }
        ],
        1,
    )


def test_publish_fires_once_it_is_durable() -> None:
    house = House(assets=("a",))
    house.log.hold()

    done = house.twin.publish("a", "Said", {"words": "hi"})

    assert not done.called
    house.log.let_go()
    assert result(done) == 0


def test_an_unknown_asset_is_said() -> None:
    """IN-16."""
    house = House()

    with pytest.raises(AssetUnknown):
        result(house.twin.publish("a", "Said", {"words": "hi"}))
    with pytest.raises(AssetUnknown):
        result(house.twin.events("a"))
    with pytest.raises(AssetUnknown):
        house.twin.asset("a")
    with pytest.raises(AssetUnknown):
        house.twin.follow("a", 0, print, print)


def test_the_history_of_assets_is_no_asset() -> None:
    with pytest.raises(AssetUnknown):
        result(House(assets=("a",)).twin.publish("$assets", "Said", {"words": "hi"}))


def test_data_is_checked_against_its_type() -> None:
    """FO-24: the sentence names the field."""
    house = House(assets=("a",))

    with pytest.raises(BadRequest, match="words"):
        result(house.twin.publish("a", "Said", {"word": 1}))
    with pytest.raises(BadRequest, match="There are: Said"):
        result(house.twin.publish("a", "Sung", {}))


def test_any_events_takes_unknown_types_as_they_are() -> None:
    house = House(assets=("a",), any_events=True)

    assert result(house.twin.publish("a", "Sung", [1, 2])) == 0
    with pytest.raises(BadRequest, match="words"):  # a known type is still checked
        result(house.twin.publish("a", "Said", {}))
    with pytest.raises(BadRequest, match="no name"):
        result(house.twin.publish("a", "no name", {}))
    with pytest.raises(BadRequest, match="JSON"):
        result(house.twin.publish("a", "Sung", object()))


def test_an_event_has_a_size() -> None:
    house = House(assets=("a",))

    with pytest.raises(TooLarge, match="1048576 is the limit"):
        result(house.twin.publish("a", "Said", {"words": "x" * 2**20}))


def test_a_full_disk_is_said_and_passes() -> None:
    house = House(assets=("a",))
    house.log.fill()

    with pytest.raises(StorageFull):
        result(house.twin.publish("a", "Said", {"words": "hi"}))

    house.log.error = None
    assert result(house.twin.publish("a", "Said", {"words": "hi"})) == 0


def test_dedupe_of_http_is_not_that_of_a_thing() -> None:
    house = House(assets=("a",))
    bom = house.thing("bom")

    assert bom.publish("a", dedupe="1")["offset"] == 0
    assert result(house.twin.publish("a", "Said", {"words": "hi"}, dedupe="1")) == 1
    assert result(house.twin.publish("a", "Said", {"words": "hi"}, dedupe="1")) == 1


def test_events_are_paged() -> None:
    house = House(assets=("a",))
    for _ in range(5):
        result(house.twin.publish("a", "Said", {"words": "hi"}))

    first, behind = result(house.twin.events("a", 1, 2))
    rest, end = result(house.twin.events("a", behind, 1000))

    assert [one["offset"] for one in first + rest] == [1, 2, 3, 4]
    assert (behind, end) == (3, 5)
    assert result(house.twin.events("a", 77)) == ([], 77)


def test_an_event_of_a_lost_schema_is_shown_as_it_is() -> None:
    house = House(assets=("a",))
    result(house.log.append("a", [EventRecord("Old", 9, "x", 1, 2, "avro", b"\x00\x01")]))

    [event] = result(house.twin.events("a"))[0]

    assert event["data"] == {"base64": "AAE="}


class TestOverTheWire:
    @pytest.mark.parametrize(
        ("head", "what"),
        [
            ({"name": "no name"}, "no name of an event type"),
            ({"version": 0}, "version"),
            ({"version": "1"}, "version"),
            ({"form": "xml"}, "json and avro"),
            ({"time_ms": 1.5}, "time_ms"),
            ({"asset": None}, "asset is missing"),
        ],
    )
    def test_a_wrong_publish_is_refused(self, head: dict[str, Any], what: str) -> None:
        thing = House(assets=("a",)).thing("bom")

        answer = thing.publish(**{"asset": "a", **head})

        assert answer["error"] == "bad_request"
        assert what in answer["message"]

    def test_a_body_that_is_no_json_is_refused(self) -> None:
        thing = House(assets=("a",)).thing("bom")

        answer = thing.publish("a", '"broken')

        assert "no JSON" in answer["message"]

    def test_unknown_full_and_busy_have_their_codes(self) -> None:
        house = House(assets=("a",))
        thing = house.thing("bom")
        assert thing.publish("nowhere")["error"] == "asset_unknown"
        house.log.fill()
        assert thing.publish("a")["error"] == "storage_full"
        house.log.error = None
        house.log.hold()
        for _ in range(1000):
            assert thing.publish("a") == {}
        assert thing.publish("a")["error"] == "busy"
        house.log.let_go()
        assert thing.publish("a")["offset"] == 1000

    def test_the_source_is_the_integrators(self) -> None:
        house = House(assets=("a",))
        thing = house.thing("bom")
        thing.publish("a")
        thing.ask("start", role="integrator", source="plant 7")
        thing.publish("a")
        thing.publish("a", source="other")

        sources = [event["source"] for event in result(house.twin.events("a"))[0]]
        assert sources == ["bom", "plant 7", "other"]


class TestFollow:
    def start(self, house: House, offset: int | None = 0) -> tuple[list[int], list[str], Any]:
        seen: list[int] = []
        over: list[str] = []
        look = house.twin.follow(
            "a", offset, lambda event: seen.append(event["offset"]), over.append
        )
        house.run.advance(0)
        return seen, over, look

    def say(self, house: House, count: int = 1) -> None:
        for _ in range(count):
            result(house.twin.publish("a", "Said", {"words": "hi"}))
        house.run.advance(0)

    def test_what_is_there_then_what_comes(self) -> None:
        house = House(assets=("a",))
        self.say(house, 3)

        seen, over, _ = self.start(house, 1)
        self.say(house, 2)

        assert seen == [1, 2, 3, 4]
        assert over == []

    def test_without_an_offset_only_what_comes(self) -> None:
        house = House(assets=("a",))
        self.say(house, 3)

        seen, _, _ = self.start(house, None)
        self.say(house)

        assert seen == [3]

    def test_a_pause_holds_it_and_nothing_is_lost(self) -> None:
        house = House(assets=("a",))
        seen, _, look = self.start(house)
        look.pause()

        self.say(house, 500)
        assert seen == []
        look.resume()

        assert seen == list(range(500))

    def test_stop_ends_it(self) -> None:
        house = House(assets=("a",))
        seen, over, look = self.start(house)

        look.stop()
        look.stop()
        self.say(house)

        assert (seen, over) == ([], [])
        assert house.twin.status()["following"] == 0

    def test_a_deletion_ends_it(self) -> None:
        house = House(lambda tree: tree.add_collection("/a", asset="a"))
        seen, over, _ = self.start(house)

        house.tree.remove("/a")

        assert over == ["the asset was deleted"]
        assert seen == []

    def test_a_stop_of_the_daemon_ends_it(self) -> None:
        house = House(assets=("a",))
        _, over, _ = self.start(house)

        house.twin.end_answers()

        assert over == ["smapd is stopping"]
        with pytest.raises(ShutdownRequested):  # a browser comes back by itself
            self.start(house)
        house.twin.close()

    def test_there_is_a_bound(self) -> None:
        house = House(assets=("a",))

        for _ in range(1000):
            house.twin.follow("a", 0, print, print)

        with pytest.raises(Busy):
            house.twin.follow("a", 0, print, print)

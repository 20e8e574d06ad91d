"""Sessions: who may come, under which name, and what a wrong frame is answered."""

from __future__ import annotations

import pytest

from smapd.errors import Unauthorized
from smapd.twin.wire import Frame

from .things import House, Thing


def test_hello_gives_a_session_and_the_boot() -> None:
    house = House()

    thing = house.thing("bom")

    assert thing.welcome["op"] == "ok"
    assert thing.welcome["session"]
    assert thing.welcome["boot"] == house.tree.boot_id


def test_nothing_is_heard_before_hello() -> None:
    thing = House().thing("bom", hello=False)

    assert thing.follow()["error"] == "bad_request"
    assert thing.peer.closed is None


def test_who_says_no_hello_is_closed() -> None:
    house = House()
    thing = house.thing("bom", hello=False)

    house.run.advance(11)

    assert "no hello" in thing.peer.closed
    assert house.run.clock.pending == 0


def test_another_version_is_refused() -> None:
    thing = House().thing("bom", hello=False)

    answer = thing.ask("hello", version=2, name="bom")

    assert "version 1, not 2" in answer["message"]


def test_who_may_not_is_refused_and_closed() -> None:
    house = House()
    thing = house.thing("bom", hello=False)
    seen = []

    def admit(name: str, token: str) -> None:
        seen.append((name, token))
        raise Unauthorized

    thing.session._admit = admit
    answer = thing.ask("hello", version=1, name="bom", token="secret")

    assert answer["error"] == "unauthorized"
    assert thing.peer.closed
    assert seen == [("bom", "secret")]
    assert "secret" not in str(house.twin.status())


class TestOneName:
    def test_a_second_one_is_refused_while_the_first_answers(self) -> None:
        """NameTaken: two of one name would share their place."""
        house = House()
        first = house.thing("bom")

        second = house.thing("bom")

        assert second.welcome["error"] == "name_taken"
        assert second.peer.closed
        assert first.peer.closed is None
        assert first.follow()["op"] == "ok"

    def test_it_replaces_a_first_that_is_silent_for_two_seconds(self) -> None:
        house = House()
        first = house.thing("bom")
        first.peer.is_alive = False

        second = house.thing("bom")
        assert second.welcome == {}
        house.run.advance(1.9)
        assert second.answer(1) == {}
        house.run.advance(0.2)

        assert second.answer(1)["op"] == "ok"
        assert [frame.head["op"] for frame in first.peer.frames] == ["bye"]
        assert first.peer.closed

    def test_the_same_client_replaces_itself_at_once(self) -> None:
        house = House()
        first = house.thing("bom")

        second = house.thing("bom", resume=first.welcome["session"])

        assert second.welcome["op"] == "ok"
        assert first.peer.pings == []
        assert first.peer.closed

    def test_it_takes_the_name_if_the_first_goes_meanwhile(self) -> None:
        house = House()
        first = house.thing("bom")
        first.peer.is_alive = False
        second = house.thing("bom")

        first.session.lost("gone")
        house.run.advance(2)

        assert second.answer(1)["op"] == "ok"

    def test_a_second_that_goes_while_it_waits_is_forgotten(self) -> None:
        house = House()
        first = house.thing("bom")
        first.peer.is_alive = False
        second = house.thing("bom")

        second.session.lost("gone")
        house.run.advance(3)

        assert first.peer.closed is None
        assert house.run.clock.pending == 0


def test_a_stop_says_bye_to_all() -> None:
    house = House()
    thing, silent = house.thing("bom"), house.thing("x", hello=False)

    house.twin.close()

    assert thing.peer.frames[-1].head == {"op": "bye", "why": "smapd is stopping"}
    assert silent.peer.closed
    late = Thing(house, "late", hello=False)
    assert late.peer.closed


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        ({"op": "dance"}, "none of"),
        ({"op": "hello", "version": 1, "name": "x"}, "said before"),
        ({"op": "start"}, "role is missing"),
        ({"op": "start", "role": "boss"}, "integrator or follower"),
        ({"op": "start", "role": "follower", "assets": "a"}, "list"),
        ({"op": "start", "role": "follower", "assets": ["a b"]}, "no asset id or pattern"),
        ({"op": "start", "role": "follower", "max_unacked": 0}, "from 1"),
        ({"op": "start", "role": "follower", "replay": "yesterday"}, "replay"),
        ({"op": "start", "role": "follower", "replay": {"time_ms": "x"}}, "replay"),
        ({"op": "start", "role": "follower", "replay": True}, "replay"),
        ({"op": "start", "role": "follower", "t2": "yes"}, "true or false"),
        ({"op": "publish", "asset": "a"}, "name is missing"),
        ({"op": "ack", "asset": "a", "offset": 0}, "no events of a"),
        ({"op": "asset_done", "role": "follower"}, "seq is missing"),
        ({"op": "credit", "x": 1, "bytes": -1}, "from 0"),
        ({"op": "open", "x": 1}, "T2 = yes"),
    ],
)
def test_a_wrong_frame_is_answered_by_a_sentence(frame: dict[str, object], what: str) -> None:
    house = House(assets=("a",))
    thing = house.thing("bom")

    thing.session.receive(Frame({**frame, "id": 9}))

    answer = thing.answer(9)
    assert answer["op"] == "error"
    assert what in answer["message"]
    assert thing.peer.closed is None


def test_a_frame_without_an_id_is_answered_without_one() -> None:
    thing = House().thing("bom")

    thing.say("ack", asset="a", offset=1)

    assert thing.peer.frames[-1].head["id"] is None


def test_status_shows_sessions_without_secrets() -> None:
    house = House(assets=("a",))
    thing = house.thing("bom", token="s3cret")
    thing.integrate("a", t2=True)
    thing.follow("a*")

    status = house.twin.status()

    [session] = status["sessions"]
    assert session["name"] == "bom"
    assert session["roles"]["integrator"]["t2"] is True
    assert session["roles"]["follower"]["events"] == 1
    assert "s3cret" not in str(status)


def test_what_is_lost_leaves_nothing_behind() -> None:
    house = House(assets=("a",))
    thing = house.thing("bom")
    thing.integrate(t2=True)
    thing.follow(t2=True)
    thing.session.lost("gone")
    thing.session.lost("gone")

    assert house.twin.hub.status() == []
    assert house.twin.exchanges.status()["providers"] == 0
    assert house.log._waiters.get("a") in (None, [])
    house.run.advance(61)  # the assets known are kept meanwhile
    assert house.run.clock.pending == 0

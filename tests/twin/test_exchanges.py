"""Streamed requests between sessions: each asks and answers frame by frame."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.errors import (
    AssetUnknown,
    BadRequest,
    Busy,
    ShutdownRequested,
    TooLarge,
)
from smapd.twin import wire

from .things import House, Thing


class Pair:
    """One follower that asks, and integrators that answer."""

    def __init__(self, integrators: int = 1, *, t2: bool = True, plant: Any = None) -> None:
        self.house = House(plant, assets=("b",) if plant else ("a", "b"))
        self.follower = self.house.thing("f")
        self.follower.follow(t2=True)
        self.integrators = [self.house.thing(f"i{n}") for n in range(integrators)]
        for one in self.integrators:
            one.integrate("a", t2=t2)

    def ask(self, x: int = 1, asset: str = "a", timeout_s: float = 10, **more: object) -> object:
        head = {"type": "Example", "timeout_s": timeout_s, **more}
        return self.follower.ask("open", b"small.pdf", x=x, asset=asset, **head)

    def answer(self) -> list[tuple[object, ...]]:
        shown: list[tuple[object, ...]] = []
        for frame in self.follower.take("chunk", "end", "failed", "timeout"):
            op = frame.head["op"]
            if op == "chunk":
                shown.append((op, frame.head["x"], frame.head["mime"], frame.body))
            elif op == "failed":
                shown.append((op, frame.head["x"], frame.head["reason"]))
            else:
                shown.append((op, frame.head["x"]))
        return shown


def request(thing: Thing) -> dict[str, object]:
    [frame] = thing.take("request")
    return {**frame.head, "body": frame.body}


def test_a_request_is_answered() -> None:
    """IN-24, IN-27, FO-27."""
    pair = Pair()
    [integrator] = pair.integrators

    assert pair.ask()["op"] == "ok"
    got = request(integrator)
    assert (got["asset"], got["type"], got["body"]) == ("a", "Example", b"small.pdf")
    assert got["mime"] == "application/octet-stream"
    assert got["x"] % 2 == 0
    assert got["credit"] > 0
    integrator.say("chunk", b"pdf", x=got["x"], mime="application/pdf")
    integrator.say("end", x=got["x"])

    assert pair.answer() == [("chunk", 1, "application/pdf", b"pdf"), ("end", 1)]


def test_the_first_chunk_is_there_before_the_last() -> None:
    """FO-28."""
    pair = Pair()
    pair.ask()
    x = request(pair.integrators[0])["x"]

    pair.integrators[0].say("chunk", b"1", x=x, mime="m")

    assert pair.answer() == [("chunk", 1, "m", b"1")]


def test_concurrent_requests_do_not_mix() -> None:
    """FO-30."""
    pair = Pair()
    for n in range(500):
        assert pair.ask(x=2 * n + 1)["op"] == "ok"
    frames = pair.integrators[0].take("request")
    assert len(frames) == 500

    for n, frame in enumerate(frames):
        pair.integrators[0].say("chunk", b"%d" % n, x=frame.head["x"], mime="m")
    for frame in reversed(frames):
        pair.integrators[0].say("end", x=frame.head["x"])

    answers = pair.answer()
    assert [a for a in answers if a[0] == "chunk"] == [
        ("chunk", 2 * n + 1, "m", b"%d" % n) for n in range(500)
    ]
    assert len([a for a in answers if a[0] == "end"]) == 500


def test_without_t2_none_arrive() -> None:
    """IN-23."""
    pair = Pair(t2=False)

    pair.ask()

    assert pair.integrators[0].take("request") == []
    assert pair.answer() == [("failed", 1, "REQ_UNHANDLED")]


def test_only_who_has_the_asset_is_asked() -> None:
    pair = Pair()

    pair.ask(asset="b")

    assert pair.integrators[0].take("request") == []
    assert pair.answer() == [("failed", 1, "REQ_UNHANDLED")]


def test_a_follower_without_t2_may_not_ask() -> None:
    """FO-26."""
    house = House(assets=("a",))
    thing = house.thing("f")
    thing.follow(t2=False)

    answer = thing.ask("open", x=1, asset="a", type="T", timeout_s=1)

    assert answer["error"] == "t2_unavailable"


def test_an_unknown_asset_is_said_at_once() -> None:
    """FO-31."""
    assert Pair().ask(asset="nowhere")["error"] == "asset_unknown"


def test_a_reason_arrives_as_it_was_sent() -> None:
    """FO-32, FO-33, IN-31."""
    pair = Pair()
    pair.ask()
    x = request(pair.integrators[0])["x"]

    pair.integrators[0].say("failed", x=x, reason="RESOURCE_UNKNOWN", message="no such file")

    [frame] = pair.follower.take("failed")
    assert (frame.head["reason"], frame.head["message"]) == ("RESOURCE_UNKNOWN", "no such file")


def test_a_reason_that_is_none_is_an_error_for_both() -> None:
    pair = Pair()
    pair.ask()
    x = request(pair.integrators[0])["x"]

    pair.integrators[0].say("failed", x=x, reason="TIRED")

    assert pair.answer() == [("failed", 1, "PROVIDER_FAILED")]
    assert "reason is one of" in pair.integrators[0].errors()[0][1]


def test_refusals_go_on_to_the_next() -> None:
    pair = Pair(2)
    pair.ask()
    first, second = (request(one)["x"] for one in pair.integrators)

    pair.integrators[0].say("failed", x=first, reason="REQ_UNHANDLED")
    pair.integrators[1].say("end", x=second)

    assert pair.answer() == [("end", 1)]


def test_who_is_late_is_told_so() -> None:
    pair = Pair(2)
    pair.ask()
    first, second = (request(one)["x"] for one in pair.integrators)

    pair.integrators[0].say("chunk", b"x", x=first, mime="m")
    pair.integrators[1].say("chunk", b"y", x=second, mime="m")

    assert [frame.head["x"] for frame in pair.integrators[1].take("cancel")] == [second]
    assert pair.answer() == [("chunk", 1, "m", b"x")]


def test_silence_is_a_timeout() -> None:
    """FO-34: of a provider that never answers."""
    pair = Pair()
    pair.ask(timeout_s=5)
    x = request(pair.integrators[0])["x"]

    pair.house.run.advance(5.1)

    assert pair.answer() == [("timeout", 1)]
    assert pair.integrators[0].take("cancel")[0].head["x"] == x


def test_an_answer_after_the_end_is_ignored() -> None:
    """IN-33: the client knows by the cancel; what is on its way is dropped."""
    pair = Pair()
    pair.ask(timeout_s=5)
    x = request(pair.integrators[0])["x"]
    pair.house.run.advance(5.1)
    pair.answer()

    pair.integrators[0].say("chunk", b"x", x=x, mime="m")
    pair.integrators[0].say("end", x=x)
    pair.integrators[0].say("end", x=x)

    assert pair.answer() == []
    assert pair.integrators[0].errors() == []


def test_credit_is_passed_on() -> None:
    pair = Pair()
    pair.ask()
    got = request(pair.integrators[0])
    piece = bytes(got["credit"])
    pair.integrators[0].say("chunk", piece, x=got["x"], mime="m")
    assert pair.integrators[0].take("credit") == []

    pair.follower.say("credit", x=1, bytes=len(piece))

    [frame] = pair.integrators[0].take("credit")
    assert frame.head["x"] == got["x"]
    assert frame.head["bytes"] >= len(piece)


def test_a_large_answer_to_a_slow_requester_holds_a_window() -> None:
    """A 10 GiB answer holds no more in the daemon than its window."""
    pair = Pair()
    pair.ask()
    got = request(pair.integrators[0])
    credit, sent, most = got["credit"], 0, 0
    piece = bytes(wire.CHUNK_BYTES)
    for _ in range(300):
        while credit > 0:
            size = min(credit, wire.CHUNK_BYTES)
            pair.integrators[0].say("chunk", piece[:size], x=got["x"], mime="m")
            credit -= size
            sent += size
        frames = pair.follower.take("chunk")
        most = max(most, sum(len(frame.body) for frame in frames))
        for frame in frames:
            pair.follower.say("credit", x=1, bytes=len(frame.body))
        credit += sum(frame.head["bytes"] for frame in pair.integrators[0].take("credit"))

    assert sent > 500 * 2**20
    assert most <= wire.WINDOW_BYTES


def test_more_than_the_credit_fails_it() -> None:
    pair = Pair()
    pair.ask()
    got = request(pair.integrators[0])

    pair.integrators[0].say("chunk", bytes(got["credit"]), x=got["x"], mime="m")
    pair.integrators[0].say("chunk", b"x", x=got["x"], mime="m")

    assert pair.answer()[-1] == ("failed", 1, "PROVIDER_FAILED")


def test_too_large_a_chunk_fails_it() -> None:
    pair = Pair()
    pair.ask()
    got = request(pair.integrators[0])

    pair.integrators[0].say("chunk", bytes(wire.CHUNK_BYTES + 1), x=got["x"], mime="m")

    assert pair.answer() == [("failed", 1, "PROVIDER_FAILED")]
    assert "limit" in pair.integrators[0].errors()[0][1]


def test_cancel_is_told_to_the_provider() -> None:
    pair = Pair()
    pair.ask()
    x = request(pair.integrators[0])["x"]

    pair.follower.say("cancel", x=1)

    assert pair.integrators[0].take("cancel")[0].head["x"] == x
    pair.house.run.advance(100)
    assert pair.answer() == []


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_provider_that_dies_ends_it(has_begun: bool) -> None:
    pair = Pair()
    pair.ask()
    x = request(pair.integrators[0])["x"]
    if has_begun:
        pair.integrators[0].say("chunk", b"x", x=x, mime="m")

    pair.integrators[0].session.lost("killed")

    assert pair.answer()[-1] == ("failed", 1, "PROVIDER_FAILED")


def test_a_provider_that_stops_its_role_ends_it() -> None:
    pair = Pair()
    pair.ask()
    request(pair.integrators[0])

    pair.integrators[0].ask("stop", role="integrator")

    assert pair.answer() == [("failed", 1, "PROVIDER_FAILED")]


def test_a_requester_that_dies_is_told_to_the_provider() -> None:
    pair = Pair()
    pair.ask()
    x = request(pair.integrators[0])["x"]

    pair.follower.session.lost("killed")

    assert pair.integrators[0].take("cancel")[0].head["x"] == x
    assert pair.house.twin.exchanges.status()["open"] == 0


def test_a_stop_of_the_daemon_fails_it_with_shutdown() -> None:
    pair = Pair()
    pair.ask()
    request(pair.integrators[0])

    pair.house.twin.close()

    failed = [frame for frame in pair.follower.peer.frames if frame.head["op"] == "failed"]
    assert [frame.head["reason"] for frame in failed] == ["SHUTDOWN"]
    with pytest.raises(ShutdownRequested):
        pair.house.twin.exchanges.open("a", "T", b"", "m", 1, object())


@pytest.mark.parametrize(
    ("head", "what"),
    [
        ({"x": 2}, "odd"),
        ({"x": "1"}, "whole number"),
        ({"type": ""}, "type"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 1e9}, "timeout_s"),
        ({"window": 0}, "window"),
        ({"mime": 7}, "mime"),
    ],
)
def test_a_wrong_open_is_refused(head: dict[str, object], what: str) -> None:
    pair = Pair()

    answer = pair.follower.ask(
        "open", **{"x": 1, "asset": "a", "type": "T", "timeout_s": 1, **head}
    )

    assert answer["error"] == "bad_request"
    assert what in answer["message"]


def test_an_x_that_is_open_is_not_used_twice() -> None:
    pair = Pair()
    pair.ask(x=1)

    assert pair.ask(x=1)["error"] == "bad_request"


def test_a_session_has_a_bound() -> None:
    pair = Pair()

    codes = [pair.ask(x=2 * n + 1).get("error") for n in range(1001)]

    assert codes[:500] == [None] * 500
    assert codes[-1] == "busy"


class TestOpen:
    """What ``IExchanges.open`` refuses at once."""

    def test_too_large(self) -> None:
        with pytest.raises(TooLarge, match="1048576 is the limit"):
            House(assets=("a",)).twin.exchanges.open("a", "T", bytes(2**20 + 1), "m", 1, object())

    def test_unknown(self) -> None:
        with pytest.raises(AssetUnknown):
            House().twin.exchanges.open("a", "T", b"", "m", 1, object())

    @pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), 1e9])
    def test_timeout(self, timeout_s: float) -> None:
        with pytest.raises(BadRequest, match="timeout"):
            House(assets=("a",)).twin.exchanges.open("a", "T", b"", "m", timeout_s, object())

    def test_too_many(self) -> None:
        house = House(assets=("a",))
        exchanges, opened = house.twin.exchanges, 0
        while exchanges._budget.free > 0 and opened < 2000:
            exchanges.open("a", "T", b"", "m", 1, object())
            opened += 1

        with pytest.raises(Busy, match="requests are open"):
            exchanges.open("a", "T", b"", "m", 1, object())
        assert 500 <= opened <= 2000


def test_a_deletion_ends_what_nobody_has_begun_to_answer() -> None:
    """FO-31, FO-34: its requester does not wait; an answer that has begun goes on."""
    pair = Pair(plant=lambda tree: tree.add_collection("/a", asset="a"))
    pair.ask(x=1)
    pair.ask(x=3)
    first, second = (frame.head["x"] for frame in pair.integrators[0].take("request"))
    pair.integrators[0].say("chunk", b"half", x=first, mime="m")

    pair.house.tree.remove("/a")

    assert pair.answer() == [("chunk", 1, "m", b"half"), ("failed", 3, "RESOURCE_UNKNOWN")]
    assert [f.head["x"] for f in pair.integrators[0].take("cancel")] == [second]
    pair.integrators[0].say("end", x=first)
    assert pair.answer() == [("end", 1)]

"""The follower's face, against a hub that the test plays."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from smapd.errors import BadRequest, TooLarge
from smapd.runtime.program import spawn
from smapd.twin import (
    AssetUnknown,
    EventInvalid,
    Follower,
    FollowerCallbacks,
    NamedEventMixin,
    NotConnected,
    ShutdownRequested,
    T2ReqFailureReason,
    T2ResponseException,
    T2Timeout,
    T2Unavailable,
    UnknownEvent,
    WouldDeadlock,
)
from smapd.twin.requesting import CREDIT_BYTES
from tests.twin.programs import Followed, Played, Said, until


def test_start_says_what_the_config_says() -> None:
    """FO-03, FO-26: patterns, t2, max_unacked and where to begin."""
    played = Played()

    played.follower(assets=["hall-*"], t2={"enabled": True}, max_unacked="32", replay="oldest")

    assert played.peer.heads("start") == [
        {
            "role": "follower",
            "t2": True,
            "assets": ["hall-*"],
            "max_unacked": 32,
            "replay": "oldest",
        }
    ]


def test_a_client_that_comes_back_does_not_ask_for_the_replay_again() -> None:
    """FO-19: it goes on where it was."""
    played = Played()
    follower = played.follower(replay="oldest")
    played.peer.lose()
    played.peer.connect()

    assert ["replay" in head for head in played.peer.heads("start")] == [True, False]

    follower.stop()
    follower.start()
    assert "replay" in played.peer.heads("start")[0]


def test_assets_are_told_as_to_an_integrator() -> None:
    """FO-04."""
    played = Played()
    played.follower()

    played.asset("follower", "created", "a", 1)
    played.asset("follower", "deleted", "a", 2)

    assert played.followed.heard == [("created", "a"), ("deleted", "a")]
    assert [head["role"] for head in played.peer.heads("asset_done")] == ["follower"] * 2


def test_an_event_carries_all_that_is_known_of_it() -> None:
    """FO-05, FO-13, FO-16: and its class is that of its type."""
    played = Played()
    played.follower()

    played.event("1000021", 7, "hi")

    event = played.followed.events[0]
    assert type(event) is Said
    assert (event.asset, event.offset, event.name(), event.source) == (
        "1000021",
        7,
        "Said",
        "radio",
    )
    assert (event.time.isoformat(), str(event.systime)) == (
        "2023-11-14T22:13:20+00:00",
        "2023-11-14 22:13:21+00:00",
    )
    assert (event.data, event.version) == ({"words": "hi"}, 1)
    assert repr(event) == "<Said v1 ('1000021'@7)>"


def test_an_event_of_an_unknown_type_comes_with_what_was_in_it() -> None:
    """FO-08: the name is its publisher's, the data as far as can be said."""
    played = Played()
    played.follower()

    played.event("a", 0, name="Unheard", version=3, body=b'{"n":1}')
    played.event("a", 1, name="Said", version=9, body=b'{"n":1}')
    played.event("a", 2, name="Unheard", form="avro", body=b"\x02\x03")

    first, newer, binary = played.followed.events
    assert isinstance(first, UnknownEvent)
    assert (repr(first), first.data, first.raw) == ("<Unheard v3 ('a'@0)>", {"n": 1}, b'{"n":1}')
    assert (newer.name(), newer.version, type(newer)) == ("Said", 9, UnknownEvent)
    assert binary.data == b"\x02\x03"


class Named(NamedEventMixin, Followed):
    """FO-07: one method a type."""

    def do_said(self, event: Any) -> None:
        self.heard.append(("said", event.data["words"]))


class Unmatched(Named):
    def on_event_unmatched(self, event: Any) -> None:
        self.heard.append(("unmatched", event.name()))


def named(callbacks: Followed) -> Played:
    played = Played()
    played.followed = callbacks
    played.follower()
    return played


def test_each_event_goes_to_the_method_of_its_type() -> None:
    """FO-06, FO-07, FO-08."""
    played = named(Unmatched())

    played.event("a", 0, "hello")
    played.event("a", 1, name="BomBuiltSet")

    assert played.followed.heard == [("said", "hello"), ("unmatched", "BomBuiltSet")]
    assert played.peer.take("ack") == []


def test_an_event_that_no_method_is_for_is_acknowledged() -> None:
    """FO-08: without on_event_unmatched nobody else would."""
    played = named(Named())

    played.event("a", 0, "hello")
    played.event("a", 1, name="BomBuiltSet")

    assert played.followed.heard == [("said", "hello")]
    assert played.peer.heads("ack") == [{"asset": "a", "offset": 1}]


def test_the_end_of_replay_is_an_internal_event() -> None:
    """FO-09, FO-10: with the asset and the offset of the next event; no ack is needed."""
    played = Played()
    follower = played.follower()

    played.peer.say("eof", asset="1000021", offset=0)
    played.client.run_calls()

    (word,) = played.followed.internal
    assert repr(word) == "<IntTwinEofReplay v1 ('1000021'@0)>"
    assert played.followed.events == []
    follower.ack_event(word)
    assert played.peer.take("ack") == []


def test_on_event_internal_need_not_be_there() -> None:
    """FO-09: it is for who overrides it."""

    class Short(FollowerCallbacks):
        def on_asset_created(self, asset_id: str) -> None: ...
        def on_asset_deleted(self, asset_id: str) -> None: ...
        def on_event(self, event: Any) -> None: ...

    played = Played()
    Follower({}, played.client, Short()).start()

    played.peer.say("eof", asset="a", offset=0)
    played.client.run_calls()


def test_ack_tells_the_hub() -> None:
    """FO-11: in any order, from wherever."""
    played = Played()
    follower = played.follower()
    for offset in range(3):
        played.event("a", offset)

    for event in reversed(played.followed.events):
        follower.ack_event(event)

    assert [head["offset"] for head in played.peer.heads("ack")] == [2, 1, 0]


def test_ack_of_a_deleted_asset_does_nothing() -> None:
    """FO-12."""
    played = Played()
    follower = played.follower()
    played.asset("follower", "created", "a", 1)
    played.event("a", 0)
    played.asset("follower", "deleted", "a", 2)

    follower.ack_event(played.followed.events[0])

    assert played.peer.take("ack") == []


def test_ack_of_what_is_no_published_event_is_refused() -> None:
    """FO-11: each with its sentence."""
    follower = Played().follower()
    wrong: Any = "event"

    with pytest.raises(TypeError, match="ack_event takes an event"):
        follower.ack_event(wrong)
    with pytest.raises(EventInvalid, match="was never published"):
        follower.ack_event(Said("a", data={"words": "x"}))


def test_a_foreign_ack_is_logged_with_what_the_hub_says(caplog: pytest.LogCaptureFixture) -> None:
    """FO-11: an error frame without an id."""
    played = Played()
    played.follower()

    played.peer.say("error", id=None, error="bad_request", message="offset 99 of a was not given")

    assert "offset 99 of a was not given" in caplog.text


def test_what_is_in_the_programs_hands_is_not_told_twice() -> None:
    """FO-20: after a reconnect; its ack goes to the new session."""
    played = Played()
    follower = played.follower()
    played.event("a", 0)
    played.event("a", 1)
    played.peer.lose()
    follower.ack_event(played.followed.events[0])
    played.peer.connect()

    played.event("a", 0)
    played.event("a", 1)
    played.event("a", 2)

    assert [event.offset for event in played.followed.events] == [0, 1, 2]
    assert played.peer.heads("ack") == [{"asset": "a", "offset": 0}]
    follower.ack_event(played.followed.events[1])
    assert played.peer.heads("ack") == [{"asset": "a", "offset": 1}]


def test_an_event_whose_callback_raised_comes_again_with_the_next_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """FO-20: it was not acknowledged."""
    played = Played()
    played.follower()
    played.followed.on_event = lambda event: 1 / 0  # type: ignore[method-assign]
    played.event("a", 0)
    del played.followed.on_event
    played.peer.lose()
    played.peer.connect()

    played.event("a", 0)

    assert "ZeroDivisionError" in caplog.text
    assert [event.offset for event in played.followed.events] == [0]


def test_what_an_old_connection_brought_and_nobody_dealt_with_is_left_to_the_new_one() -> None:
    """FO-20: the hub gives it again."""
    played = Played()
    played.follower()
    played.peer.say("eof", asset="a", offset=0)
    played.peer.lose()
    played.peer.connect()

    played.client.run_calls()

    assert played.followed.internal == []


# --- requests


def asked(played: Played, **more: Any) -> Any:
    follower = played.follower(t2=True)
    return follower.t2_request("a", "Sum", data=b"1,2", **more)


def test_a_request_yields_mime_and_bytes_as_they_come() -> None:
    """FO-27, FO-28: one or many; the first before the last is there."""
    played = Played()
    answer = asked(played, timeout=3)
    played.peer.say("chunk", b"abc", x=1, mime="a/b")

    assert next(answer) == ("a/b", b"abc")
    played.peer.say("chunk", b"", x=1, mime="c/d")
    played.peer.say("end", x=1)

    assert list(answer) == [("c/d", b"")]
    frame = played.peer.take("open")[0]
    assert frame.body == b"1,2"
    assert {k: frame.head[k] for k in ("x", "asset", "type", "timeout_s")} == {
        "x": 1,
        "asset": "a",
        "type": "Sum",
        "timeout_s": 3.0,
    }


def test_bytes_are_credited_as_they_are_drawn() -> None:
    """FO-29: in lumps, and whenever nothing waits."""
    played = Played()
    answer = asked(played)
    half = bytes(CREDIT_BYTES // 2)
    for _ in range(3):
        played.peer.say("chunk", half, x=1, mime="a/b")

    credits = []
    for _ in range(3):
        next(answer)
        credits.append(sum(head["bytes"] for head in played.peer.heads("credit")))

    assert credits == [0, CREDIT_BYTES, CREDIT_BYTES // 2]


@pytest.mark.parametrize("reason", list(T2ReqFailureReason))
def test_a_failure_is_raised_with_its_reason(reason: T2ReqFailureReason) -> None:
    """FO-32, FO-33: after the chunks that came before."""
    played = Played()
    answer = asked(played)
    played.peer.say("chunk", b"abc", x=1, mime="a/b")
    played.peer.say("failed", x=1, reason=reason.value, message="No luck.")

    assert next(answer) == ("a/b", b"abc")
    with pytest.raises(T2ResponseException, match=f"Sum of a failed: {reason.value}: No luck") as e:
        next(answer)
    assert e.value.reason is reason
    with pytest.raises(StopIteration):
        next(answer)


def test_a_reason_not_known_here_is_provider_failed() -> None:
    """FO-33: of a newer daemon."""
    played = Played()
    answer = asked(played)
    played.peer.say("failed", x=1, reason="MOON_PHASE", message="")

    with pytest.raises(T2ResponseException) as caught:
        next(answer)
    assert caught.value.reason is T2ReqFailureReason.PROVIDER_FAILED


def test_a_timeout_is_raised() -> None:
    """FO-34."""
    played = Played()
    answer = asked(played, timeout=2)
    played.peer.say("timeout", x=1)

    with pytest.raises(T2Timeout, match="Sum of a was not answered within 2 s"):
        next(answer)


@pytest.mark.real
def test_a_hub_that_says_nothing_does_not_hang_the_follower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FO-34: the iterator ends by itself."""
    monkeypatch.setattr("smapd.twin.requesting.GRACE_S", 0.0)
    played = Played()
    answer = asked(played, timeout=0.05)

    with pytest.raises(T2Timeout):
        next(answer)
    assert played.peer.heads("cancel") == [{"x": 1}]


def test_an_unknown_asset_is_asset_unknown_at_the_call() -> None:
    """FO-31."""
    played = Played()
    follower = played.follower(t2=True)
    played.peer.refuse("open", AssetUnknown("There is no asset a."))

    for asset in ("a", "no such id", ""):
        with pytest.raises(AssetUnknown):
            follower.t2_request(asset, "Sum")
    gc.collect()
    played.client.run_calls()
    assert played.peer.take("cancel") == []


def test_without_t2_in_the_config_it_is_unavailable() -> None:
    """FO-26."""
    follower = Played().follower()

    with pytest.raises(T2Unavailable):
        follower.t2_request("a", "Sum")


def test_without_a_connection_it_is_not_connected() -> None:
    """FO-35: at the call, and for one under way."""
    played = Played()
    follower = played.follower(t2=True)
    answer = follower.t2_request("a", "Sum")
    played.peer.lose("the cable is out")

    with pytest.raises(NotConnected, match="the cable is out"):
        next(answer)
    with pytest.raises(NotConnected):
        follower.t2_request("a", "Sum")


def test_after_stop_every_call_is_shutdown_requested() -> None:
    """FO-35: t2_request and ack_event."""
    played = Played()
    follower = played.follower(t2=True)
    played.event("a", 0)

    follower.stop()

    with pytest.raises(ShutdownRequested):
        follower.t2_request("a", "Sum")
    with pytest.raises(ShutdownRequested):
        follower.ack_event(played.followed.events[0])


@pytest.mark.real
def test_a_request_that_waits_while_it_stops_is_shutdown_requested() -> None:
    """FO-35: while stopping."""
    played = Played()
    answer = asked(played)
    ends: list[str] = []

    def draw() -> None:
        try:
            next(answer)
        except ShutdownRequested as error:
            ends.append(error.code)

    drawing = spawn("draws", draw)
    played.client.shutting_down()

    assert drawing.join(10)
    assert ends == ["shutdown"]
    assert played.peer.heads("cancel") == [{"x": 1}]


@pytest.mark.real
def test_on_the_call_thread_it_raises_instead_of_waiting_for_itself() -> None:
    """FO-35: whoever should answer is on that thread."""
    from smapd.testing import FakePeer
    from smapd.twin import Client

    ends: list[str] = []
    peer = FakePeer()
    callbacks = Followed()
    client = Client(name="x", link=peer)
    follower = Follower({"t2": True}, client, callbacks)

    def ask(asset: str) -> None:
        try:
            follower.t2_request(asset, "Sum")
        except WouldDeadlock as error:
            ends.append(error.code)

    callbacks.on_asset_created = ask  # type: ignore[method-assign]
    follower.start()
    peer.say("asset", role="follower", kind="created", asset="a", seq=1)
    until(lambda: ends)

    assert client.close()
    assert ends == ["would_deadlock"]


@pytest.mark.parametrize("how", ["close", "forget", "with"])
def test_an_answer_that_is_not_wanted_any_more_is_cancelled(how: str) -> None:
    """FO-30: closing the iterator, or letting go of it."""
    played = Played()
    answer = asked(played)
    played.peer.say("chunk", b"abc", x=1, mime="a/b")

    if how == "close":
        answer.close()
        assert list(answer) == []
    elif how == "with":
        with answer:
            next(answer)
    else:
        del answer
        gc.collect()
        played.client.run_calls()

    assert played.peer.heads("cancel") == [{"x": 1}]


def test_an_answer_that_ended_is_not_cancelled() -> None:
    """FO-30: exactly one end."""
    played = Played()
    answer = asked(played)
    played.peer.say("end", x=1)

    assert list(answer) == []
    answer.close()
    del answer
    gc.collect()
    played.client.run_calls()

    assert played.peer.take("cancel") == []


def test_concurrent_requests_do_not_mix() -> None:
    """FO-30."""
    played = Played()
    follower = played.follower(t2=True)
    answers = [follower.t2_request("a", f"T{n}") for n in range(5)]

    for frame in reversed(played.peer.take("open")):
        played.peer.say("chunk", frame.head["type"].encode(), x=frame.head["x"], mime="a/b")
        played.peer.say("end", x=frame.head["x"])

    assert [list(answer) for answer in answers] == [[("a/b", b"T%d" % n)] for n in range(5)]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"data": "small.pdf"}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": 1e9}, ValueError),
        ({"data": bytes(2**20 + 1)}, TooLarge),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(
    more: dict[str, Any], error: type[Exception]
) -> None:
    """FO-27: each its error."""
    played = Played()
    follower = played.follower(t2=True)

    with pytest.raises(error):
        follower.t2_request("a", "Sum", **more)
    assert played.peer.take("open") == []


def test_what_the_hub_says_of_a_request_is_raised() -> None:
    """FO-27: BadRequest, Busy and the like."""
    played = Played()
    follower = played.follower(t2=True)
    played.peer.refuse("open", BadRequest("open: type is a text."))

    with pytest.raises(BadRequest, match="type is a text"):
        follower.t2_request("a", "")

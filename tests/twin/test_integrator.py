"""The integrator's face, against a hub that the test plays."""

from __future__ import annotations

import gc
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from smapd.errors import BadRequest, Busy, SmapError, StorageFull, TooLarge
from smapd.runtime.program import spawn
from smapd.twin import (
    AssetUnknown,
    EventInvalid,
    EventPublishFailure,
    ShutdownRequested,
    T2ProviderFailureReason,
    T2ResponseFailure,
)
from smapd.twin.event import IntTwinEofReplay
from smapd.twin.integrator import FAILED
from smapd.twin.wire import CHUNK_BYTES
from tests.twin.programs import Played, Said, until

WHEN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def said(asset: str = "a", words: object = "hello") -> Said:
    return Said(asset, time=WHEN, data={"words": words})


# --- start and assets


def test_start_says_what_the_config_says() -> None:
    """IN-14: source, t2 and assets; the source is the thing's name where none is given."""
    played = Played("bom")

    played.integrator(t2=True, assets="hall-*, pump7")

    assert played.peer.heads("start") == [
        {"role": "integrator", "source": "bom", "t2": True, "assets": ["hall-*", "pump7"]}
    ]


def test_each_asset_is_told_once_and_dealt_with() -> None:
    """IN-20, IN-21, IN-22: created at the start and later, deleted once."""
    played = Played()
    played.integrator()

    played.asset("integrator", "created", "a", 1)
    played.asset("integrator", "created", "b", 2)
    played.asset("integrator", "created", "a", 1)
    played.asset("integrator", "deleted", "a", 3)
    played.asset("integrator", "deleted", "a", 3)

    assert played.heard.heard == [("created", "a"), ("created", "b"), ("deleted", "a")]
    assert [head["seq"] for head in played.peer.heads("asset_done")] == [1, 2, 1, 3, 3]


def test_a_callback_that_raises_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """IN-20: the record counts as dealt with."""
    played = Played()
    played.heard.on_asset_created = lambda asset: 1 / 0  # type: ignore[method-assign]
    played.integrator()

    played.asset("integrator", "created", "a", 1)
    played.asset("integrator", "deleted", "a", 2)

    assert "ZeroDivisionError" in caplog.text
    assert played.heard.heard == [("deleted", "a")]
    assert len(played.peer.take("asset_done")) == 2


def test_an_asset_that_came_again_is_told_although_its_deletion_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """IN-22, FO-04: one record tells of both, where the deletion itself was missed."""
    for role in ("integrator", "follower"):
        played = Played()
        heard = played.heard if role == "integrator" else played.followed
        heard.on_asset_deleted = lambda asset: 1 / 0  # type: ignore[method-assign, union-attr]
        getattr(played, role)()
        played.asset(role, "created", "a", 1)

        played.asset(role, "created", "a", 5)

        assert heard.heard == [("created", "a"), ("created", "a")]
        assert [head["seq"] for head in played.peer.heads("asset_done")] == [1, 5]
    assert caplog.text.count("on_asset_deleted raised") == 2


def test_after_a_reconnect_known_assets_are_not_told_again() -> None:
    """IN-20, IN-22: what happened meanwhile is told, in order."""
    played = Played()
    played.integrator()
    played.asset("integrator", "created", "a", 1)
    played.asset("integrator", "created", "b", 2)
    played.peer.lose()
    played.peer.connect()

    for kind, asset, seq in (
        ("created", "b", 2),
        ("created", "c", 4),
        ("deleted", "a", 3),
        ("created", "c", 4),
    ):
        played.asset("integrator", kind, asset, seq)

    assert played.heard.heard[2:] == [("created", "c"), ("deleted", "a")]
    hello = played.peer.heads("hello")
    assert "resume" not in hello[0]
    assert hello[1]["resume"] == "session-1"
    assert len(played.peer.take("start")) == 2


def test_a_second_integrator_on_one_client_is_refused() -> None:
    """IN-43: one of each kind."""
    played = Played()
    played.integrator()
    played.follower()

    with pytest.raises(ValueError, match="has a started integrator already"):
        played.integrator()


# --- events


def test_publish_sends_the_event_and_gives_its_offset() -> None:
    """IN-15: afterwards the event knows its place (FO-14, FO-15)."""
    played = Played("bom")
    integrator = played.integrator(source="sap")
    event = said()
    assert event.offset == -1

    assert (integrator.publish_event(event), integrator.publish_event(said())) == (0, 1)

    frame = played.peer.take("publish")[0]
    assert frame.body == b'{"words":"hello"}'
    assert {k: v for k, v in frame.head.items() if k not in ("id", "dedupe")} == {
        "op": "publish",
        "asset": "a",
        "name": "Said",
        "version": 1,
        "time_ms": 1795165200000,
        "form": "json",
        "source": "sap",
    }
    assert (event.offset, event.source) == (0, "sap")


def test_an_asset_that_nobody_knows_is_asset_unknown() -> None:
    """IN-16: also one whose name cannot be an asset's."""
    played = Played()
    integrator = played.integrator()
    played.peer.refuse("publish", AssetUnknown("There is no asset b."))

    with pytest.raises(AssetUnknown, match="There is no asset b"):
        integrator.publish_event(said("b"), retry=True)
    with pytest.raises(AssetUnknown, match="'1000021    '"):
        integrator.publish_event(said("1000021    "))
    assert len(played.peer.take("publish")) == 1


@pytest.mark.parametrize("problem", [StorageFull(), Busy(), ShutdownRequested(), SmapError("?")])
def test_what_may_pass_is_a_publish_failure(problem: SmapError) -> None:
    """IN-17: it says why."""
    played = Played()
    integrator = played.integrator()
    played.peer.refuse("publish", problem)

    with pytest.raises(EventPublishFailure) as caught:
        integrator.publish_event(said())

    assert problem.message in caught.value.message


def test_without_a_connection_publish_fails_at_once() -> None:
    """IN-17: soon, not after minutes; the sentence says why there is none."""
    played = Played()
    integrator = played.integrator()
    played.peer.lose("the cable is out")

    with pytest.raises(EventPublishFailure, match="the cable is out"):
        integrator.publish_event(said())


@pytest.mark.parametrize(
    ("event", "error", "text"),
    [
        (said(words=5), EventInvalid, r"Said version 1 do not fit: data.words: 5 is not a text"),
        (said(words="x" * 2**20), TooLarge, "1 MiB is the limit"),
        (IntTwinEofReplay("a"), TypeError, "an event of a type of yours"),
        ("said", TypeError, "an event of a type of yours"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_sent(
    event: Any, error: type[Exception], text: str
) -> None:
    """FO-24: data that does not fit; bad input of every kind."""
    played = Played()
    integrator = played.integrator()

    with pytest.raises(error, match=text):
        integrator.publish_event(event, retry=True)

    assert played.peer.take("publish") == []


def test_what_the_daemon_calls_a_bad_request_is_not_tried_again() -> None:
    """IN-18: it would never be published."""
    played = Played()
    integrator = played.integrator()
    played.peer.refuse("publish", BadRequest("publish: no."))

    with pytest.raises(BadRequest, match="publish: no"):
        integrator.publish_event(said(), retry=True)


@pytest.mark.real
def test_with_retry_it_is_tried_until_it_is_published_and_only_once() -> None:
    """IN-18: over an outage; every try has the same id, so it is there once."""
    played = Played()
    integrator = played.integrator()
    played.peer.refuse("publish", StorageFull())
    played.peer.lose()
    offsets: list[int] = []

    trying = spawn("tries", lambda: offsets.append(integrator.publish_event(said(), retry=True)))
    played.peer.connect()

    assert trying.join(10)
    assert offsets == [0]
    ids = {head["dedupe"] for head in played.peer.heads("publish")}
    assert len(ids) == 1


def test_two_runs_of_a_program_name_their_events_differently() -> None:
    """IN-18: also if it seeds ``random``; the log would take the second's for the first's."""
    named = []
    for _ in range(2):
        random.seed(1)
        played = Played()
        integrator = played.integrator()
        integrator.publish_event(said())
        integrator.stop()
        integrator.start()
        integrator.publish_event(said())
        named += [head["dedupe"] for head in played.peer.heads("publish")]

    assert len(set(named)) == 4


def test_an_event_that_failed_keeps_its_id_until_it_changes() -> None:
    """IN-18: publishing it again cannot double it; another one gets another id."""
    played = Played()
    integrator = played.integrator()
    event = said()
    played.peer.refuse("publish", StorageFull(), StorageFull())

    for _ in range(2):
        with pytest.raises(EventPublishFailure):
            integrator.publish_event(event)
    event.data = {"words": "other"}
    integrator.publish_event(event)
    integrator.publish_event(event)

    first, again, other, next_ = (head["dedupe"] for head in played.peer.heads("publish"))
    assert first == again
    assert len({first, other, next_}) == 3


@pytest.mark.real
@pytest.mark.parametrize("how", ["client", "integrator"])
def test_a_stop_ends_the_retries_with_shutdown_requested(how: str) -> None:
    """IN-19: also when it is the runner that is asked to stop."""
    played = Played()
    integrator = played.integrator()
    played.peer.lose()
    ends: list[str] = []

    def publish() -> None:
        try:
            integrator.publish_event(said(), retry=True)
        except ShutdownRequested as error:
            ends.append(error.code)

    trying = spawn("tries", publish)
    if how == "client":
        played.client.shutting_down()
    else:
        integrator.stop()

    assert trying.join(10)
    assert ends == ["shutdown"]


def test_after_stop_every_call_is_shutdown_requested() -> None:
    """IN-19, IN-33: publish and all answers."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)
    request = played.heard.requests[0]

    assert integrator.stop() is True

    assert played.peer.heads("stop") == [{"role": "integrator"}]
    with pytest.raises(ShutdownRequested):
        integrator.publish_event(said())
    with pytest.raises(ShutdownRequested):
        integrator.t2_respond(request, "text/plain", b"")
    with (
        pytest.raises(ShutdownRequested),
        integrator.t2_respond_streamed(request, "text/plain"),
    ):
        pass
    with pytest.raises(ShutdownRequested):
        integrator.t2_respond_error(request, T2ProviderFailureReason.REQ_UNHANDLED)


def test_before_start_publish_says_so() -> None:
    """IN-14."""
    from smapd.twin import Integrator

    played = Played()
    integrator = Integrator({}, played.client, played.heard)

    with pytest.raises(EventPublishFailure, match="not started"):
        integrator.publish_event(said())


def test_a_stopped_integrator_can_be_started_again() -> None:
    """IN-10: a runner may run again."""
    played = Played()
    integrator = played.integrator()
    played.asset("integrator", "created", "a", 1)
    integrator.stop()

    integrator.start()
    played.asset("integrator", "created", "a", 1)

    assert played.heard.heard == [("created", "a")] * 2
    assert integrator.publish_event(said()) == 0


# --- requests


def test_a_request_has_asset_type_and_data() -> None:
    """IN-24."""
    played = Played()
    played.integrator(t2=True)

    played.request(2, "AcmecorpExampleReq", b"small.pdf")

    request = played.heard.requests[0]
    assert (request.asset_id, request.type_) == ("a", "AcmecorpExampleReq")
    assert (request.data, request.mime) == (b"small.pdf", "text/plain")
    assert repr(request) == "<T2Request AcmecorpExampleReq of 'a', 9 bytes>"


def test_without_t2_in_the_config_none_arrives() -> None:
    """IN-23: the hub is told, and one that comes all the same is refused."""
    played = Played()
    played.integrator()

    played.request(2)

    assert played.heard.requests == []
    assert played.peer.heads("start")[0]["t2"] is False
    assert played.peer.heads("failed")[0]["reason"] == "REQ_UNHANDLED"


def test_respond_sends_the_data_and_the_end() -> None:
    """IN-27, IN-42: also directly in on_t2_request."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.heard.on_t2_request = (  # type: ignore[method-assign]
        lambda request: integrator.t2_respond(request, "a/b", b"abc")
    )

    played.request(2)

    assert [(f.head, f.body) for f in played.peer.take("chunk", "end")] == [
        ({"op": "chunk", "x": 2, "mime": "a/b"}, b"abc"),
        ({"op": "end", "x": 2}, b""),
    ]


def test_an_empty_answer_still_tells_its_mime_type() -> None:
    """IN-27, FO-27: one chunk without bytes."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)

    integrator.t2_respond(played.heard.requests[0], "a/b", b"")

    assert [frame.head["op"] for frame in played.peer.take("chunk", "end")] == ["chunk", "end"]


def test_a_stream_is_written_in_chunks_and_ends_with_the_block() -> None:
    """IN-28, IN-29: write is true, and False once it is given no bytes."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)
    answers = []

    with integrator.t2_respond_streamed(played.heard.requests[0], "a/b") as write:
        for chunk in (b"abc", b"de", b""):
            answers.append(write(chunk))
        assert played.peer.take("end") == []

    assert answers == [True, True, False]
    assert [f.body for f in played.peer.take("chunk")] == [b"abc", b"de"]
    assert played.peer.heads("end") == [{"x": 2}]


def test_a_large_write_is_split() -> None:
    """FO-29: a chunk has at most 1 MiB."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)
    data = bytes(range(256)) * (10 * 1024)

    with integrator.t2_respond_streamed(played.heard.requests[0], "a/b") as write:
        write(data)

    pieces = [f.body for f in played.peer.take("chunk")]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == CHUNK_BYTES


@pytest.mark.real
def test_write_waits_for_credit_and_sends_what_it_has() -> None:
    """FO-29: some credit is used at once, the rest when it comes."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2, credit=10)

    writing = spawn(
        "writes",
        lambda: integrator.t2_respond(played.heard.requests[0], "a/b", b"x" * 25),
    )
    until(lambda: len(played.peer.sent) and played.peer.sent[-1].head["op"] == "chunk")
    assert not writing.join(0.02)
    assert [len(f.body) for f in played.peer.take("chunk")] == [10]
    played.peer.say("credit", x=2, bytes=100)

    assert writing.join(10)
    assert [len(f.body) for f in played.peer.take("chunk")] == [15]
    assert played.peer.heads("end") == [{"x": 2}]


def test_an_exception_in_the_block_is_no_complete_answer() -> None:
    """IN-30: the requester is told that it failed, without the inner text."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)

    def answer() -> None:
        with integrator.t2_respond_streamed(played.heard.requests[0], "a/b") as write:
            write(b"abc")
            raise ZeroDivisionError("secret")

    with pytest.raises(ZeroDivisionError):
        answer()

    assert played.peer.take("end") == []
    assert played.peer.heads("failed") == [{"x": 2, "reason": "PROVIDER_FAILED", "message": FAILED}]


def test_an_error_is_sent_with_its_reason() -> None:
    """IN-31: every reason, as it is."""
    played = Played()
    integrator = played.integrator(t2=True)

    for n, reason in enumerate(T2ProviderFailureReason, 1):
        played.request(2 * n)
        integrator.t2_respond_error(played.heard.requests[-1], reason)

    sent = [head["reason"] for head in played.peer.heads("failed")]
    assert sent == [reason.value for reason in T2ProviderFailureReason]


def test_a_wrong_reason_or_request_is_a_type_error() -> None:
    """IN-32: and nothing is sent."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)
    request: Any = played.heard.requests[0]
    wrong: Any = "REQ_UNHANDLED"

    with pytest.raises(TypeError, match="T2ProviderFailureReason"):
        integrator.t2_respond_error(request, wrong)
    with pytest.raises(TypeError, match="a T2Request is answered"):
        integrator.t2_respond_error(wrong, T2ProviderFailureReason.BUSY)
    with pytest.raises(TypeError, match="made of bytes"):
        integrator.t2_respond(request, "a/b", wrong)
    with pytest.raises(TypeError, match="mime"):
        integrator.t2_respond(request, wrong.encode(), b"")
    for mime in ("", "a/b\r\nX: 1", "x" * 256):  # what the daemon would refuse behind our back
        with pytest.raises(TypeError, match="a mime type is a text of 1 to 255 printable letters"):
            integrator.t2_respond(request, mime, b"")
        with pytest.raises(TypeError, match="mime"), integrator.t2_respond_streamed(request, mime):
            pass
    assert played.peer.take("chunk", "end", "failed") == []
    integrator.t2_respond(request, "x" * 255, b"")


def test_answering_twice_or_after_the_end_is_a_response_failure() -> None:
    """IN-33: whichever way it is answered again."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)
    request = played.heard.requests[0]
    with integrator.t2_respond_streamed(request, "a/b") as write:
        write(b"abc")
        with pytest.raises(T2ResponseFailure):
            integrator.t2_respond(request, "a/b", b"")

    with pytest.raises(T2ResponseFailure):
        integrator.t2_respond(request, "a/b", b"")
    with pytest.raises(T2ResponseFailure):
        integrator.t2_respond_error(request, T2ProviderFailureReason.BUSY)
    with pytest.raises(T2ResponseFailure):
        write(b"more")
    assert len(played.peer.take("end", "failed")) == 1


def test_answering_once_the_requester_is_gone_is_a_response_failure() -> None:
    """IN-33: it says why."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)

    def answer() -> None:
        with integrator.t2_respond_streamed(played.heard.requests[0], "a/b") as write:
            played.peer.say("cancel", x=2, why="the follower hung up")
            write(b"abc")

    with pytest.raises(T2ResponseFailure, match="the follower hung up"):
        answer()

    assert played.peer.take("chunk", "end", "failed") == []


@pytest.mark.real
@pytest.mark.parametrize(("how", "error"), [("cancel", "t2_response"), ("stop", "shutdown")])
def test_a_write_that_waits_is_ended(how: str, error: str) -> None:
    """IN-33: by a cancel, and by the stop."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2, credit=0)
    ends: list[str] = []

    def write() -> None:
        try:
            integrator.t2_respond(played.heard.requests[0], "a/b", b"abc")
        except SmapError as problem:
            ends.append(problem.code)

    writing = spawn("writes", write)
    if how == "cancel":
        played.peer.say("cancel", x=2, why="gone")
    else:
        integrator.stop()

    assert writing.join(10)
    assert ends[0].startswith(error)


def test_answering_for_an_asset_that_was_deleted_is_asset_unknown() -> None:
    """IN-33."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.asset("integrator", "created", "a", 1)
    played.request(2)
    played.asset("integrator", "deleted", "a", 2)
    played.peer.say("cancel", x=2, why="the asset is gone")

    with pytest.raises(AssetUnknown, match="a was deleted meanwhile"):
        integrator.t2_respond(played.heard.requests[0], "a/b", b"")


def test_a_request_that_is_dropped_unanswered_is_refused() -> None:
    """IN-34: the follower need not wait for its timeout."""
    played = Played()
    played.integrator(t2=True)
    played.request(2, "Unknown")

    played.heard.requests.clear()
    gc.collect()
    played.client.run_calls()

    assert played.peer.heads("failed")[0]["reason"] == "REQ_UNHANDLED"


def test_a_callback_that_raises_fails_its_request(caplog: pytest.LogCaptureFixture) -> None:
    """IN-34: it is logged, and the follower told."""
    played = Played()
    played.heard.on_t2_request = lambda request: 1 / 0  # type: ignore[method-assign]
    played.integrator(t2=True)

    played.request(2)

    assert played.peer.heads("failed")[0]["reason"] == "PROVIDER_FAILED"
    assert "ZeroDivisionError" in caplog.text


def test_a_flood_of_requests_is_refused_as_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded: what waits to be answered."""
    monkeypatch.setattr("smapd.twin.conversation.MOST_REQUESTS", 3)
    played = Played()
    played.integrator(t2=True)

    for n in range(1, 6):
        played.request(2 * n)

    assert len(played.heard.requests) == 3
    assert [head["reason"] for head in played.peer.heads("failed")] == ["BUSY", "BUSY"]


def test_a_lost_connection_ends_the_answers() -> None:
    """IN-33: nobody waits for them any more."""
    played = Played()
    integrator = played.integrator(t2=True)
    played.request(2)
    played.peer.lose()
    played.peer.connect()

    with pytest.raises(T2ResponseFailure, match="connection"):
        integrator.t2_respond(played.heard.requests[0], "a/b", b"abc")

    assert played.peer.take("chunk", "end") == []

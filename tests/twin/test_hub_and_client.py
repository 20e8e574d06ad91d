"""Programs against the hub itself, on threads of their own, with a log in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from smapd.runtime.program import Flag, seconds
from smapd.twin import (
    AssetUnknown,
    Follower,
    Integrator,
    T2ProviderFailureReason,
    T2ReqFailureReason,
    T2Request,
    T2ResponseException,
    T2Timeout,
    T2Unavailable,
)
from tests.twin.programs import Followed, Heard, Home, Said, home, until

pytestmark = pytest.mark.real


class Pair:
    """An integrator and a follower, each with a client of its own."""

    def __init__(self, at: Home, *, t2: bool = True, **follows: Any) -> None:
        self.sender, self.reader = at.client("bom"), at.client("archive")
        self.heard, self.followed = Heard(), Followed()
        self.integrator = Integrator({"t2": t2}, self.sender, self.heard)
        self.follower = Follower({"t2": True, **follows}, self.reader, self.followed)
        self.follower._types.add(Said)
        self.integrator.start()
        self.follower.start()

    def answer(self, how: Callable[[T2Request], object]) -> None:
        self.heard.on_t2_request = how  # type: ignore[method-assign]

    def close(self) -> None:
        assert self.sender.close()
        assert self.reader.close()


def test_an_event_goes_from_publish_to_the_follower_and_is_acknowledged() -> None:
    """IN-15, FO-05, FO-11, FO-14, FO-17: offsets from 0, in order."""
    with home("a", "b") as at:
        pair = Pair(at)
        pair.followed.on_event = (  # type: ignore[method-assign]
            lambda event: (pair.followed.events.append(event), pair.follower.ack_event(event))
        )

        offsets = [pair.integrator.publish_event(Said("a", data={"words": f"{n}"})) for n in "xyz"]
        until(lambda: len(pair.followed.events) == 3)
        place = [("follower:archive", "a", 3)]
        until(lambda: at.to_reactor(at.house.log.cursors, "follower:archive")[1:] == place)
        pair.close()

    assert offsets == [0, 1, 2]
    assert [(e.offset, e.data["words"]) for e in pair.followed.events] == list(enumerate("xyz"))
    assert {e.source for e in pair.followed.events} == {"bom"}
    assert pair.heard.heard == pair.followed.heard == [("created", "a"), ("created", "b")]
    assert sorted(word.asset for word in pair.followed.internal) == ["a", "b"]


def test_a_follower_that_comes_back_goes_on_after_what_it_acknowledged() -> None:
    """FO-18, FO-19, FO-20, FO-21: from 0 at first; then behind the contiguous prefix."""
    with home("a") as at:
        pair = Pair(at)
        for n in range(5):
            pair.integrator.publish_event(Said("a", data={"words": f"{n}"}))
        until(lambda: len(pair.followed.events) == 5)
        for n in (0, 1, 3):
            pair.follower.ack_event(pair.followed.events[n])
        assert pair.follower.stop()
        assert pair.reader.close()

        again = Followed()
        client = at.client("archive")
        follower = Follower({}, client, again)
        follower.start()
        until(lambda: len(again.events) >= 3)
        assert client.close()
        pair.close()

    assert [event.offset for event in again.events] == [2, 3, 4]


def test_followers_of_different_names_have_their_own_places() -> None:
    """FO-22."""
    with home("a") as at:
        pair = Pair(at)
        pair.integrator.publish_event(Said("a", data={"words": "x"}))
        until(lambda: pair.followed.events)
        pair.follower.ack_event(pair.followed.events[0])

        other = Followed()
        client = at.client("other")
        Follower({}, client, other).start()
        until(lambda: other.events)
        assert client.close()
        pair.close()

    assert [event.offset for event in other.events] == [0]


def test_one_client_serves_an_integrator_and_a_follower_that_publishes_in_a_callback() -> None:
    """IN-41, IN-43: a synthesiser; also in on_asset_created."""
    with home("a") as at:
        client = at.client("synth")
        heard, followed = Heard(), Followed()
        integrator = Integrator({}, client, heard)
        follower = Follower({}, client, followed)
        follower._types.add(Said)

        def created(asset: str) -> None:
            integrator.publish_event(Said(asset, data={"words": "hello"}))

        def on_event(event: Any) -> None:
            followed.events.append(event)
            if event.data["words"] == "hello":
                integrator.publish_event(Said(event.asset, data={"words": "and again"}))
            follower.ack_event(event)

        heard.on_asset_created = created  # type: ignore[method-assign]
        followed.on_event = on_event  # type: ignore[method-assign]
        integrator.start()
        follower.start()
        until(lambda: len(followed.events) == 2)
        assert client.close()

    assert [event.data["words"] for event in followed.events] == ["hello", "and again"]


def test_a_request_is_answered_from_a_pool_in_chunks() -> None:
    """IN-25, IN-28, FO-27, FO-29: 20 MiB, through a window of 4 MiB."""
    data = hashlib.sha256(b"seed").digest() * (20 * 2**20 // 32)
    with home("a") as at, ThreadPoolExecutor(2) as pool:
        pair = Pair(at)

        def answer(request: T2Request) -> None:
            with pair.integrator.t2_respond_streamed(request, "a/b") as write:
                write(data)

        pair.answer(lambda request: pool.submit(answer, request))
        got = list(pair.follower.t2_request("a", "Big", timeout=30))
        pair.close()

    assert {mime for mime, _ in got} == {"a/b"}
    assert b"".join(chunk for _, chunk in got) == data


def test_the_first_chunk_is_there_before_the_last_is_written() -> None:
    """FO-28."""
    with home("a") as at, ThreadPoolExecutor(1) as pool:
        pair = Pair(at)
        go_on = Flag()

        def answer(request: T2Request) -> None:
            with pair.integrator.t2_respond_streamed(request, "a/b") as write:
                write(b"first")
                go_on.wait(10)
                write(b"last")

        pair.answer(lambda request: pool.submit(answer, request))
        got = pair.follower.t2_request("a", "Slow")
        first = next(got)
        go_on.set()
        rest = list(got)
        pair.close()

    assert (first, rest) == (("a/b", b"first"), [("a/b", b"last")])


def test_many_requests_at_once_do_not_mix() -> None:
    """FO-30, IN-35: a slow one holds up nobody when a pool is used."""
    with home("a") as at, ThreadPoolExecutor(16) as pool, ThreadPoolExecutor(50) as askers:
        pair = Pair(at)
        slow = Flag()

        def answer(request: T2Request) -> None:
            if request.data == b"0":
                slow.wait(20)
            pair.integrator.t2_respond(request, "a/b", request.data * 1000)

        pair.answer(lambda request: pool.submit(answer, request))

        def ask(n: int) -> bytes:
            answer = pair.follower.t2_request("a", "Echo", b"%d" % n, timeout=30)
            return b"".join(chunk for _, chunk in answer)

        asked = [askers.submit(ask, n) for n in range(100)]
        got = [one.result(20) for one in asked[1:]]
        slow.set()
        last = asked[0].result(20)
        pair.close()

    assert got == [b"%d" % n * 1000 for n in range(1, 100)]
    assert last == b"0" * 1000


def test_the_ends_of_requests() -> None:
    """FO-31 to FO-34, IN-31, IN-34: each as it is meant, and none hangs."""
    with home("a") as at:
        pair = Pair(at)
        kept: list[T2Request] = []

        def answer(request: T2Request) -> None:
            if request.type_ == "Missing":
                reason = T2ProviderFailureReason.RESOURCE_UNKNOWN
                pair.integrator.t2_respond_error(request, reason)
            elif request.type_ == "Silent":
                kept.append(request)
            elif request.type_ == "Broken":
                with pair.integrator.t2_respond_streamed(request, "a/b") as write:
                    write(b"half")
                    raise ZeroDivisionError

        pair.answer(answer)
        ends: dict[str, T2ReqFailureReason] = {}
        for type_ in ("Missing", "Ignored", "Broken"):
            try:
                list(pair.follower.t2_request("a", type_))
            except T2ResponseException as error:
                ends[type_] = error.reason
        began_s = seconds()
        with pytest.raises(T2Timeout):
            list(pair.follower.t2_request("a", "Silent", timeout=0.3))
        took_s = seconds() - began_s
        with pytest.raises(AssetUnknown):
            pair.follower.t2_request("b", "Sum")
        pair.close()

    assert ends == {
        "Missing": T2ReqFailureReason.RESOURCE_UNKNOWN,
        "Ignored": T2ReqFailureReason.REQ_UNHANDLED,
        "Broken": T2ReqFailureReason.PROVIDER_FAILED,
    }
    assert 0.2 < took_s < 3


def test_an_integrator_that_does_not_enable_t2_is_not_asked() -> None:
    """IN-23: nobody answers."""
    with home("a") as at:
        pair = Pair(at, t2=False)
        with pytest.raises(T2ResponseException) as caught:
            list(pair.follower.t2_request("a", "Sum"))
        other = Follower({"t2": False}, pair.reader, Followed())
        with pytest.raises(T2Unavailable):
            other.t2_request("a", "Sum")
        pair.close()

    assert caught.value.reason is T2ReqFailureReason.REQ_UNHANDLED
    assert pair.heard.requests == []


def test_closing_the_iterator_ends_the_writer() -> None:
    """IN-33: its write says that nobody waits."""
    with home("a") as at, ThreadPoolExecutor(1) as pool:
        pair = Pair(at)
        ends: list[str] = []

        def answer(request: T2Request) -> None:
            try:
                with pair.integrator.t2_respond_streamed(request, "a/b") as write:
                    while write(bytes(2**20)):
                        pass
            except Exception as error:
                ends.append(type(error).__name__)

        pair.answer(lambda request: pool.submit(answer, request))
        with pair.follower.t2_request("a", "Endless") as got:
            next(got)
        until(lambda: ends)
        pair.close()

    assert ends == ["T2ResponseFailure"]


def test_a_second_thing_of_one_name_is_refused() -> None:
    """The first one answers the hub's ping; the sentence says what to do."""
    from smapd.errors import NameTaken

    with home("a") as at:
        first, second = at.client("twin"), at.client("twin")
        Integrator({}, first, Heard()).start()
        with pytest.raises(NameTaken, match="named twin is connected already"):
            Integrator({}, second, Heard()).start()
        assert first.is_connected
        assert second.close()
        assert first.close()


def test_a_deleted_asset_is_told_and_its_events_end() -> None:
    """IN-22, FO-12: also to who is away meanwhile."""
    with home("a") as at:
        pair = Pair(at)
        at.to_reactor(at.house.twin.create, {"id": "made"})
        until(lambda: ("created", "made") in pair.followed.heard)
        until(lambda: ("created", "made") in pair.heard.heard)
        assert pair.sender.close()
        at.to_reactor(at.house.twin.delete, "made")
        until(lambda: ("deleted", "made") in pair.followed.heard)

        heard = Heard()
        client = at.client("bom")
        Integrator({}, client, heard).start()
        until(lambda: len(heard.heard) == 2)
        assert client.close()
        assert pair.reader.close()

    assert heard.heard == [("created", "a"), ("deleted", "made")]

"""Answers that are written together: order, bounds, and what becomes of them at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from smapd.connectors.vantiq.batching import MOMENT_S, MOST_BYTES, Batching
from tests.connectors.vantiq.harness import connected, run


class Transport:
    def __init__(self) -> None:
        self.did: list[Any] = []

    def write(self, data: bytes) -> None:
        self.did.append(bytes(data))

    def write_eof(self) -> None:
        self.did.append("eof")

    def close(self) -> None:
        self.did.append("close")

    def abort(self) -> None:
        self.did.append("abort")

    def is_closing(self) -> bool:
        return False


class Moments:
    """A batching transport in the hand of a test."""

    def __init__(self) -> None:
        self.below = Transport()
        self.now_s = 100.0
        self.later: list[Callable[[], None]] = []
        self.batching = Batching(
            cast("asyncio.Transport", self.below), lambda: self.now_s, self.later.append
        )
        self.did = self.below.did

    def turn(self) -> None:
        for call in self.later:
            call()
        self.later.clear()


def test_what_comes_alone_is_written_at_once() -> None:
    here = Moments()

    for part in (b"1", b"2", b"3"):
        here.batching.write(part)
        here.now_s += 2 * MOMENT_S

    assert here.did == [b"1", b"2", b"3"]
    assert here.later == []
    assert not here.batching.is_closing()


def test_what_follows_within_a_moment_is_written_at_the_end_of_the_turn() -> None:
    here = Moments()

    for part in (b"1", b"2", b"3"):
        here.batching.write(part)
    assert here.did == [b"1"]
    here.turn()

    assert here.did == [b"1", b"23"]


def test_what_was_held_back_is_never_overtaken() -> None:
    here = Moments()
    here.batching.write(b"1")
    here.batching.write(b"2")
    here.now_s += 1.0
    here.batching.write(b"3")
    here.batching.write(b"x" * MOST_BYTES)
    here.turn()

    assert here.did == [b"1", b"23" + b"x" * MOST_BYTES]


def test_no_more_is_held_back_than_may_be() -> None:
    here = Moments()
    here.batching.write(b"1")
    for _ in range(5):
        here.batching.write(b"x" * (MOST_BYTES // 2))

    assert [len(part) for part in here.did] == [1, MOST_BYTES, MOST_BYTES]
    here.turn()
    assert len(here.did[-1]) == MOST_BYTES // 2


@pytest.mark.parametrize("end", ["write_eof", "close", "abort"])
def test_an_end_comes_behind_what_was_held_back(end: str) -> None:
    here = Moments()
    here.batching.write(b"1")
    here.batching.write(b"2")
    getattr(here.batching, end)()
    here.turn()

    name = end.removeprefix("write_")
    assert here.did == ([b"1", name] if end == "abort" else [b"1", b"2", name])


@pytest.mark.real
def test_answers_and_notifications_keep_their_order() -> None:
    """A partial answer, a notification, and the final answer, each batched or not."""

    async def main() -> None:
        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            send = source.connection.send_query_response
            for n in range(3):
                await send(context, 100, {"n": n})
                await source.connection.send_notification({"of": message["q"], "n": n})
            await send(context, 200, {"n": 3})

        async with connected() as (_, source, session):
            source.on_query = query
            addresses = [await session.ask({"q": q}) for q in range(30)]
            for address in addresses:
                found = await session.answers(address)
                assert [one.body["n"] for one in found] == [0, 1, 2, 3]
            order: dict[int, list[int]] = {}
            for one in session.notifications:
                order.setdefault(one["of"], []).append(one["n"])
            assert order == {q: [0, 1, 2] for q in range(30)}

    run(main())

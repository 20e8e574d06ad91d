"""Sending while there is no connection: in order, bounded, and without doubles where it can be."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from smapd.connectors.vantiq import Limits, LinkLost, SourceClosed, VantiqConnectorException
from smapd.connectors.vantiq.link import Link
from smapd.connectors.vantiq.sending import Sender
from tests.connectors.vantiq.harness import run


class Wire:
    """Takes what a link takes; breaks after so many messages."""

    def __init__(self, breaks_after: int = 10**9) -> None:
        self.sent: list[bytes] = []
        self.left = breaks_after

    async def send(self, frame: bytes) -> None:
        if self.left <= 0:
            await asyncio.sleep(0)
            raise LinkLost("gone")
        self.left -= 1
        self.sent.append(frame)

    async def confirm(self) -> None:
        if self.left <= 0:
            raise LinkLost("gone")


def link(wire: Wire) -> Link:
    return cast("Link", wire)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def begin(sender: Sender, *frames: bytes) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(sender.send(frame)) for frame in frames]


def test_what_waits_is_sent_in_order_when_there_is_a_connection() -> None:
    async def main() -> None:
        sender, wire = Sender("pump", Limits()), Wire()
        frames = [b"%d" % i for i in range(20)]
        tasks = begin(sender, *frames[:19])
        await settle()
        assert sender.waiting == 19

        sender.open(link(wire))
        tasks += begin(sender, frames[19])  # does not overtake
        await asyncio.gather(*tasks)

        assert wire.sent == frames
        assert sender.waiting == 0

    run(main())


def test_what_a_connection_took_with_it_is_sent_again_in_order() -> None:
    async def main() -> None:
        sender, first, second = Sender("pump", Limits()), Wire(breaks_after=3), Wire()
        sender.open(link(first))
        frames = [b"%d" % i for i in range(9)]
        tasks = begin(sender, *frames)
        await settle()
        tasks += begin(sender, b"late")
        await settle()

        sender.open(link(second))
        await asyncio.gather(*tasks)

        assert first.sent == frames[:3]
        assert second.sent == [*frames[3:], b"late"]

    run(main())


def test_who_gives_up_holds_up_nobody() -> None:
    async def main() -> None:
        sender, wire = Sender("pump", Limits()), Wire()
        tasks = begin(sender, b"a", b"b", b"c")
        await settle()
        tasks[0].cancel()
        await settle()
        sender.open(link(wire))
        tasks[1].cancel()  # it was the next to go
        await asyncio.wait(tasks)

        assert wire.sent in ([b"c"], [b"b", b"c"])
        assert sender.waiting == 0

    run(main())


def test_those_who_gave_up_are_forgotten() -> None:
    """An outage of a year, and a program that tries each second with a time limit."""

    async def main() -> None:
        sender = Sender("pump", Limits())
        for _ in range(500):
            (task,) = begin(sender, b"x")
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        assert len(sender._waiting) < 50
        assert sender.waiting == 0

    run(main())


def test_too_many_or_too_much_is_refused_at_once() -> None:
    async def main() -> None:
        sender = Sender("pump", replace(Limits(), unsent=3, waiting_bytes=100))
        tasks = begin(sender, b"a", b"b", b"c")
        await settle()
        with pytest.raises(VantiqConnectorException, match="3 messages .* wait to be sent"):
            await sender.send(b"d")
        sender.finish()
        await asyncio.wait(tasks)

        full = Sender("pump", replace(Limits(), waiting_bytes=100))
        tasks = begin(full, b"a" * 90)
        await settle()
        with pytest.raises(VantiqConnectorException, match="90 bytes"):
            await full.send(b"b" * 20)
        full.finish()
        await asyncio.wait(tasks)
        assert all(task.exception() is not None for task in tasks)

    run(main())


def test_after_the_end_nothing_is_sent_and_whoever_waits_is_told() -> None:
    async def main() -> None:
        sender = Sender("pump", Limits())
        tasks = begin(sender, b"a", b"b")
        await settle()
        sender.finish()

        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in results] == [SourceClosed] * 2
        with pytest.raises(VantiqConnectorException, match="pump is closed"):
            await sender.send(b"c")

    run(main())


def test_a_delivery_is_on_one_connection_or_fails() -> None:
    async def main() -> None:
        sender, broken, good = Sender("pump", Limits()), Wire(breaks_after=2), Wire()
        sender.open(link(broken))
        with pytest.raises(LinkLost):
            await sender.deliver([b"a", b"b", b"c"])
        sender.shut()
        waiting = asyncio.create_task(sender.deliver([b"a", b"b", b"c"]))
        await settle()
        assert good.sent == []
        sender.open(link(good))
        await waiting

        assert good.sent == [b"a", b"b", b"c"]
        assert sender.waiting == 0

    run(main())


def test_an_offer_needs_a_connection() -> None:
    async def main() -> None:
        sender, wire = Sender("pump", Limits()), Wire(breaks_after=1)
        await sender.offer(b"nobody")
        sender.open(link(wire))
        await sender.offer(b"a")
        await sender.offer(b"lost")

        assert wire.sent == [b"a"]

    run(main())


def test_the_harness_is_honest() -> None:
    """What stands in for a link has the methods that the sender calls on one."""
    for name in ("send", "confirm"):
        assert callable(getattr(Link, name))
        assert callable(getattr(Wire, name))

"""Which answer to a ping shows that a batch was read: frame by frame, by a server made by hand."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha1
from typing import Any

import pytest

from smapd.connectors.vantiq.errors import LinkLost
from tests.connectors.vantiq.harness import Source, connected, run, source_of, until

pytestmark = pytest.mark.real

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Line:
    """One connection at the server's end; it answers nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def open(self) -> None:
        head = await self._reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"Sec-WebSocket-Key: *(\S+)", head, re.IGNORECASE)
        assert key is not None
        accept = b64encode(sha1(key[1] + _GUID).digest())
        self.writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        assert (await self.message())["op"] == "validate"
        self.say({"status": 200})
        assert (await self.message())["op"] == "connectExtension"
        self.say({"op": "configureExtension", "object": {"config": {}}})

    async def frame(self) -> tuple[int, bytes]:
        first, size = await self._reader.readexactly(2)
        size &= 127
        if size == 126:
            size = int.from_bytes(await self._reader.readexactly(2))
        mask = await self._reader.readexactly(4)
        data = await self._reader.readexactly(size)
        return first & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))

    async def message(self) -> Any:
        kind, data = await self.frame()
        assert kind == TEXT
        return json.loads(data)

    async def batch(self, count: int) -> bytes:
        """Read a batch of so many; what its ping says."""
        for n in range(count):
            assert (await self.message())["object"] == {"n": n}
        kind, data = await self.frame()
        assert kind == PING
        return data

    def put(self, kind: int, data: bytes) -> None:
        assert len(data) < 126
        self.writer.write(bytes([0x80 | kind, len(data)]) + data)

    def say(self, message: Any) -> None:
        self.put(TEXT, json.dumps(message).encode())


class HandMade:
    """The server: a queue of its connections."""

    token = "a-token"

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.lines: asyncio.Queue[Line] = asyncio.Queue()

    async def line(self) -> Line:
        line = await self.lines.get()
        await line.open()
        return line


@asynccontextmanager
async def by_hand(**limits: Any) -> AsyncIterator[tuple[HandMade, Source, Line]]:
    """A source that is connected to such a server, and its line."""
    writers: list[asyncio.StreamWriter] = []

    def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        made.lines.put_nowait(Line(reader, writer))

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    made = HandMade(listening.sockets[0].getsockname()[1])
    source = source_of(made, **limits).start()  # type: ignore[arg-type]
    try:
        line = await made.line()
        await until(lambda: source.connection.is_connected)
        yield made, source, line
    finally:
        stopping = asyncio.create_task(source.stop())
        await asyncio.sleep(0)
        for writer in writers:
            writer.transport.abort()
        await stopping
        listening.close()
        await listening.wait_closed()


def deliver(source: Source, count: int) -> asyncio.Task[None]:
    return asyncio.create_task(source.connection.deliver([{"n": n} for n in range(count)]))


async def has_read_on(source: Source, line: Line) -> None:
    """Return when the source has read all that the server wrote."""
    before = source.kinds().count("publish")
    line.say({"op": "publish", "object": {}})
    await until(lambda: source.kinds().count("publish") > before)


def test_the_answer_to_an_earlier_ping_confirms_no_later_batch() -> None:
    async def go() -> None:
        async with by_hand() as (_, source, line):
            first = deliver(source, 2)
            ping_of_first = await line.batch(2)
            second = deliver(source, 3)
            ping_of_second = await line.batch(3)

            line.put(PONG, ping_of_first)
            await first
            await has_read_on(source, line)
            assert not second.done()
            line.put(PONG, ping_of_second)
            await second

    run(go())


def test_the_answer_to_a_later_ping_confirms_what_was_before_it() -> None:
    """Who answers the last ping alone has read all that was before it."""

    async def go() -> None:
        async with by_hand() as (_, source, line):
            first = deliver(source, 2)
            await line.batch(2)
            second = deliver(source, 3)
            line.put(PONG, await line.batch(3))

            await asyncio.gather(first, second)

    run(go())


def test_an_answer_that_nobody_asked_for_confirms_nothing() -> None:
    async def go() -> None:
        async with by_hand() as (_, source, line):
            sending = deliver(source, 2)
            ping = await line.batch(2)

            line.put(PONG, b"")
            line.put(PONG, bytes(byte ^ 1 for byte in ping))
            await has_read_on(source, line)
            assert not sending.done()
            line.put(PONG, ping)
            await sending

    run(go())


def test_the_ping_of_the_connection_before_confirms_nothing_on_this_one() -> None:
    async def go() -> None:
        async with by_hand() as (made, source, line):
            sending = deliver(source, 2)
            old = await line.batch(2)
            line.writer.transport.abort()
            with pytest.raises(LinkLost):
                await sending
            line = await made.line()
            sending = deliver(source, 2)
            ping = await line.batch(2)

            line.put(PONG, old)
            await has_read_on(source, line)
            assert not sending.done()
            line.put(PONG, ping)
            await sending

    run(go())


@pytest.mark.parametrize("read", [0, 1, 2])
@pytest.mark.parametrize("end", ["abort", "shut", "close frame"])
def test_a_server_that_ends_half_way_has_confirmed_nothing(read: int, end: str) -> None:
    """Without a word, with the end of its stream, and as the protocol wants it."""

    async def go() -> None:
        async with by_hand() as (_, source, line):
            sending = deliver(source, 3)
            for _ in range(read):
                await line.message()
            if end == "abort":
                line.writer.transport.abort()
            elif end == "shut":
                line.writer.write_eof()
            else:
                line.put(CLOSE, (1001).to_bytes(2))
                line.writer.write_eof()

            with pytest.raises(LinkLost):
                await sending

    run(go())


def test_an_answer_that_waited_behind_what_is_read_now_still_counts() -> None:
    """We read on just before the limit: the connection is not cut, and nothing is sent twice."""

    async def go() -> None:
        async with by_hand(ping_answer_s=1.0) as (_, source, line):
            link = source.connection._link
            assert link is not None
            link.unread = True
            sending = deliver(source, 2)
            ping = await line.batch(2)
            await asyncio.sleep(0.5)
            link.unread = False

            await asyncio.sleep(0.7)  # past the limit
            assert not sending.done()
            line.put(PONG, ping)
            await sending

    run(go())


def test_a_handler_that_delivers_does_not_wait_for_itself() -> None:
    """What it waits for would be read when it has returned: it is told, and all goes on."""

    async def go() -> None:
        async with connected(ping_answer_s=0.1) as (server, source, session):
            told: list[str] = []

            async def on_connect(*_: Any) -> None:
                await until(lambda: told == ["all is sent"])
                try:
                    await source.connection.deliver([{"hello": 1}])
                except LinkLost:
                    told.append("lost")

            source.on_connect = on_connect
            session.drop()
            session = await server.session("pump", after=session)
            for n in range(20):
                await session.publish({"n": n})
            told.append("all is sent")

            await until(lambda: "lost" in told)
            source.on_connect = None
            await server.session("pump", after=session)
            await until(lambda: source.kinds().count("connect") >= 3)

    run(go())


def test_a_batch_waits_while_it_is_we_who_do_not_read() -> None:
    """The answer is stuck behind what waits for the connect handler: nothing is sent twice."""

    async def go() -> None:
        async with connected(ping_answer_s=0.1) as (server, source, session):
            going_on = asyncio.Event()
            source.on_connect = lambda *_: going_on.wait()  # type: ignore[assignment,return-value]
            session.drop()
            session = await server.session("pump", after=session)
            await until(lambda: source.kinds().count("connect") == 2)
            for n in range(20):
                await session.publish({"n": n})
            sending = deliver(source, 2)

            await asyncio.sleep(0.5)  # longer than an answer may take
            assert not sending.done()
            going_on.set()
            await sending

            assert session.received == 2
            assert session.is_open

    run(go())

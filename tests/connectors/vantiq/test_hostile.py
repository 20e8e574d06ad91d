"""A hostile server: bad and huge frames, floods, silence. The next good frame is served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tracemalloc
from typing import Any

import orjson
import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from smapd.connectors.vantiq import VantiqConnector, Waiting
from smapd.testing.vantiq import Drop, Hang, Say, VantiqServer
from tests.connectors.vantiq.harness import connected, run, source_of, until
from tests.connectors.vantiq.test_protocol import BAD

pytestmark = pytest.mark.real

MIB = 2**20
COMPLETE = VantiqConnector.QUERY_COMPLETE


def frames() -> list[str | bytes]:
    """All the bad ones, as text where they are text, and as binary."""
    found: list[str | bytes] = []
    for one in BAD:
        data = one if isinstance(one, bytes) else orjson.dumps(one)
        found.append(data)
        with contextlib.suppress(UnicodeDecodeError):
            found.append(data.decode())
    return found


def test_bad_frames_are_logged_and_ignored_on_the_same_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Far more than 25 kinds; the next good frame is served."""

    async def main() -> None:
        async with connected() as (server, source, session):
            for frame in frames():
                await session.send(frame)
                await session.publish({"good": True})
            await until(lambda: source.kinds().count("publish") == len(frames()))
            assert (await session.query({"n": 1}))[0].body == {"echo": {"n": 1}}
            assert source.connection.counters.bad_frames == len(frames())
            assert len(server.attempts) == 1

    with caplog.at_level(logging.WARNING):
        run(main())

    told = [r for r in caplog.records if "a message of the server was ignored" in r.getMessage()]
    assert len(told) == 1  # and not one line a frame


def test_text_that_is_no_utf_8_does_not_end_the_connection() -> None:
    async def main() -> None:
        async with connected() as (server, source, session):
            await session._ws.send(b'{"op":"publish","object":{"a":"\xff\xfe"}}', text=True)
            await session.query({})
            assert source.connection.counters.bad_frames == 1
            assert len(server.attempts) == 1

    run(main())


@pytest.mark.parametrize("step", ["login", "source", "running"])
def test_bad_frames_at_each_step_of_the_login_are_ignored(step: Any) -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            server.script(Say(step, tuple(frames())))
            source = source_of(server).start()
            session = await server.session("pump")
            await session.query({})
            assert source.connection.counters.bad_frames == len(frames())
            assert len(server.attempts) == 1
            await source.stop()

    run(main())


def test_a_flood_before_the_configuration_ends_at_the_time_limit() -> None:
    async def main() -> None:
        async def flood(session: Any) -> None:
            while True:
                await session.send('{"status":200}')

        async with VantiqServer() as server:
            server.script(
                Say("source", ('{"status":100}', '{"status":299}') * 5000), Hang("source")
            )
            source = source_of(server, answer_s=0.3).start()
            session = await server.session("pump")
            await session.query({})
            assert len(server.attempts) == 2
            await source.stop()

    run(main())


def test_a_message_beyond_the_limit_is_not_read_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """100 MB frames: memory is bounded; the limit is configurable and its excess is clear."""

    async def main() -> None:
        huge = '{"op":"publish","object":{"a":"' + "x" * 100 * MIB + '"}}'
        async with connected(connect_kwargs={"compression": None}) as (server, source, session):
            before = psutil.Process().memory_info().rss
            for _ in range(3):
                with contextlib.suppress(ConnectionClosed):
                    await session.send(huge)
            again = await server.session("pump", after=session)
            assert psutil.Process().memory_info().rss - before < 64 * MIB + 100 * MIB
            await again.query({})
            why = next(one.why for one in source.states if isinstance(one, Waiting))
            assert why == (
                "a message was larger than 67108864 bytes, which is the limit. Raise max_size in "
                "connectKWArgs if it is meant"
            )

    run(main())
    assert "larger than 67108864 bytes" in caplog.text


def test_a_compressed_bomb_is_a_message_beyond_the_limit() -> None:
    async def main() -> None:
        async with connected(connect_kwargs={"max_size": MIB}) as (server, source, session):
            await session.send('{"op":"publish","object":{"a":"' + "x" * 50 * MIB + '"}}')
            again = await server.session("pump", after=session)
            await again.query({})
            why = next(one.why for one in source.states if isinstance(one, Waiting))
            assert "larger than 1048576 bytes" in why

    run(main())


def test_a_message_of_3_mib_is_nothing_special() -> None:
    async def main() -> None:
        async with connected() as (server, source, session):
            await session.publish({"a": "x" * 3 * MIB})
            await session.query({})
            assert len(source.told[1][2]["a"]) == 3 * MIB
            assert len(server.attempts) == 1

    run(main())


def test_a_flood_of_queries_is_answered() -> None:
    """10,000 queries at once: each gets one answer, and memory is bounded."""

    async def main() -> None:
        running = most = 0

        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            await source.connection.send_query_response(context, COMPLETE, message)

        async with connected(running_queries=100) as (_, source, session):
            source.on_query = query
            tracemalloc.start()
            addresses = [await session.ask({"n": n}) for n in range(10_000)]
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            found = [await session.answers(address) for address in addresses]

            assert all(len(one) == 1 and one[0].status in (200, 400) for one in found)
            assert [one[0].body["n"] for one in found if one[0].status == 200]
            assert most <= 100
            assert peak < 60 * MIB  # the server's end, and what the harness writes down, included
            assert (await session.query({"n": -1}))[0].body == {"n": -1}
            assert source.connection.status()["open_queries"] == 0

    run(main())


def test_queries_beyond_the_bound_are_refused_at_once() -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            await go.wait()
            await source.connection.send_query_response(context, COMPLETE, message)

        async with connected(open_queries=20, running_queries=5) as (_, source, session):
            source.on_query = query
            addresses = [await session.ask({"n": n}) for n in range(50)]
            refused = [await session.answers(address) for address in addresses[20:]]
            assert {one[0].body["messageCode"] for one in refused} == {"smapd.connector.busy"}
            assert refused[0][0].body["parameters"] == ["pump", "20"]
            go.set()
            served = [await session.answers(address) for address in addresses[:20]]
            assert [one[0].body["n"] for one in served] == list(range(20))

    run(main())


def test_queries_that_use_one_address_get_one_answer_each() -> None:
    async def main() -> None:
        async with connected() as (_, source, session):
            for _ in range(500):
                await session.ask({}, address="the same")
            found = [await session._answers["the same"].get() for _ in range(500)]
            assert {one.status for one in found} == {200}
            assert source.connection.status()["open_queries"] == 0

    run(main())


def test_a_server_that_takes_no_answers_holds_up_a_bounded_number() -> None:
    async def main() -> None:
        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            await source.connection.send_query_response(context, COMPLETE, {"a": "x" * 50_000})

        limits = {"waiting_bytes": MIB, "open_queries": 50, "close_s": 0.2}
        kwargs = {"compression": None}
        async with connected(connect_kwargs=kwargs, **limits) as (server, source, session):
            source.on_query = query
            session.freeze()
            for _ in range(500):
                await asyncio.wait_for(session.ask({}, address="the same"), 0.5)
            await until(lambda: source.connection.counters.queries > 100)
            await asyncio.sleep(0.1)
            assert source.connection.status()["unsent"] <= 40
            session.drop()
            again = await server.session("pump", after=session)
            await again.query({})
            server.complaints.clear()  # answers to queries of the session before

    run(main())


@pytest.mark.parametrize("step", ["http", "login", "source", "running"])
def test_a_server_that_closes_at_each_step_is_tried_a_bounded_number_of_times(step: Any) -> None:
    """At the pace of the backoff: about one try a second at first, and fewer later."""

    async def main() -> None:
        async with VantiqServer() as server:
            server.always(Drop(step, None if step == "http" else 1000))
            source = source_of(server, first_retry_s=0.3, last_retry_s=60.0, stable_s=30.0).start()
            await asyncio.sleep(1.0)
            assert 2 <= len(server.attempts) <= 4  # at 0, 0.3 and 0.75 s
            await source.stop()

    run(main())


def test_a_server_that_wants_reconnects_for_ever_is_tried_a_bounded_number_of_times() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            server.always(Say("running", ('{"op":"reconnectRequired"}',)))
            source = source_of(server, first_retry_s=0.3, last_retry_s=60.0, stable_s=30.0).start()
            await asyncio.sleep(1.0)
            assert 2 <= len(server.attempts) <= 4
            await source.stop()

    run(main())


def test_a_peer_that_speaks_no_http_is_a_failure_like_others() -> None:
    async def main() -> None:
        def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 10)
            writer.close()

        peer = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = peer.sockets[0].getsockname()[1]
        async with VantiqServer() as server:
            server._port = port  # where the settings lead
            source = source_of(server).start()
            await until(lambda: sum(isinstance(one, Waiting) for one in source.states) > 2)
            await source.stop()
        peer.close()
        await peer.wait_closed()

    run(main())

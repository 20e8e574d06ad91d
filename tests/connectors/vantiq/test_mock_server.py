"""The public mock server: honest about the protocol, whoever connects."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from smapd.testing.vantiq import Drop, Hang, Pause, Refuse, Say, VantiqServer
from tests.connectors.vantiq.harness import connected, run, until

pytestmark = pytest.mark.real

VALIDATE = {"op": "validate", "resourceName": "system.credentials", "object": "a-token"}
CONNECT = {
    "op": "connectExtension",
    "resourceName": "sources",
    "resourceId": "pump",
    "parameters": {"reconnectSecret": "pump_1"},
}


def by_hand(server: VantiqServer) -> Any:
    return connect(server.url.replace("http", "ws") + "api/v1/wsock/websocket")


async def say(ws: ClientConnection, *messages: Any) -> list[Any]:
    """Send each, and take one answer to each."""
    answers = []
    for message in messages:
        await ws.send(json.dumps(message))
        answers.append(json.loads(await ws.recv()))
    return answers


def test_it_speaks_as_the_wire_table_has_it() -> None:
    """W-02 to W-07."""

    async def main() -> None:
        async with VantiqServer(sources={"pump": {"rate": 5}}) as server, by_hand(server) as ws:
            validated, accepted = await say(ws, VALIDATE, CONNECT)
            assert (validated["status"], accepted["status"]) == (200, 200)
            assert json.loads(await ws.recv()) == {
                "op": "configureExtension",
                "resourceName": "SOURCES",
                "resourceId": "pump",
                "object": {"config": {"rate": 5}},
            }
            assert server.attempts[0].secret == "pump_1"
            assert server.attempts[0].configured
            assert server.complaints == []

    run(main())


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([VALIDATE | {"object": "wrong"}], 401),
        ([VALIDATE | {"object": None}], 401),
        ([VALIDATE, CONNECT | {"resourceId": "fan"}], 404),
    ],
)
def test_it_refuses_what_a_server_refuses(messages: list[Any], status: int) -> None:
    async def main() -> None:
        async with VantiqServer(sources={"pump": {}}) as server, by_hand(server) as ws:
            assert (await say(ws, *messages))[-1]["status"] == status

    run(main())


def test_a_second_session_needs_the_same_secret() -> None:
    async def main() -> None:
        async with VantiqServer() as server, by_hand(server) as first:
            await say(first, VALIDATE, CONNECT)
            session = await server.session("pump")
            other = CONNECT | {"parameters": {"reconnectSecret": "pump_2"}}
            async with by_hand(server) as second:
                assert (await say(second, VALIDATE, other))[-1]["status"] == 409
            assert session.is_open
            async with by_hand(server) as third:
                assert (await say(third, VALIDATE, CONNECT))[-1]["status"] == 200
                await server.session("pump", after=session)
                assert not session.is_open

    run(main())


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ({"op": "dance"}, "unknown op 'dance'"),
        (
            {"op": "notification", "resourceName": "sources", "resourceId": "x"},
            "a notification for",
        ),
        (
            {"op": "notification", "resourceName": "sources", "resourceId": "pump"},
            "without an obje",
        ),
        ({"status": 200, "headers": {"X-Reply-Address": "A"}, "body": {}}, "nobody waits for"),
        ({"status": 200, "headers": {"X-Reply-Address": "A"}, "body": 7}, "no object and no list"),
        ({"status": 204, "headers": {"X-Reply-Address": "A"}, "body": {}}, "empty answer with a b"),
        ({"status": 400, "headers": {"X-Reply-Address": "A"}, "body": {}}, "an error without code"),
        ({"status": 500}, "an answer with status 500"),
        ([1], "no JSON object in a text frame"),
    ],
)
def test_it_complains_of_what_is_against_the_protocol(frame: Any, complaint: str) -> None:
    async def main() -> None:
        async with VantiqServer() as server, by_hand(server) as ws:
            await say(ws, VALIDATE, CONNECT)
            await ws.send(json.dumps(frame))
            await until(lambda: server.complaints)
            assert complaint in server.complaints[0]

    run(main())


def test_a_script_is_for_one_connection_and_what_is_left_is_counted() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            server.script(Pause("login", 0.01), Say("login", ('{"status":150}',)))
            server.script(Refuse("login", 500, {"message": "later"}))
            server.script(Drop("source"))
            server.script(Hang("login"))
            async with by_hand(server) as ws:
                assert (await say(ws, VALIDATE))[0] == {"status": 150}
                assert json.loads(await ws.recv())["status"] == 200
            async with by_hand(server) as ws:
                assert (await say(ws, VALIDATE))[0]["status"] == 500
            assert server.unused == 2

    run(main())


def test_it_starts_again_on_the_same_port() -> None:
    async def main() -> None:
        async with connected() as (server, _, session):
            url = server.url
            await server.stop()
            await server.start()
            assert server.url == url
            await server.session("pump", after=session)

    run(main())


def test_it_runs_by_hand(tmp_path: Path) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "smapd.testing.vantiq_console",
            cwd=Path(__file__).parents[3],
            env=os.environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None

        async def line() -> Any:
            async with asyncio.timeout(20):
                return json.loads(await process.stdout.readline())  # type: ignore[union-attr]

        first = await line()
        async with connect(first["url"].replace("http", "ws") + "api/v1/wsock/websocket") as ws:
            await say(ws, VALIDATE, CONNECT)
            await ws.recv()
            assert await line() == {"source": "pump", "connected": True}
            process.stdin.write(b'{"source": "pump", "query": {"a": 1}}\nnonsense\n')
            asked = json.loads(await ws.recv())
            assert "error" in await line()
            answer = {
                "status": 200,
                "headers": {"X-Reply-Address": asked["messageHeaders"]["REPLY_ADDR_HEADER"]},
                "body": {"b": 2},
            }
            await ws.send(json.dumps(answer))
            assert await line() == {"source": "pump", "answers": [[200, {"b": 2}]]}
        assert await line() == {"source": "pump", "ended": True}
        process.stdin.close()
        assert await process.wait() == 0

    run(main(), within_s=60)

"""Sockets on one loop, handlers on another: as the daemon runs a source."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from twisted.python.failure import Failure

from smapd.connectors.vantiq import (
    LinkLost,
    ThreadCrossing,
    VantiqConnector,
    VantiqConnectorException,
    VantiqSourceConnection,
)
from smapd.errors import ShutdownRequested
from smapd.testing.vantiq import VantiqServer
from tests.connectors.vantiq.harness import settings_of, until
from tests.runtime.conftest import Live

pytestmark = pytest.mark.real


@pytest.fixture
def here() -> Iterator[Live]:
    live = Live()
    yield live
    live.close()


def run_on_loop(here: Live, coro: Coroutine[Any, Any, Any]) -> Any:
    """Run it on our loop while this thread is the reactor's; its result."""
    seen: list[Any] = []
    here.threads.to_loop(coro).addBoth(seen.append)
    here.until(lambda: seen)
    if isinstance(seen[0], Failure):
        seen[0].raiseException()
    return seen[0]


def thread() -> str:
    return threading.current_thread().name


def test_handlers_run_on_the_users_loop_and_may_send_from_there(here: Live) -> None:
    told: list[tuple[str, str]] = []
    states: list[str] = []

    async def main() -> None:
        async with VantiqServer(sources={"pump": {"rate": 5}}) as server:
            connection = VantiqSourceConnection(
                "pump",
                settings_of(server),
                crossing=ThreadCrossing(here.threads),
                on_state=lambda state: states.append(thread()),
            )

            async def close(context: dict[str, Any]) -> None:
                told.append(("close", thread()))

            async def connect(context: dict[str, Any], config: dict[str, Any]) -> None:
                told.append(("connect", thread()))
                await connection.send_notification({"up": True})

            async def publish(context: dict[str, Any], message: dict[str, Any]) -> None:
                told.append(("publish", thread()))
                await connection.deliver([message, message])
                if message.get("stop"):
                    await connection.close()  # by a handler: does not wait for itself

            async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
                told.append(("query", thread()))
                if message.get("fail"):
                    raise ValueError(message)
                send = connection.send_query_response
                await send(context, VantiqConnector.QUERY_PARTIAL, {"n": 0})
                await send(context, VantiqConnector.QUERY_COMPLETE, {"n": 1})
                with pytest.raises(VantiqConnectorException, match="final answer"):
                    await send(context, VantiqConnector.QUERY_COMPLETE, {"n": 2})

            connection.configure_handlers(close, connect, publish, query)
            running = asyncio.create_task(connection.connect_to_vantiq())
            session = await server.session("pump")
            assert await session.notification() == {"up": True}
            assert [one.status for one in await session.query({})] == [100, 200]
            (failed,) = await session.query({"fail": True})
            assert failed.body["parameters"] == ["pump", "ValueError"]
            await session.publish({"stop": True})
            async with asyncio.timeout(10):
                await running
            assert session.received == 3
            assert server.complaints == []

    run_on_loop(here, main())

    kinds = [kind for kind, _ in told]
    assert kinds == ["connect", "query", "query", "publish", "close"]
    assert {where for _, where in told} == {"loop-user"}
    assert set(states) == {"loop"}


def test_a_handler_that_blocks_its_loop_holds_up_no_socket(here: Live) -> None:
    gate = here.gate()

    async def main() -> None:
        async with VantiqServer() as server:
            connection = VantiqSourceConnection(
                "pump",
                settings_of(server, send_pings=True, ping_every_s=0.05, ping_answer_s=0.2),
                crossing=ThreadCrossing(here.threads),
            )

            async def block(*_: Any) -> None:
                gate.wait(5)

            connection.configure_handlers(handle_publish=block)
            running = asyncio.create_task(connection.connect_to_vantiq())
            session = await server.session("pump")
            await session.publish({})
            await until(lambda: connection.counters.publishes == 1)
            await asyncio.sleep(0.4)
            await connection.deliver([{"still": "here"}])
            assert len(server.attempts) == 1
            gate.set()
            await connection.close()
            await running

    run_on_loop(here, main())


def test_a_handler_is_cancelled_where_it_runs(here: Live) -> None:
    cancelled: list[str] = []

    async def main() -> None:
        async with VantiqServer() as server:
            connection = VantiqSourceConnection(
                "pump", settings_of(server, close_s=0.1), crossing=ThreadCrossing(here.threads)
            )

            async def hang(*_: Any) -> None:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.append(thread())
                    raise

            connection.configure_handlers(handle_query=hang)
            running = asyncio.create_task(connection.connect_to_vantiq())
            session = await server.session("pump")
            await session.ask({})
            await until(lambda: connection.status()["open_queries"] == 1)
            await asyncio.sleep(0.05)
            await connection.close()
            await running

    run_on_loop(here, main())
    here.until(lambda: cancelled)

    assert cancelled == ["loop-user"]


def test_what_crosses_brings_back_results_and_exceptions(here: Live) -> None:
    crossing = ThreadCrossing(here.threads)

    async def gives(value: Any) -> tuple[Any, str]:
        return value, thread()

    async def fails() -> None:
        raise KeyError("x")

    async def ends() -> None:
        raise asyncio.CancelledError

    async def there() -> Any:
        return await crossing.to_sockets(gives(2))

    async def main() -> None:
        assert await crossing.to_handlers(gives(1)) == (1, "loop-user")
        assert await crossing.to_handlers(there()) == (2, "loop")
        with pytest.raises(KeyError):
            await crossing.to_handlers(fails())
        with pytest.raises(LinkLost):  # and not as if we were cancelled
            await crossing.to_handlers(ends())

    run_on_loop(here, main())


def test_after_the_stop_nobody_waits_for_ever(here: Live) -> None:
    crossing = ThreadCrossing(here.threads)

    async def gives() -> int:
        return 1

    async def main() -> None:
        here.threads._user_loop._stopped = True
        with pytest.raises(ShutdownRequested):
            await crossing.to_handlers(gives())
        here.threads._user_loop._stopped = False

    run_on_loop(here, main())

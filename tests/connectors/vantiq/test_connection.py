"""A connected source: its handlers, its notifications, its answers."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from smapd.connectors.vantiq import (
    LinkLost,
    VantiqConnector,
    VantiqConnectorConfigException,
    VantiqConnectorException,
    VantiqSourceConnection,
)
from smapd.testing.vantiq import VantiqServer
from tests.connectors.vantiq.harness import connected, run, source_of, until

pytestmark = pytest.mark.real

COMPLETE, PARTIAL = VantiqConnector.QUERY_COMPLETE, VantiqConnector.QUERY_PARTIAL
EMPTY = VantiqConnector.QUERY_EMPTY


# --- handlers


def test_each_handler_gets_its_context_and_message() -> None:
    """VQ-02, VQ-20 to VQ-23, VQ-26."""

    async def main() -> None:
        async with VantiqServer(sources={"pump": {"rate": 5}}) as server:
            async with connected(server) as (_, source, session):
                await session.publish({"go": True})
                await session.query({"what": "speed"})
                await until(lambda: len(source.told) == 3)
            context = {"source_name": "pump"}
            assert source.told == [
                ("connect", context, {"rate": 5}),
                ("publish", context, {"go": True}),
                ("query", context | {"response_address": "reply-1"}, {"what": "speed"}),
                ("close", context),
            ]
            assert server.complaints == []

    run(main())


@pytest.mark.parametrize("style", ["position", "handle", "handler"])
def test_handlers_are_given_by_position_or_by_either_name(style: str) -> None:
    """VQ-12: configure_handlers(close, connect, publish, query), handle_* or *_handler."""

    async def main() -> None:
        told: list[str] = []

        def handler(name: str) -> Any:
            async def handle(*_: Any) -> None:
                told.append(name)

            return handle

        kinds = ("close", "connect", "publish", "query")
        async with VantiqServer() as server:
            source = source_of(server)
            if style == "position":
                source.connection.configure_handlers(*map(handler, kinds))
            else:
                pattern = "handle_{}" if style == "handle" else "{}_handler"
                source.connection.configure_handlers(
                    **{pattern.format(kind): handler(kind) for kind in kinds}
                )
            source.start()
            session = await server.session("pump")
            await session.publish({})
            await session.ask({})
            await until(lambda: len(told) == 3)
            await source.stop()

        assert sorted(told[:3]) == ["connect", "publish", "query"]
        assert told[3:] == ["close"]

    run(main())


def test_a_handler_given_twice_or_no_handler_at_all_is_refused() -> None:
    connection = VantiqSourceConnection("pump")

    async def handle(*_: Any) -> None: ...

    with pytest.raises(VantiqConnectorException, match="given twice, as handle_query and as quer"):
        connection.configure_handlers(handle_query=handle, query_handler=handle)
    with pytest.raises(VantiqConnectorException, match="the close handler is a int"):
        connection.configure_handlers(7)  # type: ignore[arg-type]


def test_without_handlers_publishes_are_dropped_and_queries_get_an_error() -> None:
    """Handlers may be None; a query without handler gets an error answer."""

    async def main() -> None:
        async with connected() as (_, source, session):
            source.connection.configure_handlers(None, None, None, None)
            await session.publish({"a": 1})
            (answer,) = await session.query({})

            assert answer.status == 400
            assert answer.body["messageCode"] == "smapd.connector.no_handler"
            assert answer.body["parameters"] == ["pump"]
            assert source.connection.counters.publishes == 1

    run(main())


def test_a_plain_function_is_a_handler_too() -> None:
    async def main() -> None:
        told: list[Any] = []
        async with connected() as (_, source, session):
            source.connection.configure_handlers(
                handle_publish=lambda context, message: told.append(message)
            )
            await session.publish({"a": 1})
            await until(lambda: told)

        assert told == [{"a": 1}]

    run(main())


def test_publishes_of_a_source_stay_in_order_and_one_at_a_time() -> None:
    async def main() -> None:
        order: list[int] = []
        running = 0

        async def publish(context: dict[str, Any], message: dict[str, Any]) -> None:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(0.01 if message["n"] % 5 == 0 else 0)
            order.append(message["n"])
            running -= 1

        async with connected() as (_, source, session):
            source.on_publish = publish
            for n in range(50):
                await session.publish({"n": n})
            await until(lambda: len(order) == 50)

        assert order == list(range(50))

    run(main())


def test_a_handler_that_fails_is_logged_and_the_next_message_still_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async def publish(context: dict[str, Any], message: dict[str, Any]) -> None:
            if message["n"] == 0:
                raise ValueError("no such valve")
            if message["n"] == 1:
                task = asyncio.create_task(asyncio.sleep(9))
                task.cancel()
                await task  # a CancelledError that is not ours

        async with connected() as (_, source, session):
            source.on_publish = publish
            for n in range(3):
                await session.publish({"n": n})
            await until(lambda: source.kinds().count("publish") == 3)
            assert source.connection.counters.handler_failures == 2
            assert source.connection.is_connected

    run(main())

    assert "the publish handler failed" in caplog.text
    assert "ValueError: no such valve" in caplog.text


def test_a_handler_that_fails_again_and_again_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once for each place that raises, with the traceback; the counter has the number."""

    async def main() -> None:
        async def publish(context: dict[str, Any], message: dict[str, Any]) -> None:
            if message["n"] % 2:
                raise KeyError(message["n"])
            raise ValueError(f"no valve {message['n']}")

        async with connected() as (_, source, session):
            source.on_publish = publish
            for n in range(200):
                await session.publish({"n": n})
            await until(lambda: source.connection.counters.handler_failures == 200)

    run(main())

    failures = [one for one in caplog.records if "handler failed" in one.getMessage()]
    assert [one.getMessage() for one in failures] == ["source pump: the publish handler failed"] * 2
    assert "ValueError: no valve 0" in caplog.text
    assert "KeyError: 1" in caplog.text


def test_queries_run_beside_each_other_and_beside_publishes() -> None:
    """A slow query holds up nothing."""

    async def main() -> None:
        go = asyncio.Event()

        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            if message["n"] == 0:
                await go.wait()
            await source.connection.send_query_response(context, COMPLETE, message)

        async with connected() as (_, source, session):
            source.on_query = query
            slow = await session.ask({"n": 0})
            quick = [await session.query({"n": n}) for n in (1, 2)]
            await session.publish({"a": 1})
            await until(lambda: "publish" in source.kinds())
            go.set()

            assert [answers[0].body["n"] for answers in quick] == [1, 2]
            assert (await session.answers(slow))[0].body == {"n": 0}

    run(main())


# --- answers


def test_partial_answers_come_before_the_final_one() -> None:
    """VQ-24: any number of QUERY_PARTIAL, then one QUERY_COMPLETE; VQ-05."""

    async def main() -> None:
        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            for n in range(message["parts"]):
                await source.connection.send_query_response(context, PARTIAL, [{"n": n}])
            if message["parts"] == 0:
                await source.connection.send_query_response(context, EMPTY, None)
            else:
                await source.connection.send_query_response(context, COMPLETE, {"last": True})

        async with connected() as (_, source, session):
            source.on_query = query
            found = await session.query({"parts": 3})
            assert [one.status for one in found] == [100, 100, 100, 200]
            assert [one.body for one in found[:3]] == [[{"n": 0}], [{"n": 1}], [{"n": 2}]]
            assert await session.query({"parts": 0}) == [(204, None)]

    run(main())


def test_an_error_answer_ends_a_query() -> None:
    """VQ-15."""

    async def main() -> None:
        error = {
            VantiqConnector.ERROR_CODE: "my.code",
            VantiqConnector.ERROR_TEMPLATE: "{0} is missing",
            VantiqConnector.ERROR_PARAMETERS: ["this"],
        }

        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            await source.connection.send_query_error(context, error)

        async with connected() as (_, source, session):
            source.on_query = query
            assert await session.query({}) == [(400, error)]

    run(main())


def test_there_are_never_two_final_answers() -> None:
    async def main() -> None:
        refused: list[str] = []

        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            send = source.connection.send_query_response
            await send(context, COMPLETE, {"a": 1})
            for code, rest in ((COMPLETE, {}), (PARTIAL, {}), (EMPTY, None)):
                for same in (context, dict(context)):
                    try:
                        await send(same, code, rest)
                    except VantiqConnectorException as error:
                        refused.append(error.message)
            raise ValueError("after the final answer")

        async with connected() as (server, source, session):
            source.on_query = query
            assert len(await session.query({})) == 1
            await until(lambda: source.connection.counters.handler_failures == 1)
            await session.query({})  # nothing came between

        assert refused[:6] == ["source pump: this query has its final answer already"] * 6

    run(main())


def test_a_query_whose_handler_fails_gets_an_error_answer() -> None:
    async def main() -> None:
        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            await source.connection.send_query_response(context, PARTIAL, {"a": 1})
            raise ValueError("a password")

        async with connected() as (_, source, session):
            source.on_query = query
            partial, final = await session.query({})

            assert (partial.status, final.status) == (100, 400)
            assert final.body["messageCode"] == "smapd.connector.handler_failed"
            assert final.body["parameters"] == ["pump", "ValueError"]

    run(main())


def test_a_query_may_be_answered_later_by_a_task() -> None:
    """VQ-25: a handler may hand long work to a task of its own."""

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async def later(context: dict[str, Any]) -> None:
            await asyncio.sleep(0.05)
            await source.connection.send_query_response(context, COMPLETE, {"late": True})

        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            tasks.append(asyncio.create_task(later(context)))

        async with connected() as (_, source, session):
            source.on_query = query
            assert (await session.query({}))[0].body == {"late": True}
            await asyncio.gather(*tasks)

    run(main())


def test_a_query_that_nobody_answers_gets_an_error_in_time() -> None:
    async def main() -> None:
        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            contexts.append(context)

        contexts: list[dict[str, Any]] = []
        async with connected(answer_query_s=0.2) as (_, source, session):
            source.on_query = query
            (answer,) = await session.query({})

            assert answer.body["messageCode"] == "smapd.connector.no_answer"
            with pytest.raises(VantiqConnectorException, match="final answer already"):
                await source.connection.send_query_response(contexts[0], COMPLETE, {})
            assert source.connection.status()["open_queries"] == 0

    run(main())


def test_a_query_without_address_is_handled_and_not_answered() -> None:
    async def main() -> None:
        async with connected() as (server, source, session):
            await session.send({"op": "query", "object": {"a": 1}})
            await until(lambda: source.connection.counters.handler_failures == 1)

            assert source.told[-1] == ("query", {"source_name": "pump"}, {"a": 1})
            assert source.connection.counters.answers == 0
            await session.query({})
            assert source.connection.status()["open_queries"] == 0

    run(main())


# --- notifications


def test_a_notification_reaches_the_server() -> None:
    """VQ-13."""

    async def main() -> None:
        async with connected() as (_, source, session):
            for n in range(3):
                await source.connection.send_notification({"n": n})
            assert [await session.notification() for _ in range(3)] == [{"n": n} for n in range(3)]
            assert source.connection.counters.notifications == 3

    run(main())


def test_a_notification_may_be_sent_from_each_handler() -> None:
    """Inside connect too, where the server's answer is still being handled."""

    async def main() -> None:
        async def notify(context: dict[str, Any], message: dict[str, Any]) -> None:
            await source.connection.send_notification({"from": message.get("from", "connect")})

        async with VantiqServer() as server:
            source = source_of(server)
            source.on_connect = source.on_publish = source.on_query = notify
            source.start()
            session = await server.session("pump")
            assert await session.notification() == {"from": "connect"}
            await session.publish({"from": "publish"})
            assert await session.notification() == {"from": "publish"}
            await session.ask({"from": "query"})
            assert await session.notification() == {"from": "query"}
            await source.stop()

    run(main())


def test_a_notification_waits_for_the_first_connection() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server)
            early = asyncio.create_task(source.connection.send_notification({"early": True}))
            await asyncio.sleep(0.02)
            assert not early.done()
            source.start()
            session = await server.session("pump")
            assert await session.notification() == {"early": True}
            await early
            await source.stop()

    run(main())


def test_a_notification_waits_for_the_reconnect() -> None:
    async def main() -> None:
        async with connected() as (server, source, session):
            session.drop()
            await until(lambda: not source.connection.is_connected)
            waiting = [
                asyncio.create_task(source.connection.send_notification({"n": n})) for n in range(5)
            ]
            again = await server.session("pump", after=session)
            await asyncio.gather(*waiting)
            assert [await again.notification() for _ in range(5)] == [{"n": n} for n in range(5)]

    run(main())


def test_what_is_delivered_has_been_read_by_the_server() -> None:
    async def main() -> None:
        async with connected() as (_, source, session):
            await source.connection.deliver([{"n": n} for n in range(1000)])
            await until(lambda: session.received == 1000)  # read, and not yet all looked at
            assert [one["n"] for one in session.notifications] == list(range(1000))

    run(main())


def test_what_a_dead_server_did_not_read_is_not_delivered() -> None:
    async def main() -> None:
        async with connected(ping_answer_s=0.2) as (server, source, session):
            session.freeze()
            with pytest.raises(LinkLost, match="a ping was not answered within 0.2 s"):
                await source.connection.deliver([{"n": 1}])
            again = await server.session("pump", after=session)
            await source.connection.deliver([{"n": 1}])
            assert await again.notification() == {"n": 1}

    run(main())


def test_a_server_that_does_not_read_holds_up_the_sender_within_bounds() -> None:
    async def main() -> None:
        async with connected(waiting_bytes=400_000, close_s=0.2) as (_, source, session):
            session.freeze()
            refused: list[str] = []

            async def send(n: int) -> None:
                big = {"text": random.Random(n).randbytes(100_000).hex()}
                try:
                    await source.connection.send_notification(big)
                except VantiqConnectorException as error:
                    refused.append(error.message)

            tasks = []
            while not refused and len(tasks) < 500:
                tasks.append(asyncio.create_task(send(len(tasks))))
                await asyncio.sleep(0.002)
            assert "wait to be sent already" in refused[0]
            assert source.connection.status()["unsent"] <= 3
            session.drop()
            await source.connection.close()
            await asyncio.gather(*tasks)

    run(main())


# --- what it is


def test_it_knows_its_name_its_config_and_its_state() -> None:
    async def main() -> None:
        async with connected() as (server, source, _):
            connection = source.connection
            assert connection.get_source() == connection.source_name == "pump"
            assert connection.is_connected
            assert repr(connection) == "<VantiqSourceConnection pump connected>"
            status = connection.status()
            assert status["state"] == "connected"
            assert status["server"].endswith("/api/v1/wsock/websocket")
            assert server.token not in str(status)
        assert repr(connection) == "<VantiqSourceConnection pump closed>"
        names = [type(state).__name__ for state in source.states]
        assert names == ["Connecting", "Connected", "Closed"]

    run(main())


def test_the_properties_of_a_file_will_do() -> None:
    """As a program makes one by itself: VantiqSourceConnection(name, properties)."""

    async def main() -> None:
        async with VantiqServer() as server:
            properties = {"targetServer": server.url, "authToken": server.token}
            connection = VantiqSourceConnection("pump", properties)
            assert connection.get_server_config() is properties
            task = asyncio.create_task(connection.connect_to_vantiq())
            await server.session("pump")
            await connection.close()
            await task

    run(main())


def test_without_settings_it_does_not_run() -> None:
    with pytest.raises(VantiqConnectorConfigException, match="pump has no settings"):
        run(VantiqSourceConnection("pump").connect_to_vantiq())
    with pytest.raises(VantiqConnectorConfigException, match=r"server.config: authToken is not"):
        VantiqSourceConnection("pump", {"targetServer": "http://h/"})


def test_a_listener_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server)
            source.connection._on_state = lambda state: 1 / 0
            source.start()
            await server.session("pump")
            await source.stop()

    run(main())

    assert "the listener to states failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text

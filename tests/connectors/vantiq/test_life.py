"""How a connection begins, is lost, comes back and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import Any

import pytest

from smapd.connectors.vantiq import (
    Closed,
    ConnectFailed,
    Refused,
    VantiqConnectorConfigException,
    VantiqConnectorException,
    VantiqSourceConnection,
    Waiting,
)
from smapd.connectors.vantiq.link import Link
from smapd.testing.vantiq import Act, Drop, Hang, Refuse, VantiqServer
from smapd.values import wall_ms
from tests.connectors.vantiq.harness import connected, run, settings_of, source_of, until

pytestmark = pytest.mark.real


# --- coming back


@pytest.mark.parametrize("how", ["lost", "closed", "required"])
def test_a_lost_connection_comes_back(how: str) -> None:
    """VQ-27: close handler, then connect handler, possibly with a new configuration."""

    async def main() -> None:
        async with VantiqServer(sources={"pump": {"v": 1}}) as server:
            async with connected(server) as (_, source, session):
                server.sources = {"pump": {"v": 2}}
                if how == "lost":
                    session.drop()
                elif how == "closed":
                    await session.close(1001, "going away")
                else:
                    await session.require_reconnect()
                again = await server.session("pump", after=session)
                await until(lambda: source.kinds() == ["connect", "close", "connect"])
                assert [one[2] for one in source.told if one[0] == "connect"] == [
                    {"v": 1},
                    {"v": 2},
                ]
                await again.query({})
                assert source.connection.counters.lost == 1
            assert source.kinds()[-1] == "close"
            assert source.kinds().count("close") == 2
            assert server.complaints == []

    run(main())


def test_the_reconnect_secret_is_the_same_each_time() -> None:
    """VQ-35, W-05: SOURCE_ and a uuid made once, or SOURCE_ and the property."""

    async def main() -> None:
        async with VantiqServer() as server:
            async with connected(server) as (_, _, session):
                session.drop()
                await server.session("pump", after=session)
            async with connected(server, reconnect_secret="hush"):
                pass
        secrets = [attempt.secret for attempt in server.attempts]
        assert secrets[0] == secrets[1]
        assert secrets[0] is not None
        assert secrets[0].startswith("pump_")
        assert len(secrets[0]) > 30
        assert secrets[2] == "pump_hush"

    run(main())


def test_a_half_open_session_is_replaced_within_two_pings() -> None:
    """VQ-36, VQ-32, W-15: the server takes the same secret for the same connector."""

    async def main() -> None:
        async with connected(send_pings=True, ping_every_s=0.1, ping_answer_s=0.1) as three:
            server, source, session = three
            begun_s = asyncio.get_running_loop().time()
            session.freeze()
            again = await server.session("pump", after=session)
            took_s = asyncio.get_running_loop().time() - begun_s
            assert again.secret == session.secret
            assert took_s < 2 * 0.1 + 0.1 + 1.0  # two pings, a pause, and a busy machine
            await again.query({})

    run(main())


def test_without_pings_silence_is_no_reason_to_begin_again() -> None:
    async def main() -> None:
        async with connected(send_pings=False, ping_every_s=0.05, ping_answer_s=0.05) as three:
            server, source, session = three
            session.freeze()
            await asyncio.sleep(0.3)
            assert source.connection.is_connected
            assert len(server.attempts) == 1
            session.thaw()

    run(main())


def test_a_handler_that_is_behind_is_no_reason_to_begin_again() -> None:
    """While nothing is read a pong may be stuck behind other frames."""

    async def main() -> None:
        go = asyncio.Event()

        async def publish(context: dict[str, Any], message: dict[str, Any]) -> None:
            await go.wait()

        limits: dict[str, Any] = {"ping_every_s": 0.05, "ping_answer_s": 0.05, "publishes": 3}
        async with connected(send_pings=True, **limits) as (server, source, session):
            source.on_publish = publish
            for n in range(50):
                await session.publish({"n": n})
            await until(lambda: source.connection.counters.publishes >= 4)
            await asyncio.sleep(0.4)
            assert source.connection.counters.publishes < 10  # the server has to wait
            assert len(server.attempts) == 1
            go.set()
            await until(lambda: source.kinds().count("publish") == 50)
            assert [one[2]["n"] for one in source.told if one[0] == "publish"] == list(range(50))

    run(main())


# --- backoff

FAILURES: list[tuple[Act, ...]] = [
    (Refuse("http", 503),),
    (Refuse("http", 401),),
    (Refuse("login", 500, [{"code": "busy", "message": "later"}]),),
    (Refuse("login", 403),),
    (Refuse("source", 404),),
    (Refuse("source", 401),),
    (Drop("http"),),
    (Drop("login"),),
    (Drop("login", 1011),),
    (Drop("source"),),
    (Drop("source", 1000),),
    (Drop("running"),),
    (Drop("running", 1000),),
]


@pytest.mark.parametrize("acts", FAILURES, ids=str)
def test_each_kind_of_failure_waits_longer_each_time(acts: tuple[Act, ...]) -> None:
    """One policy for all: the first retry soon, then growing, and bounded."""

    async def main() -> None:
        async with VantiqServer() as server:
            server.always(*acts)
            source = source_of(server, first_retry_s=0.02, last_retry_s=0.08, stable_s=60.0)
            source.start()
            await server.attempted(7)
            server.always()
            await until(lambda: source.connection.is_connected)
            await source.stop()
            at = [attempt.at_s for attempt in server.attempts]
            pauses = [b - a for a, b in zip(at, at[1:], strict=False)]
            assert pauses[0] >= 0.02
            assert pauses[3] >= 0.02 * 1.5**3
            assert min(pauses[4:6]) >= 0.08
            waited = [state for state in source.states if isinstance(state, Waiting)]
            assert [state.failures for state in waited[:6]] == [1, 2, 3, 4, 5, 6]
            assert server.token not in str(waited)

    run(main())


def test_nobody_listening_is_a_failure_like_others() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server).start()
            session = await server.session("pump")
            await server.stop()
            await until(lambda: sum(isinstance(one, Waiting) for one in source.states) >= 3)
            await server.start()
            await server.session("pump", after=session)
            await source.stop()

    run(main())


def test_the_pauses_begin_at_a_second_and_end_at_a_minute() -> None:
    """The policy of the whole house: 1 s, 1.5 times longer each, 20 % more or less, ≤ 60 s."""

    async def main() -> None:
        for chance, first_s in ((0.0, 0.8), (0.5, 1.0), (0.999, 1.2)):
            states: list[Any] = []
            async with VantiqServer() as server:
                server.always(Refuse("http", 503))
                settings = settings_of(server, first_retry_s=1.0, last_retry_s=60.0)
                connection = VantiqSourceConnection(
                    "pump", settings, on_state=states.append, random=lambda c=chance: c
                )
                task = asyncio.create_task(connection.connect_to_vantiq())
                await until(lambda s=states: any(isinstance(one, Waiting) for one in s))
                left_ms = states[-1].until_ms - wall_ms()
                assert first_s * 1000 - 500 < left_ms <= first_s * 1000 + 1
                await connection.close()
                await task

    run(main())


def test_only_a_connection_that_lived_a_while_is_a_success() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server, stable_s=0.15, first_retry_s=0.02, last_retry_s=1.0)
            source.start()
            session = None
            for _ in range(4):
                session = await server.session("pump", after=session)
                session.drop()
            session = await server.session("pump", after=session)
            await asyncio.sleep(0.25)
            session.drop()
            await server.session("pump", after=session)
            failures = [one.failures for one in source.states if isinstance(one, Waiting)]
            await source.stop()
            assert failures == [1, 2, 3, 4, 1]

    run(main())


@pytest.mark.parametrize("step", ["http", "login", "source"])
def test_each_answer_has_a_time_limit(step: Any) -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            server.script(Hang(step))
            source = source_of(server, connect_s=0.1, answer_s=0.1).start()
            await server.session("pump")
            why = next(one.why for one in source.states if isinstance(one, Waiting))
            await source.stop()
            assert "no answer to" in why
            assert "within 0.1 s" in why

    run(main())


def test_a_fault_is_logged_when_it_changes_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            server.always(Refuse("http", 503))
            source = source_of(server).start()
            await server.attempted(8)
            server.always()
            await server.session("pump")
            await until(lambda: source.connection.is_connected)
            await source.stop()

    with caplog.at_level(logging.INFO):
        run(main())

    lines = [record.getMessage() for record in caplog.records if record.name.startswith("Vantiq")]
    assert sum("the server answers HTTP 503" in line for line in lines) == 1
    assert any(line.startswith("source pump is connected after ") for line in lines)
    assert {record.name for record in caplog.records} == {"VantiqSourceConnection"}  # VQ-07


# --- refusals for good


def test_a_refused_token_is_fatal_and_tried_once() -> None:
    """W-03."""

    async def main() -> None:
        async with VantiqServer(token="right") as server:
            source = source_of(server, token="wrong-token")
            with pytest.raises(VantiqConnectorConfigException) as raised:
                await source.connection.connect_to_vantiq()
            assert len(server.attempts) == 1
            assert source.told == []
            assert isinstance(source.connection.state, Refused)
            for part in ("status 401", "make a new one", "CONNECTOR_AUTH_TOKEN"):
                assert part in raised.value.message
            assert "wrong-token" not in raised.value.message + str(source.connection.status())

    run(main())


@pytest.mark.parametrize("acts", FAILURES[:11], ids=str)
def test_fail_on_connection_error_raises_at_the_first_one(acts: tuple[Act, ...]) -> None:
    """VQ-35: failOnConnectionError."""

    async def main() -> None:
        async with VantiqServer() as server:
            server.always(*acts)
            source = source_of(server, fail_on_connection_error=True)
            with pytest.raises(ConnectFailed):
                await source.connection.connect_to_vantiq()
            assert len(server.attempts) == 1

    run(main())


# --- the end


def test_close_is_final() -> None:
    """VQ-16: a close frame, the close handler once, no reconnect; and run returns."""

    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server).start()
            session = await server.session("pump")
            await until(lambda: source.connection.is_connected)
            await asyncio.gather(source.connection.close(), source.connection.close())
            assert source.task is not None
            await source.task
            assert session._ws.close_code == 1000
            await source.connection.close()
            await asyncio.sleep(0.1)

            assert source.kinds() == ["connect", "close"]
            assert len(server.attempts) == 1
            assert source.connection.state == Closed()
            with pytest.raises(VantiqConnectorException, match="pump is closed"):
                await source.connection.send_notification({})
            await source.connection.connect_to_vantiq()  # stays closed
            assert len(server.attempts) == 1

    run(main())


@pytest.mark.parametrize(
    "acts", [(Refuse("http", 503),), (Hang("http"),), (Hang("login"),), (Hang("source"),)], ids=str
)
def test_close_ends_what_was_never_connected(acts: tuple[Act, ...]) -> None:
    """Also while a retry is pending, or while an answer is waited for."""

    async def main() -> None:
        async with VantiqServer() as server:
            server.always(*acts)
            source = source_of(server, first_retry_s=50.0, last_retry_s=50.0).start()
            await server.attempted(1)
            await asyncio.sleep(0.05)
            async with asyncio.timeout(2):
                await source.stop()
            assert source.kinds() == ["close"]
            assert len(server.attempts) == 1

    run(main())


@pytest.mark.parametrize("by", ["close", "reconnect"])
def test_a_server_that_reads_nothing_holds_up_no_end(by: str) -> None:
    """A write that waits for the peer must not keep the close frame, and us, for ever."""

    async def main() -> None:
        async with connected(close_s=0.2) as (server, source, session):

            async def send() -> None:
                chance = random.Random(1)
                with contextlib.suppress(VantiqConnectorException):
                    while True:
                        big = {"text": chance.randbytes(100_000).hex()}
                        await source.connection.send_notification(big)
                        sent.append(1)

            sent: list[int] = []
            session.freeze()
            sending = asyncio.create_task(send())
            count = -1
            while len(sent) > count:  # until nothing goes out any more
                count = len(sent)
                await asyncio.sleep(0.1)
            if by == "reconnect":
                await session.require_reconnect()
                await server.session("pump", after=session)
            async with asyncio.timeout(5):
                await source.stop()
                await sending
            assert source.kinds()[-1] == "close"

    run(main())


def test_close_after_a_loss_does_not_tell_the_handler_twice() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server, first_retry_s=50.0, last_retry_s=50.0).start()
            session = await server.session("pump")
            await until(lambda: source.connection.is_connected)
            session.drop()
            await until(lambda: isinstance(source.connection.state, Waiting))
            await source.stop()
            assert source.kinds() == ["connect", "close"]

    run(main())


def test_close_before_the_start_keeps_it_from_starting() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server)
            await source.connection.close()
            await source.connection.connect_to_vantiq()
            assert server.attempts == []
            assert source.kinds() == ["close"]

    run(main())


@pytest.mark.parametrize("where", ["connect", "publish", "query", "close", "task"])
def test_close_may_be_called_by_a_handler(where: str) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async with VantiqServer() as server:
            source = source_of(server)

            async def close(*_: Any) -> None:
                if where == "task":
                    tasks.append(asyncio.create_task(source.connection.close()))
                else:
                    await source.connection.close()

            if where == "connect":
                source.on_connect = close
            elif where == "query":
                source.on_query = close
            elif where in ("publish", "task"):
                source.on_publish = close
            else:
                source.connection.configure_handlers(handle_close=close)
            source.start()
            session = await server.session("pump")
            if where in ("publish", "task"):
                await session.publish({})
            elif where == "query":
                await session.ask({})
            elif where == "close":
                await until(lambda: source.connection.is_connected)
                session.drop()
            assert source.task is not None
            async with asyncio.timeout(5):
                await source.task
                await asyncio.gather(*tasks)
            assert source.connection.state == Closed()
            assert source.kinds().count("close") == (0 if where == "close" else 1)

    run(main())


def test_handlers_that_hang_do_not_hold_up_the_end() -> None:
    async def main() -> None:
        async def hang(*_: Any) -> None:
            await asyncio.Event().wait()

        async with connected(close_s=0.1) as (_, source, session):
            source.on_publish = source.on_query = hang
            await session.publish({})
            await session.ask({})
            await until(lambda: len(source.told) == 3)
            begun_s = asyncio.get_running_loop().time()
            await source.connection.close()
            assert asyncio.get_running_loop().time() - begun_s < 2.0
            assert source.kinds()[-1] == "close"

    run(main())


def test_a_close_handler_that_hangs_does_not_hold_up_reconnect_or_end() -> None:
    async def main() -> None:
        async def hang(*_: Any) -> None:
            await asyncio.Event().wait()

        async with VantiqServer() as server:
            source = source_of(server, close_handler_s=0.1, close_s=0.1)
            source.connection.configure_handlers(handle_close=hang)
            source.start()
            session = await server.session("pump")
            session.drop()
            await server.session("pump", after=session)
            await until(lambda: source.connection.counters.connected == 2)
            async with asyncio.timeout(3):
                await source.stop()

    run(main())


def test_what_a_handler_could_not_send_at_the_end_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async def send(context: dict[str, Any], message: dict[str, Any]) -> None:
            await asyncio.sleep(0.1)
            await source.connection.send_notification({})

        async with connected() as (_, source, session):
            source.on_publish = send
            await session.publish({})
            await until(lambda: "publish" in source.kinds())
        assert source.connection.counters.handler_failures == 0

    run(main())

    assert "Traceback" not in caplog.text


def test_a_connect_handler_that_hangs_does_not_hold_up_end_or_reconnect() -> None:
    async def main() -> None:
        cancelled = 0

        async def hang(*_: Any) -> None:
            nonlocal cancelled
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
                raise

        async with VantiqServer() as server:
            source = source_of(server, close_s=0.2)
            source.on_connect = hang
            source.start()
            session = await server.session("pump")
            session.drop()
            await server.session("pump", after=session)
            await until(lambda: source.kinds().count("connect") == 2)
            await source.stop()
            assert source.kinds() == ["connect", "close", "connect", "close"]
            assert cancelled == 2

    run(main())


def test_a_connect_handler_that_waits_to_send_does_not_wait_for_itself() -> None:
    """The connection is lost while connect is on its way to send: the reconnect must come."""

    async def main() -> None:
        async def send(context: dict[str, Any], config: dict[str, Any]) -> None:
            if source.kinds().count("connect") == 1:
                session.drop()
                await asyncio.sleep(0.05)
            await source.connection.send_notification({"hello": True})

        async with VantiqServer() as server:
            source = source_of(server)
            source.on_connect = send
            source.start()
            session = await server.session("pump")
            again = await server.session("pump", after=session)
            assert await again.notification() == {"hello": True}
            await source.stop()

    run(main())


def test_a_publish_handler_that_waits_to_send_does_not_keep_the_reconnect() -> None:
    """Even while so many publishes wait behind it that nothing more is read."""

    async def main() -> None:
        async def send(context: dict[str, Any], message: dict[str, Any]) -> None:
            if message["n"] == 0:
                await until(lambda: not session.is_open)
            await source.connection.send_notification(message)

        async with connected(publishes=2) as (server, source, session):
            source.on_publish = send
            for n in range(6):
                await session.publish({"n": n})
            await until(lambda: source.connection.counters.publishes >= 3)
            session.drop()
            again = await server.session("pump", after=session)
            for n in range(3):
                assert await again.notification() == {"n": n}

    run(main())


def test_a_connect_handler_that_fails_makes_the_connection_anew() -> None:
    async def main() -> None:
        async def fail(*_: Any) -> None:
            if source.kinds().count("connect") < 3:
                raise ValueError("the database is not there yet")

        async with VantiqServer() as server:
            source = source_of(server)
            source.on_connect = fail
            source.start()
            await until(lambda: source.kinds().count("connect") == 3)
            session = await server.session("pump")
            await session.query({})
            why = next(one.why for one in source.states if isinstance(one, Waiting))
            await source.stop()
            assert why == "the connect handler failed"
            assert source.kinds()[:5] == ["connect", "close", "connect", "close", "connect"]

    run(main())


def test_a_new_configuration_on_the_same_connection_is_a_new_beginning() -> None:
    async def main() -> None:
        async with connected() as (server, source, session):
            await session.send({"op": "configureExtension", "object": {"config": {"v": 2}}})
            await until(lambda: source.kinds() == ["connect", "close", "connect"])
            assert source.told[-1][2] == {"v": 2}
            await session.query({})
            assert len(server.attempts) == 1

    run(main())


def test_a_program_that_is_interrupted_closes_properly() -> None:
    """Ctrl-C cancels what asyncio.run runs."""

    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server).start()
            session = await server.session("pump")
            await until(lambda: source.connection.is_connected)
            assert source.task is not None
            source.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await source.task
            assert source.kinds() == ["connect", "close"]
            await until(lambda: not session.is_open)
            assert session._ws.close_code == 1000

    run(main())


def test_it_runs_once_at_a_time() -> None:
    async def main() -> None:
        async with connected() as (_, source, _session):
            with pytest.raises(VantiqConnectorException, match="pump runs already"):
                await source.connection.connect_to_vantiq()
            assert source.connection.is_connected

    run(main())


def test_an_error_that_nobody_foresaw_is_shown_where_the_state_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closed would look as if somebody had wanted it."""

    async def fail(*_: Any) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(Link, "open", fail)

    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server)
            with pytest.raises(RuntimeError):
                await source.connection.connect_to_vantiq()
            state = source.connection.state
            assert isinstance(state, Refused)
            assert state.why == "RuntimeError: a mistake of ours"

    run(main())


def test_a_proxy_of_the_environment_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may hold a password."""
    for name in ("ws_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ws_proxy", "foo://user:Vrq1-secret@proxy")

    async def main() -> None:
        async with VantiqServer() as server:
            source = source_of(server).start()
            await until(lambda: any(isinstance(one, Waiting) for one in source.states))
            why = next(one.why for one in source.states if isinstance(one, Waiting))
            await source.stop()
            assert "proxy" in why
            assert "secret" not in why

    run(main())

    assert "secret" not in caplog.text

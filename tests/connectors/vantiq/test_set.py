"""VantiqConnectorSet: from server.config to running sources, their health, and their log."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from smapd.connectors.vantiq import (
    Closed,
    ConnectFailed,
    Health,
    VantiqConnector,
    VantiqConnectorConfigException,
    VantiqConnectorException,
    VantiqConnectorSet,
    VantiqSourceConnection,
    setup_logging,
)
from smapd.testing.vantiq import Refuse, VantiqServer
from tests.connectors.vantiq.harness import run, until


def configured(folder: Path, server: VantiqServer | None, more: str = "") -> Path:
    url = server.url if server is not None else "http://127.0.0.1:9/"
    (folder / "serverConfig").mkdir(exist_ok=True)
    (folder / "serverConfig" / "server.config").write_text(
        f"targetServer={url}\nsources=pump, fan\nauthToken=a-token\n{more}"
    )
    return folder


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def reachable(port: int, host: str = "127.0.0.1") -> bool:
    """As a TCP probe sees it."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    assert await reader.read() == b""  # closed at once
    writer.close()
    return True


# --- what it is made of


def test_a_set_is_made_before_any_loop_runs(tmp_path: Path, monkeypatch: Any) -> None:
    """VQ-08, VQ-10: it reads the configuration and makes, but does not start, the connections."""
    monkeypatch.chdir(configured(tmp_path, None))
    made = VantiqConnectorSet()

    assert list(made.get_connections()) == made.get_sources() == ["pump", "fan"]
    for name, connection in made.get_connections().items():
        assert isinstance(connection, VantiqSourceConnection)
        assert connection.get_source() == name
        assert connection.get_connector_set() is made
        assert connection.get_server_config()["authToken"] == "a-token"
        assert connection is made.get_connection_for_source(name)
    assert made.get_connection_for_source("other") is None
    assert "a-token" not in f"{made!r} {made.get_connections()!r} {connection.get_server_config()}"


def test_the_constants_are_those_of_the_document() -> None:
    """VQ-03 to VQ-05."""
    assert (
        VantiqConnector.ERROR_CODE,
        VantiqConnector.ERROR_TEMPLATE,
        VantiqConnector.ERROR_PARAMETERS,
        VantiqConnector.SOURCE_NAME,
        VantiqConnector.RESPONSE_ADDRESS,
    ) == ("messageCode", "messageTemplate", "parameters", "source_name", "response_address")
    assert (
        VantiqConnector.QUERY_COMPLETE,
        VantiqConnector.QUERY_PARTIAL,
        VantiqConnector.QUERY_EMPTY,
    ) == (200, 100, 204)


def test_a_set_without_a_token_is_not_made(tmp_path: Path) -> None:
    configured(tmp_path, None)
    file = tmp_path / "serverConfig" / "server.config"
    file.write_text(file.read_text().replace("authToken=a-token", ""))

    with pytest.raises(VantiqConnectorException, match="authToken is not set"):
        VantiqConnectorSet(tmp_path, environ={})


# --- running


@pytest.mark.real
def test_each_source_has_a_socket_of_its_own_and_run_returns_when_all_are_closed(
    tmp_path: Path,
) -> None:
    """VQ-09, VQ-11, VQ-34."""

    async def main() -> None:
        told: list[tuple[str, str]] = []

        async def close(context: dict[str, Any]) -> None:
            told.append(("close", context[VantiqConnector.SOURCE_NAME]))

        async def connect(context: dict[str, Any], config: dict[str, Any]) -> None:
            told.append(("connect", context[VantiqConnector.SOURCE_NAME]))

        async with VantiqServer() as server:
            made = VantiqConnectorSet(configured(tmp_path, server), environ={})
            made.configure_handlers_for_all(close, connect, None, None)
            running = asyncio.create_task(made.run_connectors())
            for name in ("pump", "fan"):
                await server.session(name)
            await until(lambda: len(told) == 2)
            assert len(server.attempts) == 2

            pump, fan = made.get_connections().values()
            await pump.close()
            assert not running.done()
            await fan.close()
            async with asyncio.timeout(5):
                await running

        assert sorted(told[:2]) == [("connect", "fan"), ("connect", "pump")]
        assert told[2:] == [("close", "pump"), ("close", "fan")]

    run(main())


@pytest.mark.real
def test_a_set_is_closed_as_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            made = VantiqConnectorSet(configured(tmp_path, server), environ={})
            running = asyncio.create_task(made.run_connectors())
            await server.session("pump")
            await made.close()
            await running
            assert {type(one.state) for one in made.get_connections().values()} == {Closed}

    run(main())


@pytest.mark.real
def test_a_set_runs_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            made = VantiqConnectorSet(configured(tmp_path, server), environ={})
            running = asyncio.create_task(made.run_connectors())
            session = await server.session("pump")
            with pytest.raises(VantiqConnectorException, match="run already"):
                await made.run_connectors()
            assert session.is_open
            await made.close()
            await running

    run(main())


@pytest.mark.real
def test_a_refused_token_ends_the_whole_set(tmp_path: Path) -> None:
    async def main() -> None:
        async with VantiqServer(token="another") as server:
            made = VantiqConnectorSet(configured(tmp_path, server), environ={})
            with pytest.raises(VantiqConnectorConfigException, match="status 401"):
                await made.run_connectors()
            assert len(server.attempts) <= 2

    run(main())


@pytest.mark.real
def test_with_fail_on_connection_error_one_failure_ends_the_set(tmp_path: Path) -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            server.script(Refuse("http", 503))
            more = "failOnConnectionError=true\n"
            made = VantiqConnectorSet(configured(tmp_path, server, more), environ={})
            with pytest.raises(ConnectFailed, match="HTTP 503"):
                await made.run_connectors()

    run(main())


@pytest.mark.real
def test_an_interrupted_set_closes_its_sources(tmp_path: Path) -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            closed: list[str] = []

            async def close(context: dict[str, Any]) -> None:
                closed.append(context[VantiqConnector.SOURCE_NAME])

            made = VantiqConnectorSet(configured(tmp_path, server), environ={})
            made.configure_handlers_for_all(handle_close=close)
            running = asyncio.create_task(made.run_connectors())
            sessions = [await server.session(name) for name in ("pump", "fan")]
            await until(lambda: all(one.is_connected for one in made.get_connections().values()))
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert sorted(closed) == ["fan", "pump"]
            await until(lambda: not any(one.is_open for one in sessions))

    run(main())


# --- health


@pytest.mark.real
def test_the_probe_s_port_is_open_only_while_healthy(tmp_path: Path) -> None:
    """VQ-17 to VQ-19, W-16: on all addresses, each connection closed at once."""

    async def main() -> None:
        port = free_port()
        made = VantiqConnectorSet(configured(tmp_path, None, f"tcpProbePort={port}"), environ={})
        connection = made.get_connections()["pump"]
        assert made.is_healthy() is connection.is_healthy() is None
        assert not await reachable(port)

        for one in (made, connection):
            await one.declare_healthy()
            await one.declare_healthy()
            assert made.is_healthy() is connection.is_healthy() is True
            assert await reachable(port)
            assert await reachable(port)

            await one.declare_unhealthy()
            await one.declare_unhealthy()
            assert made.is_healthy() is connection.is_healthy() is False
            assert not await reachable(port)

    run(main())


@pytest.mark.real
def test_a_probe_s_port_that_is_taken_is_named() -> None:
    async def main() -> None:
        first = Health(0)
        await first.declare_healthy()
        second = Health(first.port)
        with pytest.raises(VantiqConnectorException, match="it is taken. Set tcpProbePort to"):
            await second.declare_healthy()
        assert second.is_healthy() is None
        await first.close()
        assert first.is_healthy() is True
        assert first.port is None

    run(main())


@pytest.mark.real
def test_health_declared_at_the_same_time_ends_as_declared_last() -> None:
    async def main() -> None:
        health = Health(0)
        await asyncio.gather(
            *(health.declare_healthy() if n % 2 else health.declare_unhealthy() for n in range(20))
        )
        assert health.is_healthy() is True
        assert health.port is not None
        assert await reachable(health.port)
        await health.declare_unhealthy()

    run(main())


def test_without_a_port_health_is_only_told() -> None:
    async def main() -> None:
        health = Health(None)
        await health.declare_healthy()
        assert (health.is_healthy(), health.port) == (True, None)

    run(main())


def test_a_connection_without_a_set_has_no_health() -> None:
    async def main() -> None:
        alone = VantiqSourceConnection("pump")
        await alone.declare_healthy()
        await alone.declare_unhealthy()
        assert alone.is_healthy() is None

    run(main())


# --- logging


@pytest.fixture
def loggers() -> Any:
    """The root logger's set-up, put back afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers.clear()
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize("set_up", [setup_logging, VantiqConnector.setup_logging])
def test_logging_is_set_up_from_logger_ini(
    set_up: Any, loggers: logging.Logger, tmp_path: Path, monkeypatch: Any
) -> None:
    """VQ-06: serverConfig/logger.ini; both spellings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "serverConfig").mkdir()
    (tmp_path / "serverConfig" / "logger.ini").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=file\n[formatters]\nkeys=plain\n"
        "[logger_root]\nlevel=INFO\nhandlers=file\n"
        "[handler_file]\nclass=FileHandler\nargs=('here.log',)\nformatter=plain\n"
        "[formatter_plain]\nformat=%(name)s %(message)s\n"
    )
    set_up()
    logging.getLogger("VantiqSourceConnection").info("hello")

    assert (tmp_path / "here.log").read_text() == "VantiqSourceConnection hello\n"


def test_without_logger_ini_no_file_is_written(
    loggers: logging.Logger, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    loggers.handlers.clear()  # pytest's own
    setup_logging()

    assert loggers.level == logging.INFO
    assert [type(handler) for handler in loggers.handlers] == [logging.StreamHandler]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[loggers]\nkeys=root\n", "no ini", "[loggers]\nkeys=a,root"])
def test_a_logger_ini_that_is_none_is_named(
    text: str, loggers: logging.Logger, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "serverConfig").mkdir()
    (tmp_path / "serverConfig" / "logger.ini").write_text(text)

    with pytest.raises(VantiqConnectorConfigException, match=r"logger\.ini: no logging set-up"):
        setup_logging()


@pytest.mark.real
def test_no_log_at_any_level_holds_the_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even at debug level, where a WebSocket library writes each frame."""

    async def main() -> None:
        async with VantiqServer(token="Zx81-very-secret") as server:
            folder = configured(tmp_path, server, "reconnectSecret=Hush-hush\n")
            file = folder / "serverConfig" / "server.config"
            file.write_text(file.read_text().replace("a-token", server.token))
            server.script(Refuse("login", 500, [{"message": f"{server.token} is not known yet"}]))
            made = VantiqConnectorSet(folder, environ={})
            running = asyncio.create_task(made.run_connectors())
            for name in ("pump", "fan"):
                session = await server.session(name)
                await session.query({})
            await made.close()
            await running
            return repr(made) + repr(made.get_connections()) + str(made.get_connections())

    with caplog.at_level(logging.DEBUG):
        for name in ("websockets", "websockets.client", "VantiqSourceConnection"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        try:
            shown = run(main())
        finally:
            for name in ("websockets", "websockets.client", "VantiqSourceConnection"):
                logging.getLogger(name).setLevel(logging.NOTSET)

    assert "*** is not known yet" in caplog.text
    for secret in ("Zx81-very-secret", "Hush-hush"):
        assert secret not in caplog.text
        assert secret not in str(shown)

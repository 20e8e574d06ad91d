"""Programs written against the SDK's names, run as they stand under asyncio.run()."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smapd.testing.vantiq import VantiqServer
from tests.connectors.vantiq.harness import run

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio
import sys

from smapd.connectors.vantiq import (
    VantiqConnector,
    VantiqConnectorException,
    VantiqConnectorSet,
    VantiqSourceConnection,
)


async def handle_close(ctx: dict) -> None:
    print("closed", ctx[VantiqConnector.SOURCE_NAME], flush=True)


async def handle_connect(ctx: dict, config: dict) -> None:
    print("connected", config, flush=True)
    await connection().declare_healthy()
    await connection().send_notification({"up": True})


async def handle_publish(ctx: dict, message: dict) -> None:
    try:
        await connection().send_query_response(ctx, VantiqConnector.QUERY_COMPLETE, {})
    except VantiqConnectorException:
        print("published", message, flush=True)
    if message.get("stop"):
        await connection().declare_unhealthy()
        await connection().close()


async def handle_query(ctx: dict, message: dict) -> None:
    if "bad" in message:
        await connection().send_query_error(
            ctx,
            {
                VantiqConnector.ERROR_CODE: "my.bad",
                VantiqConnector.ERROR_TEMPLATE: "{0} is bad",
                VantiqConnector.ERROR_PARAMETERS: [message["bad"]],
            },
        )
        return
    for n in range(2):
        await connection().send_query_response(ctx, VantiqConnector.QUERY_PARTIAL, {"n": n})
    await connection().send_query_response(ctx, VantiqConnector.QUERY_COMPLETE, [{"n": 2}])


def connection() -> VantiqSourceConnection:
    return connectors.get_connections()["pump"]


async def main() -> None:
    await connectors.run_connectors()


VantiqConnector.setup_logging()
connectors = VantiqConnectorSet()
connectors.configure_handlers_for_all(handle_close, handle_connect, handle_publish, handle_query)
asyncio.run(main())
loaded = {"twisted.internet.reactor", "klein"} & set(sys.modules)
print("healthy", connectors.is_healthy(), "reactor", sorted(loaded), flush=True)
"""


def test_a_program_runs_without_a_reactor(tmp_path: Path) -> None:
    """VQ-01, VQ-02, VQ-11, VQ-13 to VQ-19, VQ-28: the whole face, in a process of its own."""

    async def main() -> str:
        async with VantiqServer(sources={"pump": {"rate": 5}}) as server:
            (tmp_path / "serverConfig").mkdir()
            (tmp_path / "serverConfig" / "server.config").write_text(
                f"# by hand\nsources = pump\ntargetServer: {server.url}\ntcpProbePort:0\n"
                "sendPings=true\n"
            )
            (tmp_path / "program.py").write_text(PROGRAM)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "program.py",
                cwd=tmp_path,
                env=os.environ | {"CONNECTOR_AUTH_TOKEN": server.token, "PYTHONPATH": str(ROOT)},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            session = await server.session("pump", timeout_s=30)
            assert await session.notification() == {"up": True}
            rows = await session.query({"what": "speed"})
            assert [one.status for one in rows] == [100, 100, 200]
            assert [one.body for one in rows] == [{"n": 0}, {"n": 1}, [{"n": 2}]]
            (bad,) = await session.query({"bad": "this"})
            assert bad.body["parameters"] == ["this"]
            await session.publish({"stop": True})
            out, err = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0, err.decode()
            assert server.complaints == []
            assert b"Error" not in err
            return out.decode()

    assert run(main(), within_s=60).splitlines() == [
        "connected {'rate': 5}",
        "published {'stop': True}",
        "closed pump",
        "healthy False reactor []",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"program.py", "serverConfig"}


def test_importing_it_starts_nothing() -> None:
    code = (
        "import sys, threading, asyncio, smapd.connectors.vantiq\n"
        "loaded = {'twisted.internet.reactor', 'klein'} & set(sys.modules)\n"
        "sys.exit(str(loaded) if loaded or threading.active_count() > 1 else 0)"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.stderr, done.returncode) == ("", 0)


def test_the_token_of_the_environment_is_needed_and_the_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "serverConfig").mkdir()
    (tmp_path / "serverConfig" / "server.config").write_text(
        "sources=pump\ntargetServer=http://127.0.0.1:9/\n"
    )
    environ = {k: v for k, v in os.environ.items() if k != "CONNECTOR_AUTH_TOKEN"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert "server.config: authToken is not set" in last
    assert "CONNECTOR_AUTH_TOKEN" in last

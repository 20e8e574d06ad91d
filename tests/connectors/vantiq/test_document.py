"""docs/vantiq.md: its programs run as they stand, and its tables are those of the code."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smapd.connectors.vantiq import Limits, VantiqConnector
from smapd.testing.vantiq import VantiqServer
from tests.connectors.vantiq.harness import run

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "vantiq.md").read_text("utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [found[2] for found in FENCE.finditer(TEXT) if found[1] == language]


@pytest.mark.real
def test_the_connector_of_the_document_runs_as_it_stands(tmp_path: Path) -> None:
    async def main() -> None:
        async with VantiqServer(sources={"pump": {"limit": 900}}) as server:
            config = blocks("properties")[0].replace("https://dev.vantiq.com/", server.url)
            (tmp_path / "serverConfig").mkdir()
            (tmp_path / "serverConfig" / "server.config").write_text(config)
            (tmp_path / "connector.py").write_text(blocks("python")[0])
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "connector.py",
                cwd=tmp_path,
                env=os.environ | {"CONNECTOR_AUTH_TOKEN": server.token, "PYTHONPATH": str(ROOT)},
                stderr=asyncio.subprocess.PIPE,
            )
            session = await server.session("pump", timeout_s=30)
            assert await session.notification() == {"up": True, "limit": 900}
            await session.publish({"rpm": 900})
            assert await session.query({"what": "speed"}) == [(200, [{"rpm": 900}])]
            (error,) = await session.query({"what": "colour"})
            assert error.body["parameters"] == ["colour"]
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.communicate(), 20)
            assert session._ws.close_code == 1000
            assert server.complaints == []

    run(main(), within_s=60)


@pytest.mark.real
def test_the_test_of_the_document_passes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks("python")[1]],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.stderr.count("Traceback"), done.returncode) == (0, 0), done.stderr


def test_the_table_of_properties_is_complete() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    properties = {
        VantiqConnector.TARGET_SERVER,
        VantiqConnector.AUTH_TOKEN,
        VantiqConnector.SOURCES,
        VantiqConnector.SEND_PINGS,
        VantiqConnector.PORT_PROPERTY_NAME,
        VantiqConnector.FAIL_ON_CONNECTION_ERROR,
        VantiqConnector.FIXED_RECONNECT_SECRET,
        VantiqConnector.CONNECT_KW_ARGS,
    }

    assert properties <= rows


def test_the_bounds_are_those_of_the_code() -> None:
    limits = Limits()

    assert f"{limits.open_queries:,} open queries" in TEXT
    assert f"{limits.publishes:,} waiting publishes" in TEXT
    assert f"{limits.unsent:,} unsent messages, {limits.waiting_bytes >> 20} MiB" in TEXT
    assert f"at most {limits.connect_s:g} s, each answer of the login {limits.answer_s:g} s" in TEXT
    assert f"ping every {limits.ping_every_s:g} s" in TEXT
    assert f"only after {limits.stable_s:g} s" in TEXT


def test_every_test_that_is_named_is_there() -> None:
    for name in set(re.findall(r"`(test_\w+\.py)`", TEXT)):
        assert (Path(__file__).parent / name).is_file()

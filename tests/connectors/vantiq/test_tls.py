"""https and wss: certificates are checked, and what is wrong with one is said."""

from __future__ import annotations

import http
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response

from smapd.connectors.vantiq import Waiting
from smapd.testing.vantiq import VantiqServer
from tests.connectors.vantiq.harness import run, source_of, until
from tests.sinks.certs import Authority

pytestmark = pytest.mark.real


@asynccontextmanager
async def secure(folder: Path, name: str = "127.0.0.1") -> AsyncIterator[tuple[VantiqServer, Path]]:
    """A server with a certificate of an authority of its own, and that authority's file."""
    authority = Authority("A plant")
    certificate, key = authority.sign(name).save(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    file = folder / "authority.pem"
    file.write_bytes(authority.pem)
    async with VantiqServer(tls=context) as server:
        yield server, file


async def why_not(server: VantiqServer, **changes: Any) -> str:
    source = source_of(server, **changes).start()
    await until(lambda: any(isinstance(one, Waiting) for one in source.states))
    await source.stop()
    return next(one.why for one in source.states if isinstance(one, Waiting))


def test_an_authority_of_one_s_own_is_named_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-18: SSL_CERT_FILE."""

    async def main() -> None:
        async with secure(tmp_path) as (server, file):
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            source = source_of(server).start()
            session = await server.session("pump")
            await session.query({})
            await source.stop()

    run(main())


def test_an_unknown_authority_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with secure(tmp_path) as (server, _):
            why = await why_not(server)
            assert "the server's certificate is not trusted" in why
            assert "SSL_CERT_FILE" in why
            assert "disableSslVerification" in why
            assert server.attempts == []  # nobody was shown a token

    run(main())


def test_a_certificate_for_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with secure(tmp_path, "elsewhere.example") as (server, file):
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            assert "certificate is not trusted" in await why_not(server)
            source = source_of(
                server, connect_kwargs={"server_hostname": "elsewhere.example"}
            ).start()
            await server.session("pump")
            await source.stop()

    run(main())


def test_checking_may_be_disabled(tmp_path: Path) -> None:
    """W-18: disableSslVerification, beside other keys."""

    async def main() -> None:
        async with secure(tmp_path, "elsewhere.example") as (server, _):
            kwargs = {"disableSslVerification": True, "compression": None}
            source = source_of(server, connect_kwargs=kwargs).start()
            session = await server.session("pump")
            assert session._ws.protocol.extensions == []
            await source.stop()

    run(main())


def test_https_to_a_server_without_tls_says_so() -> None:
    async def main() -> None:
        async with VantiqServer() as server:
            plain = server.url
            server._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # only for the URL
            assert server.url == plain.replace("http", "https")
            why = await why_not(server)
            assert "Is targetServer right to say https?" in why

    run(main())


def test_the_token_is_not_shown_to_whom_the_server_redirects() -> None:
    async def main() -> None:
        async with VantiqServer() as there, VantiqServer() as here:

            async def redirect(ws: Any, request: Any) -> Response:
                return Response(
                    http.HTTPStatus.FOUND,
                    "Found",
                    Headers(
                        {"Location": there.url.replace("http", "ws") + "api/v1/wsock/websocket"}
                    ),
                )

            here._open = redirect  # type: ignore[method-assign]
            await here.stop()
            await here.start()
            why = await why_not(here)
            assert "the server redirects to 127.0.0.1" in why
            assert [attempt.token for attempt in there.attempts] == [None] * len(there.attempts)

    run(main())

"""A Vantiq server for tests of connectors: honest about the protocol, and scriptable.

    async with VantiqServer(token="a-token", sources={"pump": {"rate": 5}}) as server:
        ...                                       # a connector with targetServer = server.url
        session = await server.session("pump")    # once it is configured
        await session.publish({"go": True})
        rows = await session.query({"what": "speed"})
        event = await session.notification()
    assert server.complaints == []

It runs on the asyncio loop that starts it. What a server may do wrong is scripted, one script for
each connection to come: ``server.script(Refuse("login", 500))``. The protocol stands at the top of
``smapd/connectors/vantiq/protocol.py``. By hand: ``python -m smapd.testing.vantiq_console --help``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .vantiq_script import Act, Drop, Hang, Pause, Refuse, Say, Step, perform, send_status
from .vantiq_session import Answer, Session

__all__ = [
    "Act",
    "Answer",
    "Attempt",
    "Drop",
    "Hang",
    "Pause",
    "Refuse",
    "Say",
    "Session",
    "Step",
    "VantiqServer",
]


@dataclass(slots=True)
class Attempt:
    """One connection that a connector tried; ``at_s`` by the loop's clock."""

    at_s: float
    path: str
    token: str | None = None
    source: str | None = None
    secret: str | None = None
    configured: bool = False


class VantiqServer:
    """The server; ``async with`` starts and stops it.

    ``sources``: the configuration of each source there is; None: every source there may be, with an
    empty one. ``tls``: a server's context, for https.
    """

    def __init__(
        self,
        *,
        token: str = "a-token",
        sources: Mapping[str, dict[str, Any]] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = token
        self.sources = None if sources is None else dict(sources)
        self.attempts: list[Attempt] = []
        self.complaints: list[str] = []
        """What connectors did against the protocol."""
        self.sessions: dict[str, Session] = {}
        self._host, self._port, self._tls = host, port, tls
        self._scripts: deque[tuple[Act, ...]] = deque()
        self._always: tuple[Act, ...] = ()
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()
        self._server: Server | None = None
        self._listeners: list[Callable[[dict[str, Any]], None]] = []

    # --- life

    async def start(self) -> None:
        """Listen."""
        quiet = logging.Logger("VantiqServer")
        quiet.addHandler(logging.NullHandler())
        self._server = await serve(
            self._talk,
            self._host,
            self._port,
            ssl=self._tls,
            process_request=self._open,
            open_timeout=None,
            ping_interval=None,
            max_size=None,
            close_timeout=1.0,
            logger=quiet,
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End all connections and listen no more."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._server.connections):
                connection.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> VantiqServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """What a connector writes as targetServer."""
        return f"http{'s' if self._tls else ''}://{self._host}:{self._port}/"

    @property
    def port(self) -> int:
        """The port; one that was chosen stays the same when the server is started again."""
        return self._port

    # --- what it is to do

    def script(self, *acts: Act) -> None:
        """What happens to the next connection for which there is no script yet."""
        self._scripts.append(acts)

    def always(self, *acts: Act) -> None:
        """What happens to each connection that has no script; without acts nothing does."""
        self._always = acts

    @property
    def unused(self) -> int:
        """Scripts for which no connection has come."""
        return len(self._scripts)

    async def session(
        self, source: str, *, after: Session | None = None, timeout_s: float = 10.0
    ) -> Session:
        """The session of this source, other than ``after``, as soon as there is one."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = self.sessions.get(source)
                if found is not None and found is not after and found.is_open:
                    return found
                self._news.clear()
                await self._news.wait()

    async def attempted(self, count: int, timeout_s: float = 10.0) -> None:
        """Return when so many connections have been tried."""
        async with asyncio.timeout(timeout_s):
            while len(self.attempts) < count:
                self._news.clear()
                await self._news.wait()

    # --- for its sessions

    def complain(self, what: str) -> None:
        """Keep what a connector did wrong."""
        self.complaints.append(what)
        self.tell({"complaint": what})

    def new_address(self) -> str:
        """A reply address that was not used before."""
        return f"reply-{next(self._numbers)}"

    def tell(self, what: dict[str, Any]) -> None:
        """Let listeners know what happened."""
        for listener in self._listeners:
            listener(what)

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Call this with a dict for each thing that happens."""
        self._listeners.append(listener)

    # --- private

    async def _open(self, ws: ServerConnection, request: Request) -> Response | None:
        attempt = Attempt(asyncio.get_running_loop().time(), request.path)
        acts = self._scripts.popleft() if self._scripts else self._always
        ws.vantiq = attempt, acts  # type: ignore[attr-defined]
        self.attempts.append(attempt)
        self._news.set()
        for act in acts:
            if act.step != "http":
                continue
            if isinstance(act, Refuse):
                phrase = HTTPStatus(act.status).phrase
                return Response(act.status, phrase, Headers({"Content-Length": "0"}), b"")
            await perform(act, ws)
        return None

    async def _talk(self, ws: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            session = await self._login(ws, *ws.vantiq)  # type: ignore[attr-defined]
            if session is None:
                return
            try:
                async for frame in ws:
                    message = self._read(frame)
                    if message is not None:
                        session.take(message)
            finally:
                if self.sessions.get(session.source) is session:
                    del self.sessions[session.source]
                self.tell({"source": session.source, "ended": True})

    async def _login(
        self, ws: ServerConnection, attempt: Attempt, acts: tuple[Act, ...]
    ) -> Session | None:
        first = self._read(await ws.recv())
        if first is None or first.get("op") != "validate":
            self.complain("the first message was no validate")
            return None
        if first.get("resourceName") != "system.credentials":
            self.complain("validate has a wrong resourceName")
        attempt.token = first.get("object")
        if not await self._step("login", ws, acts):
            return None
        if attempt.token != self.token:
            await send_status(
                ws, 401, [{"code": "unauthorized", "message": "the token is not valid"}]
            )
            return None
        await send_status(ws, 200, {"username": "connector"})
        second = self._read(await ws.recv())
        if second is None or second.get("op") != "connectExtension":
            self.complain("the second message was no connectExtension")
            return None
        attempt.source = second.get("resourceId")
        attempt.secret = (second.get("parameters") or {}).get("reconnectSecret")
        return await self._connect(ws, attempt, acts)

    async def _connect(
        self, ws: ServerConnection, attempt: Attempt, acts: tuple[Act, ...]
    ) -> Session | None:
        source, secret = attempt.source, attempt.secret
        if not isinstance(source, str) or not isinstance(secret, str):
            self.complain("connectExtension without a source or a reconnectSecret")
            return None
        if not await self._step("source", ws, acts):
            return None
        if self.sources is not None and source not in self.sources:
            await send_status(
                ws, 404, [{"code": "no.such.source", "message": f"no source {source}"}]
            )
            return None
        known = self.sessions.get(source)
        if known is not None and known.is_open:
            if known.secret != secret:
                await send_status(ws, 409, [{"code": "in.use", "message": "connected elsewhere"}])
                return None
            known.drop()  # a session that its own connector has given up
        await send_status(ws, 200, None)
        config = {} if self.sources is None else self.sources[source]
        session = Session(self, ws, source, secret)
        await session.send(
            {
                "op": "configureExtension",
                "resourceName": "SOURCES",
                "resourceId": source,
                "object": {"config": config},
            }
        )
        attempt.configured = True
        self.sessions[source] = session
        self._news.set()
        self.tell({"source": source, "connected": True})
        return session if await self._step("running", ws, acts) else None

    async def _step(self, step: Step, ws: ServerConnection, acts: tuple[Act, ...]) -> bool:
        """Do what is scripted for this step; whether things go on."""
        for act in acts:
            if act.step == step and not await perform(act, ws):
                return False
        return True

    def _read(self, frame: str | bytes) -> dict[str, Any] | None:
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError:
            message = None
        if isinstance(frame, bytes) or not isinstance(message, dict):
            self.complain("a message that is no JSON object in a text frame")
            return None
        return message

"""One source that is connected to a test's Vantiq server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import orjson
from websockets.asyncio.server import ServerConnection

FINAL = (200, 204, 400)


class Owner(Protocol):
    """What a session needs of its server."""

    def complain(self, what: str) -> None: ...
    def new_address(self) -> str: ...
    def tell(self, what: dict[str, Any]) -> None: ...


class Answer(NamedTuple):
    """One answer to a query; ``body`` is None where there is none."""

    status: int
    body: Any


class Session:
    """One source that is connected and configured."""

    def __init__(self, server: Owner, ws: ServerConnection, source: str, secret: str) -> None:
        self.source, self.secret = source, secret
        self.notifications: deque[dict[str, Any]] = deque()
        self.received = 0
        """Notifications so far, also those that were taken."""
        self._server, self._ws = server, ws
        self._answers: dict[str, asyncio.Queue[Answer]] = {}
        self._news = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as this end knows."""
        return self._ws.state.name == "OPEN"

    async def notification(self, timeout_s: float = 10.0) -> dict[str, Any]:
        """The next notification's object, in the order in which they came."""
        async with asyncio.timeout(timeout_s):
            while not self.notifications:
                self._news.clear()
                await self._news.wait()
        return self.notifications.popleft()

    async def publish(self, message: Any) -> None:
        """Publish an object to the source."""
        await self.send(
            {
                "op": "publish",
                "resourceName": "sources",
                "resourceId": self.source,
                "object": message,
            }
        )

    async def ask(self, message: Any, address: str | None = None) -> str:
        """Send a query, and wait for nothing; its reply address, for ``answers``."""
        address = self._server.new_address() if address is None else address
        self._answers.setdefault(address, asyncio.Queue())
        await self.send(
            {
                "op": "query",
                "resourceName": "sources",
                "resourceId": self.source,
                "object": message,
                "messageHeaders": {"REPLY_ADDR_HEADER": address},
            }
        )
        return address

    async def answers(self, address: str, timeout_s: float = 10.0) -> list[Answer]:
        """The answers to one query, up to the final one."""
        found: list[Answer] = []
        async with asyncio.timeout(timeout_s):
            while not found or found[-1].status not in FINAL:
                found.append(await self._answers[address].get())
        del self._answers[address]
        return found

    async def query(self, message: Any, timeout_s: float = 10.0) -> list[Answer]:
        """Send a query; its answers, up to the final one."""
        return await self.answers(await self.ask(message), timeout_s)

    async def require_reconnect(self) -> None:
        """Ask the connector to begin again."""
        await self.send({"op": "reconnectRequired", "resourceId": self.source})

    async def send(self, frame: str | bytes | Mapping[str, Any]) -> None:
        """Send anything: a mapping as JSON, text as text, bytes as a binary frame."""
        if isinstance(frame, Mapping):
            await self._ws.send(orjson.dumps(frame), text=True)
        else:
            await self._ws.send(frame)

    def freeze(self) -> None:
        """Read nothing any more, no ping either: to the connector the server is half gone."""
        self._ws.transport.pause_reading()

    def thaw(self) -> None:
        """Read again."""
        self._ws.transport.resume_reading()

    def drop(self) -> None:
        """End the connection without a word, and at once for the other end too."""
        reset = struct.pack("ii", 1, 0)
        sock = self._ws.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        self._ws.transport.abort()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection with a close frame."""
        await self._ws.close(code, reason)

    # --- private

    def take(self, message: dict[str, Any]) -> None:
        if message.get("op") == "notification":
            self._take_notification(message)
        elif "op" in message:
            self._server.complain(f"{self.source}: unknown op {message['op']!r}")
        else:
            self._take_answer(message)

    def _take_notification(self, message: dict[str, Any]) -> None:
        if message.get("resourceName") != "sources" or message.get("resourceId") != self.source:
            self._server.complain(f"{self.source}: a notification for {message.get('resourceId')}")
        if not isinstance(message.get("object"), dict):
            self._server.complain(f"{self.source}: a notification without an object")
            return
        self.received += 1
        self.notifications.append(message["object"])
        self._news.set()
        self._server.tell({"source": self.source, "notification": message["object"]})

    def _take_answer(self, message: dict[str, Any]) -> None:
        status, headers = message.get("status"), message.get("headers") or {}
        address = headers.get("X-Reply-Address")
        body = message.get("body")
        if status not in (100, *FINAL):
            self._server.complain(f"{self.source}: an answer with status {status!r}")
            return
        if status == 204 and body is not None:
            self._server.complain(f"{self.source}: an empty answer with a body")
        if status in (100, 200) and not _is_rows(body):
            self._server.complain(f"{self.source}: an answer that is no object and no list of them")
        if status == 400 and not _is_error(body):
            self._server.complain(f"{self.source}: an error without code, template or parameters")
        waiting = self._answers.get(str(address))
        if waiting is None:
            self._server.complain(f"{self.source}: an answer that nobody waits for, at {address!r}")
            return
        waiting.put_nowait(Answer(status, body))


def _is_rows(body: Any) -> bool:
    rows = body if isinstance(body, list) else [body]
    return all(isinstance(row, dict) for row in rows)


def _is_error(body: Any) -> bool:
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    return (
        isinstance(body, dict)
        and isinstance(body.get("messageCode"), str)
        and isinstance(body.get("messageTemplate"), str)
        and isinstance(body.get("parameters"), list)
    )

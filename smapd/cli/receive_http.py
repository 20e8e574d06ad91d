"""As much of an HTTP server as a receiver of reports needs, on asyncio.

HTTP/1.1 with kept connections; a body comes with its length or in chunks. Reports that come at the
same moment are kept in one commit. Everything has a limit: head 32 KiB, body 64 MiB, 200
connections, and 60 s for the next bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import ssl
from collections.abc import Callable, Mapping
from typing import Final

from smapd.errors import BadRequest, SmapError, StorageFull, TooLarge

from .receive_bodies import MOST_BYTES, Report, decode
from .receive_store import Store

MOST_HEAD: Final = 32 * 1024
MOST_CONNECTIONS: Final = 200
BYTES_S: Final = 60.0
"""How long the next bytes may take to come."""

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}
_LENGTH_MOST: Final = 12


class _Refused(Exception):
    """An answer that ends the connection."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Receiver:
    """Takes reports into one store.

    ``token``: what senders must present; "" for none. ``say``: takes a line about what goes wrong.
    """

    def __init__(self, store: Store, token: str, say: Callable[[str], None]) -> None:
        self._store, self._say = store, say
        self._token = token.encode()
        self._waiting: list[tuple[Report, asyncio.Future[int]]] = []
        self._open: set[asyncio.Task[None]] = set()
        self.reports = self.readings = self.new = 0
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Begin; the port. :raises OSError: if it is not to be had."""
        self._server = await asyncio.start_server(
            self._serve, host, port, ssl=tls, limit=MOST_HEAD, backlog=200
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take no more; what is under way is kept before it returns."""
        if self._server is not None:
            self._server.close()
        self._commit()
        for task in list(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=2.0)

    # --- one connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) > MOST_CONNECTIONS:
                await _answer(writer, 503, {"message": "Too many connections."}, keep=False)
                return
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            pass  # it went away, or stood still: what was not answered comes again
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        try:
            head = await _head(reader)
            if head is None:
                return False
            method, headers = head
            self._admit(headers)
            if method in ("GET", "HEAD"):
                about = {"Reports": self.reports, "Readings": self.readings, "New": self.new}
                await _answer(writer, 200, about, body=method == "GET")
                return _keeps(headers)
            if method not in ("POST", "PUT"):
                raise _Refused(405, "Send reports with POST.")
            if "100-continue" in headers.get("expect", "").lower():
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await _body(reader, headers)
        except _Refused as refused:
            await _answer(writer, refused.status, {"message": str(refused)}, keep=False)
            return False
        status, told = await self._take(body, headers)
        keep = _keeps(headers)
        await _answer(writer, status, told, keep=keep)
        return keep

    def _admit(self, headers: dict[str, str]) -> None:
        if self._token:
            kind, _, given = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode(), self._token)
            if kind.lower() != "bearer" or not right:
                raise _Refused(401, "This needs the token: Authorization: Bearer TOKEN.")

    async def _take(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, object]]:
        try:
            report = decode(
                body, headers.get("content-type", ""), headers.get("content-encoding", "")
            )
            new = await self._kept(report)
        except TooLarge as e:
            return 413, {"message": e.message}
        except BadRequest as e:
            self._say(f"a report was refused: {e.message}")
            return 400, {"message": e.message}
        except StorageFull as e:
            self._say(e.message)
            return 507, {"message": e.message}
        except SmapError as e:
            return 503, {"message": e.message}
        return 200, {"Readings": report.count, "New": new}

    # --- commits

    def _kept(self, report: Report) -> asyncio.Future[int]:
        """Fires when it is on the disk, with how many readings are new."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._commit)
        self._waiting.append((report, done))
        return done

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            new = self._store.put([report for report, _ in waiting])
            self.new += new
            for report, done in waiting:
                self.reports += 1
                self.readings += report.count
                if not done.done():
                    done.set_result(new)
        except SmapError as error:
            for _, done in waiting:
                if not done.done():
                    done.set_exception(error)
        finally:
            for _, done in waiting:  # by a mistake of ours: no answer is the right one
                if not done.done():
                    done.cancel()


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    """Method and headers of the next request; None if there is none."""
    try:
        async with asyncio.timeout(BYTES_S):
            data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as e:
        if e.partial.strip():
            raise
        return None
    except asyncio.LimitOverrunError:
        raise _Refused(431, f"The head has more than {MOST_HEAD} bytes.") from None
    lines = data.decode("latin-1").lstrip("\r\n").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _Refused(400, "That is no HTTP/1.1 request.")
    headers: dict[str, str] = {":version": words[2]}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon and not name:
            continue
        if not colon or not name or name != name.strip():
            raise _Refused(400, "A line of the head is no header.")
        name = name.lower()
        if name in headers and name in ("content-length", "transfer-encoding"):
            raise _Refused(400, f"There is more than one {name}.")
        headers[name] = value.strip()
    return words[0], headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    coding = headers.get("transfer-encoding", "").lower()
    length = headers.get("content-length", "")
    if coding:
        if coding != "chunked" or length:
            raise _Refused(400, "The body comes in chunks or with its length, and not otherwise.")
        return await _chunks(reader)
    if not length:
        raise _Refused(411, "The body comes without its length.")
    if not (length.isascii() and length.isdigit()):
        raise _Refused(400, "The length is no number.")
    if len(length) > _LENGTH_MOST or int(length) > MOST_BYTES:
        raise _Refused(413, "The body has more than 64 MiB.")
    return await _exactly(reader, int(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        try:
            size = int((await _line(reader)).partition(b";")[0].strip(), 16)
        except ValueError:
            raise _Refused(400, "A chunk has no size.") from None
        if size < 0 or len(body) + size > MOST_BYTES:
            raise _Refused(413, "The body has more than 64 MiB.")
        if not size:
            while (await _line(reader)).strip():
                pass
            return bytes(body)
        body += await _exactly(reader, size)
        if await _line(reader) != b"\r\n":
            raise _Refused(400, "A chunk is longer than it says.")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(BYTES_S):
            return await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError:
        raise _Refused(400, "A line of a chunk is too long.") from None


async def _exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    """So many bytes; each piece of them in time."""
    parts, left = [], size
    while left:
        async with asyncio.timeout(BYTES_S):
            part = await reader.read(min(left, 1024 * 1024))
        if not part:
            raise asyncio.IncompleteReadError(b"", left)
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _keeps(headers: dict[str, str]) -> bool:
    wish = headers.get("connection", "").lower()
    return "close" not in wish and (headers[":version"] != "HTTP/1.0" or "keep-alive" in wish)


async def _answer(
    writer: asyncio.StreamWriter,
    status: int,
    told: Mapping[str, object],
    *,
    keep: bool = True,
    body: bool = True,
) -> None:
    data = json.dumps(told).encode()
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
    ]
    if not keep:
        lines.append("Connection: close")
    if status == 507:
        lines.append("Retry-After: 30")
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (data if body else b""))
    async with asyncio.timeout(BYTES_S):
        await writer.drain()

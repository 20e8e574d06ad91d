"""One connection: the WebSocket, the login on it, and what it takes to notice that it is dead."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidProxy, InvalidStatus, WebSocketException

from .batching import BatchingConnection
from .errors import ConnectFailed, LinkLost, VantiqConnectorConfigException
from .handlers import handler_waits
from .logs import WireLog
from .protocol import Authenticated, Bad, Configured, Denied, Event, ReconnectRequired
from .protocol import SourceProtocol as Protocol
from .settings import VantiqSettings

_IDLE_PROBE_S = 60
_TOO_BIG = 1009
_UNREAD_FRAMES = 4
"""Frames that the library keeps for us; each may be as large as the limit for messages."""
OnBad = Callable[[str], None]


class Link:
    """A WebSocket that is logged in, or about to be; on one asyncio loop."""

    def __init__(self, ws: ClientConnection, protocol: Protocol, settings: VantiqSettings) -> None:
        self._ws, self._protocol, self._limits = ws, protocol, settings.limits
        self._url = settings.shown_url
        self._why = ""
        self.unread = False
        """We do not read for the time being, so that a pong may be stuck behind other frames."""

    # --- life

    @classmethod
    async def open(cls, settings: VantiqSettings, protocol: Protocol, log: logging.Logger) -> Link:
        """Connect, without logging in.

        :raises ConnectFailed: if there is no connection within the time limit.
        :raises VantiqConnectorConfigException: if the settings cannot lead to one.
        """
        limits, url = settings.limits, settings.shown_url
        kwargs = dict(settings.connect_kwargs)
        if settings.tls is not None:
            kwargs["ssl"] = settings.tls
        try:
            opening = connect(
                settings.url,
                open_timeout=limits.connect_s,
                close_timeout=limits.close_s,
                ping_interval=None,  # we ping, and know when a pong cannot come
                max_size=limits.message_bytes,
                **{"max_queue": _UNREAD_FRAMES, **kwargs},
                logger=WireLog(log),
                create_connection=BatchingConnection,
            )
        except (TypeError, ValueError, WebSocketException) as error:
            raise VantiqConnectorConfigException(
                f"{url}: the WebSocket library does not take these settings "
                f"({type(error).__name__}). Look at connectKWArgs and targetServer."
            ) from error
        asked = opening.ws_uri
        try:
            ws = await opening
        except TimeoutError as error:
            raise ConnectFailed(
                f"{url}: no answer to the WebSocket's opening within {limits.connect_s:g} s"
            ) from error
        except InvalidStatus as error:
            raise ConnectFailed(
                f"{url}: the server answers HTTP {error.response.status_code}, and no WebSocket"
            ) from error
        except (
            OSError,
            WebSocketException,
            ArithmeticError,
            ValueError,
            EOFError,
            ImportError,
        ) as error:
            raise ConnectFailed(f"{url}: {_sentence(error, url)}") from error
        link = cls(ws, protocol, settings)
        got = opening.ws_uri
        if (got.host, got.port, got.secure) != (asked.host, asked.port, asked.secure):
            # the token goes to nobody whom the settings do not name
            link.abort("redirected")
            raise ConnectFailed(
                f"{url}: the server redirects to {got.host}. Name that one in targetServer if it "
                "is meant."
            )
        _keep_watch(ws)
        return link

    async def login(self, on_bad: OnBad) -> Configured:
        """Log in and connect the source; the configuration that the server answers.

        What is not understood on the way is told to ``on_bad``, and ignored.

        :raises ConnectFailed: if the server says no, hangs up, or does not answer in time.
        :raises VantiqConnectorConfigException: if the token is refused.
        """
        try:
            first = await self._ask(self._protocol.validate(), "the login", on_bad)
            assert isinstance(first, Authenticated)
            second = await self._ask(first.reply, "the source's connection", on_bad)
            assert isinstance(second, Configured)
            return second
        except LinkLost as error:
            raise ConnectFailed(f"{self._url}: before the configuration {error.message}") from error

    async def ended(self) -> None:
        """Return when the connection has ended, by whomever."""
        await self._ws.wait_closed()

    async def close(self) -> None:
        """Send a close frame and end; bounded by the time limit for it."""
        try:
            async with asyncio.timeout(self._limits.close_s):
                await self._ws.close()
        except TimeoutError:  # the library's own limit does not count while a write is stuck
            self.abort("the server read nothing any more")
            await self._ws.wait_closed()

    def abort(self, why: str) -> None:
        """End it now; ``why`` is what others are told."""
        self._why = self._why or why
        self._ws.transport.abort()

    def why_ended(self) -> str:
        """Why the connection has ended."""
        error = self._ws.protocol.close_exc
        return self._ending(error)

    # --- messages

    async def receive(self) -> tuple[Event, int]:
        """The next message, and its length in bytes.

        :raises LinkLost: when the connection has ended.
        """
        try:
            frame = await self._ws.recv(False)
        except ConnectionClosed as error:
            raise LinkLost(self._ending(error)) from error
        return self._protocol.receive(frame), len(frame)

    def has_more(self) -> bool:
        """Whether messages have come already that were not received yet."""
        return len(self._ws.recv_messages.frames) > 0

    async def send(self, frame: bytes) -> None:
        """Send one message; waits while the server does not read.

        The order of messages is that of the calls.

        :raises LinkLost: if the connection has ended: it may not have arrived.
        """
        try:
            await self._ws.send(frame, text=True)
        except ConnectionClosed as error:
            raise LinkLost(self._ending(error)) from error
        if self._ws.transport.is_closing():  # the write itself failed; the library does not say
            raise LinkLost(self._why or "the connection was lost")

    async def confirm(self) -> None:
        """Return when the server has read all that was sent before: it answered a ping behind it.

        The answer has no limit of time while we do not read ourselves; but for a handler it has,
        since we may read no more before that has returned.

        :raises LinkLost: if it does not, in which case the connection is ended.
        """
        limit_s = self._limits.ping_answer_s
        pong: Awaitable[float] | None = None
        while True:
            was_unread = self.unread  # then the answer may still wait behind what is read now
            try:
                async with asyncio.timeout(limit_s):
                    if pong is None:
                        pong = await self._ws.ping()
                    await asyncio.shield(pong)
                return
            except TimeoutError as error:
                is_ours = (self.unread or was_unread) and not handler_waits()
                if pong is None or not is_ours:
                    self.abort(f"a ping was not answered within {limit_s:g} s")
                    raise LinkLost(self._why) from error
            except ConnectionClosed as error:
                raise LinkLost(self._ending(error)) from error

    async def keep_alive(self) -> None:
        """Ping every so often, and end the connection when no answer comes; runs until it ends."""
        limits = self._limits
        try:
            while True:
                await asyncio.sleep(limits.ping_every_s)
                try:
                    async with asyncio.timeout(limits.ping_answer_s):
                        await (await self._ws.ping())
                except TimeoutError:
                    if not self.unread:
                        self.abort(f"a ping was not answered within {limits.ping_answer_s:g} s")
        except ConnectionClosed:
            pass

    # --- private

    async def _ask(self, frame: bytes, what: str, on_bad: OnBad) -> Event:
        """Send one message of the login, and wait for what answers it."""
        limit_s = self._limits.answer_s
        try:
            async with asyncio.timeout(limit_s):
                await self.send(frame)
                while True:
                    event, _ = await self.receive()
                    if isinstance(event, Authenticated | Configured):
                        return event
                    if isinstance(event, Bad):
                        on_bad(event.why)
                    elif isinstance(event, Denied):
                        raise self._denied(event)
                    elif isinstance(event, ReconnectRequired):
                        raise ConnectFailed(f"{self._url}: the server wants us to begin again")
        except TimeoutError as error:
            raise ConnectFailed(f"{self._url}: no answer to {what} within {limit_s:g} s") from error

    def _denied(self, event: Denied) -> ConnectFailed | VantiqConnectorConfigException:
        if not event.fatal:
            return ConnectFailed(f"{self._url}: {event.why}")
        return VantiqConnectorConfigException(
            f"{self._url}: {event.why}. The token is not valid there: make a new one in Vantiq and "
            "set it as authToken, or as CONNECTOR_AUTH_TOKEN in the environment."
        )

    def _ending(self, error: ConnectionClosed) -> str:
        if self._why:
            return self._why
        if error.sent is not None and error.sent.code == _TOO_BIG and not error.rcvd_then_sent:
            limit = self._limits.message_bytes
            return (
                f"a message was larger than {limit} bytes, which is the limit. Raise max_size in "
                "connectKWArgs if it is meant"
            )
        if error.rcvd is not None:
            reason = f": {error.rcvd.reason[:100]}" if error.rcvd.reason else ""
            return f"the server closed the connection ({error.rcvd.code}{reason})"
        if error.sent is not None:
            return f"the connection was closed ({error.sent.code}: {error.sent.reason[:100]})"
        return "the connection was lost"


def _sentence(error: Exception, url: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted ({error.verify_message}). Name the file of "
            "its authority in the environment as SSL_CERT_FILE, or set "
            'connectKWArgs={"disableSslVerification": true}'
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}). Is targetServer right to say https?"
    if isinstance(error, socket.gaierror):
        return "the host's name is not known. Look at targetServer, or at the name service"
    if isinstance(error, InvalidProxy):  # whose text repeats the password
        return (
            "the proxy's URL is none that can be used. Look at proxy in connectKWArgs, and at "
            "ws_proxy, http_proxy and https_proxy in the environment"
        )
    if isinstance(error, OSError):
        why = error.strerror or str(error) or "the peer hung up"
        # whoever does not speak TLS hangs up on it
        ask = ". Is targetServer right to say https?" if url.startswith("wss:") else ""
        return f"no connection ({why}){ask}"
    return f"no WebSocket ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


def _keep_watch(ws: ClientConnection) -> None:
    """Let the kernel notice a peer that is gone, for sources that send no pings."""
    sock = ws.transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _IDLE_PROBE_S), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

"""The link of a thing in a process of its own: one WebSocket to ``/things``, on its own loop.

It connects again by itself: after 1 s, 1.5 times longer each time, at most 60 s. The library pings
every 20 s, so a connection whose other end is gone is noticed within 40 s.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from smapd.errors import BadRequest, NotConnected, SmapError, Unauthorized
from smapd.options import Secret
from smapd.runtime import Backoff
from smapd.runtime.program import ProgramLoop, Reply

from .links import Outbox, Receiver
from .wire import MESSAGE_BYTES, PING_S, Frame, decode, encode

_log: Final = logging.getLogger(__name__)

OPEN_S: Final = 10.0
"""How long one try to connect may take."""
AT_ONCE: Final = 256


class WebSocketLink:
    """Keeps one WebSocket to a daemon; its methods may be called on any thread."""

    def __init__(
        self,
        url: str,
        token: Secret | None = None,
        *,
        name: str = "thing",
        ca_file: str | None = None,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """``url``: of the daemon, ``http`` or ``https`` (``ws``, ``wss``). ``ca_file``: a PEM file
        of the authority that signed its certificate, where that is not a public one.
        """
        self.url = things_url(url)
        self._token, self._name, self._ca_file = token, name, ca_file
        self._backoff = Backoff(rng)
        self._receiver: Receiver | None = None
        self._outbox: Outbox[str | bytes] = Outbox()
        self._loop: ProgramLoop | None = None
        self._closing = False
        self._wake = asyncio.Event()
        self._awake = False
        self._socket: ClientConnection | None = None
        self._told = ""

    def open(self, receiver: Receiver) -> None:
        """Connect, and keep connected."""
        self._receiver, self._closing, self._wake = receiver, False, asyncio.Event()
        self._loop = ProgramLoop(f"thing-{self._name}-link")
        self._loop.start(self._main)

    def send(
        self, frame: Frame, patient: bool = True, publisher: Reply[Frame] | None = None
    ) -> bool:
        """Send a frame, in order. False: there is no connection.

        :raises BadRequest: if the frame is too large for the wire.
        """
        loop = self._loop
        if loop is None:
            return False
        message = encode(frame)
        if not self._outbox.put(message, len(message), patient and not loop.is_current()):
            return False
        if not self._awake:
            self._awake = True
            return loop.call(self._wake.set)
        return True

    def settled(self) -> None:
        """The hub took the connection."""
        self._backoff.reset()
        self._told = ""

    def drop(self) -> None:
        """End this connection; a new one is made after a pause."""
        if self._loop is not None:
            self._loop.call(self._cut)

    def close(self, timeout_s: float) -> bool:
        """Send what waits, and end it for good; whether its thread has ended in time."""
        loop, self._loop = self._loop, None
        if loop is None:
            return True
        self._closing = True
        self._outbox.close()
        loop.call(self._wake.set)
        return loop.join(timeout_s)

    # --- on the loop

    async def _main(self) -> None:
        while not self._closing:
            try:
                why, problem = await self._one_connection()
            except SmapError as error:  # a token that cannot be read
                why, problem = error.message, error
            except Exception as error:  # noqa: BLE001 - the thing must come back, whatever it was
                _log.exception("the link to %s failed", self.url)
                why, problem = f"{type(error).__name__}: {error}", None
            self._outbox.close()
            if self._receiver is not None:
                self._receiver.lost(why, problem)
            if self._closing:
                return
            pause_s = self._backoff.next()
            if why != self._told:  # not again and again
                self._told = why
                _log.warning("%s; it is tried again in %.1f s", why, pause_s)
            self._wake.clear()
            try:
                async with asyncio.timeout(pause_s):
                    while not self._closing:
                        await self._wake.wait()
                        self._wake.clear()
            except TimeoutError:
                pass

    async def _one_connection(self) -> tuple[str, SmapError | None]:
        """Connect and serve until it ends; why it did, and how the daemon refused it."""
        try:
            socket = await self._connected()
        except InvalidStatus as error:
            status = error.response.status_code
            if status in (401, 403):
                return f"{self.url} refuses the token ({status})", Unauthorized(
                    f"{self.url} wants a token that fits (it answered {status}).",
                    hint="Give the thing's config the token of [server], like Token = env:TOKEN.",
                )
            if status >= 500 or status == 429:  # a daemon that is full, or a proxy without one
                return f"{self.url} answers {status}", None
            return f"{self.url} answers {status}", NotConnected(f"{self.url} answers {status}.")
        except (OSError, InvalidHandshake, ssl.SSLError, ValueError, EOFError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            return f"{self.url} cannot be reached: {text}", None
        self._socket = socket
        self._outbox.open()
        self._awake = False
        sender = asyncio.create_task(self._send_all(socket))
        try:
            assert self._receiver is not None
            self._receiver.connected()
            return await self._read_all(socket), None
        finally:
            self._socket = None
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await socket.close()

    async def _connected(self) -> ClientConnection:
        options: dict[str, Any] = {}
        if self._token is not None:
            options["additional_headers"] = {"Authorization": f"Bearer {self._token.reveal()}"}
        if self.url.startswith("wss:"):
            options["ssl"] = ssl.create_default_context(cafile=self._ca_file)
        return await connect(
            self.url,
            open_timeout=OPEN_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=1.0,
            max_size=MESSAGE_BYTES,
            max_queue=64,
            compression=None,
            **options,
        )

    async def _read_all(self, socket: ClientConnection) -> str:
        try:
            async for message in socket:
                assert self._receiver is not None
                self._receiver.received(decode(message))
        except ConnectionClosed as error:
            return f"the connection to {self.url} is lost: {error}"
        except BadRequest as error:
            return f"{self.url} sent what is no frame: {error.message}"
        reason = socket.close_reason or "the daemon closed it"
        return f"the connection to {self.url} is closed: {reason}"

    async def _send_all(self, socket: ClientConnection) -> None:
        try:
            while True:
                self._awake = False  # before the look: who comes after it wakes us again
                messages = self._outbox.take(AT_ONCE)
                for message in messages:
                    await socket.send(message)
                if not messages:
                    if self._closing:
                        break
                    await self._wake.wait()
                    self._wake.clear()
        except ConnectionClosed:
            return  # the reader says why
        await socket.close()

    def _cut(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()


def things_url(url: str) -> str:
    """The WebSocket's URL, from that of the daemon."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    if not path.endswith("/things"):
        path += "/things"
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))

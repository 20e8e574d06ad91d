"""What a source does while it is connected: the server's messages, and the handlers' calls."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from .asked import Asked
from .crossing import Crossing
from .errors import LinkLost
from .handlers import Handler, HandlerCalls, InOrder, end_tasks
from .link import Link
from .logs import FaultLines
from .names import VantiqConnector as names
from .protocol import Bad, Configured, Denied, Event, Published, Queried, ReconnectRequired, Told
from .sending import Sender
from .settings import Limits
from .states import Counters

RECONNECT = "the server asked for a new connection"
CONNECT_FAILED = "the connect handler failed"
_EVERY_S = 60.0


@dataclass(slots=True)
class Handlers:
    """What the user wrote; None for none."""

    close: Handler | None = None
    connect: Handler | None = None
    publish: Handler | None = None
    query: Handler | None = None


class Serving:
    """Hands the server's messages to the handlers; on the sockets' loop.

    The close handler is called once for each call of the connect handler. Publishes are handled in
    order, also those of a connection that has ended since.
    """

    def __init__(
        self, source: str, limits: Limits, crossing: Crossing, log: logging.Logger
    ) -> None:
        self.handlers = Handlers()
        self.counters = Counters()
        self.faults = FaultLines(log)
        self.sender = Sender(source, limits)
        self._source, self._limits, self._log = source, limits, log
        self._calls = HandlerCalls(source, crossing, log, self.counters)
        self.asked = Asked(source, limits, self._calls, self.sender, self.counters)
        self.publishes = InOrder(limits.publishes, limits.waiting_bytes)
        self._owes_close = False
        self._reader: asyncio.Task[None]

    async def serve(self, link: Link, config: dict[str, Any]) -> str:
        """Call the connect handler, and serve until the connection ends; why it did."""
        self._owes_close = True
        try:
            if not await self._connect(link, config):
                return CONNECT_FAILED
        except LinkLost as error:
            return error.message
        why: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._read_on(link, why)
        try:
            return await why
        finally:
            self._reader.cancel()

    def _read_on(self, link: Link, why: asyncio.Future[str]) -> None:
        self._reader = why.get_loop().create_task(self._read(link, why))

    async def _read(self, link: Link, why: asyncio.Future[str]) -> None:
        """Read until the connection ends, or until another reads on while this handles a query.

        A query that comes alone is handled where it was read: a task of its own would begin a turn
        of the loop later, which is a quarter of the time that the answer takes.
        """
        try:
            while True:
                event, size = await link.receive()
                if isinstance(event, Queried):
                    query = await self.asked.admit(event, size, self.handlers.query)
                    if query is None:
                        continue
                    if link.has_more() or self.publishes.is_busy or not self.asked.has_room():
                        self.asked.add(query, event.object)
                        continue
                    self._read_on(link, why)
                    await self.asked.handle_here(query, event.object)
                    return
                ended = await self._other(link, event, size)
                if ended:
                    break
        except LinkLost as error:
            ended = error.message
        except Exception as error:  # noqa: BLE001  our own mistake ends the session with it
            if not why.done():
                why.set_exception(error)
            return
        if not why.done():
            why.set_result(ended)

    async def _other(self, link: Link, event: Event, size: int) -> str:
        """Anything but a query; why the connection is to end, "" if it is not."""
        if isinstance(event, Published):
            await self._publish(link, event, size)
        elif isinstance(event, ReconnectRequired):
            return RECONNECT
        elif isinstance(event, Bad):
            self.bad(event.why)
            await self.asked.refuse(event.address, "bad", "Not understood: {0}.", event.why)
        elif isinstance(event, Configured):  # anew, on the same connection
            await self.tell_close()
            self._owes_close = True
            if not await self._connect(link, event.config):
                return CONNECT_FAILED
        elif isinstance(event, Told | Denied):
            self._now_and_then("told", event.why)
        return ""

    def owe_close(self) -> None:
        """Let the close handler be called though the source was never connected."""
        self._owes_close = True

    async def tell_close(self) -> None:
        """Call the close handler if the connect handler was called since."""
        if not self._owes_close:
            return
        self._owes_close = False
        if self.handlers.close is None:
            return
        calling = asyncio.create_task(
            self._calls.call("close", self.handlers.close, self._context())
        )
        try:
            await end_tasks([calling], self._limits.close_handler_s, self._limits.close_s)
        finally:
            if calling.cancelled() or not calling.done():
                calling.cancel()
                self._log.warning("source %s: the close handler took too long", self._source)

    async def stop(self, within_s: float) -> None:
        """Drop what has not begun, and give the rest its time."""
        dropped = sum(
            await asyncio.gather(self.publishes.stop(within_s), self.asked.stop(within_s))
        )
        if dropped:
            self._log.warning(
                "source %s is closed; %d messages were not handled", self._source, dropped
            )

    def bad(self, why: str) -> None:
        """Count a message that was not understood; logged once in a while."""
        self.counters.bad_frames += 1
        self._now_and_then("bad", f"a message of the server was ignored: {why}")

    # --- private

    async def _connect(self, link: Link, config: dict[str, Any]) -> bool:
        """Call the connect handler; it is cancelled if the connection ends meanwhile.

        Otherwise one that waits to send would keep us from the very reconnect it waits for.
        """
        if self.handlers.connect is None:
            return True
        link.unread = True
        calling = asyncio.create_task(
            self._calls.call("connect", self.handlers.connect, self._context(), config)
        )
        ended = asyncio.create_task(link.ended())
        try:
            await asyncio.wait([calling, ended], return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                await end_tasks([calling], 0.0, self._limits.close_s)
        finally:
            calling.cancel()
            ended.cancel()
            link.unread = False
        return calling.done() and not calling.cancelled() and calling.result() is None

    async def _publish(self, link: Link, event: Published, size: int) -> None:
        self.counters.publishes += 1
        handler = self.handlers.publish
        if handler is None:
            self._now_and_then("publish", "it is published to, and there is no publish handler")
            return
        context = self._context()
        self.publishes.add(
            lambda: self._calls.call("publish", handler, context, event.object), size
        )
        if self.publishes.is_full:
            self._now_and_then(
                "behind",
                f"the publish handler is behind: {len(self.publishes)} publishes wait, and until "
                "it goes on nothing more is read",
            )
            link.unread = True
            try:
                await self.publishes.wait_for_room()
            finally:
                link.unread = False

    def _context(self) -> dict[str, Any]:
        return {names.SOURCE_NAME: self._source}

    def _now_and_then(self, kind: str, text: str) -> None:
        now_s = asyncio.get_running_loop().time()
        self.faults.fault(kind, f"source {self._source}: {text}", now_s, same="", every_s=_EVERY_S)

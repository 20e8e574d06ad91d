"""Who sends while there is no connection waits here, in order and within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools

from .errors import LinkLost, SourceClosed, VantiqConnectorException
from .link import Link
from .settings import Limits


class Sender:
    """Sends frames on the link of the moment; on one asyncio loop."""

    def __init__(self, source: str, limits: Limits) -> None:
        self._source, self._limits = source, limits
        self._link: Link | None = None
        self._over = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []  # a heap, by number
        self._awake: asyncio.Future[None] | None = None
        self._numbers = itertools.count()
        self._count = self._bytes = 0

    @property
    def waiting(self) -> int:
        """How many messages are waiting, or just on their way."""
        return self._count

    def open(self, link: Link) -> None:
        """There is a connection: who waits goes first."""
        self._link = link
        self._wake()

    def shut(self) -> None:
        """There is none."""
        self._link = None

    def finish(self) -> None:
        """There will be none any more: whoever waits is told."""
        self._over, self._link = True, None
        for _, place in self._waiting:
            if not place.done():
                place.set_result(None)

    async def send(self, frame: bytes) -> None:
        """Send one message, on this connection or the next.

        It is sent again if the connection ends while it is being sent, so that it may come twice.

        :raises VantiqConnectorException: if too much waits already, or after ``finish``.
        """
        size = len(frame)
        number = self._admit(size)
        try:
            while True:
                link = self._link
                if link is None or self._waiting or self._awake:
                    link = await self._turn(number)
                try:
                    await link.send(frame)
                    return
                except LinkLost:
                    if self._link is link:
                        self._link = None
        finally:
            self._count -= 1
            self._bytes -= size

    async def offer(self, frame: bytes) -> None:
        """Send one message if there is a connection, else drop it."""
        link = self._link
        if link is not None:
            with contextlib.suppress(LinkLost):
                await link.send(frame)

    async def deliver(self, frames: list[bytes]) -> None:
        """Send all on one connection; return when the server has read them.

        :raises LinkLost: if the connection ended first: some may have arrived.
        :raises VantiqConnectorException: as ``send``.
        """
        size = sum(map(len, frames))
        number = self._admit(size)
        try:
            link = self._link
            if link is None or self._waiting or self._awake:
                link = await self._turn(number)
            for frame in frames:
                await link.send(frame)
            await link.confirm()
        finally:
            self._count -= 1
            self._bytes -= size

    # --- private

    def _admit(self, size: int) -> int:
        """Count it; its number says who came first."""
        self._check_open()
        limits = self._limits
        too_many = self._count >= limits.unsent
        if too_many or (self._count and self._bytes + size > limits.waiting_bytes):
            raise VantiqConnectorException(
                f"source {self._source}: {self._count} messages ({self._bytes} bytes) wait to be "
                "sent already. Wait for the earlier ones before sending more."
            )
        self._count += 1
        self._bytes += size
        return next(self._numbers)

    def _check_open(self) -> None:
        if self._over:
            raise SourceClosed(f"source {self._source} is closed; nothing is sent")

    async def _turn(self, number: int) -> Link:
        """Wait for a connection, and for those who came before."""
        while True:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (number, place))
            self._wake()
            try:
                await place
            finally:
                if self._awake is place:
                    self._awake = None
                else:
                    self._sweep()
                self._wake()
            self._check_open()
            if self._link is not None:
                return self._link

    def _wake(self) -> None:
        """Let the next one go; each wakes the one behind it, so that nobody overtakes."""
        if self._link is None or self._awake is not None:
            return
        while self._waiting:
            _, place = heapq.heappop(self._waiting)
            if not place.done():
                place.set_result(None)
                self._awake = place
                return

    def _sweep(self) -> None:
        """Forget those who gave up, before they are more than those who wait."""
        if len(self._waiting) > 2 * self._count + 16:
            self._waiting = [one for one in self._waiting if not one[1].done()]
            heapq.heapify(self._waiting)

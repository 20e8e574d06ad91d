"""Health as Kubernetes' TCP probes see it: a port that is open only while all is well."""

from __future__ import annotations

import asyncio
import errno
import socket

from .errors import VantiqConnectorException


class Health:
    """A declaration of health, and the listener that shows it; on one asyncio loop.

    ``port``: on all addresses; a connection is closed at once. 0 takes a free one, None opens none:
    then only :meth:`is_healthy` tells.
    """

    def __init__(self, port: int | None, key: str = "tcpProbePort") -> None:
        self._wanted, self._key = port, key
        self._healthy: bool | None = None
        self._server: asyncio.Server | None = None
        self._turn = asyncio.Lock()

    @property
    def port(self) -> int | None:
        """The port that is open now, None while none is."""
        if self._server is None or not self._server.sockets:
            return None
        return int(self._server.sockets[0].getsockname()[1])

    def is_healthy(self) -> bool | None:
        """What was declared last; None before the first declaration."""
        return self._healthy

    async def declare_healthy(self) -> None:
        """Open the port; once is enough.

        :raises VantiqConnectorException: if it cannot be opened; health is what it was before.
        """
        async with self._turn:
            if self._server is None and self._wanted is not None:
                self._server = await self._open(self._wanted)
            self._healthy = True

    async def declare_unhealthy(self) -> None:
        """Close the port."""
        async with self._turn:
            await self._shut()
            self._healthy = False

    async def close(self) -> None:
        """Close the port and leave the declaration as it is: the connectors have ended."""
        async with self._turn:
            await self._shut()

    async def _open(self, port: int) -> asyncio.Server:
        try:
            return await asyncio.start_server(_hang_up, sock=_all_addresses(port))
        except OSError as error:
            why = "it is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise VantiqConnectorException(
                f"the TCP probe's port {port} cannot be opened: {why}. "
                f"Set {self._key} to a free one."
            ) from error

    async def _shut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()


def _all_addresses(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6: two would take different ports for 0."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
            )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise
        # a kernel that knows IPv6 and has no address of it
    return socket.create_server(("", port), backlog=128)


def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()

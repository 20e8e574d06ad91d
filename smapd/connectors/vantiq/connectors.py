"""All sources of one ``server.config``, and their common health."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from .connection import VantiqSourceConnection
from .errors import VantiqConnectorException
from .handlers import Handler
from .probe import Health
from .settings import ServerConfig, read_server_config


class VantiqConnectorSet:
    """One connection for each source that ``server.config`` names; all on one asyncio loop."""

    def __init__(
        self, folder: Path | str | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """Read ``serverConfig/server.config`` or ``server.config`` below the folder.

        ``folder``: the working directory. ``environ``: where CONNECTOR_AUTH_TOKEN is looked up.
        Nothing is connected before ``run_connectors``; no loop needs to run.

        :raises VantiqConnectorConfigException: with one sentence that names file and key.
        """
        read = read_server_config(
            None if folder is None else Path(folder), os.environ if environ is None else environ
        )
        self._config: ServerConfig = read.properties
        self._health = Health(read.probe_port)
        self._is_run = False
        self._connections: dict[str, VantiqSourceConnection] = {}
        for source in read.sources:
            connection = VantiqSourceConnection(source, read.settings)
            connection.config = read.properties
            connection.set_connector_set(self)
            self._connections[source] = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._connections)}>"

    def get_logger(self) -> logging.Logger:
        """The logger of this class."""
        return logging.getLogger(type(self).__name__)

    def get_sources(self) -> list[str]:
        """The names of the sources."""
        return list(self._connections)

    def get_connections(self) -> dict[str, VantiqSourceConnection]:
        """The connections by the names of their sources."""
        return self._connections

    def get_connection_for_source(self, source_name: str) -> VantiqSourceConnection | None:
        """The connection of one source; None if it is not among them."""
        return self._connections.get(source_name)

    def configure_handlers_for_all(
        self,
        handle_close: Handler | None = None,
        handle_connect: Handler | None = None,
        handle_publish: Handler | None = None,
        handle_query: Handler | None = None,
        *,
        close_handler: Handler | None = None,
        connect_handler: Handler | None = None,
        publish_handler: Handler | None = None,
        query_handler: Handler | None = None,
    ) -> None:
        """The same handlers for each connection; see ``configure_handlers`` there.

        :raises VantiqConnectorException: if one cannot be called, or is given twice.
        """
        for connection in self._connections.values():
            connection.configure_handlers(
                handle_close,
                handle_connect,
                handle_publish,
                handle_query,
                close_handler=close_handler,
                connect_handler=connect_handler,
                publish_handler=publish_handler,
                query_handler=query_handler,
            )

    async def run_connectors(self) -> None:
        """Connect all sources and keep them connected; returns when all are closed.

        When one ends with an error, the others are closed, and that error is raised.

        :raises VantiqConnectorConfigException: if the token is refused.
        :raises ConnectFailed: with ``failOnConnectionError``, at the first failure to connect.
        :raises VantiqConnectorException: if it was called before.
        """
        if self._is_run:
            raise VantiqConnectorException("these connectors run already, or have run")
        self._is_run = True
        self.get_logger().info("starting %d connectors", len(self._connections))
        running = [
            asyncio.create_task(connection.connect_to_vantiq())
            for connection in self._connections.values()
        ]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            await self.close()
            for task in running:
                task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._health.close()

    async def close(self) -> None:
        """Close all connections for good, at the same time."""
        await asyncio.gather(*(one.close() for one in self._connections.values()))

    async def declare_healthy(self) -> None:
        """Open the TCP probe's port: ``tcpProbePort``, or 8000.

        :raises VantiqConnectorException: if it cannot be opened.
        """
        await self._health.declare_healthy()

    async def declare_unhealthy(self) -> None:
        """Close the TCP probe's port."""
        await self._health.declare_unhealthy()

    def is_healthy(self) -> bool | None:
        """What was declared last; None before the first declaration."""
        return self._health.is_healthy()

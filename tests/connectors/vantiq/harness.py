"""A source against the mock server, with handlers that write down what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from smapd.connectors.vantiq import (
    Limits,
    SourceState,
    VantiqConnector,
    VantiqSettings,
    VantiqSourceConnection,
)
from smapd.testing.vantiq import VantiqServer

T = TypeVar("T")

QUICK = Limits(
    connect_s=5.0, answer_s=5.0, close_s=1.0, first_retry_s=0.02, last_retry_s=0.05, stable_s=0.2
)
"""So that a test takes its time in the server, not in pauses."""


def run(coro: Coroutine[Any, Any, T], within_s: float = 30.0) -> T:
    """Run it on a loop of its own; nothing of it may be left."""

    async def bounded() -> T:
        async with asyncio.timeout(within_s):
            result = await coro
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set(), left
        return result

    return asyncio.run(bounded())


async def until(true: Callable[[], object], within_s: float = 10.0) -> None:
    """Return when it holds."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.002)


class Source:
    """A connection, and all that its handlers were told."""

    def __init__(self, connection: VantiqSourceConnection) -> None:
        self.connection = connection
        self.told: list[tuple[Any, ...]] = []
        self.states: list[SourceState] = []
        self.on_connect: Callable[..., Awaitable[None]] | None = None
        self.on_publish: Callable[..., Awaitable[None]] | None = None
        self.on_query: Callable[..., Awaitable[None]] | None = None
        self.task: asyncio.Task[None] | None = None
        connection.configure_handlers(self._close, self._connect, self._publish, self._query)

    def kinds(self) -> list[str]:
        return [one[0] for one in self.told]

    def start(self) -> Source:
        self.task = asyncio.create_task(self.connection.connect_to_vantiq())
        return self

    async def stop(self) -> None:
        await self.connection.close()
        if self.task is not None:
            await self.task

    async def _close(self, context: dict[str, Any]) -> None:
        self.told.append(("close", context))

    async def _connect(self, context: dict[str, Any], config: dict[str, Any]) -> None:
        self.told.append(("connect", context, config))
        if self.on_connect is not None:
            await self.on_connect(context, config)

    async def _publish(self, context: dict[str, Any], message: dict[str, Any]) -> None:
        self.told.append(("publish", context, message))
        if self.on_publish is not None:
            await self.on_publish(context, message)

    async def _query(self, context: dict[str, Any], message: dict[str, Any]) -> None:
        self.told.append(("query", dict(context), message))
        if self.on_query is not None:
            await self.on_query(context, message)
        else:
            complete = VantiqConnector.QUERY_COMPLETE
            await self.connection.send_query_response(context, complete, {"echo": message})


def settings_of(server: VantiqServer, **changes: Any) -> VantiqSettings:
    """Settings for this server; keywords of ``Limits`` change QUICK, others are for ``of``."""
    known = {name: changes.pop(name) for name in list(changes) if name in Limits.__slots__}
    changes.setdefault("send_pings", False)
    return VantiqSettings.of(
        server.url, changes.pop("token", server.token), limits=replace(QUICK, **known), **changes
    )


def source_of(server: VantiqServer, name: str = "pump", **changes: Any) -> Source:
    """A source that is not run yet."""
    source = Source.__new__(Source)
    Source.__init__(
        source,
        VantiqSourceConnection(
            name,
            settings_of(server, **changes),
            on_state=lambda state: source.states.append(state),
            random=lambda: 0.5,
        ),
    )
    return source


@asynccontextmanager
async def connected(
    server: VantiqServer | None = None, **changes: Any
) -> AsyncIterator[tuple[VantiqServer, Source, Any]]:
    """(server, source, session): a server, unless one is given, and a source that is connected."""
    if server is None:
        async with VantiqServer() as own, connected(own, **changes) as three:
            yield three
            assert own.complaints == []
        return
    source = source_of(server, **changes).start()
    try:
        session = await server.session("pump")
        await until(lambda: source.connection.is_connected)
        yield server, source, session
    finally:
        await source.stop()

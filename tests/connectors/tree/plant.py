"""A real daemon with connectors, and the Vantiq server that they talk to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from smapd.testing import Answer, DaemonProcess
from smapd.testing.vantiq import Session, VantiqServer

T = TypeVar("T")

TREE = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/hall]
type = Collection
asset = hall-1
[/hall/t]
type = Timeseries
Properties/UnitofMeasure = C
Properties/ReadingType = double
[server]
AnyEvents = yes
CommitInterval = 100ms
"""


def run(coro: Coroutine[Any, Any, T], within_s: float = 60.0) -> T:
    """Run it on a loop of its own."""

    async def bounded() -> T:
        async with asyncio.timeout(within_s):
            return await coro

    return asyncio.run(bounded())


async def until(true: Callable[[], object], within_s: float = 20.0) -> None:
    """Return when it holds."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.01)


class Plant:
    """A daemon, seen from the server's loop: each call is made on another thread."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.daemon = daemon

    async def get(self, path: str) -> Answer:
        return await asyncio.to_thread(self.daemon.get, path)

    async def post(self, path: str, body: Any) -> Answer:
        text = json.dumps(body).encode()
        return await asyncio.to_thread(self.daemon.request, "POST", path, text)

    async def add(self, path: str, *values: float, ms: int = 1_000_000) -> None:
        readings = [[ms + i, value] for i, value in enumerate(values)]
        answer = await self.post("/readings", {path: {"Readings": readings}})
        assert answer.status == 200, answer.body

    async def publish(self, asset: str, name: str, data: Any) -> int:
        answer = await self.post(f"/assets/{asset}/events", {"name": name, "data": data})
        assert answer.status == 201, answer.body
        return int(answer.json()["offset"])

    async def status(self, connector: int = 0) -> Any:
        return (await self.get("/status")).json()["connectors"][connector]

    async def source(self, source: int = 0) -> Any:
        return (await self.status())["sources"][source]

    async def becomes(self, true: Callable[[Any], object], within_s: float = 20.0) -> Any:
        """The first connector's status as soon as this holds of it."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s
        while not true(shown := await self.status()):
            assert loop.time() < end_s, f"it did not come about: {json.dumps(shown, indent=1)}"
            await asyncio.sleep(0.05)
        return shown

    async def stop(self) -> int:
        return await asyncio.to_thread(self.daemon.stop)


@asynccontextmanager
async def running(config: str | Path, **more: Any) -> AsyncIterator[Plant]:
    """A daemon of this config, ready."""
    daemon = DaemonProcess(config, **more)
    try:
        await asyncio.to_thread(daemon.start)
        yield Plant(daemon)
    finally:
        await asyncio.to_thread(daemon.close)


def section(server: VantiqServer, *lines: str, name: str = "plant") -> str:
    """A [connector] section for this server."""
    keys = [f"TargetServer = {server.url}", f"AuthToken = {server.token}", "Sources = pump"]
    named = {line.split(" = ")[0] for line in lines}
    kept = [key for key in keys if key.split(" = ")[0] not in named]
    return "\n".join([f"[connector {name}]", "type = vantiq", *kept, *lines, ""])


async def notified(session: Session, count: int) -> Sequence[Any]:
    """The next so many notifications."""
    return [await session.notification() for _ in range(count)]

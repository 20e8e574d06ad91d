"""What a source adds to its WebSocket: notifications, queries, and the memory of many sources.

    python bench/vantiq.py [--rounds 7] [--count 20000] [--sources 200]

The peer is a process of its own that speaks the protocol as barely as can be, and is the same for
both sides of a pair. The floor sends the same bytes on a bare ``websockets`` connection, with the
same settings. The rounds of a pair alternate; medians are printed. Notifications: as fast as one
task can send them, until the peer has read the last. Queries: one at a time, and 64 at once.
Memory is what the kernel counts for the process (VmRSS) when all sources are connected.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

ROOT = pathlib.Path(__file__).parents[1]
BODY = {"path": "/hall/pump/speed", "time": 1_700_000_000_000, "value": 41.25, "unit": "rpm"}
PREFIX = b'{"op":"notification","resourceName":"sources","resourceId":"pump","object":'


# --- the peer


async def peer() -> None:
    """Serve until stdin closes; the port goes to stdout.

    A source logs in as it does. The floor says "bare" first, and then only the bodies go to and
    fro. The word "end" is answered, so that the other side knows that all before was read. With
    "ask N K" the peer asks N times, K at once, and says so when it has all the answers.
    """
    from websockets.asyncio.server import ServerConnection, serve

    async def talk(ws: ServerConnection) -> None:
        first = await ws.recv()
        if first == "bare":
            frame = b""
        else:
            await ws.send(b'{"status":200}', text=True)
            connect = orjson.loads(await ws.recv())
            name = connect["resourceId"]
            config = {"op": "configureExtension", "object": {"config": {}}, "resourceId": name}
            await ws.send(orjson.dumps(config), text=True)
        async for frame in ws:
            if len(frame) > 40 and '"control"' not in frame[-30:]:
                continue
            found = frame if first == "bare" else orjson.loads(frame)["object"]["control"]
            what, *numbers = str(found).split()
            if what == "ask":
                await ask(ws, *map(int, numbers))
            await control(ws, first == "bare")

    async def control(ws: ServerConnection, bare: bool) -> None:
        done = b"done" if bare else b'{"op":"publish","object":{"done":true}}'
        await ws.send(done, text=True)

    async def ask(ws: ServerConnection, count: int, at_once: int) -> None:
        query = orjson.dumps(
            {"op": "query", "object": BODY, "messageHeaders": {"REPLY_ADDR_HEADER": "reply-1234"}}
        )
        for _ in range(at_once):
            await ws.send(query, text=True)
        for n in range(count):
            await ws.recv(False)
            if n + at_once < count:
                await ws.send(query, text=True)

    def limit() -> dict[str, Any]:
        return {"ping_interval": None, "max_size": None}

    async with serve(talk, "127.0.0.1", 0, **limit()) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        await reader.read()


class Peer:
    """The peer in its process."""

    def __enter__(self) -> int:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--peer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


# --- the two sides


class Bare:
    """The floor: the same bytes on a bare connection."""

    async def start(self, port: int) -> None:
        from websockets.asyncio.client import connect

        self.ws = await connect(
            f"ws://127.0.0.1:{port}/api/v1/wsock/websocket",
            ping_interval=None,
            max_size=64 * 2**20,
        )
        await self.ws.send("bare")

    async def notify(self, count: int) -> None:
        send = self.ws.send
        for _ in range(count):
            await send(PREFIX + orjson.dumps(BODY) + b"}", text=True)
        await send("end")
        assert await self.ws.recv() == "done"

    async def ask(self, count: int, at_once: int) -> None:
        answer = (
            b'{"status":200,"headers":{"X-Reply-Address":"reply-1234"},"body":'
            + orjson.dumps(BODY)
            + b"}"
        )
        await self.ws.send(f"ask {count} {at_once}")
        for _ in range(count):
            await self.ws.recv(False)
            await self.ws.send(answer, text=True)
        assert await self.ws.recv() == "done"

    async def stop(self) -> None:
        await self.ws.close()


class Source:
    """A source with its handlers, as a program has it."""

    async def start(self, port: int) -> None:
        from smapd.connectors.vantiq import VantiqSettings, VantiqSourceConnection

        settings = VantiqSettings.of(f"http://127.0.0.1:{port}/", "a-token", send_pings=False)
        self.connection = VantiqSourceConnection("pump", settings)
        self.done = asyncio.Event()

        async def publish(context: dict[str, Any], message: dict[str, Any]) -> None:
            self.done.set()

        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            await self.connection.send_query_response(context, 200, message)

        self.connection.configure_handlers(handle_publish=publish, handle_query=query)
        self.task = asyncio.create_task(self.connection.connect_to_vantiq())

    async def _control(self, what: str) -> None:
        self.done.clear()
        await self.connection.send_notification({"control": what})
        await self.done.wait()

    async def notify(self, count: int) -> None:
        send = self.connection.send_notification
        for _ in range(count):
            await send(BODY)
        await self._control("end")

    async def ask(self, count: int, at_once: int) -> None:
        await self._control(f"ask {count} {at_once}")

    async def stop(self) -> None:
        await self.connection.close()
        await self.task


async def compare(
    port: int, what: str, rounds: int, count: int, do: Callable[[Any], Awaitable[None]]
) -> None:
    """Print the median rates of both, and the median of the rounds' ratios."""
    sides: dict[str, Any] = {"bare": Bare(), "source": Source()}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    cpu_us: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        await side.start(port)
        await do(side)  # warm
    for _ in range(rounds):
        for name, side in sides.items():
            begun, used = time.perf_counter(), time.process_time()
            await do(side)
            cpu_us[name].append((time.process_time() - used) / count * 1e6)
            rates[name].append(count / (time.perf_counter() - begun))
    for side in sides.values():
        await side.stop()
    median = {name: statistics.median(found) for name, found in rates.items()}
    ratio = statistics.median(s / b for b, s in zip(rates["bare"], rates["source"], strict=True))
    own = {name: f"{statistics.median(found):.0f}" for name, found in cpu_us.items()}
    print(
        f"{what:34} bare {median['bare']:8.0f}/s  source {median['source']:8.0f}/s"
        f"  ratio {ratio:.2f} (goal ≥ 0.70);"
        f" own CPU {own['bare']} and {own['source']} µs",
        flush=True,
    )


def rss_mib() -> float:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def memory(port: int, sources: int) -> None:
    """Print what so many connected sources hold."""
    from smapd.connectors.vantiq import VantiqSettings, VantiqSourceConnection

    before = rss_mib()
    settings = VantiqSettings.of(f"http://127.0.0.1:{port}/", "a-token")
    made = [VantiqSourceConnection(f"source{n}", settings) for n in range(sources)]
    tasks = [asyncio.create_task(one.connect_to_vantiq()) for one in made]
    for one in made:
        await one.send_notification({"n": 1})
    await asyncio.sleep(0.5)
    assert all(one.is_connected for one in made)
    print(
        f"{sources} sources in one process     {rss_mib():.0f} MiB in all, {before:.0f} MiB before"
        " (goal ≤ 150 MB)",
        flush=True,
    )
    await asyncio.gather(*(one.close() for one in made))
    await asyncio.gather(*tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        asyncio.run(peer())
        return
    rounds, count = arguments.rounds, arguments.count
    with Peer() as port:
        asyncio.run(memory(port, arguments.sources))
        asyncio.run(compare(port, "notifications", rounds, count, lambda side: side.notify(count)))
        some = count // 4
        for at_once in (1, 64):
            asyncio.run(
                compare(
                    port,
                    f"queries answered, {at_once} at once",
                    rounds,
                    some,
                    lambda side, k=at_once: side.ask(some, k),
                )
            )


if __name__ == "__main__":
    main()

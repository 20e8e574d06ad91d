"""A connector in the tree: how fast it drains, how soon an event arrives, how fast it answers.

    python bench/connector.py [--rounds 3] [--readings 500000] [--queries 4000]

A real daemon talks to a Vantiq server in this process, which reads every message as JSON. Drain:
so many readings of 100 streams wait, then the server comes up; until it has all of them. Events:
from the POST to the notification. Queries: of one node, one at a time and 64 at once; the floor
for both is a bare ``websockets`` echo of the same bodies between two processes on this machine.
CPU is what the daemon's process used. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pathlib
import statistics
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402

from smapd.testing import DaemonProcess  # noqa: E402
from smapd.testing.vantiq import Session, VantiqServer  # noqa: E402

STREAMS = 100
CONFIG = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/a]
type = Collection
asset = a-1
{series}
[connector plant]
type = vantiq
TargetServer = {url}
AuthToken = a-token
Sources = pump
Notify = /a/+
Assets = *
MaxReadings = 1000000
[server]
AnyEvents = yes
CommitInterval = 100ms
"""
SERIES = """[/a/s{n}]
type = Timeseries
Properties/UnitofMeasure = V
Properties/ReadingType = double
"""

ECHO = """
import asyncio
from websockets.asyncio.server import serve

async def talk(ws):
    async for frame in ws:
        await ws.send(frame)

async def main():
    async with serve(talk, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, input)

try:
    asyncio.run(main())
except EOFError:
    pass
"""


async def drain(server: VantiqServer, daemon: DaemonProcess, readings: int) -> tuple[float, float]:
    """(readings a second, CPU seconds a million)."""
    ask = asyncio.to_thread
    base = int(time.time() * 1000) - readings
    for first in range(0, readings, 50_000):
        each = 50_000 // STREAMS
        body = {
            f"/a/s{n}": {"Readings": [[base + first + i, i * 0.5] for i in range(each)]}
            for n in range(STREAMS)
        }
        await ask(daemon.request, "POST", "/readings", json.dumps(body).encode())
    process = psutil.Process(daemon.pid)
    before = sum(process.cpu_times()[:2])
    times: list[float] = []
    server.listen(lambda what: times.append(time.perf_counter()))  # the first: it is connected
    await server.start()
    session = await server.session("pump", timeout_s=90)
    got = 0
    while got < readings:
        got += len((await session.notification(60))["Readings"])
    took_s = time.perf_counter() - times[0]
    used_s = sum(process.cpu_times()[:2]) - before
    return readings / took_s, used_s / readings * 1e6


async def event(session: Session, daemon: DaemonProcess) -> float:
    """Milliseconds from the POST to the notification."""
    body = json.dumps({"name": "Made", "data": {"n": 1}}).encode()
    began_s = time.perf_counter()
    post = asyncio.create_task(
        asyncio.to_thread(daemon.request, "POST", "/assets/a-1/events", body)
    )
    await session.notification()
    took_s = time.perf_counter() - began_s
    await post
    return took_s * 1000


async def queries(session: Session, count: int, at_once: int) -> float:
    """Answers a second."""

    async def some(n: int) -> None:
        for _ in range(n):
            (answer,) = await session.query({"path": "/a/s0"})
            assert answer.status == 200

    began_s = time.perf_counter()
    await asyncio.gather(*(some(count // at_once) for _ in range(at_once)))
    return count / (time.perf_counter() - began_s)


async def echoes(count: int, at_once: int, size: int) -> float:
    """Round trips a second of a bare connection, ``at_once`` under way."""
    peer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ECHO, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert peer.stdout is not None
    assert peer.stdin is not None
    port = int(await peer.stdout.readline())
    frame = "x" * size
    async with connect(f"ws://127.0.0.1:{port}/", ping_interval=None, max_size=None) as ws:
        began_s = time.perf_counter()
        for _ in range(at_once):
            await ws.send(frame)
        for _ in range(count - at_once):
            await ws.recv()
            await ws.send(frame)
        for _ in range(at_once):
            await ws.recv()
        took_s = time.perf_counter() - began_s
    peer.stdin.close()
    await peer.wait()
    return count / took_s


async def one_round(arguments: argparse.Namespace) -> dict[str, float]:
    server = VantiqServer()
    await server.start()
    url = server.url
    await server.stop()
    series = "".join(SERIES.format(n=n) for n in range(STREAMS))
    with DaemonProcess(CONFIG.format(series=series, url=url)) as daemon:
        rate, cpu = await drain(server, daemon, arguments.readings)
        session = await server.session("pump")
        found = {"readings/s": rate, "CPU s a million": cpu}
        found["event ms"] = statistics.median([await event(session, daemon) for _ in range(50)])
        count = arguments.queries
        for at_once in (1, 64):
            found[f"queries/s, {at_once}"] = await queries(session, count, at_once)
            found[f"echoes/s, {at_once}"] = await echoes(count, at_once, 300)
        await asyncio.to_thread(daemon.stop)
    await server.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--readings", type=int, default=500_000)
    parser.add_argument("--queries", type=int, default=4_000)
    arguments = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    for _ in range(arguments.rounds):
        rounds.append(asyncio.run(one_round(arguments)))
    for name in rounds[0]:
        print(f"{name:20} {statistics.median(one[name] for one in rounds):12,.1f}")


if __name__ == "__main__":
    main()

"""A test's Vantiq server run by hand: lines of JSON in, lines of JSON out."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosed

from .vantiq import VantiqServer


@dataclass(slots=True)
class _Console:
    """Lines of JSON on stdin become publishes and queries; what happens goes to stdout."""

    server: VantiqServer
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def show(self, what: dict[str, Any]) -> None:
        print(json.dumps(what), flush=True)

    async def read(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            task = asyncio.create_task(self._do(line))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _do(self, line: bytes) -> None:
        try:
            asked = orjson.loads(line)
            session = self.server.sessions[asked["source"]]
            if "publish" in asked:
                await session.publish(asked["publish"])
            elif "query" in asked:
                answers = await session.query(asked["query"])
                self.show({"source": session.source, "answers": [list(one) for one in answers]})
            elif "reconnect" in asked:
                await session.require_reconnect()
            elif "drop" in asked:
                session.drop()
        except (ValueError, KeyError, TypeError, TimeoutError, ConnectionClosed) as error:
            self.show({"error": f"{type(error).__name__}: {error}"})


async def _main(arguments: argparse.Namespace) -> None:
    async with VantiqServer(token=arguments.token, host=arguments.host, port=arguments.port) as one:
        console = _Console(one)
        one.listen(console.show)
        console.show({"url": one.url, "token": one.token})
        await console.read()


def main() -> None:
    """Run a server until stdin ends."""
    parser = argparse.ArgumentParser(
        prog="python -m smapd.testing.vantiq_console",
        description="A Vantiq server for trying connectors. It shows what happens as lines of JSON,"
        ' and takes lines like {"source": "pump", "publish": {…}}, {"source": …, "query": {…}}, '
        '{"source": …, "reconnect": true} and {"source": …, "drop": true}.',
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--token", default="a-token")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()

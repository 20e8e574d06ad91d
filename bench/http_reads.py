"""What one request costs the server, beside the barest resource that gives the same bytes.

    python bench/http_reads.py [--rounds 7]

Each server is a process of its own; this one sends the requests over raw keep-alive sockets. The
rounds of a pair alternate. CPU is the server's own (scheduler's nanoseconds); medians are printed.
The bare server writes no access log, which is generous to it: smapd writes none either.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import selectors
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

CLIENTS = 16
ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


# --- servers


def make_tree(collections: int, series: int) -> Any:
    """A tree of so many collections with so many series each, all with one reading."""
    from smapd.core import SmapInstance

    tree = SmapInstance(ROOT)
    for c in range(collections):
        tree.set_metadata(tree.add_collection(f"/c{c}").path, {"Location": {"City": "Berkeley"}})
        for s in range(series):
            path = f"/c{c}/s{s}"
            tree.add_timeseries(path, path, "kW", data_type="double", timezone="UTC")
            tree.add(path, 1_700_000_000, s * 1.25)
    tree.drain()
    return tree


def serve_smapd(collections: int, series: int) -> Any:
    """The server as it is."""
    from twisted.internet import reactor

    from smapd.access import Access
    from smapd.core import Intake
    from smapd.http import HttpParts, Listener, make_site
    from smapd.runtime import Clock, Status

    tree = make_tree(collections, series)
    listener = Listener(port=0)
    access = Access(None, True)
    parts = HttpParts(tree, Intake(tree), access, Status(), lambda: "", lambda: "", "bench")
    return make_site(parts, listener, Clock(reactor))


def serve_bare(collections: int, series: int) -> Any:
    """One leaf resource that encodes a constant object at each request."""
    import orjson
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    tree = make_tree(collections, series)
    one = tree.get("/c0/s0").as_json()
    names = tree.get("/c0").as_json()
    below = {path: node.as_json() for path, node in tree.walk("/c0")}

    class Bare(Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> bytes:
            request.setHeader(b"Content-Type", b"application/json")
            if request.path == b"/data/c0/s0":
                return orjson.dumps(one)
            return orjson.dumps(below if request.path.endswith(b"+") else names)

    class Quiet(Site):
        def log(self, request: Any) -> None:
            pass

    return Quiet(Bare())


def serve(kind: str, collections: int, series: int) -> None:
    """Run a server until the other end of stdin closes; its port goes to stdout."""
    import gc

    from twisted.internet import reactor, stdio
    from twisted.internet.protocol import Protocol

    site = {"smapd": serve_smapd, "bare": serve_bare}[kind](collections, series)
    gc.collect()
    gc.freeze()
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    lag = Lag(reactor)

    class Control(Protocol):
        def dataReceived(self, data: bytes) -> None:
            print(f"{lag.take() * 1000:.3f}", flush=True)

        def connectionLost(self, reason: Any = None) -> None:
            reactor.stop()

    stdio.StandardIO(Control())
    print(port.getHost().port, flush=True)
    reactor.run()


class Lag:
    """The longest the reactor was held between two calls that come each millisecond.

    In the thread's own CPU time: on a busy machine the wall clock shows what others took.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._longest = 0.0
        self._watching = False
        self._last = 0.0

    def take(self) -> float:
        """The longest since the last look; the first look begins the watch."""
        longest, self._longest = self._longest, 0.0
        if not self._watching:
            self._watching = True
            self._last = time.thread_time()
            self._reactor.callLater(0.001, self._turn)
        return longest

    def _turn(self) -> None:
        now = time.thread_time()
        self._longest = max(self._longest, now - self._last)
        self._last = now
        self._reactor.callLater(0.001, self._turn)


# --- load


class Server:
    """A server in a process of its own."""

    def __init__(self, kind: str, collections: int, series: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind, str(collections), str(series)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[1])},
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def cpu_s(self) -> float:
        """What the scheduler has given it so far."""
        with open(f"/proc/{self._process.pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9

    def longest_ms(self) -> float:
        """The longest time the reactor was held since the last call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("?")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def load(port: int, path: str, count: int, clients: int = CLIENTS) -> tuple[float, int]:
    """Send ``count`` GETs from so many clients at once; seconds taken, bytes of one answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    selector = selectors.EpollSelector()
    for _ in range(clients):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ, {"buffer": bytearray(), "need": 0})
    begun = time.perf_counter()
    sent = done = size = 0
    for key in list(selector.get_map().values()):
        key.fileobj.sendall(request)  # type: ignore[union-attr]
        sent += 1
    while done < count:
        for key, _ in selector.select():
            sock, state = key.fileobj, key.data
            piece = sock.recv(1 << 20)  # type: ignore[union-attr]
            if not piece:
                raise RuntimeError("the server closed the connection")
            state["buffer"] += piece
            if not is_whole(state):
                continue
            size = max(size, len(state["buffer"]))
            state["buffer"], state["need"] = bytearray(), 0
            done += 1
            if sent < count:
                sent += 1
                sock.sendall(request)  # type: ignore[union-attr]
    took = time.perf_counter() - begun
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    selector.close()
    return took, size


def is_whole(state: dict[str, Any]) -> bool:
    """Whether the buffer holds a whole answer."""
    buffer = state["buffer"]
    if not state["need"]:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not buffer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(bytes(buffer[:200]))
        at = buffer[:end].lower().find(b"content-length:")
        state["need"] = -1 if at < 0 else end + 4 + int(buffer[at + 15 : buffer.find(b"\r", at)])
    if state["need"] < 0:
        return bool(buffer.endswith(b"\r\n0\r\n\r\n"))
    return len(buffer) >= state["need"]


# --- what is measured


def compare(series: int, path: str, count: int, rounds: int, what: str, goal: str) -> None:
    """Print what ``path`` costs in both servers, and the ratio."""
    pair = {kind: Server(kind, 1, series) for kind in ("bare", "smapd")}
    cpu: dict[str, list[float]] = {kind: [] for kind in pair}
    rate: dict[str, list[float]] = {kind: [] for kind in pair}
    size = {}
    for server in pair.values():
        load(server.port, path, count // 4)
    for _ in range(rounds):
        for kind, server in pair.items():
            before = server.cpu_s()
            took, size[kind] = load(server.port, path, count)
            cpu[kind].append((server.cpu_s() - before) / count * 1e6)
            rate[kind].append(count / took)
    for kind in pair:
        print(
            f"{what:32} {kind:6} {statistics.median(cpu[kind]):9.1f} µs CPU "
            f"{statistics.median(rate[kind]):9.0f} req/s  {size[kind]} bytes"
        )
    ratio = statistics.median(b / s for b, s in zip(cpu["bare"], cpu["smapd"], strict=True))
    print(f"{what:32} ratio  {ratio:9.2f} x bare, by CPU ({goal})\n")
    for server in pair.values():
        server.stop()


def below(rounds: int) -> None:
    """Print what /data/+ of 1,000 series costs."""
    server = Server("smapd", 5, 200)
    load(server.port, "/data/+", 20)
    cpu = []
    for _ in range(rounds):
        before = server.cpu_s()
        load(server.port, "/data/+", 300)
        cpu.append((server.cpu_s() - before) / 300 * 1e3)
    print(f"/data/+ of 1,000 series: {statistics.median(cpu):.2f} ms CPU (goal: at most 1.8)\n")
    server.stop()


def longest(rounds: int) -> None:
    """Print how long /data/+ of 100,000 series holds the reactor at most, alone and eightfold."""
    server = Server("smapd", 500, 200)
    server.longest_ms()
    for clients in (1, 8):
        found = []
        for _ in range(rounds):
            server.longest_ms()
            took, size = load(server.port, "/data/+", clients, clients)
            found.append(server.longest_ms())
        print(
            f"/data/+ of 100,000 series, {clients} at once: {size / 1e6:.1f} MB each, "
            f"last {took:.2f} s; longest piece "
            f"{statistics.median(found):.1f} ms, worst {max(found):.1f} (goal: at most 50)"
        )
    server.stop()


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "COLLECTIONS", "SERIES"))
    given = parser.parse_args()
    if given.serve:
        serve(given.serve[0], int(given.serve[1]), int(given.serve[2]))
        return
    goal = "goal: at least 0.7"
    compare(200, "/data/c0/s0", 8000, given.rounds, "one series", goal)
    compare(200, "/data/c0", 8000, given.rounds, "a collection of 200", goal)
    # the bare one has no tree to walk and nothing to gather: it encodes a dict made beforehand
    compare(200, "/data/c0/+", 1500, given.rounds, "all below a collection of 200", "no goal")
    below(given.rounds)
    longest(given.rounds)


if __name__ == "__main__":
    main()

"""What the pipeline's benches share: a consumer in a process of its own, children, their CPU.

Children speak by lines: a command goes in, one line of JSON comes out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLOOR = HERE / "floor_pipeline.py"
DAEMON = HERE / "_feeding_daemon.py"

SINK = """
import json, sys, time, zlib
from twisted.internet import protocol, reactor, stdio
from twisted.protocols.basic import LineOnlyReceiver

OK = b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"
seen = {"posts": 0, "bytes": 0}
ages, looking, open_ones = [], [False], set()


class Consumer(protocol.Protocol):
    need, head, parts = 0, b"", ()

    def connectionMade(self):
        open_ones.add(self)

    def connectionLost(self, reason):
        open_ones.discard(self)

    def dataReceived(self, data):
        if not self.need:
            self.head += data
            end = self.head.find(b"\\r\\n\\r\\n")
            if end < 0:
                return
            head, data, self.head = self.head[:end].lower(), self.head[end + 4 :], b""
            self.need = int(head.split(b"content-length:")[1].split(b"\\r\\n")[0])
            self.parts, self.at_ms = [], time.time() * 1000
        self.need -= len(data)
        if looking[0]:
            self.parts.append(data)
        seen["bytes"] += len(data)
        if self.need <= 0:
            self.need = 0
            seen["posts"] += 1
            self.transport.write(OK)
            if looking[0]:
                self.look(b"".join(self.parts))

    def look(self, body):
        for node in json.loads(body).values():
            ages.extend(self.at_ms - one[0] for one in node.get("Readings", ()))


class Orders(LineOnlyReceiver):
    delimiter = b"\\n"

    def lineReceived(self, line):
        word = line.decode()
        if word == "down":
            port[0].stopListening()
            for one in list(open_ones):
                one.transport.abortConnection()
        elif word == "up" and not port[0].connected:
            port[0] = reactor.listenTCP(number, factory, interface="127.0.0.1")
        elif word == "look":
            looking[0] = True
            ages.clear()
        elif word == "ages":
            looking[0] = False
            self.tell(sorted(ages))
            return
        self.tell(seen)

    def tell(self, what):
        self.transport.write(json.dumps(what).encode() + b"\\n")

    def connectionLost(self, reason):
        if reactor.running:
            reactor.stop()


factory = protocol.Factory()
factory.protocol = Consumer
port = [reactor.listenTCP(0, factory, interface="127.0.0.1")]
number = port[0].getHost().port
print(json.dumps({"port": number}), flush=True)
stdio.StandardIO(Orders())
reactor.run()
"""


class Child:
    """A Python process that answers each line with a line of JSON."""

    def __init__(self, *args: str) -> None:
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.first = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[1]} ended: {self.process.wait()}")
        return json.loads(line)

    def ask(self, word: str):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.answer()

    def cpu_s(self) -> float:
        """User and system seconds of the process, all threads; to the nanosecond."""
        return time.clock_gettime(((~self.process.pid) << 3) | 2)

    def peak_mb(self) -> float:
        """The most it ever had in memory."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024

    def end(self) -> None:
        """Close its input, which ends it; kill it if it does not end."""
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Sink(Child):
    """Takes every POST with 200."""

    def __init__(self) -> None:
        super().__init__("-c", SINK)
        self.url = f"http://127.0.0.1:{self.first['port']}/add/KEY"


def measured(child: Child, seconds: float, settle_s: float, order: str) -> dict[str, float]:
    """Have it work for so long; readings taken, kept and delivered, seconds and CPU seconds."""
    child.ask(order)
    time.sleep(settle_s)
    before, began, burnt = child.ask("stats"), time.perf_counter(), child.cpu_s()
    time.sleep(seconds)
    after, ended, used = child.ask("stats"), time.perf_counter(), child.cpu_s()
    child.ask("rest")
    return {
        "wall": ended - began,
        "cpu": used - burnt,
        **{key: after[key] - before[key] for key in ("taken", "kept", "delivered")},
    }


def side_by_side(children: dict[str, Child], rounds: int, seconds: float) -> dict[str, float]:
    """CPU seconds per million readings of each, all at work at once, a reading a series a second.

    What else the machine does meets all alike. A round goes from the end of one beat to the end of
    another; medians of the rounds would hide that garbage is collected in some beats only, so each
    figure is of all rounds together.
    """
    for child in children.values():
        child.ask("hz")
    time.sleep(5.0)
    before = {name: _after_a_beat(child) for name, child in children.items()}
    time.sleep(rounds * seconds)
    after = {name: _after_a_beat(child) for name, child in children.items()}
    for child in children.values():
        child.ask("rest")
    return {
        name: (after[name][1] - burnt) / (after[name][0] - delivered) * 1e6
        for name, (delivered, burnt) in before.items()
    }


def _after_a_beat(child: Child) -> tuple[int, float]:
    """Readings and CPU seconds when a beat has just been delivered and nothing more comes."""
    first = found = child.ask("stats")["delivered"]
    while found == first:
        time.sleep(0.05)
        found = child.ask("stats")["delivered"]
    before = -1
    while found != before:
        time.sleep(0.1)
        before, found = found, child.ask("stats")["delivered"]
    return found, child.cpu_s()

"""A served tree in memory: the real tree, the real access rule, a clock that tests turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock as FakeReactor
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from smapd.access import Access
from smapd.actuate import BinaryActuator, ContinuousActuator, NStateActuator
from smapd.actuation import POOL, Actuators, Jobs
from smapd.core import Intake, SmapInstance
from smapd.http import HttpParts, Listener, Site, make_site
from smapd.runtime import PoolSize
from smapd.testing import FakeRuntime

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
TURN_S = 1e-6
TOKEN = b"0123456789abcdef0123456789abcdef"


class Ticking:
    """The timers that the server needs, on a reactor that moves only when told to."""

    def __init__(self, reactor: FakeReactor) -> None:
        self.reactor = reactor
        self.seconds = reactor.seconds

    def later(self, delay_s: float, f: Any, *a: Any) -> Any:
        # one advance() of the fake reactor would run on and on through calls that are due at once
        return self.reactor.callLater(max(delay_s, TURN_S), f, *a)


class FakeStatus:
    """An IStatus that keeps the sections."""

    def __init__(self) -> None:
        self.sections: dict[str, Any] = {}

    def section(self, name: str, read: Any) -> None:
        self.sections[name] = read

    def snapshot(self) -> dict[str, Any]:
        return {name: read() for name, read in self.sections.items()}


class Wire(StringTransport):
    """A client's end in memory; takes all at once unless ``slow`` is set."""

    def __init__(self, peer: str) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", peer, 50000))
        self.protocol: Any = None
        self.slow = False
        self.is_closed = False
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        if self.is_closed:
            return
        super().write(data)
        if self.slow and self.producer is not None:
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self._close(ConnectionDone())

    def abortConnection(self) -> None:
        self.is_aborted = True
        self._close(ConnectionAborted())

    def _close(self, why: Exception) -> None:
        super().loseConnection()
        if not self.is_closed:
            self.is_closed = True
            self.protocol.connectionLost(Failure(why))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer, self.streaming = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None


@dataclass
class Answer:
    """One answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes
    rest: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A site with everything behind it."""

    tree: SmapInstance
    status: FakeStatus
    reactor: FakeReactor
    site: Site
    intake: Any
    reasons: dict[str, str] = field(default_factory=dict)

    def connect(self, peer: str = "127.0.0.1") -> Wire:
        """A connection on which a test writes bytes itself."""
        wire = Wire(peer)
        wire.protocol = self.site.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        return wire

    def turn(self) -> None:
        """One turn of the reactor."""
        self.reactor.advance(TURN_S)

    def ask(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        peer: str = "127.0.0.1",
    ) -> Answer:
        """One request on a connection of its own; the clock is turned until it is answered."""
        wire = self.connect(peer)
        wire.protocol.dataReceived(request_bytes(method, target, headers, body))
        for _ in range(100_000):
            if not self.site._pacer.running:
                break
            self.turn()
        answer = parse(wire.value().removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"), method)
        assert answer.rest == b""
        if not wire.is_closed:
            wire.loseConnection()
        return answer

    def get(self, target: str, **headers: str) -> Answer:
        """GET, with header names spelt with underscores."""
        return self.ask("GET", target, {k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, target: str, body: Any, **headers: str) -> Answer:
        """POST of a value as JSON."""
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.ask("POST", target, given, json.dumps(body).encode())


def request_bytes(
    method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    """A request as a client would send it."""
    lines = {"Host": "localhost:8080"}
    if body or method in ("POST", "PUT"):
        lines["Content-Length"] = str(len(body))
    lines |= headers or {}
    head = "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None)
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def parse(data: bytes, method: str = "GET") -> Answer:
    """The first answer in these bytes; what follows it is its ``rest``."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    assert separator, data
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, status = status_line.split(" ")[:2]
    assert version == "HTTP/1.1"
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs), f"a header twice: {pairs}"
    if method == "HEAD" or status in ("204", "304"):
        return Answer(int(status), headers, b"", rest)
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            size, _, rest = rest.partition(b"\r\n")
            count = int(size, 16)
            body, rest = body + rest[:count], rest[count + 2 :]
            if count == 0:
                return Answer(int(status), headers, body, rest)
    length = int(headers["content-length"])
    assert len(rest) >= length, "cut short"
    return Answer(int(status), headers, rest[:length], rest[length:])


def grow(tree: SmapInstance) -> None:
    """The tree that the tests look at: /a with metadata, /a/b/t, /a/n, and /s with text."""
    tree.add_timeseries("/a/b/t", "t", "V", data_type="double", timezone="UTC", buffersz=3)
    tree.add_timeseries("/a/n", "n", "m/s, gusts", timezone="UTC")
    tree.add_timeseries("/s", "s", "", data_type="string", timezone="UTC")
    tree.set_metadata("/a", {"Extra/Level": "a", "Extra/List": ["one", "two"]})


@pytest.fixture
def serve() -> Any:
    """Makes a served tree: ``serve(token=…, interface=…, **other keys of the listener)``."""

    def make(
        tree: SmapInstance | None = None,
        *,
        token: bytes | None = None,
        actuators: Any = None,
        jobs: Any = None,
        access: Any = None,
        reports: Any = None,
        twin: Any = None,
        desired: Any = None,
        frames: Any = None,
        **keys: Any,
    ) -> Served:
        if tree is None:
            tree = SmapInstance(ROOT)
            grow(tree)
        listener = Listener(token=token, **keys)
        status = FakeStatus()
        reactor = FakeReactor()
        reasons = {"ready": "", "healthy": ""}
        intake = Intake(tree)
        parts = HttpParts(
            tree=tree,
            intake=intake,
            access=access or Access(token, listener.is_loopback),
            status=status,
            ready=lambda: reasons["ready"],
            healthy=lambda: reasons["healthy"],
            version="1.2.3",
            actuators=actuators,
            jobs=jobs,
            reports=reports,
            desired=desired,
            twin=twin,
            frames=frames,
        )
        site = make_site(parts, listener, Ticking(reactor))
        return Served(tree, status, reactor, site, intake, reasons)

    return make


class Device:
    """Does what it is told; ``broken`` is what it says when it does not."""

    state: Any = 0
    broken = ""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def get_state(self, request: Any) -> Any:
        self.asked.append(request)
        if self.broken:
            raise ValueError(self.broken)
        return self.state

    def set_state(self, request: Any, state: Any) -> None:
        self.asked.append(request)
        if self.broken:
            raise ValueError(self.broken)
        self.state = state


class Lamp(Device, BinaryActuator):
    """On or off."""


class Mode(Device, NStateActuator):
    """One of 1, 2 and 5."""

    state = 1

    def __init__(self) -> None:
        Device.__init__(self)
        NStateActuator.__init__(self, [1, 2, 5])


class Heat(Device, ContinuousActuator):
    """10.0 to 30.5."""

    state = 10.0

    def __init__(self) -> None:
        Device.__init__(self)
        ContinuousActuator.__init__(self, (10.0, 30.5))


@dataclass
class House:
    """A served tree with actuators at /a/lamp, /a/mode and /a/heat, and a plain /a/plain."""

    served: Served
    runtime: FakeRuntime
    lamp: Lamp
    mode: Mode
    heat: Heat

    def put(self, target: str, body: Any = None, **headers: str) -> Answer:
        """PUT, with a value as JSON for a body."""
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        raw = b"" if body is None else json.dumps(body).encode()
        return self.served.ask("PUT", target, given, raw)


@pytest.fixture
def serve_house(serve: Any) -> Iterator[Any]:
    """Makes a house: ``serve_house(lamp={options of the lamp}, **of serve)``."""
    made: list[FakeRuntime] = []

    def make(lamp: dict[str, Any] | None = None, **keys: Any) -> House:
        runtime = FakeRuntime(pools={POOL: PoolSize(kept=0, most=8)})
        made.append(runtime)
        tree = SmapInstance(ROOT, now=runtime.clock.wall_ms, home=runtime.threads.to_reactor)
        actuators = Actuators(tree, runtime.threads, runtime.clock, runtime.faults)
        actuators.open()
        devices = Lamp(), Mode(), Heat()
        tree.add_actuator("/a/lamp", "on/off", devices[0], timezone="UTC", **(lamp or {}))
        tree.add_actuator("/a/mode", "state", devices[1], timezone="UTC")
        tree.add_actuator("/a/heat", "C", devices[2], timezone="UTC")
        tree.add_timeseries("/a/plain", "V", timezone="UTC")
        jobs = Jobs(actuators, runtime.clock)
        return House(serve(tree, actuators=actuators, jobs=jobs, **keys), runtime, *devices)

    yield make
    for runtime in made:
        runtime.clock.stop()


@pytest.fixture
def house(serve_house: Any) -> House:
    """A house on loopback, without a token."""
    return serve_house()


@pytest.fixture
def served(serve: Any) -> Served:
    """A served tree on loopback, without a token."""
    return serve()

"""A network in memory, on fake time: names, ports, and connections that push back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.runtime import Clock
from smapd.testing import START_MS

WINDOW = 64 * 1024


@implementer(ITCPTransport, IConsumer, IPushProducer)
class End:
    """One end of a connection: holds up to a window, then pauses whoever writes."""

    disconnecting = False

    def __init__(self, net: Net) -> None:
        self.net = net
        self.peer: Any = None
        self.protocol: Any = None
        self.out = bytearray()
        self.sent = 0
        self.paused = self.gone = False
        self.producer: Any = None
        self.held = False

    def write(self, data: bytes) -> None:
        if self.gone or self.disconnecting:
            return
        self.out += data
        full = len(self.out) > WINDOW and not self.held
        if full and hasattr(self.producer, "pauseProducing"):
            self.held = True
            self.producer.pauseProducing()
        self.net.callLater(0, self.flush)

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def flush(self) -> None:
        if self.gone or self.peer.paused:
            return
        if self.out:
            data = bytes(self.out[:WINDOW])
            del self.out[:WINDOW]
            self.sent += len(data)
            if not self.out and self.held and self.producer is not None:
                self.held = False
                self.producer.resumeProducing()
            self.peer.protocol.dataReceived(data)
            self.net.callLater(0.0005, self.flush)  # a window each: 128 MB/s
        elif self.disconnecting:
            self._lose(error.ConnectionDone(), error.ConnectionDone())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        if not streaming:
            self.pull(producer)

    def pull(self, producer: Any) -> None:
        """A pull producer gives a piece each millisecond that there is room for one."""
        if self.producer is producer and not self.gone:
            if len(self.out) < WINDOW:
                producer.resumeProducing()
            self.net.callLater(0.001, self.pull, producer)

    def unregisterProducer(self) -> None:
        self.producer, self.held = None, False

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.net.callLater(0, self.flush)

    def abortConnection(self) -> None:
        if not self.gone:
            self._lose(error.ConnectionAborted(), error.ConnectionLost())

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        if self.peer is not None:
            self.net.callLater(0, self.peer.flush)

    def stopProducing(self) -> None:
        self.loseConnection()

    def setTcpNoDelay(self, on: bool) -> None:
        pass

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "10.0.0.1", 1)

    getHost = getPeer

    def _lose(self, mine: Exception, theirs: Exception) -> None:
        self.gone = self.peer.gone = True
        self.net.open.discard(self)
        self.net.open.discard(self.peer)
        for end, why in ((self, mine), (self.peer, theirs)):
            self.net.callLater(0, end.protocol.connectionLost, Failure(why))


class Net(MemoryReactorClock):
    """A reactor. ``places``: (address, port) to what makes a server; "silent": no word at all.

    ``names``: name to addresses; a list that is None: the name service does not answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[tuple[str, int], Callable[[], Protocol] | str] = {}
        self.names: dict[str, list[str] | None] = {}
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []
        self.open: set[End] = set()
        self.clock = Clock(self, wall=lambda: START_MS + round(self.seconds() * 1000))
        self.nameResolver = self

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, *a: Any) -> None:
        self.asked.append(hostName)
        receiver.resolutionBegan(None)
        found = self.names.get(hostName, [])
        if found is None:
            return
        for host in found:
            kind = IPv6Address if ":" in host else IPv4Address
            receiver.addressResolved(kind("TCP", host, portNumber))
        receiver.resolutionComplete()

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        self.dialled.append((host, port))
        connector = super().connectTCP(host, port, factory, timeout, bindAddress)
        place = self.places.get((host, port))
        if place is None:
            why: Exception = error.ConnectionRefusedError()
            self.callLater(0, factory.clientConnectionFailed, connector, Failure(why))
        elif isinstance(place, str):
            late = Failure(error.TimeoutError())
            self.callLater(timeout, factory.clientConnectionFailed, connector, late)
        else:
            self.callLater(0, self._link, factory, place)
        return connector

    def _link(self, factory: Any, make: Callable[[], Protocol]) -> None:
        client, server = End(self), End(self)
        client.peer, server.peer = server, client
        client.protocol = factory.buildProtocol(None)
        server.protocol = make()
        self.open |= {client, server}
        server.protocol.makeConnection(server)
        client.protocol.makeConnection(client)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; each call on the way comes at its moment."""
        until = self.seconds() + seconds
        for _ in range(200_000):
            due = min((c.getTime() for c in self.getDelayedCalls()), default=until + 1)
            if due > until:
                break
            self.rightNow = max(due, self.rightNow)
            self.advance(0)
        else:
            raise AssertionError("this never ends")
        self.rightNow = until

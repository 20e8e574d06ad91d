"""The connection below the HTTP client: what comes in is counted, and a bad one can be cut.

Twisted's client has no bound on headers, on interim answers, or on how long a close may take, and
keeps an answer to itself that comes before the request is out. All four are seen to here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool
from zope.interface import implementer

from smapd.interfaces import IClock, ITimer

MOST_HEAD: Final = 16 * 1024
"""Bytes before the headers are complete, interim answers among them."""

_MOST_INTERIM: Final = 8  # answers of 100 to 199 before the real one
_IDLE_S: Final = 4.0  # below the 5 s after which common servers close an idle connection
_CLOSE_S: Final = 5.0  # for the other side to agree that a connection ends


class Watcher(Protocol):
    """What an attempt wants to hear of its connection."""

    def came_early(self, head: bytes) -> bool:
        """A part of the answer is here. True: it says enough, and the connection is cut."""

    def too_much(self, why: str) -> None:
        """The answer is beyond all bounds; the connection is cut."""


class Wire(ProtocolWrapper):
    """One connection, between the HTTP client and the transport, which may be TLS."""

    def __init__(self, factory: _Factory, wrapped: IProtocol) -> None:
        super().__init__(factory, wrapped)  # type: ignore[arg-type]
        self._clock = factory.clock
        self._wires = factory.wires
        self._watcher: Watcher | None = None
        self._closing: ITimer | None = None
        self._in_head = False
        self.head = b""
        """What came of the present answer before its headers were complete."""
        self.received = 0
        """Bytes of the present answer."""

    def makeConnection(self, transport: object) -> None:
        """The connection is there."""
        self._wires.add(self)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def begin(self, watcher: Watcher) -> None:
        """A request goes out on this connection."""
        self._watcher, self._in_head = watcher, True
        self.head, self.received = b"", 0

    def head_is_complete(self) -> None:
        """From here on the bytes are the body's, whose reader bounds them."""
        self._in_head = False

    def end(self) -> None:
        """Nobody watches any more."""
        self._watcher, self._in_head, self.head = None, False, b""

    def dataReceived(self, data: bytes) -> None:
        """Count, look at the head, and pass on."""
        self.received += len(data)
        if self._in_head and self._watcher is not None:
            self.head += data
            if self._watcher.came_early(self.head):
                self.abort()
                return
            why = self._excess(data)
            if why:
                self._watcher.too_much(why)
                self.abort()
                return
        self.wrappedProtocol.dataReceived(data)

    def loseConnection(self) -> None:
        """Close; what is not closed after a few seconds is cut."""
        self.disconnecting = 1
        if self.transport is not None:
            self.transport.loseConnection()
        if self._closing is None and self in self._wires:
            self._closing = self._clock.later(_CLOSE_S, self.abort)

    def abort(self) -> None:
        """Cut the connection now; nothing if it is gone."""
        if self in self._wires and self.transport is not None:
            cast(Any, self.transport).abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection is gone."""
        self._wires.discard(self)
        if self._closing is not None:
            self._closing.discard()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _excess(self, data: bytes) -> str:
        ended = self.head.find(b"\r\n\r\n")
        before_body = ended if ended >= 0 and self.head[9:10] != b"1" else len(self.head)
        if before_body > MOST_HEAD:
            return f"its headers are longer than {MOST_HEAD // 1024} KiB"
        if b"HTTP/1." in data and self.head.count(b"HTTP/1.", 0, before_body) > _MOST_INTERIM:
            return "it sent one interim answer after the other"
        return ""


class _Factory(WrappingFactory):
    """Makes a Wire around each of the HTTP client's protocols."""

    noisy = False

    def __init__(self, inner: IProtocolFactory, clock: IClock, wires: set[Wire]) -> None:
        super().__init__(inner)  # type: ignore[no-untyped-call]
        self.clock, self.wires = clock, wires

    def buildProtocol(self, addr: IAddress | None) -> Wire | None:  # type: ignore[override]
        """A wire, and the client above it."""
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else Wire(self, inner)


@implementer(IStreamClientEndpoint)
class WiredEndpoint:
    """An endpoint whose connections are wires."""

    def __init__(self, inner: IStreamClientEndpoint, clock: IClock, wires: set[Wire]) -> None:
        self._inner, self._clock, self._wires = inner, clock, wires

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect; gives the protocol of ``protocolFactory``, whose transport is the wire."""
        factory = _Factory(protocolFactory, self._clock, self._wires)
        wired: Deferred[IProtocol] = self._inner.connect(cast(IProtocolFactory, factory))
        return wired.addCallback(_above)


def _above(wire: IProtocol) -> IProtocol:
    above: IProtocol | None = cast(Wire, wire).wrappedProtocol
    if above is None:  # gone before anyone could use it
        raise ConnectionLost()
    return above


class Pool(HTTPConnectionPool):
    """One kept connection for each place; tells which wire a request is to use."""

    maxPersistentPerHost = 1
    cachedConnectionTimeout = _IDLE_S  # type: ignore[assignment]
    retryAutomatically = False

    def __init__(self, reactor: IReactorTime) -> None:
        super().__init__(reactor)  # type: ignore[no-untyped-call]
        self.when_connected: Callable[[Wire], None] = lambda wire: None

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[object]:  # type: ignore[override]
        """A connection to that place, kept or new."""
        found: Deferred[object] = super().getConnection(key, endpoint)  # type: ignore[assignment]
        return found.addCallback(self._tell)

    def _tell(self, connection: object) -> object:
        self.when_connected(cast(Wire, connection.transport))  # type: ignore[attr-defined]
        return connection

"""The zoo: HTTP servers that do each thing wrong that a consumer has been seen to do.

An ``Animal`` makes a server's protocol; the same one serves in memory on fake time and on a real
port. ``ends`` is the class of the outcome that a sink must come to, ``says`` a part of its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from smapd.values import Accepted, Refused, Retry, TooLarge

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BLOCK = b"x" * 65536
BIG = 2_000_000
"""A body that no socket buffer swallows whole on the way to who does not read."""


class Server(Protocol):
    """Takes requests whole, and lets a subclass or ``behaviour`` answer each."""

    def __init__(self, behaviour: Callable[[Server], Any], clock: Any) -> None:
        self.behaviour, self.clock = behaviour, clock
        self.data = bytearray()
        self.requests = 0
        self.bodies: list[bytes] = []
        self.gone = False
        self.calls: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.data[:end]).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.data) < end + 4 + length:
                return
            self.bodies.append(bytes(self.data[end + 4 : end + 4 + length]))
            del self.data[: end + 4 + length]
            self.requests += 1
            self.behaviour(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True
        for call in self.calls:
            if call.active():
                call.cancel()

    def send(self, data: bytes) -> None:
        if not self.gone:
            self.transport.write(data)

    def drip(self, data: Iterator[bytes], every_s: float) -> None:
        """One piece now and then, until the data or the connection ends."""
        piece = next(data, None)
        if piece is None or self.gone:
            return
        self.send(piece)
        self.later(every_s, self.drip, data, every_s)

    def later(self, seconds: float, f: Callable[..., Any], *a: Any) -> None:
        """Call once, unless the connection ends before."""
        self.calls = [call for call in self.calls if call.active()]
        self.calls.append(self.clock.callLater(seconds, f, *a))

    def flood(self, piece: bytes) -> None:
        """As much as goes, for as long as the connection stands."""

        def more() -> None:
            if not self.gone:
                self.transport.write(piece)

        self.transport.registerProducer(_Puller(more), False)

    def close(self) -> None:
        self.transport.loseConnection()

    def cut(self) -> None:
        self.transport.abortConnection()


class Eager(Server):
    """Acts as soon as it is connected; reads, but does not wait for a request."""

    def connectionMade(self) -> None:
        self.behaviour(self)

    def dataReceived(self, data: bytes) -> None:
        pass


class AtFirstBytes(Server):
    """Acts when the first bytes of a request are there."""

    def dataReceived(self, data: bytes) -> None:
        self.requests += 1
        if self.requests == 1:
            self.behaviour(self)


class _Puller:
    def __init__(self, more: Callable[[], None]) -> None:
        self.resumeProducing = more

    def stopProducing(self) -> None:
        pass


@dataclass(frozen=True)
class Animal:
    """One kind. ``size``: bytes of the body to send it. ``within_s``: fake seconds it may take."""

    name: str
    behaviour: Callable[[Server], Any]
    ends: type[Any]
    says: str = ""
    kind: type[Server] = Server
    size: int = 1000
    within_s: float = 30.0

    def make(self, clock: Any) -> Server:
        return self.kind(self.behaviour, clock)


def answer(status: str, *headers: str, body: bytes = b"") -> Callable[[Server], None]:
    """Answers properly, with this."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    data = "\r\n".join(lines).encode() + body
    return lambda server: server.send(data)


def raw(data: bytes, then: str = "") -> Callable[[Server], None]:
    """Sends these bytes, then closes or cuts."""

    def act(server: Server) -> None:
        server.send(data)
        if then:
            getattr(server, then)()

    return act


def _bytes(data: bytes) -> Iterator[bytes]:
    return (bytes((one,)) for one in data)


def _for_ever(data: bytes) -> Iterator[bytes]:
    while True:
        yield data


def _many(data: bytes) -> Callable[[Server], None]:
    def act(server: Server) -> None:
        server.send(data)
        server.flood(BLOCK)

    return act


def _deaf(server: Server) -> None:
    server.transport.pauseProducing()


def _early(data: bytes, then: str = "") -> Callable[[Server], None]:
    def act(server: Server) -> None:
        server.transport.pauseProducing()
        server.send(data)
        if then:
            getattr(server, then)()

    return act


def _sips(server: Server) -> None:
    """Reads for a moment each second, and never answers."""
    server.transport.pauseProducing()

    def sip() -> None:
        if not server.gone:
            server.transport.resumeProducing()
            server.later(0.0001, server.transport.pauseProducing)
            server.later(1, sip)

    server.later(1, sip)


_200 = b"HTTP/1.1 200 OK\r\n"
_500 = b"HTTP/1.1 500 Oh\r\n"
_SLOW_HEAD = _200 + b"X-Long: " + b"a" * 500

ANIMALS = [
    Animal("never answers", lambda s: None, Retry, "no answer within 15 s"),
    Animal("closes on accept", Server.close, Retry, "closed the connection", kind=Eager),
    Animal("cuts on accept", Server.cut, Retry, "connection", kind=Eager),
    Animal("closes after the request", Server.close, Retry, "before its answer"),
    Animal("cuts after the request", Server.cut, Retry, "broke"),
    Animal(
        "status line, one byte a second", lambda s: s.drip(_bytes(_SLOW_HEAD), 1), Retry, "30 s"
    ),
    Animal(
        "error body, one byte a second",
        lambda s: (s.send(_500 + b"Content-Length: 999\r\n\r\n"), s.drip(_for_ever(b"x"), 1)),
        Retry,
        "it answered 500",
    ),
    Animal(
        "body of a success, one byte a second",
        lambda s: (s.send(_200 + b"Content-Length: 999\r\n\r\n"), s.drip(_for_ever(b"x"), 1)),
        Accepted,
        within_s=3,
    ),
    Animal("endless body of a success", _many(_200 + b"\r\n"), Accepted, within_s=3),
    Animal("endless body of an error", _many(_500 + b"\r\n"), Retry, "answered 500", within_s=3),
    Animal(
        "endless chunks",
        lambda s: (
            s.send(_500 + b"Transfer-Encoding: chunked\r\n\r\n"),
            s.flood(b"10000\r\n" + BLOCK + b"\r\n"),
        ),
        Retry,
        "answered 500",
        within_s=3,
    ),
    Animal(
        "endless headers",
        lambda s: (s.send(_200), s.flood(b"X-More: yes\r\n" * 4000)),
        Retry,
        "headers are longer",
        within_s=3,
    ),
    Animal("endless header", _many(_200 + b"X-More: "), Retry, "headers are longer", within_s=3),
    Animal("endless status line", _many(b"HTTP/1.1 200 "), Retry, "headers are longer", within_s=3),
    Animal(
        "1xx for ever",
        lambda s: s.flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
        Retry,
        "interim",
        within_s=3,
    ),
    Animal(
        "1xx each second",
        lambda s: s.drip(_for_ever(b"HTTP/1.1 102 Processing\r\n\r\n"), 1),
        Retry,
        "interim",
    ),
    Animal("100, then 200", raw(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), Accepted, within_s=1),
    Animal(
        "200 and fewer bytes than said",
        raw(_200 + b"Content-Length: 99\r\n\r\nfew", "close"),
        Accepted,
        within_s=3,
    ),
    Animal(
        "500 and fewer bytes than said",
        raw(_500 + b"Content-Length: 99\r\n\r\nfew", "close"),
        Retry,
        "answered 500 Oh: few",
        within_s=3,
    ),
    Animal(
        "more bytes than said",
        raw(_200 + b"Content-Length: 2\r\n\r\nok" + b"more" * 9999),
        Accepted,
        within_s=3,
    ),
    Animal("answers twice", raw(OK + OK), Accepted, within_s=1),
    Animal("closes mid-header", raw(_200 + b"Content-Le", "close"), Retry, "closed", within_s=1),
    Animal("cuts mid-header", raw(_200 + b"Content-Le", "cut"), Retry, within_s=1),
    Animal("redirect to itself", answer("302 Found", "Location: /"), Retry, "redirect", within_s=1),
    Animal(
        "redirect to loopback",
        answer("307 Temporary Redirect", "Location: http://127.0.0.1:22/"),
        Retry,
        "redirect",
        within_s=1,
    ),
    Animal("redirect without a place", answer("308 Permanent Redirect"), Retry, "redirect"),
    Animal("401", answer("401 Unauthorized"), Retry, "401 Unauthorized", within_s=1),
    Animal("403", answer("403 Forbidden"), Retry, "403", within_s=1),
    Animal("404", answer("404 Not Found"), Retry, "404", within_s=1),
    Animal("400", answer("400 Bad Request", body=b"no such stream"), Refused, "no such stream"),
    Animal("422", answer("422 Unprocessable Content"), Refused, "422", within_s=1),
    Animal("413", answer("413 Content Too Large"), TooLarge, "413", within_s=1),
    Animal(
        "413 before the body, then silence",
        _early(b"HTTP/1.1 413 Too Big\r\n\r\n"),
        TooLarge,
        "413 Too Big",
        kind=AtFirstBytes,
        size=BIG,
        within_s=3,
    ),
    Animal(
        "503 before the body",
        _early(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n"),
        Retry,
        "503 Busy",
        kind=AtFirstBytes,
        size=BIG,
        within_s=3,
    ),
    Animal(
        "200 before the body",
        _early(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Retry,
        "before it had all",
        kind=AtFirstBytes,
        size=BIG,
        within_s=3,
    ),
    Animal("hangs up on big bodies", Server.cut, TooLarge, "body", kind=AtFirstBytes, size=BIG),
    Animal("never reads", _deaf, TooLarge, "was not taken by then", kind=Eager, size=20 * BIG),
    Animal("reads in sips", _sips, TooLarge, "was not taken by then", kind=Eager, size=20 * BIG),
    Animal("429", answer("429 Slow Down", "Retry-After: 5"), Retry, "429 Slow Down", within_s=1),
    Animal(
        "429 with date",
        answer("429 Slow Down", "Retry-After: Tue, 14 Nov 2023 22:13:40 GMT"),
        Retry,
        "429",
    ),
    Animal("500", answer("500 Oh", body=b"\x00\xff\x1b[2J not \xe2\x82 text"), Retry, "500 Oh"),
    Animal("202", answer("202 Accepted"), Retry, "only 200, 201 and 204"),
    Animal("206", answer("206 Partial Content"), Retry, "206"),
    Animal("no HTTP", raw(b"SSH-2.0-OpenSSH_9.2\r\n"), Retry, "not HTTP", kind=Eager),
    Animal("HTTP 0.9", raw(b"<html>hello</html>\r\n", "close"), Retry, "not HTTP", within_s=1),
    Animal("status of letters", raw(b"HTTP/1.1 fine\r\n\r\n"), Retry, "not HTTP", within_s=1),
    Animal(
        "transfer encoding nobody knows",
        raw(_200 + b"Transfer-Encoding: pigeon\r\n\r\n"),
        Retry,
        "not HTTP",
        within_s=1,
    ),
    Animal(
        "chunk of letters",
        raw(_200 + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Accepted,
        within_s=3,
    ),
    Animal(
        "huge chunk size",
        raw(_200 + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n"),
        Accepted,
        within_s=3,
    ),
    Animal("negative length", raw(_200 + b"Content-Length: -5\r\n\r\n"), Retry, within_s=16),
    Animal(
        "two lengths",
        raw(_200 + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\nok"),
        Retry,
        "",
        within_s=16,
    ),
    Animal("closes after each answer", raw(OK, "close"), Accepted, within_s=1),
    Animal("says close and keeps", raw(_200 + b"Connection: close\r\n\r\n"), Accepted, within_s=3),
    Animal("204", raw(b"HTTP/1.1 204 No Content\r\n\r\n"), Accepted, within_s=1),
    Animal("201", answer("201 Created"), Accepted, within_s=1),
]

"""One connection, with a bound on everything that its client may send or fail to send.

Twisted's channel parses; this adds times and sizes. It keeps no timers: the site looks once a
second at the deadline of each connection, which costs a request nothing.

A client that asks and does not read holds one answer in memory, not many: its next request begins
when the transport, which says so from 64 KiB on, is rid of what was written. What it has sent ahead
by then is kept up to 16 KiB and one read of the socket; after that its socket is not read.

What cannot be answered by a route (a head that is too long or malformed, a body that is too
large) is refused: the error is written at once, what the client still sends is read and thrown
away for a while, since closing on unread bytes would destroy the answer on its way.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import protocol
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from smapd.errors import BadRequest, Busy, HeadersTooLong, SmapError, TooLarge, TooSlow, UriTooLong

from .errors import REASONS, body_of, headers_of, status_of
from .gate import decoded
from .listener import is_loopback

if TYPE_CHECKING:
    from .site import Site
    from .websocket import WebSocket

IDLE_S: Final = 60
HEADERS_S: Final = 30
BODY_BYTES_PER_S: Final = 32 * 1024
"""The slowest client, sending or reading, that is waited for."""
STALL_S: Final = 60
"""A client that takes nothing of its answer for so long is cut off."""
DRAIN_S: Final = 5
ABORT_S: Final = 15
_FOREVER: Final = math.inf


class Channel(HTTPChannel):  # type: ignore[misc, unused-ignore]
    """One client's connection; on the reactor's thread."""

    site: Site
    transport: Any
    deadline_s: float = _FOREVER
    is_refused = False
    from_loopback = False

    _between = True
    """Whether the next byte begins a request."""
    _answering = False
    _in_head = False
    """Whether the request line is complete and header lines follow."""
    _closing = False
    _held: Any = None
    """The request whose answer is written, but not yet taken by the client."""
    _upgraded: WebSocket | None = None

    def connectionMade(self) -> None:
        """A client is here."""
        super().connectionMade()
        host = getattr(self.transport.getPeer(), "host", None)
        self.from_loopback = host is not None and is_loopback(host.partition("%")[0])
        self.site.opened(self)
        self._wait(IDLE_S)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone, or was shown out."""
        self.deadline_s = _FOREVER
        if self._held is not None:  # it knows of no connection any more
            self._held = None
            del self.requests[0]
        upgraded, self._upgraded = self._upgraded, None
        if upgraded is not None:
            upgraded.connection_lost(reason.getErrorMessage())
        self.site.closed(self)
        super().connectionLost(reason)

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request has come since the last answer."""
        return self._between

    # --- what comes in

    def dataReceived(self, data: bytes) -> Any:
        """Bytes from the client."""
        if self._upgraded is not None:
            self._upgraded.data_received(data)
            return None
        if self.is_refused:
            return None
        if self._between:
            self._begin()
        return super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """The request line, or a line of the headers."""
        if self.is_refused:
            return
        if self._between:  # it came in one piece with the last one
            self._begin()
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self._refuse_head()
            return
        if not self._in_head and line:
            self._in_head = True
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line without an end."""
        self._refuse_head()

    def headerReceived(self, line: bytes) -> bool:
        """One header; says whether it was sound."""
        if self._receivedHeaderCount >= self.maxHeaders:
            self._refuse_head()
            return False
        return bool(super().headerReceived(line)) and not self.is_refused

    def allHeadersReceived(self) -> None:
        """The head is complete: a body is let come only if it will be wanted."""
        if self.is_refused:
            return
        headers = self.requests[-1].requestHeaders
        codings = headers.getRawHeaders(b"transfer-encoding")
        if codings is not None and len(codings) != 1:
            self.refuse(BadRequest("The request has more than one Transfer-Encoding header."))
            return
        if self.length != 0:
            length = self.site.max_body if self.length is None else self.length
            if length > self.site.max_body:
                self.refuse(TooLarge(f"The body has {length} bytes; {self.site.max_body} fit."))
                return
            where = decoded(self._path.split(b"?", 1)[0])
            try:
                self.site.gate.admit(self._command, where, headers, self.from_loopback)
            except SmapError as error:
                self.refuse(error)
                return
            self._wait(HEADERS_S + length / BODY_BYTES_PER_S)
        super().allHeadersReceived()
        if self.site.is_closing:
            self.persistent = False

    def rawDataReceived(self, data: bytes) -> None:
        """A piece of a body, or of the next request while this one is answered."""
        if self.is_refused:
            return
        if not self._handlingRequest:
            super().rawDataReceived(data)
            return
        # Twisted's own bound does not hold while the transport has paused us
        ahead = b"".join((*self._dataBuffer, data))
        self._dataBuffer = [ahead]
        if len(ahead) > self._optimisticEagerReadSize:
            self._networkProducer.pauseProducing()

    def allContentReceived(self) -> None:
        """The request is complete."""
        if self.is_refused:
            return
        self._answering = True
        self.deadline_s = _FOREVER
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """The answer is written; once it is taken, the next request may begin, or be here."""
        if not self._waitingForTransport:
            self._done(request)
            return
        unsent = 0 if request.in_pieces else request.sentLength
        self.site.untaken(self, unsent)
        if self.persistent:
            self._held = request
        else:
            self._done(request)
            self._closing = True
        self._wait(STALL_S + unsent / BODY_BYTES_PER_S)

    def _done(self, request: Any) -> None:
        self._answering = False
        self._between = True
        self._wait(IDLE_S)
        super().requestDone(request)

    # --- what goes out

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        if self._answering:
            self._wait(STALL_S)
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """The client has taken what was waiting for it."""
        if self._answering:
            self.deadline_s = _FOREVER
        super().resumeProducing()
        held, self._held = self._held, None
        if held is not None:
            self.site.taken(self)
            self._done(held)

    def refuse(self, error: SmapError) -> None:
        """Answer with this error in place of the request that is coming in, and close."""
        if self.is_refused:
            return
        self.is_refused = True
        self.persistent = False
        self.site.counts.refused += 1
        for request in self.requests:
            if request.content is not None:
                request.content.close()
        has_body = getattr(self, "_command", b"") != b"HEAD"
        self.transport.write(refusal(self.site, error, has_body))
        # half closed: the client sees the end of the answer at once, and may still be sending
        if ITCPTransport.providedBy(self.transport) and not self.isSecure():
            self.transport.loseWriteConnection()
        self._wait(DRAIN_S)

    def upgrade(self, other: WebSocket) -> None:
        """From now on what comes is another protocol's; so is the end of the connection."""
        self._upgraded = other
        self.persistent = False

    def hold(self, is_held: bool) -> None:
        """That protocol takes no more for now, or takes it again."""
        if is_held:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def finish_upgraded(self) -> None:
        """That protocol is over: close once what it wrote is taken."""
        self._close()

    def end(self) -> None:
        """Close once the request that is under way, if any, is answered."""
        self.persistent = False
        if self._upgraded is not None:
            self._upgraded.end()
            return
        if self._between:
            self._close()

    def abort(self) -> None:
        """Break off at once."""
        self.deadline_s = _FOREVER
        self.transport.abortConnection()

    def expire(self) -> None:
        """The deadline is over."""
        if self._closing or self._answering:
            self.abort()
        elif self._between or self.is_refused:
            self._close()
        else:
            self.refuse(TooSlow())

    def _begin(self) -> None:
        self._between = self._in_head = False
        self._wait(HEADERS_S)

    def _close(self) -> None:
        self._closing = True
        self._wait(ABORT_S)
        self.loseConnection()

    def _wait(self, seconds: float) -> None:
        self.deadline_s = self.site.now_s + seconds

    def _refuse_head(self) -> None:
        self.refuse(HeadersTooLong() if self._in_head else UriTooLong())

    def _respondToBadRequestAndDisconnect(self) -> None:
        # where Twisted's parser ends up with all that is no HTTP; its own answer has no body
        self.refuse(BadRequest("This is not a well formed HTTP request."))


class Surplus(protocol.Protocol):
    """A connection beyond the most allowed: told so, and closed."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def connectionMade(self) -> None:
        """Say 503 and leave."""
        assert self.transport is not None
        self.transport.write(refusal(self._site, Busy("Too many connections are open.")))
        self.transport.loseConnection()


def refusal(site: Site, error: SmapError, has_body: bool = True) -> bytes:
    """A whole answer with this error, after which the connection is closed."""
    status = status_of(error)
    site.counts.answered(status)
    body = body_of(error)
    return b"HTTP/1.1 %d %b\r\n%b%bContent-Type: application/json\r\n%b%b" % (
        status,
        REASONS.get(status, b"Unknown"),
        site.head_lines(),
        headers_of(error, status),
        b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body),
        body if has_body else b"",
    )

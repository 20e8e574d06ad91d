"""The site: routes each request to /data or to the klein app, and keeps count of connections."""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.web import server
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource

from smapd.errors import BadRequest, NotFound
from smapd.values import Json, wall_ms

from .app import Handlers, make_app
from .bodies import Body, Budget
from .channel import Channel, Surplus
from .data import Data
from .errors import shield
from .gate import Gate, check_text, decoded
from .listener import Listener
from .parts import HttpParts
from .request import Request
from .stream import Pacer
from .timers import Timers

BODIES_AT_ONCE: Final = 4
"""So many bodies of the largest size may be in memory together."""
MOST_UNTAKEN: Final = 64 * 1024 * 1024
"""Bytes of answers that clients may leave lying with us, all together."""
_SWEEP_S: Final = 1.0


class Counts:
    """What the server did since its start."""

    def __init__(self) -> None:
        self.by_status: dict[int, int] = {}
        self.incidents = 0
        self.refused = 0
        self.surplus = 0
        self.cut_off = 0

    def answered(self, status: int) -> None:
        """One answer of this status has begun."""
        self.by_status[status] = self.by_status.get(status, 0) + 1


class Site(server.Site):  # type: ignore[misc, unused-ignore]
    """The server behind one port, which ``listen`` opens; on the reactor's thread."""

    noisy = False

    def __init__(self, parts: HttpParts, listener: Listener, clock: Timers, name: str) -> None:
        # the gate has the token's hash; the token itself is kept nowhere
        self.listener = replace(listener, token=None)
        self.bound_port: int | None = None
        self.max_body = listener.max_body
        self.gate = Gate(parts.access, listener)
        self.counts = Counts()
        self.now_s = clock.seconds()
        """Seconds of the monotonic clock at the last sweep."""
        self.is_closing = False
        self.clock = clock
        self._connections: set[Channel] = set()
        self._untaken: dict[Channel, int] = {}
        self._untaken_bytes = 0
        self._bodies = Budget(BODIES_AT_ONCE * listener.max_body)
        self._pacer = Pacer(clock)
        self._data = Data(parts.tree, self._pacer, parts.actuators, parts.readings)
        self._tree = parts.tree
        self._app: IResource = make_app(Handlers(parts, listener.max_body))
        self._date_s = 0
        self._head_lines = b""
        self._sweeper: Any = None
        self._emptied: list[Deferred[None]] = []
        # the deadlines are the channel's own; handing a clock keeps the reactor from being imported
        super().__init__(self._app, Request, timeout=None, reactor=clock)
        self._parsePOSTFormSubmission = False
        parts.status.section(name, self._status)

    # --- connections

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A protocol for a new connection; None hangs up on it."""
        if self.is_closing:
            return None
        if len(self._connections) >= self.listener.max_connections:
            self.counts.surplus += 1
            return Surplus(self)
        channel = Channel()
        channel.factory = channel.site = self
        channel.requestFactory = self.requestFactory
        channel.timeOut = None
        return channel

    def opened(self, channel: Channel) -> None:
        """A client has connected."""
        self._connections.add(channel)
        if self._sweeper is None:
            self.now_s = self.clock.seconds()
            self._sweeper = self.clock.later(_SWEEP_S, self._sweep)

    def closed(self, channel: Channel) -> None:
        """A client's connection is over."""
        self._connections.discard(channel)
        self.taken(channel)
        if not self._connections:
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None
            emptied, self._emptied = self._emptied, []
            for done in emptied:
                done.callback(None)

    def untaken(self, channel: Channel, size: int) -> None:
        """An answer of ``size`` bytes lies here until this client takes it, or is gone.

        When there is too much of that, the clients that have let theirs lie longest are cut off.
        """
        self._untaken[channel] = size
        self._untaken_bytes += size
        while self._untaken_bytes > MOST_UNTAKEN and len(self._untaken) > 1:
            slowest = next(iter(self._untaken))
            self.taken(slowest)
            self.counts.cut_off += 1
            slowest.abort()

    def taken(self, channel: Channel) -> None:
        """Nothing lies here for this client any more."""
        self._untaken_bytes -= self._untaken.pop(channel, 0)

    def close(self, within_s: float = 1.0) -> Deferred[None]:
        """Take no more requests; fires when those under way are answered.

        What is not done within ``within_s`` is broken off. The port is the caller's to close.
        """
        self.is_closing = True
        done: Deferred[None] = Deferred()
        for channel in list(self._connections):
            channel.end()
        if not self._connections:
            done.callback(None)
            return done
        self._emptied.append(done)
        timer = self.clock.later(within_s, self._abort_all)

        def over(result: None) -> None:
            if timer.active():
                timer.cancel()

        return done.addCallback(over)

    def _abort_all(self) -> None:
        for channel in list(self._connections):
            channel.abort()

    def _sweep(self) -> None:
        self.now_s = now_s = self.clock.seconds()
        self._sweeper = self.clock.later(_SWEEP_S, self._sweep)
        for channel in [c for c in self._connections if c.deadline_s <= now_s]:
            channel.expire()

    # --- requests

    def answer(self, request: Request) -> None:
        """Route one request; whatever goes wrong becomes its answer."""
        shield(request, self._route)

    def getContentFile(self, length: int | None) -> Body:
        """Where a body is gathered: in memory, counted."""
        return Body(self._bodies)

    def head_lines(self) -> bytes:
        """The header lines that every answer has."""
        second = wall_ms() // 1000
        if second != self._date_s:
            self._date_s = second
            self._head_lines = (
                b"Server: smapd\r\nDate: %b\r\nX-Content-Type-Options: nosniff\r\n"
                b"Cross-Origin-Resource-Policy: same-origin\r\n"
                b"Cache-Control: no-cache\r\nVary: Accept-Encoding\r\n" % datetimeToString(second)
            )
        return self._head_lines

    def log(self, request: Any) -> None:
        """No line for a request: /status has the counts."""

    def startFactory(self) -> None:
        """No log file to open, and no clock to keep for it."""

    def stopFactory(self) -> None:
        """Nothing to close."""

    def _route(self, request: Request) -> None:
        request.where = where = decoded(request.path)
        request.who = self.gate.admit(
            request.method, where, request.requestHeaders, request.channel.from_loopback
        )
        check_text(where)
        below = where.lstrip("/")
        if below.partition("/")[0] == "data":
            self._data.render(request)
        elif below == "jobs/" or (below == "jobs" and not self._tree.has_actuators):
            raise NotFound(f"There is nothing at {where}")  # recorded, the slash too
        elif where == "*":
            if request.method != b"OPTIONS":
                raise BadRequest("The address * is for OPTIONS alone.")
            request.respond(204, headers=b"Allow: DELETE, GET, HEAD, OPTIONS, POST, PUT\r\n")
        else:
            request.prepath = []
            request.postpath = below.encode("utf-8").split(b"/")
            request.render(self._app)

    def _status(self) -> Json:
        counts = self.counts
        return {
            "listen": self.listener.url(self.bound_port),
            "connections": len(self._connections),
            "streams": self._pacer.running,
            "body_bytes": self._bodies.used,
            "answers": {str(status): n for status, n in sorted(counts.by_status.items())},
            "refused": counts.refused,
            "surplus_connections": counts.surplus,
            "untaken_bytes": self._untaken_bytes,
            "cut_off": counts.cut_off,
            "incidents": counts.incidents,
        }


def make_site(parts: HttpParts, listener: Listener, clock: Timers, name: str = "http") -> Site:
    """The server for one listener, not yet listening; see ``listen``. ``name``: its in /status.

    On the reactor's thread, or before it runs. Imports klein, which installs the default reactor.
    """
    return Site(parts, listener, clock, name)

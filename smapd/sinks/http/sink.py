"""Posts a report's body to a URL, and says what happened.

A sink belongs to one report: it has connections, TLS and bounds of its own, so that whatever
another report's consumer does is felt there alone. It holds no queue and no second copy of a body.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from smapd import __version__
from smapd.interfaces import IClock, ISink
from smapd.values import Outcome, Payload, Retry

from .attempt import Attempt, SinkLimits
from .location import Location, parse_location
from .names import JudgedReactor, JudgingResolver
from .targets import Targets
from .tls import TlsFiles, TlsPolicy
from .wire import Pool, Wire, WiredEndpoint

_HEADERS: Final = (("User-Agent", f"smapd/{__version__}"),)
_MOST_LOCATIONS: Final = 16  # one report has up to eleven


@implementer(ISink)
class HttpSink:
    """Sends payloads with POST; one at a time. On the reactor's thread.

    ``reactor``: gives connections and the look-up of names. ``targets``: where it may go; None for
    anywhere, as a config file's report does. ``tls``: the report's ClientCert, Key and CA.
    """

    def __init__(
        self,
        reactor: Any,
        clock: IClock,
        *,
        targets: Targets | None = None,
        tls: TlsFiles | None = None,
        limits: SinkLimits | None = None,
    ) -> None:
        self._clock = clock
        self._limits = limits or SinkLimits()
        self._wires: set[Wire] = set()
        self._resolver = JudgingResolver(reactor, targets)
        self._tls = TlsPolicy(tls or TlsFiles())
        self._pool = Pool(reactor)
        places = _Places(JudgedReactor(reactor, self._resolver), self._tls, clock, self._wires)
        places.connect_s = self._limits.connect_s
        self._agent = Agent.usingEndpointFactory(  # type: ignore[no-untyped-call]
            reactor, places, self._pool
        )
        self._locations: OrderedDict[str, Location] = OrderedDict()
        self._attempt: Attempt | None = None
        self._is_closed = False

    def send(self, payload: Payload, location: str) -> Deferred[Outcome]:
        """Post once; fires with what became of it, after ``SinkLimits.whole_s`` at the latest.

        ``location``: an http or https URL; its ``user:password@`` becomes an Authorization header.
        Cancelling cuts the connection. No text that comes back holds a secret of the URL.

        :raises RuntimeError: if one is under way: that is a mistake of the caller.
        """
        if self._attempt is not None:
            raise RuntimeError("a sink sends one payload at a time")
        if self._is_closed:
            return succeed(Retry(None, "smapd is stopping"))
        try:
            where = self._location(location)
        except ValueError as error:
            return succeed(Retry(None, f"ReportDeliveryLocation is {error}"))
        attempt = Attempt(self._clock, self._limits, where, payload, self._resolver, self._tls)
        self._attempt = attempt
        self._pool.when_connected = attempt.connected
        attempt.begin(self._agent, dict(_HEADERS))
        return attempt.result.addBoth(self._over)

    def close(self) -> None:
        """Cut every connection; what is under way fails as cancelled. Sends nothing from now on."""
        self._is_closed = True
        if self._attempt is not None:
            self._attempt.result.cancel()
        self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]
        for wire in list(self._wires):
            wire.abort()

    def _over(self, result: Any) -> Any:
        self._attempt = None
        return result

    def _location(self, url: str) -> Location:
        found = self._locations.get(url)
        if found is None:
            found = self._locations[url] = parse_location(url)
            if len(self._locations) > _MOST_LOCATIONS:
                self._locations.popitem(last=False)
        return found


@implementer(IAgentEndpointFactory)
class _Places:
    """Connections whose addresses are judged, and which are wires."""

    connect_s = 10.0

    def __init__(
        self, reactor: JudgedReactor, tls: TlsPolicy, clock: IClock, wires: set[Wire]
    ) -> None:
        self._reactor, self._tls, self._clock, self._wires = reactor, tls, clock, wires

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """How to reach that place."""
        if uri.scheme == b"https":
            tls = self._tls.creatorForNetloc(uri.host, uri.port)
            endpoint = wrapClientTLS(tls, self._plain(uri))
            return WiredEndpoint(endpoint, self._clock, self._wires)
        return _AtNeed(lambda: WiredEndpoint(self._plain(uri), self._clock, self._wires))

    def _plain(self, uri: URI) -> Any:
        host = uri.host.decode("ascii")
        return HostnameEndpoint(self._reactor, host, uri.port, timeout=self.connect_s)


@implementer(IStreamClientEndpoint)
class _AtNeed:
    """An endpoint that is made once somebody connects: the agent asks for one with each request,
    and nearly always has a connection already."""

    def __init__(self, make: Callable[[], IStreamClientEndpoint]) -> None:
        self._make = make

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect."""
        connected: Deferred[IProtocol] = self._make().connect(protocolFactory)
        return connected

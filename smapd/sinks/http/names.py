"""Names to addresses, each address judged before anything connects to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from zope.interface import implementer

from smapd.interfaces import IClock

from .location import parse_location
from .targets import Targets

_PATIENCE_S: Final = 5.0  # for the name service, while somebody waits for an answer to a POST


@implementer(IHostnameResolver)
class JudgingResolver:
    """Asks the reactor's resolver, and passes on the addresses that ``targets`` lets through.

    An address written as such is never asked for. Of one name at most one look-up is under way: an
    attempt that gave up leaves a thread waiting, and the next joins it. ``refused`` says why the
    last address that was held back was; "" if none was.
    """

    def __init__(self, reactor: IReactorPluggableNameResolver, targets: Targets | None) -> None:
        self._reactor, self._targets = reactor, targets
        self._waiting: dict[tuple[str, int], list[IResolutionReceiver]] = {}
        self.refused = ""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """As ``IHostnameResolver`` has it."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        if isIPAddress(hostName) or isIPv6Address(hostName):
            kind = IPv4Address if isIPAddress(hostName) else IPv6Address
            self._pass_on([kind("TCP", hostName, portNumber)], hostName, [resolutionReceiver])
            return resolution
        key = (hostName, portNumber)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = [resolutionReceiver]
            found = _Collector(lambda addresses: self._found(key, addresses))
            self._reactor.nameResolver.resolveHostName(found, hostName, portNumber)
        else:
            waiting[:] = [resolutionReceiver]  # whoever asked before has given up
        return resolution

    def _found(self, key: tuple[str, int], addresses: list[IAddress]) -> None:
        self._pass_on(addresses, key[0], self._waiting.pop(key))

    def _pass_on(
        self, addresses: list[Any], name: str, receivers: list[IResolutionReceiver]
    ) -> None:
        for address in addresses:
            why = self._targets.refusal(address.host) if self._targets is not None else ""
            if why:
                self.refused = f"{name} is {address.host}: {why}"
                continue
            for receiver in receivers:
                receiver.addressResolved(address)
        for receiver in receivers:
            receiver.resolutionComplete()


@implementer(IReactorPluggableNameResolver)
class JudgedReactor:
    """The reactor, with another resolver in it."""

    def __init__(self, reactor: Any, resolver: JudgingResolver) -> None:
        self._reactor = reactor
        self.nameResolver = resolver

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """The resolver here is not to be replaced."""
        raise NotImplementedError("this reactor's resolver judges each address: it stays")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """A look-up in a thread cannot be called back."""


@implementer(IResolutionReceiver)
class _Collector:
    def __init__(self, done: Any) -> None:
        self._addresses: list[IAddress] = []
        self._done = done

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It began."""

    def addressResolved(self, address: IAddress) -> None:
        """One more."""
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        """That was all."""
        self._done(self._addresses)


def judge_location(reactor: Any, clock: IClock, targets: Targets, url: str) -> Deferred[str]:
    """Whether a report asked for over HTTP may be made: why not, or "" if it may.

    It may if one of the host's addresses passes ``targets``, and also if the name is not known or
    not answered for within 5 s: each connect judges again.

    :raises ValueError: with a sentence, at once, if ``url`` is no http or https URL.
    """
    host = parse_location(url).host
    resolver = JudgingResolver(reactor, targets)
    told: Deferred[str] = Deferred()
    timer = clock.later(_PATIENCE_S, lambda: _tell(told, ""))

    def found(addresses: list[IAddress]) -> None:
        timer.discard()
        _tell(told, "" if addresses else resolver.refused)

    resolver.resolveHostName(_Collector(found), host)
    return told


def _tell(told: Deferred[str], why: str) -> None:
    if not told.called:
        told.callback(why)

"""Opens streamed requests: checks them, finds who may answer, and keeps the counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from smapd.errors import AssetUnknown, BadRequest, Busy, ShutdownRequested, TooLarge
from smapd.interfaces import IClock, IExchanges, IOffer, IProvider, IReceiver
from smapd.runtime.exchange import Budget, End, Exchange
from smapd.values import Json, T2ReqFailureReason

from .wire import MOST_TEXT, REQUEST_BYTES, WINDOW_BYTES

MOST_OPEN: Final = 2000
"""How many requests may be under way at once."""
MOST_TIMEOUT_S: Final = 86_400.0


@implementer(IExchanges)
class Exchanges:
    """All requests that are open; on the reactor's thread."""

    def __init__(
        self, clock: IClock, is_asset: Callable[[str], bool], budget: Budget | None = None
    ) -> None:
        """``is_asset``: whether there is an asset of that id now."""
        self._clock, self._is_asset = clock, is_asset
        self._budget = Budget() if budget is None else budget
        self._providers: list[_Provided] = []
        self._open: set[Exchange] = set()
        self._ends = dict.fromkeys(End, 0)
        self._opened = self._refused = 0
        self._stopping = False

    def open(
        self,
        asset: str,
        type_: str,
        data: bytes,
        mime: str,
        timeout_s: float,
        receiver: IReceiver,
        window: int = WINDOW_BYTES,
    ) -> Exchange:
        """Ask all who serve that asset; see ``IExchanges``."""
        if self._stopping:
            raise ShutdownRequested("The request cannot be made: smapd is stopping.")
        _check(type_, data, mime, timeout_s, window)
        if not self._is_asset(asset):
            raise AssetUnknown(f"There is no asset {asset[:MOST_TEXT]}.")
        if len(self._open) >= MOST_OPEN or self._budget.free <= 0:
            self._refused += 1
            raise Busy(f"{len(self._open)} requests are open; no more can be taken now.")
        exchange = Exchange(
            asset,
            type_,
            mime,
            data,
            receiver=receiver,
            timeout_s=timeout_s,
            window=window,
            budget=self._budget,
            clock=self._clock,
            closed=self._closed,
        )
        self._open.add(exchange)
        self._opened += 1
        self._clock.later(0, self._begin, exchange)
        return exchange

    def provide(self, provider: IProvider) -> Callable[[], None]:
        """Offer requests to this one too, until what this returns is called."""
        provided = _Provided(provider)
        self._providers.append(provided)

        def stop() -> None:
            if provided in self._providers:
                self._providers.remove(provided)
            provided.leave()

        return stop

    def asset_gone(self, asset: str) -> None:
        """The asset was deleted: end what nobody has begun to answer; who has may go on."""
        for exchange in list(self._open):
            if exchange.asset == asset and not exchange.is_answered:
                text = f"The asset {asset} was deleted."
                exchange.abort(T2ReqFailureReason.RESOURCE_UNKNOWN.value, text)

    def close(self) -> None:
        """Take no more requests; those that are open fail with SHUTDOWN."""
        self._stopping = True
        for exchange in list(self._open):
            exchange.abort(T2ReqFailureReason.SHUTDOWN.value, "smapd is stopping.")

    def status(self) -> dict[str, Json]:
        """How many are open, unread bytes, and counts by end."""
        return {
            "open": len(self._open),
            "opened": self._opened,
            "refused": self._refused,
            "providers": len(self._providers),
            "unread_bytes": sum(exchange.unread for exchange in self._open),
            "granted_bytes": self._budget.granted,
            **{f"ended_{end.value}": count for end, count in self._ends.items()},
        }

    def _begin(self, exchange: Exchange) -> None:
        exchange.begin([one for one in self._providers if one.serves(exchange.asset)])

    def _closed(self, exchange: Exchange, end: End) -> None:
        self._open.discard(exchange)
        self._ends[end] += 1


@implementer(IProvider)
class _Provided:
    """A provider with what it has open, so that it can go at any time."""

    def __init__(self, provider: IProvider) -> None:
        self._provider = provider
        self._offers: dict[IOffer, None] = {}
        self._sweep_at = 64

    def serves(self, asset: str) -> bool:
        return self._provider.serves(asset)

    def offered(self, offer: IOffer, credit: int) -> None:
        if len(self._offers) >= self._sweep_at:
            self._offers = {one: None for one in self._offers if one.is_open}
            self._sweep_at = max(64, 2 * len(self._offers))
        self._offers[offer] = None
        self._provider.offered(offer, credit)

    def credited(self, offer: IOffer, size_bytes: int) -> None:
        self._provider.credited(offer, size_bytes)

    def cancelled(self, offer: IOffer, why: str) -> None:
        if self._offers.pop(offer, self) is None:
            self._provider.cancelled(offer, why)

    def leave(self) -> None:
        offers, self._offers = self._offers, {}
        for offer in offers:
            offer.gone("Who should answer the request is gone.")


def _check(type_: str, data: bytes, mime: str, timeout_s: float, window: int) -> None:
    for what, value in (("type", type_), ("mime type", mime)):
        if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT or not value.isprintable():
            raise BadRequest(f"A request's {what} is a text of 1 to {MOST_TEXT} printable letters.")
    if len(data) > REQUEST_BYTES:
        raise TooLarge(
            f"The request's data has {len(data)} bytes; {REQUEST_BYTES} is the limit.",
            hint="Send what is larger as the answer of a request, or in several.",
        )
    if not math.isfinite(timeout_s) or not 0 < timeout_s <= MOST_TIMEOUT_S:
        raise BadRequest(f"A timeout is a number of seconds above 0, at most {MOST_TIMEOUT_S:g}.")
    if window < 1:
        raise BadRequest("A request's window has at least 1 byte.")

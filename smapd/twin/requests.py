"""The streamed requests of one session: those it asked for, and those it may answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from smapd.errors import BadRequest, Busy
from smapd.interfaces import IExchange, IExchanges, IOffer, IProvider, IReceiver
from smapd.values import Json, T2ProviderFailureReason

from . import wire
from .patterns import Patterns
from .wire import Frame

Send = Callable[[Frame], None]
MOST_OPEN: Final = 1000
"""Requests that one session may have open."""
_REASONS: Final = frozenset(reason.value for reason in T2ProviderFailureReason)
_PROVIDER_FAILED: Final = T2ProviderFailureReason.PROVIDER_FAILED.value
MOST_MESSAGE: Final = 1000


class Requester:
    """What a session asked for; on the reactor's thread."""

    def __init__(self, exchanges: IExchanges, send: Send) -> None:
        self._exchanges, self._send = exchanges, send
        self._open: dict[int, IExchange] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, head: dict[str, Json], body: bytes) -> None:
        """Open one.

        :raises SmapError: as ``IExchanges.open`` does, Busy, and BadRequest.
        """
        x = wire.whole(head, "x", least=1)
        if x % 2 == 0 or x in self._open:
            raise BadRequest(f"open: x is odd, and of no request that is open; {x} is not.")
        if len(self._open) >= MOST_OPEN:
            raise Busy(f"This session has {MOST_OPEN} requests open; no more can be taken now.")
        self._open[x] = self._exchanges.open(
            wire.text(head, "asset"),
            wire.text(head, "type"),
            body,
            wire.text(head, "mime", "application/octet-stream"),
            wire.seconds(head, "timeout_s", 86_400.0),
            _Receiver(x, self._send, self._over),
            wire.whole(head, "window", wire.WINDOW_BYTES, least=1),
        )

    def credit(self, head: dict[str, Json]) -> None:
        """The client has read so much."""
        size = wire.whole(head, "bytes", least=0)
        exchange = self._open.get(wire.whole(head, "x"))
        if exchange is not None:
            exchange.credit(size)

    def cancel(self, head: dict[str, Json]) -> None:
        """The client wants no more of it."""
        exchange = self._open.pop(wire.whole(head, "x"), None)
        if exchange is not None:
            exchange.cancel()

    def close(self) -> None:
        """The client is gone, or asks no more: nobody reads the answers."""
        opened, self._open = self._open, {}
        for exchange in opened.values():
            exchange.cancel()

    def _over(self, x: int) -> None:
        self._open.pop(x, None)


@implementer(IReceiver)
class _Receiver:
    """Puts the answer of one exchange on the wire."""

    __slots__ = ("_over", "_send", "_x")

    def __init__(self, x: int, send: Send, over: Callable[[int], None]) -> None:
        self._x, self._send, self._over = x, send, over

    def chunk(self, mime: str, data: bytes) -> None:
        head: dict[str, Json] = {"op": "chunk", "x": self._x, "mime": mime}
        if len(data) <= wire.CHUNK_BYTES:
            self._send(Frame(head, data))
        else:
            for at in range(0, len(data), wire.CHUNK_BYTES):
                self._send(Frame(head, data[at : at + wire.CHUNK_BYTES]))

    def end(self) -> None:
        self._last({"op": "end", "x": self._x})

    def failed(self, reason: str, message: str) -> None:
        self._last({"op": "failed", "x": self._x, "reason": reason, "message": message})

    def timed_out(self) -> None:
        self._last({"op": "timeout", "x": self._x})

    def _last(self, head: dict[str, Json]) -> None:
        self._over(self._x)
        self._send(Frame(head))


@implementer(IProvider)
class Provider:
    """What a session may answer; on the reactor's thread."""

    def __init__(self, patterns: Patterns, send: Send, number: Callable[[], int]) -> None:
        """``number()``: the session's next even number."""
        self._patterns, self._send, self._number = patterns, send, number
        self._offers: dict[int, IOffer] = {}
        self._numbers: dict[IOffer, int] = {}

    def __len__(self) -> int:
        return len(self._offers)

    # --- what the exchange says

    def serves(self, asset: str) -> bool:
        """Whether requests of that asset are for this session."""
        return asset in self._patterns

    def offered(self, offer: IOffer, credit: int) -> None:
        """A request."""
        x = self._number()
        self._offers[x] = offer
        self._numbers[offer] = x
        head = {"op": "request", "x": x, "asset": offer.asset, "type": offer.type_}
        self._send(Frame({**head, "mime": offer.mime, "credit": credit}, offer.data))

    def credited(self, offer: IOffer, size_bytes: int) -> None:
        """The client may send more."""
        x = self._numbers.get(offer)
        if x is not None:
            self._send(Frame({"op": "credit", "x": x, "bytes": size_bytes}))

    def cancelled(self, offer: IOffer, why: str) -> None:
        """Nobody wants the answer any more."""
        x = self._numbers.pop(offer, None)
        if x is not None:
            del self._offers[x]
            self._send(Frame({"op": "cancel", "x": x, "why": why}))

    # --- what the client says; False: it has no such request open

    def chunk(self, head: dict[str, Json], body: bytes) -> bool:
        """A piece of its answer.

        :raises BadRequest: for one that is none; the request fails with it.
        """
        offer = self._offers.get(wire.whole(head, "x"))
        if offer is None:
            return False
        try:
            mime = wire.text(head, "mime")
            if len(body) > wire.CHUNK_BYTES:
                raise BadRequest(f"A chunk of {len(body)} bytes; {wire.CHUNK_BYTES} is the limit.")
        except BadRequest as error:
            self._forget(offer)
            offer.failed(_PROVIDER_FAILED, error.message)
            raise
        offer.chunk(mime, body)
        return True

    def end(self, head: dict[str, Json]) -> bool:
        """Its answer is whole."""
        offer = self._offers.get(wire.whole(head, "x"))
        if offer is None:
            return False
        self._forget(offer)
        offer.end()
        return True

    def failed(self, head: dict[str, Json]) -> bool:
        """It has no (further) answer.

        :raises BadRequest: for a reason that is none; the request fails all the same.
        """
        offer = self._offers.get(wire.whole(head, "x"))
        if offer is None:
            return False
        self._forget(offer)
        reason, message = head.get("reason"), head.get("message")
        text = message[:MOST_MESSAGE] if isinstance(message, str) else ""
        if reason not in _REASONS:
            offer.failed(_PROVIDER_FAILED, text)
            raise BadRequest(f"failed: reason is one of {', '.join(sorted(_REASONS))}.")
        offer.failed(reason, text)
        return True

    def _forget(self, offer: IOffer) -> None:
        del self._offers[self._numbers.pop(offer)]

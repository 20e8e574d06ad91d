"""One streamed request, from the offer to its one end: a state machine without I/O.

It is offered to all who serve the asset. A refusal (``REQ_UNHANDLED``) leaves it with the others;
the first chunk, an end or any other failure takes it, and the others are told that it is taken.
Credits are bytes: the owner may send as much as is granted, and gets new credit as who asked reads.
The grant begins small and grows while there is room in the `Budget` of all exchanges, so that five
hundred small answers and a few large ones fit side by side.

On the reactor's thread. What is told to others may call back into the exchange at once.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from zope.interface import implementer

from smapd.interfaces import IClock, IExchange, IOffer, IProvider, IReceiver, ITimer
from smapd.values import T2ReqFailureReason

ALL_BYTES: Final = 64 * 2**20
"""What may be unread of all exchanges together."""
MOST_BYTES: Final = 4 * 2**20
"""What may be unread of one."""
FIRST_BYTES: Final = 128 * 1024
"""What one may have unread at first."""
LEAST_BYTES: Final = 16 * 1024
RESERVE_BYTES: Final = 16 * 2**20
"""What growing leaves to exchanges that are yet to come."""

SMALL_BYTES: Final = 16 * 1024
"""Chunks below that are joined once `MANY` are unread: each costs more than its bytes."""
MANY: Final = 64
MOST_CHUNKS: Final = 4096
"""How many chunks may be unread."""
JOIN_S: Final = 0.2
"""How long a small chunk may wait to be joined with the next."""

_REQ_UNHANDLED: Final = T2ReqFailureReason.REQ_UNHANDLED.value
_PROVIDER_FAILED: Final = T2ReqFailureReason.PROVIDER_FAILED.value


class End(enum.Enum):
    """How an exchange ended."""

    END = "end"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCEL = "cancel"


class Budget:
    """The bytes that may be unread of all exchanges."""

    def __init__(self, total: int = ALL_BYTES, reserve: int = RESERVE_BYTES) -> None:
        self.total, self.granted = total, 0
        self._reserve = reserve

    @property
    def free(self) -> int:
        """Bytes not granted to anybody."""
        return self.total - self.granted

    def first(self, most: int) -> int:
        """Grant an exchange its first bytes, at most so many; 0 if nothing is left."""
        size = min(most, FIRST_BYTES, max(LEAST_BYTES, self.free // 64), self.free)
        self.granted += max(size, 0)
        return max(size, 0)

    def more(self, most: int) -> int:
        """Grant at most so many more, if enough is left for those to come."""
        size = max(0, min(most, self.free - self._reserve))
        self.granted += size
        return size

    def release(self, size: int) -> None:
        """Give back what was granted."""
        self.granted -= size


@implementer(IExchange)
class Exchange:
    """One request. ``closed`` is called once, with how it ended, before who asked is told."""

    def __init__(
        self,
        asset: str,
        type_: str,
        mime: str,
        data: bytes,
        *,
        receiver: IReceiver,
        timeout_s: float,
        window: int,
        budget: Budget,
        clock: IClock,
        closed: Callable[[Exchange, End], None],
    ) -> None:
        """``window``: the most that may be unread, of which ``budget`` grants a part at first."""
        self.asset, self.type_, self.mime, self.data = asset, type_, mime, data
        self.outcome: End | None = None
        self._receiver, self._timeout_s = receiver, timeout_s
        self._most = max(1, min(window, MOST_BYTES))
        self._budget, self._clock, self._closed = budget, clock, closed
        self._window = budget.first(self._most)
        self._allowed = self._window  # what the owner may still send
        self._owed = 0  # read by who asked, not yet told to the owner
        self._lengths: deque[int] = deque()  # of the chunks that are out and not read
        self._out = 0
        self._read = 0  # of the first of them
        self._joined = bytearray()
        self._joined_mime = ""
        self._join_timer: ITimer | None = None
        self._offers: list[Offer] = []
        self._owner: Offer | None = None
        self._begun = False
        self._lost = ""  # why one of those asked is gone
        self._since_s = 0.0
        self._timer: ITimer | None = None

    @property
    def unread(self) -> int:
        """Bytes that the owner has sent and nobody has read."""
        return self._out + len(self._joined)

    @property
    def is_answered(self) -> bool:
        """Whether one of those asked has begun to answer."""
        return self._owner is not None

    @property
    def granted(self) -> int:
        """Bytes that the budget holds for this exchange."""
        return self._window

    # --- who opened it

    def begin(self, providers: Sequence[IProvider]) -> None:
        """Offer it to all of these."""
        if self.outcome is not None:
            return
        self._offers = [Offer(self, provider) for provider in providers]
        self._since_s = self._clock.seconds()
        self._timer = self._clock.later(self._timeout_s, self._look)
        for offer in list(self._offers):
            if offer.is_open and self._owner is None:
                offer.provider.offered(offer, self._window)
        self._begun = True
        self._if_nobody_is_left()

    def abort(self, reason: str, message: str) -> None:
        """End it from our side."""
        if self._end(End.FAILED, message):
            self._receiver.failed(reason, message)

    def credit(self, size_bytes: int) -> None:
        """So many bytes of the chunks are dealt with: as many more may come."""
        if self.outcome is not None or size_bytes <= 0:
            return
        size = min(size_bytes, self._out)
        self._out -= size
        self._read += size
        while self._lengths and self._read >= self._lengths[0]:
            self._read -= self._lengths.popleft()
        self._owed += size
        if self._joined and len(self._lengths) < MANY:
            self._pass_joined()
        self._pass_credit()

    def cancel(self) -> None:
        """No more of it; nothing happens if it is over."""
        self._end(End.CANCEL, "the requester wants no more of it")

    # --- what offers say

    def _chunk(self, offer: Offer, mime: str, data: bytes) -> None:
        if not self._take(offer):
            return
        first = not offer.has_sent
        offer.has_sent = True
        size = len(data)
        if size > self._allowed:
            self._misbehaved("the provider sent more than it had credit for")
            return
        self._since_s = self._clock.seconds()
        self._allowed -= size
        if not size and not first:
            return  # costs no credit, so no number of them may wait
        if self._joined and (mime != self._joined_mime or size >= SMALL_BYTES):
            if len(self._lengths) >= MOST_CHUNKS and size < SMALL_BYTES:
                self._misbehaved("the provider sent too many small pieces of different types")
                return
            self._pass_joined()
            if self.outcome is not None:
                return
        if len(self._lengths) < MANY or size >= SMALL_BYTES:
            self._pass(mime, data)
        else:
            self._join(mime, data)

    def _ended(self, offer: Offer) -> None:
        if self._take(offer):
            self._pass_joined()
            if self.outcome is None:
                offer.is_open = False
                self._end(End.END, "")
                self._receiver.end()

    def _failed(self, offer: Offer, reason: str, message: str) -> None:
        if reason == _REQ_UNHANDLED and not offer.has_sent:
            if offer.is_open:
                offer.is_open = False
                self._offers.remove(offer)
                self._if_nobody_is_left()
        elif self._take(offer):
            self._pass_joined()
            if self.outcome is None:
                offer.is_open = False
                self._end(End.FAILED, message)
                self._receiver.failed(reason, message)

    def _gone(self, offer: Offer, why: str) -> None:
        if not offer.is_open:
            return
        offer.is_open = False
        self._offers.remove(offer)
        self._lost = why
        if offer is self._owner:
            self._end(End.FAILED, why)
            self._receiver.failed(_PROVIDER_FAILED, why)
        else:
            self._if_nobody_is_left()

    # --- within

    def _take(self, offer: Offer) -> bool:
        """Whether this offer has the request now: the others are told that it is taken."""
        if not offer.is_open or self.outcome is not None:
            return False
        if self._owner is None:
            self._owner = offer
            others = [other for other in self._offers if other is not offer]
            self._offers = [offer]
            for other in others:
                other.close("another one answers it")
        return self._owner is offer

    def _if_nobody_is_left(self) -> None:
        if not self._begun or self._offers or self._owner or self.outcome is not None:
            return
        if self._lost:
            reason, message = _PROVIDER_FAILED, self._lost
        else:
            reason = _REQ_UNHANDLED
            message = f"Nobody answers requests of type {self.type_} for {self.asset}."
        self._end(End.FAILED, message)
        self._receiver.failed(reason, message)

    def _misbehaved(self, what: str) -> None:
        if self._end(End.FAILED, what):
            self._receiver.failed(_PROVIDER_FAILED, f"{what[0].upper()}{what[1:]}.")

    def _pass(self, mime: str, data: bytes) -> None:
        self._lengths.append(len(data))
        self._out += len(data)
        self._receiver.chunk(mime, data)

    def _join(self, mime: str, data: bytes) -> None:
        self._joined += data
        self._joined_mime = mime
        if len(self._joined) >= SMALL_BYTES and len(self._lengths) < MOST_CHUNKS:
            self._pass_joined()
        elif self._join_timer is None:
            self._join_timer = self._clock.later(JOIN_S, self._joined_long_enough)

    def _joined_long_enough(self) -> None:
        self._join_timer = None
        if len(self._lengths) < MOST_CHUNKS:
            self._pass_joined()
        elif self._joined:
            self._join_timer = self._clock.later(JOIN_S, self._joined_long_enough)

    def _pass_joined(self) -> None:
        if self._join_timer is not None:
            self._join_timer.discard()
            self._join_timer = None
        if self._joined:
            data, self._joined = bytes(self._joined), bytearray()
            self._pass(self._joined_mime, data)

    def _pass_credit(self) -> None:
        """In pieces that are worth a message; who was not told of some still has three quarters."""
        owner = self._owner
        if owner is None or self.outcome is not None or self._owed < max(1, self._window // 4):
            return
        more = self._budget.more(min(self._owed, self._most - self._window))
        self._window += more
        size, self._owed = self._owed + more, 0
        if self._allowed <= 0:
            self._since_s = self._clock.seconds()
        self._allowed += size
        owner.provider.credited(owner, size)

    def _look(self) -> None:
        """Whether who should answer has been silent for too long."""
        self._timer = None
        if self.outcome is not None:
            return
        left_s = self._timeout_s
        if self._allowed > 0:
            left_s = self._since_s + self._timeout_s - self._clock.seconds()
            if left_s <= 0:
                self._pass_joined()
                if self._end(End.TIMEOUT, "it was not answered in time"):
                    self._receiver.timed_out()
                return
        self._timer = self._clock.later(left_s, self._look)

    def _end(self, how: End, why: str) -> bool:
        """Be over, and tell the offers that are open; False if it was over before."""
        if self.outcome is not None:
            return False
        self.outcome = how
        for timer in (self._timer, self._join_timer):
            if timer is not None:
                timer.discard()
        self._timer = self._join_timer = None
        self._joined = bytearray()
        self._budget.release(self._window)
        self._window = 0
        self.data = b""
        offers, self._offers = self._offers, []
        for offer in offers:
            offer.close(why)
        self._closed(self, how)
        return True


@implementer(IOffer)
class Offer:
    """A request as one of those who may answer it holds it."""

    __slots__ = ("_exchange", "asset", "data", "has_sent", "is_open", "mime", "provider", "type_")

    def __init__(self, exchange: Exchange, provider: IProvider) -> None:
        self._exchange, self.provider = exchange, provider
        self.asset, self.type_ = exchange.asset, exchange.type_
        self.mime, self.data = exchange.mime, exchange.data
        self.is_open = True
        self.has_sent = False

    def chunk(self, mime: str, data: bytes) -> None:
        """A piece of the answer, no larger than the credit there is; more of it is a failure."""
        self._exchange._chunk(self, mime, data)

    def end(self) -> None:
        """That was the whole answer."""
        self._exchange._ended(self)

    def failed(self, reason: str, message: str = "") -> None:
        """There is no (further) answer. ``reason``: a value of ``T2ProviderFailureReason``."""
        self._exchange._failed(self, reason, message)

    def gone(self, why: str) -> None:
        """Who was asked is not there any more; the others still may answer."""
        self._exchange._gone(self, why)

    def close(self, why: str) -> None:
        """No answer is wanted any more: tell the provider, unless it ended it itself."""
        if self.is_open:
            self.is_open = False
            self.provider.cancelled(self, why)

"""A type 2 request whose answer goes to a query, chunk by chunk."""

from __future__ import annotations

import codecs
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.errors import T2ResponseException, T2Timeout
from smapd.interfaces import IExchange, IExchanges, IReceiver
from smapd.values import T2ReqFailureReason

from .peer import Reply, Row

WINDOW: Final = 2**20
"""Bytes of an answer that may wait for the peer."""

ROW_BYTES: Final = 256 * 1024
"""Bytes of an answer that one row holds."""

_TEXTUAL: Final = (
    "text/",
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
)


@implementer(IReceiver)
class Asking:
    """One request under way; on the reactor's thread."""

    def __init__(self, exchanges: IExchanges, reply: Reply) -> None:
        self._exchanges, self._reply = exchanges, reply
        self._rows = Rows()
        self._exchange: IExchange | None = None
        self._over: Deferred[None] = Deferred(self._cancelled)

    async def ask(self, asset: str, type_: str, data: bytes, mime: str, timeout_s: float) -> None:
        """Ask, and pass on what comes; ends with the answer. Cancelling ends the request.

        :raises SmapError: if it cannot be asked, or the answer failed.
        """
        self._exchange = self._exchanges.open(
            asset, type_, data, mime, timeout_s, self, window=WINDOW
        )
        await self._over
        await self._reply.complete(list(self._rows.end()))

    # --- IReceiver

    def chunk(self, mime: str, data: bytes) -> None:
        """A piece of the answer: as many more bytes may come when it is on its way."""
        rows = list(self._rows.of(mime, data))
        if not rows:
            self._pay(len(data))
            return
        for row in rows[:-1]:
            self._reply.partial([row]).addErrback(self._failed)
        last = self._reply.partial([rows[-1]])
        last.addCallbacks(lambda _: self._pay(len(data)), self._failed)

    def end(self) -> None:
        """That was all."""
        if not self._over.called:
            self._over.callback(None)

    def failed(self, reason: str, message: str) -> None:
        """There is no (further) answer."""
        known = T2ReqFailureReason.__members__.get(reason, T2ReqFailureReason.PROVIDER_FAILED)
        if not self._over.called:
            self._over.errback(T2ResponseException(message, reason=known))

    def timed_out(self) -> None:
        """Nothing came for too long."""
        if not self._over.called:
            self._over.errback(T2Timeout("The answering side was silent for too long."))

    # --- inside

    def _pay(self, size: int) -> None:
        if self._exchange is not None and size:
            self._exchange.credit(size)

    def _failed(self, failure: Failure) -> None:
        """Nobody takes the answer any more."""
        if self._exchange is not None:
            self._exchange.cancel()
        if not self._over.called:
            self._over.errback(failure)

    def _cancelled(self, _: Deferred[None]) -> None:
        if self._exchange is not None:
            self._exchange.cancel()


class Rows:
    """Chunks as rows: text as far as the mime type says so and it is UTF-8, else base64.

    A letter that two chunks share stands in the second one's row.
    """

    def __init__(self) -> None:
        self._mime = ""
        self._decoder: codecs.IncrementalDecoder | None = None

    def of(self, mime: str, data: bytes) -> Iterator[Row]:
        """The rows of one chunk."""
        if mime != self._mime:
            yield from self.end()
            self._mime = mime
            self._decoder = _UTF8() if is_textual(mime) else None
        for i in range(0, len(data), ROW_BYTES):
            yield from self._row(data[i : i + ROW_BYTES])

    def end(self) -> Iterator[Row]:
        """What is left of a letter that did not come whole."""
        if self._decoder is not None:
            held, _ = self._decoder.getstate()
            self._decoder = None
            if held:
                yield {"mime": self._mime, "base64": b64encode(held).decode("ascii")}

    def _row(self, data: bytes) -> Iterator[Row]:
        if self._decoder is not None:
            held, _ = self._decoder.getstate()
            try:
                text = self._decoder.decode(data)
            except UnicodeDecodeError:  # it is none, whatever its type says
                self._decoder = None
                data = held + data
            else:
                if text:
                    yield {"mime": self._mime, "data": text}
                return
        yield {"mime": self._mime, "base64": b64encode(data).decode("ascii")}


_UTF8: Final = codecs.getincrementaldecoder("utf-8")


def is_textual(mime: str) -> bool:
    """Whether what is of this type is text in UTF-8."""
    kind, _, parameters = mime.lower().partition(";")
    kind = kind.strip()
    charset = parameters.partition("charset=")[2].strip(' "')
    if charset and charset not in ("utf-8", "utf8", "us-ascii"):
        return False
    return kind.startswith(_TEXTUAL) or kind.endswith(("+json", "+xml"))

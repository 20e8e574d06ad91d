"""POST /assets/ID/requests/TYPE: one streamed request, its answer passed on as it comes.

The body of the request is its data, of any kind. The answer's chunks are the body of ours, of the
Content-Type of the first; a failure before the first is an error like any other, one after it cuts
the connection, so that nobody takes half an answer for a whole one. With
``Accept: application/x-ndjson`` it is a line ``{"mime", "data"}`` a chunk, the data in base64, the
last ``{"end": true}`` or ``{"error", "message"}``. ``?timeout=S``: how long the answering side may
be silent. What the client does not take holds up who answers, after 4 MiB.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from smapd.errors import BadRequest, SmapError, T2ResponseException, T2Timeout
from smapd.interfaces import IExchange, IExchanges, IReceiver
from smapd.options import duration
from smapd.values import Json, T2ReqFailureReason

from .encoding import encode
from .errors import answer
from .queries import first, wants

if TYPE_CHECKING:
    from .request import Request

TIMEOUT_S: Final = 30.0
MOST_S: Final = 3600.0
LINES: Final = b"application/x-ndjson"
BYTES: Final = "application/octet-stream"
_MIME = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}(; ?[\w.+-]{1,50}=[\w.+-]{1,100}){0,4}", re.ASCII)


def ask(request: Request, exchanges: IExchanges, asset: str, type_: str) -> None:
    """Open the exchange that ``request`` asks for, and answer with what comes.

    :raises SmapError: if it cannot be opened.
    """
    headers = request.requestHeaders.getRawHeaders(b"content-type")
    mime = headers[0].decode("latin-1") if headers else BYTES
    data = request.content.getvalue()
    _Answer(request, wants(request, LINES)).open(
        exchanges, asset, type_, data, mime, _timeout_s(request)
    )


@implementer(IReceiver, IPushProducer)
class _Answer:
    """One answer under way."""

    def __init__(self, request: Request, in_lines: bool) -> None:
        self._request, self._in_lines = request, in_lines
        self._exchange: IExchange | None = None
        self._begun = self._paused = self._over = False
        self._owed = 0

    def open(
        self,
        exchanges: IExchanges,
        asset: str,
        type_: str,
        data: bytes,
        mime: str,
        timeout_s: float,
    ) -> None:
        self._exchange = exchanges.open(asset, type_, data, mime, timeout_s, self)
        self._request.finished_or_gone().addCallback(lambda _: self._gone())

    # --- IReceiver

    def chunk(self, mime: str, data: bytes) -> None:
        """A piece of the answer."""
        if self._over:
            return
        if not self._begun:
            self._begin(mime)
        if self._in_lines:
            self._line({"mime": mime, "data": b64encode(data).decode("ascii")})
        elif data:
            self._request.write(data)
        self._owed += len(data)
        if not self._paused:
            self._pay()

    def end(self) -> None:
        """That was all."""
        if self._over:
            return
        if not self._begun:
            self._begin(BYTES)
        if self._in_lines:
            self._line({"end": True})
        self._finish()

    def failed(self, reason: str, message: str) -> None:
        """There is no (further) answer."""
        known = T2ReqFailureReason.__members__.get(reason, T2ReqFailureReason.PROVIDER_FAILED)
        self._fail(T2ResponseException(message, reason=known))

    def timed_out(self) -> None:
        """Nothing came for too long."""
        self._fail(T2Timeout("The answering side was silent for too long."))

    # --- IPushProducer

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It takes more."""
        self._paused = False
        if not self._over:
            self._pay()

    def stopProducing(self) -> None:
        """It is gone."""
        self._gone()

    # --- inside

    def _begin(self, mime: str) -> None:
        self._begun = True
        kind = LINES if self._in_lines else (mime if _MIME.fullmatch(mime) else BYTES).encode()
        # a page must not run what an asset's provider sends
        self._request.begin(200, b"Content-Disposition: attachment\r\n", kind)
        self._request.registerProducer(self, True)

    def _pay(self) -> None:
        owed, self._owed = self._owed, 0
        if owed and self._exchange is not None:
            self._exchange.credit(owed)

    def _line(self, value: Json) -> None:
        self._request.write(encode(value) + b"\n")

    def _finish(self) -> None:
        self._over = True
        self._request.unregisterProducer()
        self._request.finish()

    def _fail(self, problem: SmapError) -> None:
        if self._over:
            return
        if not self._begun:
            self._over = True
            answer(self._request, problem)
        elif self._in_lines:
            told: dict[str, Json] = {"error": problem.code, "message": problem.message}
            if isinstance(problem, T2ResponseException):
                told["reason"] = problem.reason.value
            self._line(told)
            self._finish()
        else:
            self._over = True
            self._request.cut()

    def _gone(self) -> None:
        if not self._over:
            self._over = True
            if self._exchange is not None:
                self._exchange.cancel()


def _timeout_s(request: Request) -> float:
    text = first(request, b"timeout")
    if not text:
        return TIMEOUT_S
    try:
        value = float(duration(text))
    except ValueError as error:
        raise BadRequest(f"timeout = {text[:40]}: {error}") from None
    if not 0 < value <= MOST_S:
        raise BadRequest(f"timeout = {text[:40]}: write seconds, more than 0, up to {MOST_S:g}.")
    return value

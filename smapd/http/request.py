"""One request, and how its answer is written: head and body in one piece where both are known.

The head is put together here rather than through Twisted's header dictionaries: it is the same
few lines each time, and that way an answer costs a third less.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web import server

from smapd.errors import Busy, TooLarge
from smapd.values import Principal

from .errors import REASONS, answer_bug

if TYPE_CHECKING:
    from .channel import Channel
    from .site import Site

JSON: Final = b"application/json"
GZIP_FROM = 1024
"""Bytes; a shorter body does not get shorter by it."""
_NO_BODY: Final = frozenset({204, 304})


class Request(server.Request):  # type: ignore[misc, unused-ignore]
    """A request on its way through the server; on the reactor's thread."""

    site: Site
    channel: Channel
    content: Any
    where = ""
    """The address, decoded; surrogates stand for what is not UTF-8."""
    who = Principal()
    allow = b""
    """The Allow line of an answer 405 or 501, with its line end."""
    extra_headers = b""
    """Header lines that belong to the answer when it is one of success."""

    in_pieces = False
    """Whether the answer is written bit by bit, as the client takes it."""

    _received = 0

    def parseCookies(self) -> None:
        """No route reads a cookie."""

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, within this request's bound and that of all together."""
        if self.channel.is_refused:
            return
        self._received += len(data)
        if self._received > self.channel.site.max_body:
            self.channel.refuse(TooLarge())
        elif not self.content.reserve(len(data)):
            self.channel.refuse(Busy("Too many bodies are under way."))
        else:
            super().handleContentChunk(data)

    def process(self) -> None:
        """Route the request; whatever goes wrong is answered."""
        self.site = self.channel.site
        self.site.answer(self)

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer 500: something below raised where no shield of ours was around it."""
        answer_bug(self, reason)
        return reason

    def getRequestHostname(self) -> bytes:
        """No route depends on it, and what a client writes there may be no name at all."""
        return b"localhost"

    @property
    def wants_head(self) -> bool:
        """Whether only the head of the answer is asked for."""
        return bool(self.method == b"HEAD")

    def respond(
        self, status: int, body: bytes = b"", headers: bytes = b"", kind: bytes = JSON
    ) -> None:
        """Answer with a whole body, and finish.

        ``headers``: further lines, each with its line end. Packs the body if the client takes
        gzip and it is worth it. Does nothing if the client has gone.
        """
        if self._disconnected or self.finished:
            return
        if len(body) >= GZIP_FROM and status == 200 and self.takes_gzip():
            packer = gzip_packer()
            body = packer.compress(body) + packer.flush()
            headers += b"Content-Encoding: gzip\r\n"
        if status not in _NO_BODY:
            headers = b"Content-Type: %b\r\nContent-Length: %d\r\n%b" % (kind, len(body), headers)
            if self.method == b"HEAD":
                body = b""
        self.sentLength = len(body)
        self.channel.write(self._head(status, headers) + body)
        self.finish()

    def finish(self) -> None:
        """End the answer; nothing if it is over already: klein ends what a handler has ended."""
        if not self.finished and not self._disconnected:
            super().finish()

    def begin(self, status: int, headers: bytes = b"", kind: bytes = JSON) -> None:
        """Write the head of an answer whose length is not known; ``write`` and ``finish`` follow.

        In chunks for HTTP/1.1; an older client gets it up to the end of the connection.
        """
        self.in_pieces = True
        headers = b"Content-Type: %b\r\n%b" % (kind, headers)
        if self.clientproto == b"HTTP/1.1":
            if not self.wants_head:
                self.chunked = 1
            headers += b"Transfer-Encoding: chunked\r\n"
        self.channel.write(self._head(status, headers))

    def cut(self) -> None:
        """Break the connection off: the client must not take what it got for the whole."""
        if not self._disconnected and self.channel is not None:
            self.channel.abort()

    def takes_gzip(self) -> bool:
        """Whether the client asked for gzip."""
        values = self.requestHeaders.getRawHeaders(b"accept-encoding")
        return values is not None and _names_gzip(b",".join(values))

    def finished_or_gone(self) -> Deferred[None]:
        """Fires, never fails, when the answer is over or the client has gone."""
        return cast("Deferred[None]", self.notifyFinish().addErrback(_nothing))

    def _head(self, status: int, headers: bytes) -> bytes:
        self.startedWriting = 1
        self.setResponseCode(status)
        self.site.counts.answered(status)
        return b"HTTP/1.1 %d %b\r\n%b%b%b\r\n" % (
            status,
            REASONS.get(status, b"Unknown"),
            self.site.head_lines(),
            headers,
            b"" if self.channel.persistent else b"Connection: close\r\n",
        )


def gzip_packer() -> Any:
    """A packer that writes gzip, fast rather than small: level 6 costs five times as much."""
    return zlib.compressobj(1, zlib.DEFLATED, 31)


def _names_gzip(value: bytes) -> bool:
    if value == b"gzip":
        return True
    for part in value.lower().split(b","):
        name, _, parameters = part.partition(b";")
        if name.strip() in (b"gzip", b"x-gzip", b"*"):
            weight = parameters.replace(b" ", b"").removeprefix(b"q=")
            return weight.strip(b"0.") != b"" if parameters else True
    return False


def _nothing(_: object) -> None:
    return None

"""The body of a request on its way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

_PIECE: Final = 1024 * 1024
"""Bytes written in one go: nearly every body. A bigger one waits until the last piece is gone."""


@implementer(IBodyProducer, IPushProducer)
class Outlet:
    """Writes ``data``, and calls ``out`` when the connection has passed on all of it.

    ``written``: bytes handed to the connection so far. ``is_out``: whether it has passed them on,
    which tells a consumer that does not take the body from one that does not answer.
    """

    def __init__(self, data: bytes, out: Callable[[], None]) -> None:
        self.length = len(data)
        self.written = 0
        self.is_out = False
        self._data = data
        self._out = out
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None
        self._is_held = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write; the Deferred fires when all of it is passed on."""
        self._consumer = consumer
        self._write()
        if self.is_out:
            return succeed(None)
        self._done = Deferred(lambda _: self.stopProducing())
        return self._done

    def pauseProducing(self) -> None:
        """The connection has more than it can pass on at once."""
        self._is_held = True

    def resumeProducing(self) -> None:
        """The connection has passed on all it had."""
        self._is_held = False
        self._write()

    def stopProducing(self) -> None:
        """The connection is gone: write no more, and let nobody hear of it from here."""
        self._consumer = self._done = None
        self._data = b""

    def _write(self) -> None:
        while self._consumer is not None and not self._is_held and self.written < self.length:
            piece = self._data[self.written : self.written + _PIECE]  # all of it is no copy
            self.written += len(piece)
            self._consumer.write(piece)
        if self._is_held or self._consumer is None or self.is_out:
            return
        self.is_out = True
        done, self._done = self._done, None
        self._consumer, self._data = None, b""
        self._out()
        if done is not None:
            done.callback(None)

"""Server-Sent Events: an answer without an end, one event a message, for a browser or curl.

::

    id: 17
    event: action
    data: {"seq": 17, …}

A comment comes every 15 seconds, so that both ends notice when the other has gone. A client that
does not take what comes is cut off: it connects again with ``Last-Event-ID``, and goes on there.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from smapd.values import Json

from .encoding import encode

if TYPE_CHECKING:
    from .request import Request
    from .timers import Timers

BEAT_S: Final = 15.0
MOST_WAITING: Final = 1024 * 1024
"""Bytes that may wait for a client which has stopped taking them."""
KIND: Final = b"text/event-stream"


@implementer(IPushProducer)
class EventStream:
    """One such answer; on the reactor's thread. ``ended`` is called once, when it is over."""

    def __init__(
        self,
        request: Request,
        clock: Timers,
        ended: Callable[[], None],
        paused: Callable[[], None] | None = None,
        resumed: Callable[[], None] | None = None,
    ) -> None:
        """``paused``, ``resumed``: told when the client takes no more for now, and takes more."""
        self._request, self._clock, self._ended = request, clock, ended
        self._when_paused, self._when_resumed = paused, resumed
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._paused = False
        self._over = False
        self._timer: Any = None

    def start(self) -> None:
        """Write the head; events may follow."""
        request = self._request
        request.finished_or_gone().addCallback(lambda _: self._end())
        request.begin(200, kind=KIND)
        if request.wants_head:
            request.finish()
            return
        request.registerProducer(self, True)
        self._beat()

    def send(self, name: str, value: Json, id_: int | None = None) -> None:
        """One event; nothing once the client has gone."""
        number = b"" if id_ is None else b"id: %d\n" % id_
        self._write(b"%bevent: %b\ndata: %b\n\n" % (number, name.encode("ascii"), encode(value)))

    def finish(self) -> None:
        """There will be no more."""
        if not self._over:
            self._request.unregisterProducer()
            self._request.finish()
            self._end()

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        self._paused = True
        if self._when_paused is not None and not self._over:
            self._when_paused()

    def resumeProducing(self) -> None:
        """It takes more."""
        self._paused = False
        held, self._held, self._held_bytes = self._held, [], 0
        if held and not self._over:
            self._request.write(b"".join(held))
        # what was held may have filled the transport again, which has said so by now
        if self._when_resumed is not None and not self._over and not self._paused:
            self._when_resumed()

    def stopProducing(self) -> None:
        """It is gone."""
        self._end()

    def _write(self, data: bytes) -> None:
        if self._over:
            return
        if not self._paused:
            self._request.write(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MOST_WAITING:
            self._end()
            self._request.cut()

    def _beat(self) -> None:
        self._timer = None
        if self._over:
            return
        if self._request.channel is not None and self._request.site.is_closing:
            self.finish()
            return
        if not self._paused:
            self._request.write(b": here\n\n")
        self._timer = self._clock.later(BEAT_S, self._beat)

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        self._held.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._ended()

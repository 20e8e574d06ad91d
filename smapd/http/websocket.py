"""A WebSocket on a connection of ours: the library's protocol without sockets, our transport.

The handshake came in as a request, and was let in by the gate. What is added here: a bound on a
message, and on what may wait for a client that does not read; a ping every 20 s, and an end to a
connection on which nothing came back to two of them.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from smapd.errors import BadRequest

if TYPE_CHECKING:
    from .request import Request

PING_S: Final = 20.0
MOST_WAITING: Final = 16 * 1024 * 1024
"""Bytes that may wait for a client which has stopped taking them."""
PIECE_BYTES: Final = 8 * 1024
TURN_S: Final = 0.005
"""How long what came is looked at in one go, in pieces of `PIECE_BYTES`."""
CLOSE_S: Final = 2.0
"""How long the other side has to answer our close."""

GOING_AWAY: Final = 1001
POLICY: Final = 1008


@implementer(IPushProducer)
class WebSocket:
    """One WebSocket, from its handshake on; on the reactor's thread.

    ``message(data)`` is called with a str or bytes for each message that came, ``lost(why)`` once,
    at the end. ``most``: bytes of one message.
    """

    def __init__(
        self,
        request: Request,
        most: int,
        message: Callable[[str | bytes], None],
        lost: Callable[[str], None],
    ) -> None:
        """Answer the handshake.

        :raises BadRequest: if it is none, saying why; nothing was written then.
        """
        # here, since a daemon without things needs none of it
        from websockets.exceptions import InvalidHandshake
        from websockets.server import ServerProtocol

        self._request, self._channel = request, request.channel
        self._clock = request.site.clock
        self._message, self._lost = message, lost
        self._core = ServerProtocol(max_size=most, logger=_Silent())  # type: ignore[arg-type]
        self._came = bytearray()  # of the message that is coming in, without its last piece
        self._raw = bytearray()  # not looked at yet
        self._is_text = False
        self._paused = False
        self._waiting = 0
        self._over = False
        self._pings = 0
        self._unanswered = 0
        self._working: Any = None
        self._is_held = False
        self._pongs: dict[bytes, Deferred[None]] = {}
        self._timer: Any = None
        self._core.receive_data(_as_sent(request))
        asked: Any = next(iter(self._core.events_received()), None)
        if asked is None:
            why = self._core.handshake_exc or "the head is incomplete"
            raise BadRequest(f"This is no WebSocket handshake: {why}.")
        answer = self._core.accept(asked)
        problem = self._core.handshake_exc
        if answer.status_code != 101 or problem is not None:
            told = str(problem) if isinstance(problem, InvalidHandshake) else answer.reason_phrase
            raise BadRequest(f"This is no WebSocket handshake: {told}.")
        request.site.counts.answered(101)
        self._core.send_response(answer)
        request.registerProducer(self, True)
        self._channel.upgrade(self)
        self._flush()
        self._timer = self._clock.later(PING_S, self._beat)

    # --- for its user

    def send(self, message: str | bytes) -> None:
        """Send one message, in order; nothing once it is over."""
        if self._over or self._core.close_sent is not None:
            return
        if isinstance(message, str):
            self._core.send_text(message.encode())
        else:
            self._core.send_binary(message)
        self._flush()

    def ping(self) -> Deferred[None]:
        """Fires when the other side has answered; never, if it is gone first."""
        answered: Deferred[None] = Deferred()
        if not self._over and self._core.close_sent is None:
            self._ping(answered)
        return answered

    def close(self, why: str = "", code: int = GOING_AWAY) -> None:
        """Send what is waiting and the close frame, and end; ``lost`` is not called any more."""
        if self._over or self._core.close_sent is not None:
            return
        self._lost = _nobody
        self._core.send_close(code, why.encode()[:120].decode(errors="ignore"))
        self._flush()
        self._clock.later(CLOSE_S, self._channel.abort)

    # --- for the channel

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._over:
            return
        self._unanswered = 0
        self._raw += data
        if self._working is None:
            self._work()
        else:
            self._channel.hold(True)

    def connection_lost(self, why: str) -> None:
        """The connection is gone."""
        while self._raw and not self._over:  # what was said before it went counts
            self._look()
        self._end(why)

    def end(self) -> None:
        """The server closes: say so, and wait for no answer."""
        if not self._over and self._core.close_sent is None:
            self._core.send_close(GOING_AWAY, "smapd is stopping")
            for data in self._core.data_to_send():
                self._channel.write(data)
        self._end("the server closes")
        self._channel.finish_upgraded()

    # --- as a producer

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It has taken what was waiting."""
        self._paused, self._waiting = False, 0

    def stopProducing(self) -> None:
        """It is gone; the channel says so too."""

    # --- inside

    def _work(self) -> None:
        """Look at what came, for a moment: a flood of small frames is not to hold up all others."""
        self._working = None
        until_s = self._clock.seconds() + TURN_S
        while self._raw and not self._over:
            self._look()
            if self._raw and self._clock.seconds() >= until_s:
                self._working = self._clock.later(0, self._work)
                break
        self._flush()
        if not self._over and (self._working is not None or self._is_held):
            self._is_held = self._working is not None
            self._channel.hold(self._is_held)

    def _look(self) -> None:
        piece = bytes(self._raw[:PIECE_BYTES])
        del self._raw[:PIECE_BYTES]
        self._core.receive_data(piece)
        for frame in self._core.events_received():
            self._take(frame)

    def _take(self, frame: Any) -> None:
        from websockets.frames import Opcode

        kind = frame.opcode
        if kind in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = kind is Opcode.TEXT
        elif kind is Opcode.CONT:
            pass
        elif kind is Opcode.PONG:
            answered = self._pongs.pop(bytes(frame.data), None)
            if answered is not None:
                answered.callback(None)
            return
        else:  # the core answers pings and closes by itself
            return
        if not frame.fin:
            self._came += frame.data
        else:
            data = bytes(frame.data)
            if self._came:
                data, self._came = bytes(self._came) + data, bytearray()
            if not self._is_text:
                self._message(data)
                return
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                self._core.send_close(1007, "a text that is not UTF-8")
                return
            self._message(text)

    def _flush(self) -> None:
        for data in self._core.data_to_send():
            if data:
                self._channel.write(data)
                if self._paused:
                    self._waiting += len(data)
        if self._waiting > MOST_WAITING:
            self._end("it does not take what is sent")
            self._channel.abort()
        elif self._core.close_expected() and not self._over:
            closed = self._core.close_rcvd
            why = self._core.parser_exc or (closed.reason or closed.code if closed else "closed")
            self._end(str(why))
            self._channel.finish_upgraded()

    def _beat(self) -> None:
        self._timer = None
        if self._over or self._core.close_sent is not None:
            return
        if self._unanswered >= 2:
            self._end(f"nothing came for {2 * PING_S:g} s")
            self._channel.abort()
            return
        self._unanswered += 1
        self._ping(None)
        self._timer = self._clock.later(PING_S, self._beat)

    def _ping(self, answered: Deferred[None] | None) -> None:
        self._pings += 1
        mark = self._pings.to_bytes(8, "big")
        if answered is not None:
            self._pongs[mark] = answered
        self._core.send_ping(mark)
        self._flush()

    def _end(self, why: str) -> None:
        if self._over:
            return
        self._over = True
        self._came, self._raw, self._pongs = bytearray(), bytearray(), {}
        if self._working is not None and self._working.active():
            self._working.cancel()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._lost(why)


class _Silent:
    """A logger that says nothing: what goes wrong is told by who uses the socket."""

    def isEnabledFor(self, level: int) -> bool:
        return False

    def _say(self, *a: Any, **more: Any) -> None:
        """Nothing."""

    debug = info = warning = error = exception = _say


def _as_sent(request: Request) -> bytes:
    """The head as the client sent it, which the library wants to read by itself."""
    lines = [b"GET / HTTP/1.1"]
    lines += [
        name + b": " + value
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _nobody(why: str) -> None:
    """Who closed it knows."""

"""One POST, from the look-up of the name to the end of the answer, inside its limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from smapd.interfaces import IClock, ITimer
from smapd.values import Outcome, Payload, Retry, TooLarge

from .answers import SUCCESS, outcome
from .location import Location
from .names import JudgingResolver
from .outlet import Outlet
from .reasons import reason
from .tls import TlsPolicy
from .wire import Wire

_log = Logger()

MOST_ERROR: Final = 4 * 1024
"""Bytes of an error's body that are read; only its first words are shown."""

_MOST_SUCCESS: Final = 64 * 1024  # bytes read and forgotten, so that the connection can be kept
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)(?: ([^\r\n]*))?\r?\n")
_RETRY_AFTER: Final = re.compile(rb"\n[Rr]etry-[Aa]fter:[ \t]*([^\r\n]*)\r?\n")


@dataclass(frozen=True, slots=True)
class SinkLimits:
    """Seconds that one attempt may take.

    ``connect_s``: for name and connection. ``silence_s``: after the body is
    out, without a byte of the answer.
    ``whole_s``: in all. ``linger_s``: for the body of a success, which nobody reads.
    """

    connect_s: float = 10.0
    silence_s: float = 15.0
    whole_s: float = 30.0
    linger_s: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.whole_s <= 30:
            raise ValueError(f"an attempt may take up to 30 s: got whole_s={self.whole_s}")
        if min(self.connect_s, self.silence_s, self.linger_s) <= 0:
            raise ValueError(f"each limit must be above 0 s: got {self}")


class Attempt:
    """Fires ``result`` once, with what became of the payload; used once, on the reactor's thread.

    Cancelling ``result`` cuts the connection. ``resolver`` and ``tls`` are those that the agent
    uses: they know why an address or a certificate would not do.
    """

    def __init__(
        self,
        clock: IClock,
        limits: SinkLimits,
        location: Location,
        payload: Payload,
        resolver: JudgingResolver,
        tls: TlsPolicy,
    ) -> None:
        self._clock, self._limits, self._location = clock, limits, location
        self._resolver, self._tls = resolver, tls
        self._outlet = Outlet(payload.body, self._body_is_out)
        self._payload = payload
        self._wire: Wire | None = None
        self._request: Deferred[None] | None = None
        self._moved = 0
        self._is_over = False
        self._accepted: Outcome | None = None
        self._timers: list[ITimer] = []
        self.result: Deferred[Outcome] = Deferred(lambda _: self._stop())

    def begin(self, agent: IAgent, common: Mapping[str, str]) -> None:
        """Send; ``common``: headers beside those of the payload."""
        limits = self._limits
        self._resolver.refused = self._tls.verdict = ""
        self._timers = [
            self._clock.later(limits.whole_s, self._whole_is_over),
            self._clock.later(limits.connect_s, self._not_connected),
        ]
        headers = Headers()
        for name, value in (*common.items(), *self._payload.headers):
            headers.setRawHeaders(name, [value])
        if self._location.authorization:
            headers.setRawHeaders("Authorization", [self._location.authorization])
        request: Deferred[IResponse] = maybeDeferred(  # it reads the TLS files, and raises
            agent.request, b"POST", self._location.url, headers, self._outlet
        )
        handled: Deferred[None] = request.addCallbacks(self._answered, self._failed)
        self._request = handled.addErrback(self._mistaken)

    def connected(self, wire: Wire) -> None:
        """This is the connection; the request goes out on it now."""
        if self._is_over:
            wire.abort()
            return
        self._wire = wire
        wire.begin(self)

    # --- the wire tells

    def came_early(self, head: bytes) -> bool:
        """An error before the body is out: it need not go out any further."""
        if self._outlet.is_out or self._is_over:
            return False
        answer = self._by_head(head)
        if answer is None:
            return False
        self._end(answer)
        return True

    def too_much(self, why: str) -> None:
        """The answer is beyond all bounds."""
        self._end(Retry(None, why))

    def _body_is_out(self) -> None:
        self._timers.append(self._clock.later(self._limits.silence_s, self._look))

    # --- the agent tells

    def _answered(self, response: IResponse) -> None:
        if self._is_over:
            return
        if self._wire is not None:
            self._wire.head_is_complete()
        if response.code in SUCCESS and not self._outlet.is_out:
            self._end(Retry(None, f"it answered {response.code} before it had all of the body"))
            return
        if response.code in SUCCESS:
            self._accepted = outcome(response.code, "", "", None, 0)
            self._timers.append(self._clock.later(self._limits.linger_s, self._cut))
            reader = _Reader(_MOST_SUCCESS, 0, self._body_read)
        else:
            reader = _Reader(MOST_ERROR, MOST_ERROR, lambda r: self._error_read(response, r))
        response.deliverBody(reader)  # type: ignore[no-untyped-call]

    def _body_read(self, reader: _Reader) -> None:
        assert self._accepted is not None
        self._end(self._accepted, keep=reader.is_whole)

    def _error_read(self, response: IResponse, reader: _Reader) -> None:
        pause = response.headers.getRawHeaders("Retry-After", [None])[0]
        body = reader.kept.decode("utf-8", "replace")
        phrase = response.phrase.decode("latin-1")
        self._end(self._outcome(response.code, phrase, body, pause), keep=reader.is_whole)

    def _failed(self, failure: Failure) -> None:
        if self._is_over:
            return
        answer = self._by_head(self._wire.head) if self._wire is not None else None
        if answer is None:
            why = reason(failure, refused=self._resolver.refused, verdict=self._tls.verdict)
            if self._wire is not None and not self._outlet.is_out:
                # Some servers say so by hanging up, and would do so each time.
                answer = TooLarge(f"{why}, and before all of the body was sent")
            else:
                answer = Retry(None, self._location.redact(why))
        self._end(answer)

    def _mistaken(self, failure: Failure) -> None:
        if self._is_over:
            _log.failure("the end of a request failed", failure=failure)
            return
        self._stop()
        self.result.errback(failure)

    # --- the clock tells

    def _not_connected(self) -> None:
        if self._wire is None:
            self._end(Retry(None, f"no connection within {self._limits.connect_s:g} s"))

    def _look(self) -> None:
        if self._heard == self._moved:
            self._end(self._timed_out(f"no answer within {self._limits.silence_s:g} s"))
        else:
            self._moved = self._heard
            self._timers.append(self._clock.later(self._limits.silence_s, self._look))

    def _whole_is_over(self) -> None:
        self._end(self._timed_out(f"no complete answer within {self._limits.whole_s:g} s"))

    def _cut(self) -> None:
        self._end(self._timed_out(""))

    # --- the end

    @property
    def _heard(self) -> int:
        return self._wire.received if self._wire is not None else 0

    def _timed_out(self, why: str) -> Outcome:
        if self._accepted is not None:
            return self._accepted
        head = self._wire.head if self._wire is not None else b""
        answer = self._by_head(head)
        if answer is not None:
            return answer
        if self._wire is not None and not self._outlet.is_out:
            # A slow line, or a consumer that does not read: a smaller body will tell.
            return TooLarge(f"{why}: the body was not taken by then")
        return Retry(None, why)

    def _by_head(self, head: bytes) -> Outcome | None:
        """The outcome by what is there of the answer's head, if that is an error."""
        found = _STATUS.match(head)
        if found is None or int(found[1]) < 300:
            return None
        pause = _RETRY_AFTER.search(head)
        asked = pause[1].decode("latin-1") if pause is not None else None
        return self._outcome(int(found[1]), (found[2] or b"").decode("latin-1"), "", asked)

    def _outcome(self, status: int, phrase: str, body: str, pause: str | None) -> Outcome:
        redact = self._location.redact
        return outcome(status, redact(phrase), redact(body), pause, self._clock.wall_ms())

    def _end(self, answer: Outcome, *, keep: bool = False) -> None:
        if self._is_over:
            return
        self._stop(keep=keep)
        self.result.callback(answer)

    def _stop(self, *, keep: bool = False) -> None:
        """No more of it; unless ``keep``, the connection goes too."""
        self._is_over = True
        for timer in self._timers:
            timer.discard()
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.end()
        if not keep:
            if wire is not None:
                wire.abort()
            if self._request is not None:
                self._request.cancel()


class _Reader(Protocol):
    """Reads a body up to a limit; calls ``done`` once, at its end or at the limit."""

    def __init__(self, most: int, keep: int, done: Callable[[_Reader], None]) -> None:
        self._most, self._keep, self._done = most, keep, done
        self._count = 0
        self._is_over = False
        self.kept = b""
        self.is_whole = False

    def dataReceived(self, data: bytes) -> None:
        """More of it."""
        self._count += len(data)
        if len(self.kept) < self._keep:
            self.kept += data[: self._keep - len(self.kept)]
        if self._count > self._most:
            self._finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is over, or the connection is."""
        self.is_whole = not self._is_over and isinstance(reason.value, ResponseDone)
        self._finish()

    def _finish(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._done(self)

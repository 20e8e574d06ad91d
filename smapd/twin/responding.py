"""The answer to a streamed request, at the side that gives it: credit, pieces, and one end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from smapd.errors import ShutdownRequested, SmapError, T2ResponseFailure
from smapd.runtime.program import Monitor
from smapd.values import T2ProviderFailureReason

from .wire import CHUNK_BYTES, MOST_MESSAGE, Frame

LOOK_S: Final = 1.0
"""How often a writer without credit looks whether it is to stop."""


class T2Request:
    """Somebody asks something of an asset. Answer it once, here or later, on any thread.

    ``asset_id``; ``type_``: what is asked; ``data``: bytes that came with it; ``mime``: of these.
    One that is forgotten without an answer counts as refused.
    """

    def __init__(
        self, asset_id: str, type_: str, data: bytes, mime: str, responder: Responder
    ) -> None:
        self.asset_id, self.type_, self.data, self.mime = asset_id, type_, data, mime
        self._responder = responder

    def __del__(self) -> None:
        responder = getattr(self, "_responder", None)
        if responder is not None and responder.is_untouched:
            responder.forgotten()

    def __repr__(self) -> str:
        return f"<T2Request {self.type_} of {self.asset_id!r}, {len(self.data)} bytes>"


class Responder:
    """One answer being given; ``write`` and the ends are for one thread at a time."""

    def __init__(
        self,
        number: int,
        credit: int,
        *,
        tell: Callable[[Frame], bool],
        done: Callable[[], object],
        later: Callable[[Callable[[], object]], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._number, self._credit = number, credit
        self._tell, self._done, self._later, self._stopping = tell, done, later, stopping
        self._monitor = Monitor()
        self._begun = False
        self._why_over = ""
        self._stopped = False

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has begun to answer, and an answer is still wanted."""
        return not self._begun and not self._why_over

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to say."""
        return bool(self._why_over)

    def begin(self) -> None:
        """Take it for an answer.

        :raises T2ResponseFailure: if it was taken before, or is over.
        """
        with self._monitor:
            self._check_open()
            if self._begun:
                raise T2ResponseFailure("The request is being answered already.")
            self._begun = True

    def write(self, mime: str, data: bytes | bytearray | memoryview) -> None:
        """Send this, in pieces; waits while the requester has not read what was sent before.

        :raises T2ResponseFailure: if the request is over.
        :raises ShutdownRequested: if it would have to wait while the thing stops.
        """
        rest = memoryview(data).cast("B")
        if not len(rest):
            self._say({"op": "chunk", "x": self._number, "mime": mime}, b"")
        while len(rest):
            size = self._take_credit(min(len(rest), CHUNK_BYTES))
            piece = bytes(rest[:size])
            self._say({"op": "chunk", "x": self._number, "mime": mime}, piece)
            rest = rest[size:]

    def end(self) -> None:
        """That was all.

        :raises T2ResponseFailure: if the request is over.
        """
        self._close("it was answered before")
        self._say({"op": "end", "x": self._number})

    def fail(self, reason: T2ProviderFailureReason, message: str = "") -> None:
        """There is no (further) answer.

        :raises T2ResponseFailure: if the request is over.
        """
        self._close("it was answered before")
        # whatever a program writes there: the end must fit the wire, or the requester waits for it
        text = message[:MOST_MESSAGE].encode("utf-8", "backslashreplace").decode()
        self._say({"op": "failed", "x": self._number, "reason": reason.value, "message": text})

    def refuse(self) -> None:
        """Nobody here answers it."""
        with self._monitor:
            if not self.is_untouched:
                return
            self._begun = True
        self.fail(T2ProviderFailureReason.REQ_UNHANDLED)

    def forgotten(self) -> None:
        """The request was dropped without an answer; safe in a destructor."""
        self._later(self._refuse_quietly)

    def stop(self) -> None:
        """The integrator stops: whoever writes is told so, and so is who asked."""
        with self._monitor:
            self._stopped = True
            was_over, self._why_over = self._why_over, self._why_over or "the integrator stopped"
            self._monitor.wake()
        if not was_over:
            self._done()
            self._tell(
                Frame(
                    {
                        "op": "failed",
                        "x": self._number,
                        "reason": T2ProviderFailureReason.PROVIDER_FAILED.value
                        if self._begun
                        else T2ProviderFailureReason.REQ_UNHANDLED.value,
                        "message": "The integrator stopped.",
                    }
                )
            )

    # --- on the link's thread

    def received(self, frame: Frame) -> None:
        """Credit, or an end from the other side."""
        if frame.head["op"] == "credit":
            with self._monitor:
                self._credit += int(frame.head.get("bytes", 0))
                self._monitor.wake()
        else:
            self.cancelled(str(frame.head.get("why") or "the requester wants no more of it"))

    def cancelled(self, why: str) -> None:
        """No answer is wanted any more."""
        with self._monitor:
            self._why_over = self._why_over or why
            self._monitor.wake()
        self._done()

    def wake(self) -> None:
        """Look again whether there is a stop."""
        with self._monitor:
            self._monitor.wake()

    # --- private

    def _refuse_quietly(self) -> None:
        with contextlib.suppress(SmapError):  # over in the meantime
            self.refuse()

    def _take_credit(self, most: int) -> int:
        with self._monitor:
            while True:
                self._check_open()
                if self._credit > 0:
                    size = min(most, self._credit)
                    self._credit -= size
                    return size
                if self._stopping():
                    raise ShutdownRequested("It is stopping; the answer is not sent to its end.")
                self._monitor.wait(LOOK_S)

    def _check_open(self) -> None:
        if self._stopped:
            raise ShutdownRequested("The integrator has stopped.")
        if self._why_over:
            raise T2ResponseFailure(f"The request is over: {self._why_over}.")

    def _close(self, why: str) -> None:
        with self._monitor:
            self._check_open()
            self._why_over = why
        self._done()

    def _say(self, head: dict[str, Any], body: bytes = b"") -> None:
        if not self._tell(Frame(head, body)):
            with self._monitor:
                self._why_over = self._why_over or "the connection to the daemon is lost"
            raise T2ResponseFailure("The request is over: the connection to the daemon is lost.")

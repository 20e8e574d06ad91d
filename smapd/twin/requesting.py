"""The answer to a streamed request, at the side that asked: chunks, drawn one by one.

Bytes are credited as they are drawn, so no more than a window of them waits here. An answer that is
closed, or forgotten, is cancelled.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from smapd.errors import ShutdownRequested, SmapError, T2ResponseException, T2Timeout
from smapd.runtime.program import Monitor, seconds
from smapd.values import T2ReqFailureReason

from .wire import Frame

CREDIT_BYTES: Final = 256 * 1024
"""Drawn bytes are credited in pieces of that size, or when nothing waits."""
GRACE_S: Final = 5.0
"""The hub counts the time; only if it says nothing for so much longer the answer ends by itself."""


class T2Answer:
    """Gives (mime, bytes) for each chunk, as it comes; made by ``t2_request``.

    One thread draws from it; ``close`` may be called on any. What ends it early is raised where it
    is drawn: T2Timeout, T2ResponseException, NotConnected, ShutdownRequested.
    """

    def __init__(
        self,
        what: str,
        number: int,
        timeout_s: float,
        *,
        tell: Callable[[Frame], bool],
        later: Callable[[Callable[[], object]], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._what, self._number, self._timeout_s = what, number, timeout_s
        self._tell, self._later, self._stopping = tell, later, stopping
        self._monitor = Monitor()
        self._chunks: collections.deque[tuple[str, bytes]] = collections.deque()
        self._over = False
        self._problem: SmapError | None = None
        self._owed = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[str, bytes]:
        until_s = seconds() + self._timeout_s + GRACE_S
        gave_up, credit = False, 0
        chunk: tuple[str, bytes] | None = None
        problem: SmapError | None = None
        with self._monitor:
            while not self._chunks and not self._over:
                if self._stopping():
                    self._finish(ShutdownRequested(f"{self._what}: it is stopping."))
                    gave_up = True
                elif not self._monitor.wait(until_s - seconds()):
                    self._finish(self._late())
                    gave_up = True
            if self._chunks:
                chunk = self._chunks.popleft()
                self._owed += len(chunk[1])
                if not self._over and (self._owed >= CREDIT_BYTES or not self._chunks):
                    credit, self._owed = self._owed, 0
            else:
                problem, self._problem = self._problem, None
        if gave_up:  # said outside: to send may take its time, and the link must not wait for it
            self._cancel()
        if credit:
            self._tell(Frame({"op": "credit", "x": self._number, "bytes": credit}))
        if chunk is not None:
            return chunk
        if problem is not None:
            raise problem
        raise StopIteration

    def close(self) -> None:
        """No more of it: who answers is told. Nothing happens if it is over."""
        with self._monitor:
            was_over = self._over
            self._chunks.clear()
            self._problem = None
            self._finish(None)
        if not was_over:
            self._cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_over", True):
            number, tell = self._number, self._tell
            # not from here: whoever lets go of the last reference may hold any lock
            self._later(lambda: tell(Frame({"op": "cancel", "x": number})))

    # --- on the link's thread

    def received(self, frame: Frame) -> None:
        """A chunk, or the end."""
        head = frame.head
        with self._monitor:
            if self._over:
                return
            if head["op"] == "chunk":
                self._chunks.append((str(head.get("mime", "")), frame.body))
                self._monitor.wake()
            elif head["op"] == "end":
                self._finish(None)
            elif head["op"] == "timeout":
                self._finish(self._late())
            else:
                self._finish(_failed(self._what, head.get("reason"), head.get("message")))

    def fail(self, problem: SmapError) -> None:
        """It will not be answered any more."""
        with self._monitor:
            self._finish(problem)

    def wake(self) -> None:
        """Look again whether there is a stop."""
        with self._monitor:
            self._monitor.wake()

    # --- private

    def _finish(self, problem: SmapError | None) -> None:
        if not self._over:
            self._over, self._problem = True, problem
            self._monitor.wake()

    def _late(self) -> T2Timeout:
        return T2Timeout(f"{self._what} was not answered within {self._timeout_s:g} s.")

    def _cancel(self) -> None:
        self._tell(Frame({"op": "cancel", "x": self._number}))


def _failed(what: str, reason: object, message: object) -> SmapError:
    try:
        known = T2ReqFailureReason(reason)
    except ValueError:
        known = T2ReqFailureReason.PROVIDER_FAILED
    told = str(message or "").rstrip(".")
    return T2ResponseException(
        f"{what} failed: {known.value}{': ' * bool(told)}{told}.", reason=known
    )

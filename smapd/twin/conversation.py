"""One connection of a client, from its hello on: what it asks and is asked, and the answers."""

from __future__ import annotations

import itertools
import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from smapd.errors import NotConnected, ShutdownRequested, SmapError
from smapd.runtime.program import Monitor, Reply
from smapd.values import Json, T2ProviderFailureReason

from . import wire
from .links import Link
from .requesting import T2Answer
from .responding import Responder
from .wire import Frame

_log: Final = logging.getLogger(__name__)

ANSWER_S: Final = 10.0
"""How long the hub may take to answer."""
MOST_REQUESTS: Final = 2_000
"""Requests that may wait to be answered; more are refused."""


@dataclass(frozen=True)
class Line:
    """What all conversations of one client have in common.

    ``later``: calls on the call thread. ``is_current``: whether the hub has taken this one, and it
    is not lost.
    """

    name: str
    link: Link
    later: Callable[[Callable[[], object]], None]
    is_stopping: Callable[[], bool]
    is_current: Callable[[Conversation], bool]
    why_lost: Callable[[], str]
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    odd: itertools.count[int] = field(default_factory=lambda: itertools.count(1, 2))
    opening: Monitor = field(default_factory=Monitor)

    def not_connected(self) -> NotConnected:
        """What is raised where there is no connection."""
        return NotConnected(f"{self.name} is not connected: {self.why_lost()}.")


class Conversation:
    """Said from any thread; what comes is given to it on the link's thread, which never waits."""

    def __init__(self, line: Line) -> None:
        self.id: str | None = None
        self.started: set[str] = set()
        """Kinds of the roles that the hub has started."""
        self._line = line
        self._is_over = False
        self._replies: dict[int, Reply[Frame] | Callable[[Frame], None]] = {}
        self._answers: weakref.WeakValueDictionary[int, T2Answer] = weakref.WeakValueDictionary()
        self._responders: dict[int, Responder] = {}

    # --- said

    def say(self, head: dict[str, Json], then: Callable[[Frame], None]) -> None:
        """Send a request, and do not wait: ``then`` gets its answer, on the link's thread."""
        number = head["id"] = next(self._line.numbers)
        self._replies[number] = then
        self._line.link.send(Frame(head), patient=False)

    def ask(
        self, head: dict[str, Json], body: bytes, timeout_s: float, publishes: bool = False
    ) -> Frame:
        """Send a request and wait for its answer; ``id`` is added.

        ``publishes``: it may share a commit of the event log with others.

        :raises NotConnected: if the connection is lost meanwhile, or no answer came.
        :raises SmapError: what the hub answered.
        """
        return self._answer(*self._send(head, body, publishes), timeout_s)

    def request(self, head: dict[str, Json], body: bytes, timeout_s: float) -> T2Answer:
        """Open an exchange as its requester; raises as ``ask`` does."""
        line = self._line
        with line.opening:  # the hub wants the numbers in their order
            number = next(line.odd)
            answer = T2Answer(
                f"{head['type']} of {head['asset']}",
                number,
                timeout_s,
                tell=self._tell,
                later=line.later,
                stopping=line.is_stopping,
            )
            self._answers[number] = answer
            head = {"op": "open", "x": number, "timeout_s": timeout_s, **head}
            try:
                sent = self._send(head, body)
            except SmapError as error:
                answer.fail(error)
                raise
        try:
            self._answer(*sent, ANSWER_S)
        except SmapError as error:
            answer.fail(error)  # there is nothing to cancel
            raise
        return answer

    def responder(self, number: int) -> Responder | None:
        """The open answer to the request of that number."""
        return self._responders.get(number)

    def wake(self) -> None:
        """A stop was asked for: whoever waits looks at that."""
        for answer in list(self._answers.values()):
            answer.wake()
        for responder in list(self._responders.values()):
            responder.wake()

    def _tell(self, frame: Frame) -> bool:
        return self._line.is_current(self) and self._line.link.send(frame)

    def _send(
        self, head: dict[str, Json], body: bytes, publishes: bool = False
    ) -> tuple[int, Reply[Frame]]:
        number = head["id"] = next(self._line.numbers)
        reply: Reply[Frame] = Reply()
        self._replies[number] = reply
        publisher = reply if publishes else None
        if self._is_over or not self._line.link.send(Frame(head, body), publisher=publisher):
            self._replies.pop(number, None)
            raise self._line.not_connected()
        return number, reply

    def _answer(self, number: int, reply: Reply[Frame], timeout_s: float) -> Frame:
        try:
            frame = reply.take(timeout_s)
        except TimeoutError:
            self._replies.pop(number, None)
            raise NotConnected(
                f"{self._line.name}: the daemon did not answer within {timeout_s:g} s."
            ) from None
        if frame.head["op"] == "error":
            raise wire.raised(frame)
        return frame

    # --- on the link's thread

    def answered(self, frame: Frame) -> None:
        """The hub's answer to what was asked."""
        waiting = self._replies.pop(frame.head.get("id") or 0, None)
        if isinstance(waiting, Reply):
            waiting.give(frame)
        elif waiting is not None:
            waiting(frame)
        elif frame.head["op"] == "error":
            _log.warning("%s: the hub says: %s", self._line.name, frame.head.get("message"))

    def requested(self, frame: Frame) -> bool:
        """The hub asks for something: whether there is room to answer it."""
        line, head = self._line, frame.head
        number = head["x"]
        if len(self._responders) >= MOST_REQUESTS:
            reason = T2ProviderFailureReason.BUSY.value
            text = f"{MOST_REQUESTS} requests wait for {line.name}."
            failed = {"op": "failed", "x": number, "reason": reason, "message": text}
            line.link.send(Frame(failed), patient=False)
            return False
        self._responders[number] = Responder(
            number,
            head.get("credit", 0),
            tell=self._tell,
            done=lambda: self._responders.pop(number, None),
            later=line.later,
            stopping=line.is_stopping,
        )
        return True

    def to_requester(self, frame: Frame) -> None:
        """A part, or the end, of what was requested."""
        answer = self._answers.get(frame.head.get("x", 0))
        if answer is not None:
            answer.received(frame)

    def to_responder(self, frame: Frame) -> None:
        """More room for an answer, or nobody wants it any more."""
        responder = self._responders.get(frame.head.get("x", 0))
        if responder is not None:
            responder.received(frame)

    def end(self) -> None:
        """It is lost: whoever waits is told."""
        self._is_over = True
        while self._replies:
            try:
                _, waiting = self._replies.popitem()
            except KeyError:
                break
            if isinstance(waiting, Reply):
                waiting.fail(self._problem())
        for answer in list(self._answers.values()):
            answer.fail(self._problem())
        for responder in list(self._responders.values()):
            responder.cancelled("the connection to the daemon is lost")

    def _problem(self) -> SmapError:
        """One for each: they are raised on different threads."""
        name = self._line.name
        if self._line.is_stopping():
            return ShutdownRequested(f"{name} is stopping.")
        return NotConnected(f"{name} lost its connection: {self._line.why_lost()}.")

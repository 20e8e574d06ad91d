"""A sink that keeps what it was sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smapd.interfaces import ISink
from smapd.values import Accepted, Outcome, Payload


@implementer(ISink)
class RecordingSink:
    """Answers with ``answers`` in turn, and with ``Accepted`` once they are used up.

    ``sent``: (location, payload) of all it was sent; ``accepted``: of what it accepted. An answer
    may be a Deferred. ``is_closed``: whether somebody closed it.
    """

    def __init__(self, answers: Iterable[Outcome | Deferred[Outcome]] = ()) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, Payload]] = []
        self.accepted: list[tuple[str, Payload]] = []
        self.is_closed = False
        self._is_busy = False

    def send(self, payload: Payload, location: str) -> Deferred[Outcome]:
        """Keep it, and answer.

        :raises RuntimeError: if one is under way.
        """
        if self._is_busy:
            raise RuntimeError("a sink sends one payload at a time")
        self._is_busy = True
        self.sent.append((location, payload))
        answer = self.answer(payload, location)
        done = answer if isinstance(answer, Deferred) else succeed(answer)

        def over(result: Any) -> Any:
            self._is_busy = False
            if isinstance(result, Accepted):
                self.accepted.append((location, payload))
            return result

        return done.addBoth(over)

    def answer(self, payload: Payload, location: str) -> Outcome | Deferred[Outcome]:
        """The next answer; to be overridden where it depends on what is sent."""
        return self.answers.pop(0) if self.answers else Accepted()

    def close(self) -> None:
        """As a sink that holds connections has it."""
        self.is_closed = True

    def bodies(self) -> list[Any]:
        """What it accepted, as JSON has it."""
        return [orjson.loads(payload.body) for _, payload in self.accepted]

    def consumed(self) -> None:
        """:raises AssertionError: if it has answers left that nobody asked for."""
        assert not self.answers, f"never asked for: {self.answers}"

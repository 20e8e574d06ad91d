"""The other end of a client's link, played by the test: what the hub would say, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from smapd.errors import SmapError
from smapd.runtime.program import Reply
from smapd.twin.links import Receiver
from smapd.twin.wire import Frame, error, ok
from smapd.values import Json


class FakePeer:
    """A link whose hub is the test; give it to ``Client(link=…)``.

    Of itself it answers what a hub answers when all goes well: hello, start, stop, publish (with
    offsets from 0 for each asset) and open. ``refuse`` and ``hush`` change that. Everything
    happens on the caller's thread, at once.
    """

    def __init__(self, *, online: bool = True) -> None:
        """``online``: connect when the client opens it; else at ``connect``."""
        self.online = online
        self.sent: list[Frame] = []
        """All that the client has sent and no test has taken."""
        self.is_connected = False
        self.is_open = False
        self.connections = self.settles = self.drops = 0
        self._receiver: Receiver | None = None
        self._offsets: dict[str, int] = {}
        self._dedupe: dict[str, int] = {}
        self._refusals: dict[str, deque[SmapError]] = {}
        self._hushed: set[str] = set()

    # --- the client's side

    def open(self, receiver: Receiver) -> None:
        """Connect, if it is online."""
        self._receiver, self.is_open = receiver, True
        if self.online:
            self.connect()

    def send(
        self, frame: Frame, patient: bool = True, publisher: Reply[Frame] | None = None
    ) -> bool:
        """Keep it, and answer it."""
        if not self.is_connected:
            return False
        self.sent.append(frame)
        answer = self._answer(frame)
        if answer is not None and self._receiver is not None:
            self._receiver.received(answer)
        return True

    def settled(self) -> None:
        """The client took the welcome."""
        self.settles += 1

    def drop(self) -> None:
        """The client gives the connection up."""
        self.drops += 1
        self.lose("it was given up")

    def close(self, timeout_s: float) -> bool:
        """The client is done."""
        self.is_open = self.is_connected = False
        return True

    # --- the test's side

    def connect(self) -> None:
        """A connection is made."""
        assert self._receiver is not None, "the client has not opened its link"
        self.is_connected = True
        self.connections += 1
        self._receiver.connected()

    def lose(self, why: str = "it was cut", problem: SmapError | None = None) -> None:
        """The connection is lost; or, with a problem, was refused."""
        self.is_connected = False
        if self._receiver is not None:
            self._receiver.lost(why, problem)

    def say(self, op: str, body: bytes = b"", **head: Json) -> None:
        """A frame of the hub's."""
        assert self._receiver is not None, "the client has not opened its link"
        self._receiver.received(Frame({"op": op, **head}, body))

    def refuse(self, op: str, *problems: SmapError) -> None:
        """Answer the next requests of this kind with these, one each."""
        self._refusals.setdefault(op, deque()).extend(problems)

    def hush(self, *ops: str) -> None:
        """Do not answer these any more; without any, answer all again."""
        self._hushed = set(ops)

    def take(self, *ops: str) -> list[Frame]:
        """What was sent of these kinds; it is taken away."""
        found = [frame for frame in self.sent if frame.head["op"] in ops]
        self.sent = [frame for frame in self.sent if frame.head["op"] not in ops]
        return found

    def heads(self, *ops: str) -> list[dict[str, Json]]:
        """The heads of ``take``, without their ids."""
        return [
            {key: value for key, value in frame.head.items() if key not in ("op", "id")}
            for frame in self.take(*ops)
        ]

    def _answer(self, frame: Frame) -> Frame | None:
        head: dict[str, Any] = frame.head
        op, number = head["op"], head.get("id")
        if op in self._hushed or number is None:
            return None
        refusals = self._refusals.get(op)
        if refusals:
            return error(number, refusals.popleft())
        more = _MORE.get(op, _nothing)(self, head)
        return ok(number, **more)


def _welcome(peer: FakePeer, head: dict[str, Any]) -> dict[str, Json]:
    return {"session": f"session-{peer.connections}", "boot": "boot"}


def _published(peer: FakePeer, head: dict[str, Any]) -> dict[str, Json]:
    known = peer._dedupe.get(head.get("dedupe", ""))
    if known is not None:
        return {"offset": known}
    offset = peer._offsets.get(head["asset"], 0)
    peer._offsets[head["asset"]] = offset + 1
    if head.get("dedupe"):
        peer._dedupe[head["dedupe"]] = offset
    return {"offset": offset}


def _nothing(peer: FakePeer, head: dict[str, Any]) -> dict[str, Json]:
    return {}


_MORE: dict[str, Callable[[FakePeer, dict[str, Any]], dict[str, Json]]] = {
    "hello": _welcome,
    "publish": _published,
}

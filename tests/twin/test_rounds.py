"""Publishers in the daemon: told together, they come again together, and nobody waits for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smapd.errors import SmapError
from smapd.runtime.program import Reply
from smapd.testing import FakeRuntime
from smapd.twin.links import DirectLink
from smapd.twin.rounds import LOOK_S, MOST_LOOKS
from smapd.twin.wire import Frame, ok


class Hub:
    """A hub that keeps what it gets, and the receiver that hears its answers."""

    def __init__(self) -> None:
        self.run = FakeRuntime()
        self.got: list[int] = []
        self.posted: list[Callable[[], object]] = []
        self.replies: dict[int, Reply[Frame]] = {}
        self.peer: Any = None
        self.link = DirectLink(self, self.post, self.run.clock, self.run.backoff())  # type: ignore[arg-type]
        self.link.open(self)
        self.turn()

    def post(self, f: Callable[[], object], *a: Any, wait: bool = True) -> None:
        self.posted.append(f)

    def turn(self) -> int:
        """A turn of the reactor: how many calls it was woken for."""
        posted, self.posted = self.posted, []
        for f in posted:
            f()
        return len(posted)

    def publish(self, *numbers: int) -> None:
        for number in numbers:
            reply = self.replies[number] = Reply()
            assert self.link.send(Frame({"op": "publish", "id": number}), publisher=reply)

    def tell(self, *numbers: int) -> None:
        for number in numbers:
            self.peer.send(ok(number, offset=number))

    # the hub, and its session

    def connect(self, peer: Any) -> Any:
        self.peer = peer
        return self

    def receive(self, frame: Frame) -> None:
        self.got.append(frame.head["id"])

    # the client

    def connected(self) -> None:
        pass

    def received(self, frame: Frame) -> None:
        self.replies[frame.head["id"]].give(frame)

    def lost(self, why: str, problem: SmapError | None = None) -> None:
        pass


@pytest.fixture
def hub() -> Hub:
    """One to whom publishers 1 to 3 have published, and who has told them."""
    hub = Hub()
    hub.publish(1, 2, 3)
    assert hub.turn() == 1
    hub.tell(1, 2, 3)
    return hub


def test_the_reactor_is_woken_when_all_who_were_told_have_come(hub: Hub) -> None:
    """Publish with durability: one commit for all, and one wake-up."""
    hub.publish(4, 5)
    assert hub.turn() == 0
    hub.publish(6)

    assert hub.turn() == 1
    assert hub.got == [1, 2, 3, 4, 5, 6]
    assert hub.run.clock.pending == 0


def test_who_comes_is_not_kept_waiting_for_one_that_does_not(hub: Hub) -> None:
    """Bounded: a millisecond after the last one."""
    hub.publish(4)
    hub.run.advance(LOOK_S)
    assert hub.got == [1, 2, 3]  # one has come since the answers: perhaps another does
    hub.run.advance(LOOK_S)

    assert hub.got == [1, 2, 3, 4]
    hub.publish(5)
    assert hub.turn() == 1  # nobody is expected any more
    assert hub.got[-1] == 5


def test_however_many_come_one_by_one_the_first_waits_a_few_milliseconds() -> None:
    hub = Hub()
    hub.publish(*range(20))
    hub.turn()
    hub.tell(*range(20))

    for number in range(20, 20 + MOST_LOOKS):
        hub.publish(number)
        assert len(hub.got) == 20
        hub.run.advance(LOOK_S)

    assert hub.got == list(range(20 + MOST_LOOKS))


def test_what_does_not_share_a_commit_wakes_the_reactor_and_takes_the_others_along(
    hub: Hub,
) -> None:
    """Frames of one client reach the hub in the order they were sent."""
    hub.publish(4)
    hub.link.send(Frame({"op": "ack", "id": 5}))

    assert hub.turn() == 1
    assert hub.got == [1, 2, 3, 4, 5]
    hub.publish(6)
    assert hub.turn() == 0  # two are still expected
    hub.run.advance(2 * LOOK_S)
    assert hub.got[-1] == 6


def test_a_newcomer_counts(hub: Hub) -> None:
    """It is not asked who comes: three were told, and three came."""
    hub.publish(4, 5, 77)

    assert hub.turn() == 1


def test_the_first_ones_are_not_waited_for() -> None:
    hub = Hub()

    hub.publish(1)
    assert hub.turn() == 1
    hub.publish(2)
    assert hub.turn() == 1
    assert hub.got == [1, 2]


@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_link_that_ends_expects_nobody(hub: Hub, how: str) -> None:
    """What waits for company at the end is sent; no timer is left."""
    hub.publish(4)
    if how == "close":
        hub.link.close(1.0)
        hub.turn()
        assert hub.got[-1] == 4
        assert hub.run.clock.pending == 0
    else:
        hub.link.drop()
        hub.turn()
        hub.run.advance(1.0)  # connected again
        hub.turn()
        hub.publish(5)
        assert hub.turn() == 1
        assert hub.got[-1] == 5


def test_a_thread_that_computes_does_not_keep_the_told_ones_waiting_for_their_turns() -> None:
    """Bounded: whoever has its answer goes on within a few milliseconds."""
    gone_on: list[int] = []

    class Watched(Reply[Frame]):
        number = 0

        def release(self) -> None:
            gone_on.append(self.number)
            super().release()

    hub = Hub()
    for number in (1, 2, 3):
        reply = hub.replies[number] = Watched()
        reply.number, reply.is_awaited = number, True
        hub.link.send(Frame({"op": "publish", "id": number}), publisher=reply)
    hub.turn()

    hub.tell(1, 2, 3)
    assert gone_on == [1]  # and gets no turn of the interpreter to pass it on
    hub.run.advance(LOOK_S)

    assert gone_on == [1, 2, 3]


def test_at_the_end_of_the_daemon_each_goes_on_as_it_is_told() -> None:
    """No timer can be set any more, and nobody waits for one."""
    hub = Hub()
    hub.publish(1, 2)
    for reply in hub.replies.values():
        reply.is_awaited = True
    hub.turn()
    hub.run.clock.stop()

    hub.tell(1, 2)

    assert [reply.take(0).head["offset"] for reply in hub.replies.values()] == [1, 2]
    hub.publish(3)
    assert hub.turn() == 1

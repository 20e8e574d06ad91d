"""A stream of events to a client that takes its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from smapd.http.event_stream import MOST_WAITING, EventStream
from smapd.testing import FakeClock

FULL = 64 * 1024


class SlowRequest:
    """A request whose transport says stop at 64 KiB, within ``write``, as Twisted's does."""

    wants_head = False
    channel = None

    def __init__(self) -> None:
        self.written, self.waiting = b"", 0
        self.was_cut = False
        self.producer: Any = None
        self.is_paused = False

    def finished_or_gone(self) -> Deferred[None]:
        return Deferred()

    def begin(self, status: int, kind: bytes) -> None:
        assert status == 200

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def write(self, data: bytes) -> None:
        self.written += data
        self.waiting += len(data)
        if self.waiting > FULL and not self.is_paused:
            self.is_paused = True
            self.producer.pauseProducing()

    def taken(self) -> None:
        """The client has read all of it."""
        self.waiting, self.is_paused = 0, False
        self.producer.resumeProducing()

    def cut(self) -> None:
        self.was_cut = True


class Source:
    """Gives pages of 256 KiB, one after another, whenever it is not paused; as a ``Tail`` does."""

    def __init__(self, give: Callable[[], None]) -> None:
        self.give, self.left, self.is_paused = give, 400, False

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        while self.left and not self.is_paused:
            for _ in range(min(5, self.left)):  # a page that was read is given whole
                self.left -= 1
                self.give()


def test_a_client_that_is_slow_gets_all_and_is_not_cut_off() -> None:
    """HT: what it does not take waits at the source, however often it is full again at once."""
    request = SlowRequest()
    source = Source(lambda: stream.send("event", "x" * 50_000))
    stream = EventStream(
        request,  # type: ignore[arg-type]
        FakeClock(),  # type: ignore[arg-type]
        lambda: None,
        paused=source.pause,
        resumed=source.resume,
    )
    stream.start()

    source.resume()
    for _ in range(400):
        if source.left or request.is_paused:
            assert request.waiting < MOST_WAITING // 2
            request.taken()

    assert not request.was_cut
    assert request.written.count(b"event: event") == 400

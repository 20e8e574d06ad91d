"""How a client's frames reach the hub: within the daemon, or (``weblink.py``) over a WebSocket.

A link connects, says so, and connects again by itself until it is closed. What it tells the client
comes on one thread (the reactor's, or its own loop's), and the client must not block there.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smapd.errors import Busy, ShutdownRequested, SmapError
from smapd.interfaces import IBackoff, IClock, IHub, IPeer, ISession, ITimer
from smapd.runtime.program import Monitor, Reply

from .rounds import Rounds
from .wire import Frame

T = TypeVar("T")

MOST_FRAMES: Final = 10_000
MOST_BYTES: Final = 8 * 2**20
"""What may wait to be sent; a thread that sends more than that waits."""
AT_ONCE: Final = 256
"""Frames that the hub gets in one go before the reactor does something else."""


class Receiver(Protocol):
    """What a link tells its client."""

    def connected(self) -> None:
        """There is a connection: say hello."""

    def received(self, frame: Frame) -> None:
        """A frame came."""

    def lost(self, why: str, problem: SmapError | None = None) -> None:
        """There is no connection any more, or none could be made; ``problem``: it was refused."""


class Link(Protocol):
    """What a client needs of a link; any thread."""

    def open(self, receiver: Receiver) -> None:
        """Connect, and keep connected."""

    def send(
        self, frame: Frame, patient: bool = True, publisher: Reply[Frame] | None = None
    ) -> bool:
        """Send a frame, in order. False: there is no connection.

        ``patient``: wait while too much is waiting already; never on the link's own thread.
        ``publisher``: what gets the answer, of a frame that may share a commit with others.

        :raises BadRequest: if the frame is too large for the wire.
        """

    def settled(self) -> None:
        """The hub took the connection: the next pause before a new one is short again."""

    def drop(self) -> None:
        """End this connection; the link makes a new one after a pause."""

    def close(self, timeout_s: float) -> bool:
        """Send what is waiting, end the connection, and make none any more; whether in time."""


class Outbox(Generic[T]):
    """What waits to be sent; bounded for whoever can wait."""

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._items: collections.deque[tuple[T, int]] = collections.deque()
        self._size = 0
        self._open = False

    def open(self) -> None:
        """From now on take items; what was left is forgotten."""
        with self._monitor:
            self._items.clear()
            self._size, self._open = 0, True

    def close(self) -> None:
        """Take no more; what waits can still be taken out."""
        with self._monitor:
            self._open = False
            self._monitor.wake()

    def put(self, item: T, size_bytes: int, patient: bool) -> bool:
        """Add one; with ``patient`` wait for room. False: closed."""
        with self._monitor:
            while self._open and patient and self._is_full():
                self._monitor.wait(1.0)
            if not self._open:
                return False
            self._items.append((item, size_bytes))
            self._size += size_bytes
            return True

    def take(self, most: int) -> list[T]:
        """The next ones, at most so many."""
        with self._monitor:
            was_full = self._is_full()
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._size -= sum(size for _, size in taken)
            if was_full and not self._is_full():
                self._monitor.wake()
            return [item for item, _ in taken]

    def __len__(self) -> int:
        return len(self._items)

    def _is_full(self) -> bool:
        return len(self._items) >= MOST_FRAMES or self._size >= MOST_BYTES


class DirectLink:
    """The link of a thing that runs in the daemon: frames are handed over as they are.

    Its methods may be called on any thread. ``to_reactor``: as ``IThreads`` has it.
    """

    def __init__(
        self, hub: IHub, to_reactor: Callable[..., Any], clock: IClock, backoff: IBackoff
    ) -> None:
        self._hub, self._to_reactor, self._clock, self._backoff = hub, to_reactor, clock, backoff
        self._receiver: Receiver | None = None
        self._peer: _Peer | None = None
        self._outbox: Outbox[Frame] = Outbox()
        self._awake = False
        self._rounds = Rounds(clock, self._due)
        self._closed = True
        self._timer: ITimer | None = None

    def open(self, receiver: Receiver) -> None:
        """Connect, and keep connected."""
        self._receiver, self._closed = receiver, False
        self._post(self._connect)

    def send(
        self, frame: Frame, patient: bool = True, publisher: Reply[Frame] | None = None
    ) -> bool:
        """Send a frame, in order. False: there is no connection."""
        if publisher is not None:
            publisher.turns = self._rounds
        if not self._outbox.put(frame, len(frame.body), patient):
            return False
        if publisher is not None and not self._rounds.came():
            return True  # the last one wakes the reactor
        if not self._awake:
            self._awake = True
            if not self._post(self._drain):
                self._awake = False
                return False
        return True

    def settled(self) -> None:
        """The hub took the connection."""
        self._backoff.reset()

    def drop(self) -> None:
        """End this connection; a new one is made after a pause."""
        self._post(self._drop)

    def close(self, timeout_s: float) -> bool:
        """End it for good."""
        self._closed = True
        self._outbox.close()
        return self._post(self._end)

    def _post(self, f: Callable[[], None]) -> bool:
        try:
            self._to_reactor(f, wait=False)
        except (Busy, ShutdownRequested):  # the daemon stops, or drowns
            return False
        return True

    # --- on the reactor's thread

    def _connect(self) -> None:
        self._timer = None
        if self._closed or self._peer is not None or self._receiver is None:
            return
        self._outbox.open()
        self._peer = peer = _Peer(self._receiver, self._is_gone)
        peer.session = self._hub.connect(peer)
        self._receiver.connected()

    def _drain(self) -> None:
        """Stays awake meanwhile: what an answer makes the client send waits for its turn."""
        self._rounds.taken()
        self._receive(self._outbox.take(AT_ONCE))
        if not len(self._outbox):
            self._awake = False
        if len(self._outbox):  # looked at again: who put one in meanwhile saw us awake
            self._awake = True
            self._clock.later(0.0, self._drain)

    def _due(self) -> None:
        if len(self._outbox) and not self._awake:
            self._awake = True
            self._drain()

    def _receive(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._peer is not None and self._peer.session is not None:
                self._peer.session.receive(frame)

    def _drop(self) -> None:
        if self._peer is not None:
            self._peer.leave("the client gave it up")

    def _end(self) -> None:
        while self._peer is not None and len(self._outbox):
            self._receive(self._outbox.take(AT_ONCE))
        if self._peer is not None:
            self._peer.leave("it stopped")
        if self._timer is not None:
            self._timer.discard()

    def _is_gone(self, why: str) -> None:
        self._peer = None
        self._rounds.stop()
        self._outbox.close()
        if self._receiver is not None:
            self._receiver.lost(why)
        if not self._closed and self._timer is None:
            self._timer = self._clock.later(self._backoff.next(), self._connect)


@implementer(IPeer)
class _Peer:
    """The other end of one connection, as the hub sees it; on the reactor's thread."""

    def __init__(self, receiver: Receiver, gone: Callable[[str], None]) -> None:
        self._receiver, self._gone = receiver, gone
        self._is_open = True
        self.session: ISession | None = None

    def send(self, frame: Any) -> None:
        """A frame for the client, which only puts it where its own threads find it."""
        if self._is_open:
            self._receiver.received(frame)

    def close(self, why: str) -> None:
        """The hub ends it."""
        if self._is_open:
            self._is_open = False
            self._gone(why)

    def leave(self, why: str) -> None:
        """The client ends it."""
        session = self.session
        self.close(why)
        if session is not None:
            session.lost(why)

    def ping(self) -> Deferred[Any]:
        """It is in the same process, so it is there."""
        return succeed(None) if self._is_open else Deferred()

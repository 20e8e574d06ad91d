"""What one thing is told: assets that come and go, and the events of each, from durable places."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import orjson
from twisted.python.failure import Failure

from smapd.errors import BadRequest, ShutdownRequested
from smapd.interfaces import IEventCursor
from smapd.values import ASSET_LOG, EventRecord, Json, Start

from .assets import Assets
from .history import CREATED, Asset
from .patterns import Patterns
from .streams import PAGE_BYTES, Streams, Tail, Turns
from .wire import ASSETS_OPEN, Frame

FLIGHT_BYTES: Final = 4 * 2**20
"""Bytes of events that a session may have and not have acknowledged."""

Send = Callable[[Frame], None]
Told = Callable[[Asset, bool], None]
"""An asset came, or went (False), as this thing sees it."""


class Prefix:
    """Which of the numbers handed out are dealt with, and how far without a hole."""

    __slots__ = ("_order", "_out", "next", "place", "size_bytes")

    def __init__(self, place: int) -> None:
        self.place = self.next = place
        self.size_bytes = 0
        self._out: dict[int, int] = {}
        self._order: deque[int] = deque()

    def __len__(self) -> int:
        """How many are out and not dealt with."""
        return len(self._out)

    def sent(self, number: int, size: int = 0) -> None:
        """This one, above all before, is out."""
        self._out[number] = size
        self._order.append(number)
        self.size_bytes += size
        self.next = number + 1

    def skip(self, to: int) -> None:
        """There is nothing to deal with before ``to``."""
        self.next = max(self.next, to)
        self._move()

    def done(self, number: int) -> int | None:
        """This one is dealt with: its size; None if it is not out."""
        size = self._out.pop(number, None)
        if size is not None:
            self.size_bytes -= size
            self._move()
        return size

    def _move(self) -> None:
        order = self._order
        while order and order[0] not in self._out:
            order.popleft()
        self.place = order[0] if order else self.next


class AssetFeed:
    """Tells one role of one thing of assets: those there are, then what came and went, in order."""

    def __init__(
        self,
        cursor: IEventCursor,
        role: str,
        patterns: Patterns,
        assets: Assets,
        streams: Streams,
        send: Send,
        told: Told,
    ) -> None:
        self._cursor, self._role, self._patterns = cursor, role, patterns
        self._send, self._told = send, told
        place = cursor.place
        self._there = deque(a for a in assets.all() if a.seq < place and a.id in patterns)
        self._there_out: set[int] = set()
        self._prefix = Prefix(place)
        self._tail = Tail(streams, Turns(1), ASSET_LOG, place, self._room, self._take, self._moved)

    @property
    def waiting(self) -> int:
        """How many records are out and not done."""
        return len(self._prefix) + len(self._there_out)

    def start(self) -> None:
        """Begin to tell."""
        self._go_on()

    def done(self, seq: int) -> None:
        """The record of that number is dealt with.

        :raises BadRequest: if it is not out.
        """
        if seq in self._there_out:
            self._there_out.discard(seq)
        elif self._prefix.done(seq) is not None:
            self._cursor.ack(self._prefix.place)
        elif seq >= self._tail.next:
            raise BadRequest(f"asset_done: {seq} was not sent yet.")
        self._go_on()

    def close(self) -> None:
        """Tell no more."""
        self._there.clear()
        self._tail.close()

    def _go_on(self) -> None:
        while self._there and self.waiting < ASSETS_OPEN:
            asset = self._there.popleft()
            self._there_out.add(asset.seq)
            self._tell(asset, True)
        if not self._there:
            self._tail.kick()

    def _room(self) -> tuple[int, int]:
        return (0 if self._there else ASSETS_OPEN - self.waiting), PAGE_BYTES

    def _take(self, records: Sequence[EventRecord]) -> None:
        for record in records:
            told = orjson.loads(record.data)
            if told["asset"] in self._patterns:
                self._prefix.sent(record.offset)
                asset = Asset(
                    told["asset"], record.offset, told["origin"], told["base"], record.systime_ms
                )
                self._tell(asset, record.name == CREATED)

    def _moved(self) -> None:
        self._prefix.skip(self._tail.next)
        self._cursor.ack(self._prefix.place)

    def _tell(self, asset: Asset, is_there: bool) -> None:
        kind = "created" if is_there else "deleted"
        head = {"op": "asset", "role": self._role, "kind": kind, "asset": asset.id}
        self._send(Frame({**head, "seq": asset.seq}))
        self._told(asset, is_there)


class Flight:
    """The bytes of events that one session has and has not acknowledged."""

    def __init__(
        self, most: int = FLIGHT_BYTES, held: Callable[[EventFeed], None] = lambda feed: None
    ) -> None:
        """``held``: told of a feed that may have no more, by these bytes or its own count."""
        self._most, self.size_bytes = most, 0
        self.held = held
        self.came_back = 0
        """How often some were acknowledged."""
        self._waiting: dict[EventFeed, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether no more may be out."""
        return self.size_bytes >= self._most

    def room(self, feed: EventFeed) -> int:
        """How many bytes more may be out; 0: none, and the feed is called when there is room."""
        if self.is_full:
            self._waiting[feed] = None
            return 0
        return self._most - self.size_bytes

    def out(self, size: int) -> None:
        """So many bytes were sent."""
        self.size_bytes += size

    def back(self, size: int) -> None:
        """So many are acknowledged, or nobody will."""
        self.size_bytes -= size
        self.came_back += 1
        while self._waiting and self.size_bytes < self._most:
            feed = next(iter(self._waiting))
            del self._waiting[feed]
            feed.go_on()

    def leave(self, feed: EventFeed, size: int) -> None:
        """A feed is closed."""
        self._waiting.pop(feed, None)
        self.back(size)


class EventFeed:
    """Gives one follower the events of one asset, from its durable place on.

    At most ``max_unacked`` of them are not acknowledged. The place is made durable with the first
    acknowledgement, and does not move back when it replays what is before it.
    """

    def __init__(
        self,
        name: str,
        asset: Asset,
        streams: Streams,
        turns: Turns,
        flight: Flight,
        send: Send,
        *,
        place: int,
        durable: int | None,
        max_unacked: int,
    ) -> None:
        """``name``: of the cursor; ``durable``: its place, None if there is none yet."""
        self.asset = asset
        self.name = name.replace(":", " ", 1)
        self._acked = 0
        self._name, self._streams, self._flight, self._send = name, streams, flight, send
        self._most = max_unacked
        log = streams.log
        self._life = log.base(asset.id)
        self._eof_at: int | None = log.next_offset(asset.id)
        self._prefix = Prefix(place)
        self._durable = self._life if durable is None else durable
        self._cursor: IEventCursor | None = None
        self._is_making = False
        self._is_closed = False
        self._tail = Tail(streams, turns, asset.id, place, self._room, self._take, self._moved)

    def start(self) -> None:
        """Begin to give them."""
        self._moved()  # there may be nothing to replay, and a place that was asked for is kept
        self.go_on()

    def go_on(self) -> None:
        """There may be room again."""
        self._tail.kick()

    def ack(self, offset: int) -> None:
        """This event is dealt with; once more does nothing.

        :raises BadRequest: if it was not sent yet.
        """
        if offset >= self._tail.next:
            raise BadRequest(f"ack: event {offset} of {self.asset.id} was not sent yet.")
        size = self._prefix.done(offset)
        if size is not None:
            self._acked += 1
            self._save()
            self._flight.back(size)
            self._tail.kick()

    def close(self) -> None:
        """Give no more. What is acknowledged stays so."""
        if not self._is_closed:
            self._is_closed = True
            self._tail.close()
            self._flight.leave(self, self._prefix.size_bytes)

    @property
    def is_over(self) -> bool:
        """See ``Held``."""
        return self._is_closed

    @property
    def held_by(self) -> tuple[str, int] | None:
        """See ``Held``."""
        if len(self._prefix) >= self._most:
            return "MaxUnacked", self._acked
        return ("bytes", self._flight.came_back) if self._flight.is_full else None

    @property
    def open(self) -> int:
        """See ``Held``."""
        return len(self._prefix)

    @property
    def waiting(self) -> int:
        """See ``Held``."""
        return max(0, self._streams.log.next_offset(self.asset.id) - self._tail.next)

    def status(self) -> dict[str, Json]:
        """How far it is."""
        behind = self._streams.log.next_offset(self.asset.id) - self._prefix.place
        return {"place": self._prefix.place, "unacked": len(self._prefix), "behind": behind}

    def _room(self) -> tuple[int, int]:
        many = self._most - len(self._prefix)
        size = self._flight.room(self) if many > 0 else 0
        if size:
            return many, size
        self._flight.held(self)
        return 0, 0

    def _take(self, records: Sequence[EventRecord]) -> None:
        if self._streams.log.base(self.asset.id) != self._life:
            return  # of its next life; this feed ends when that is told
        for r in records:
            if self._eof_at is not None and r.offset >= self._eof_at:
                self._tell_eof()
            self._prefix.sent(r.offset, len(r.data))
            self._flight.out(len(r.data))
            head = {
                "op": "event",
                "asset": self.asset.id,
                "offset": r.offset,
                "name": r.name,
                "version": r.version,
                "source": r.source,
                "time_ms": r.time_ms,
                "systime_ms": r.systime_ms,
                "form": r.form,
            }
            self._send(Frame(head, r.data))

    def _moved(self) -> None:
        self._prefix.skip(self._tail.next)
        if self._eof_at is not None and self._tail.next >= self._eof_at:
            self._tell_eof()
        self._save()

    def _tell_eof(self) -> None:
        self._send(Frame({"op": "eof", "asset": self.asset.id, "offset": self._eof_at}))
        self._eof_at = None

    def _save(self) -> None:
        """Keep the place, if it is further than what is kept."""
        if self._prefix.place <= self._durable or self._is_closed:
            return
        if self._streams.log.base(self.asset.id) != self._life:
            return  # the asset is deleted, and its places with it
        if self._cursor is not None:
            self._durable = self._prefix.place
            self._cursor.ack(self._durable)
        elif not self._is_making:
            self._is_making = True
            made = self._streams.log.cursor(self._name, self.asset.id, self._prefix.place)
            made.addCallbacks(self._made, self._not_made)

    def _made(self, cursor: IEventCursor) -> None:
        self._cursor, self._is_making = cursor, False
        self._durable = cursor.place
        if self._is_closed:
            if self._streams.log.base(self.asset.id) == self._life:
                cursor.ack(self._prefix.place)
        else:
            self._save()

    def _not_made(self, failure: Failure) -> None:
        """It is tried again with the next acknowledgement; until then they come again."""
        self._is_making = False
        if not isinstance(failure.value, ShutdownRequested):
            text = f"the place of {self._name} in {self.asset.id} cannot be kept: {failure.value}"
            self._streams.faults.fault(("place", self._name), text)


def start_of(replay: Json, base: int, end: int, place: int) -> int:
    """Where a follower begins in a stream from ``base`` to ``end``; a time is None here."""
    if replay is None:
        return max(base, min(place, end))
    if replay == Start.OLDEST.value:
        return base
    if replay == Start.NEWEST.value:
        return end
    return max(base, min(int(replay), end))

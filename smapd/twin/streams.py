"""Reads the streams of the event log in order, each reader at its own pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested, SmapError
from smapd.interfaces import IClock, IEventLog, IFaults
from smapd.values import EventRecord

PAGE: Final = 500
PAGE_BYTES: Final = 256 * 1024
READS: Final = 4
"""Reads that one consumer may have under way; the others of its streams wait their turn."""
RETRY_S: Final = 1.0

Room = Callable[[], tuple[int, int]]
Take = Callable[[Sequence[EventRecord]], None]


class Turns:
    """Lets a consumer of many streams read a few at a time, in the order in which they asked."""

    def __init__(self, most: int = READS) -> None:
        self._free = most
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_going = self._is_closed = False

    def ask(self, begin: Callable[[], None]) -> None:
        """Call ``begin`` once it may read; it says ``over`` when it has."""
        if not self._is_closed:
            self._waiting.append(begin)
            self._go_on()

    def over(self) -> None:
        """A read has ended."""
        self._free += 1
        self._go_on()

    def close(self) -> None:
        """The consumer is gone: nobody's turn comes any more."""
        self._is_closed = True
        self._waiting.clear()

    def _go_on(self) -> None:
        if self._is_going:
            return  # one that is over at once: not a call deeper for each
        self._is_going = True
        try:
            while self._free > 0 and self._waiting:
                self._free -= 1
                self._waiting.popleft()()
        finally:
            self._is_going = False


class Streams:
    """All readers, so that a new event can be handed to those who wait for it without a read."""

    def __init__(self, log: IEventLog, clock: IClock, faults: IFaults) -> None:
        self.log, self.clock, self.faults = log, clock, faults
        self._tails: dict[str, set[Tail]] = {}
        self._woken: dict[Tail, None] = {}
        self._passed: dict[str, int] = {}

    def expect(self, stream: str) -> None:
        """Events are about to be appended: what is durable now is never passed on directly."""
        if stream not in self._passed:
            self._passed[stream] = self.log.next_offset(stream)

    def published(self, stream: str, first: int, records: Sequence[EventRecord]) -> None:
        """These are durable: give them to whoever waits for the first of them."""
        if first < self._passed.get(stream, first + 1):
            return  # published before; what the log has of it may differ
        self._passed[stream] = first + len(records)
        tails = self._tails.get(stream)
        if tails:
            numbered = [r._replace(offset=first + n) for n, r in enumerate(records)]
            for tail in list(tails):
                tail.offered(numbered)

    def forget(self, stream: str) -> None:
        """The stream's asset is gone."""
        self._passed.pop(stream, None)

    def woken(self, tail: Tail) -> None:
        """Look at this one when all that was committed together is told."""
        if not self._woken:
            self.clock.later(0, self._look)
        self._woken[tail] = None

    def add(self, tail: Tail) -> None:
        """A reader is there."""
        self._tails.setdefault(tail.stream, set()).add(tail)

    def remove(self, tail: Tail) -> None:
        """A reader is gone."""
        tails = self._tails.get(tail.stream)
        if tails is not None:
            tails.discard(tail)
            if not tails:
                del self._tails[tail.stream]

    def _look(self) -> None:
        woken, self._woken = self._woken, {}
        for tail in woken:
            tail.kick()


class Tail:
    """Reads one stream from a place on, and waits at its end; on the reactor's thread.

    ``room()``: how many events, and bytes, may be taken now; (0, …): none until ``kick``.
    ``take(records)``: these are next; never empty. ``moved()``: called after ``next`` has moved,
    also past events that cannot be read any more.
    """

    def __init__(
        self,
        streams: Streams,
        turns: Turns,
        stream: str,
        place: int,
        room: Room,
        take: Take,
        moved: Callable[[], None],
    ) -> None:
        self.stream, self.next = stream, place
        self._streams, self._turns = streams, turns
        self._room, self._take, self._moved = room, take, moved
        self._more: Deferred[None] | None = None
        self._page: Deferred[list[EventRecord]] | None = None
        self._is_reading = False
        self._is_closed = False
        streams.add(self)

    def kick(self) -> None:
        """Go on, if there is room and something to read."""
        if self._is_closed or self._is_reading:
            return
        if self._room()[0] <= 0:
            return
        if self.next < self._streams.log.next_offset(self.stream):
            self._is_reading = True
            self._turns.ask(self._read)
        elif self._more is None:
            self._wait()

    def offered(self, records: Sequence[EventRecord]) -> None:
        """New events: take them, if they are the next ones and there is room."""
        if self._is_closed or self._is_reading or records[0].offset != self.next:
            return
        many, size = self._room()
        if many >= len(records) and size >= sum(len(record.data) for record in records):
            self._pass(records)
            self.kick()

    def close(self) -> None:
        """Read no more."""
        if not self._is_closed:
            self._is_closed = True
            self._streams.remove(self)
            for waiting in (self._more, self._page):
                if waiting is not None:
                    waiting.cancel()

    def _wait(self) -> None:
        more = self._streams.log.when_more(self.stream, self.next)
        self._more = more
        more.addCallbacks(self._came, self._did_not_come)

    def _came(self, _: None) -> None:
        self._more = None
        self._streams.woken(self)

    def _did_not_come(self, failure: Failure) -> None:
        self._more = None
        if not isinstance(failure.value, CancelledError | ShutdownRequested):
            self._failed(failure)

    def _read(self) -> None:
        many, size = self._room()
        if self._is_closed or many <= 0:
            self._is_reading = False
            self._turns.over()
            return
        log = self._streams.log
        until = log.next_offset(self.stream)
        page = log.read(self.stream, self.next, min(many, PAGE), max(1, min(size, PAGE_BYTES)))
        self._page = page
        page.addCallbacks(self._got, self._failed, callbackArgs=(until,))
        page.addErrback(self._failed)

    def _got(self, records: Sequence[EventRecord], until: int) -> None:
        self._is_reading, self._page = False, None
        self._turns.over()
        if self._is_closed:
            return
        self._streams.faults.cleared(("events", self.stream), "events can be read again")
        if records:
            self._pass(records)
        else:
            self.next = max(self.next, until)  # what was there cannot be read any more
            self._moved()
        self.kick()

    def _pass(self, records: Sequence[EventRecord]) -> None:
        self.next = records[-1].offset + 1
        self._take(records)
        self._moved()

    def _failed(self, failure: Failure) -> None:
        if self._is_reading:
            self._is_reading, self._page = False, None
            self._turns.over()
        if self._is_closed or isinstance(failure.value, CancelledError | ShutdownRequested):
            return
        error = failure.value
        text = f"events of {self.stream} cannot be read: {error}"
        is_ours = not isinstance(error, SmapError)
        self._streams.faults.fault(
            ("events", self.stream), text, **({"failure": failure} if is_ours else {})
        )
        self._streams.clock.later(RETRY_S, self.kick)

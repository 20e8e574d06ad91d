"""Events on their way to one source: a durable place in each asset's stream, and one pump for all.

A batch is sent, and the places are durable behind it, before the next is read: after a crash at
most one batch comes again. Assets take turns. What is no longer kept in the log is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure

from smapd.errors import AssetUnknown, ShutdownRequested, SmapError
from smapd.interfaces import IBackoff, IClock, IEventLog, IFaults, ITimer, ITwin
from smapd.values import ASSET_LOG, Accepted, Json, Outcome, Retry, Start, TooLarge

from .event_streams import AssetStream, AssetStreams
from .lines import event_line
from .selection import AssetPatterns

MOST_EVENTS: Final = 500
MOST_BYTES: Final = 2**20
"""Bytes after which a batch takes no further page."""
GIVE_UP_AFTER: Final = 3
"""So often a single event may be too large for the peer until it is passed over."""
SMALLER_FOR_S: Final = 3600.0
"""How long batches stay small after the peer said that one was too large: it hangs up each time."""
PAGE: Final = 100
SETTLE_S: Final = 0.01
"""Events that are published together are sent together."""

Send = Callable[[Sequence[bytes]], Deferred[Outcome]]


@dataclass(slots=True)
class _Part:
    """What of a batch is of one asset: the lines, and the place behind them."""

    stream: AssetStream
    place: int
    lines: list[bytes]


class EventOutlet:
    """All events of the assets that are selected; on the reactor's thread.

    ``open`` it before events may come: from then on they are kept for it. ``start`` begins to send.
    ``began_ms``: when this source was first seen; of assets made since then all events are sent, of
    older ones those that come. ``own``: the source of events that came from the peer itself, which
    are not sent back.
    """

    def __init__(
        self,
        cursor_name: str,
        label: str,
        patterns: AssetPatterns,
        *,
        began_ms: int,
        own: str,
        twin: ITwin,
        log: IEventLog,
        clock: IClock,
        backoff: IBackoff,
        faults: IFaults,
    ) -> None:
        self.sent = self.batches = self.failures = self.passed_over = 0
        self.last_error = ""
        self.last_error_ms = self.last_ms = 0
        self._name, self._label, self._patterns = cursor_name, label, patterns
        self._send: Send | None = None
        self._began_ms, self._own = began_ms, own
        self._twin, self._log, self._clock = twin, log, clock
        self._backoff, self._faults = backoff, faults
        self._streams = AssetStreams(log, self._ring_soon)
        self._is_to_look = True
        self._has_looked = False
        self._seen = 0
        self._assets_more: Deferred[None] | None = None
        self._paused = "not connected yet"
        self._is_stopped = self._is_settling = False
        self._not_before_s = 0.0
        self._most = MOST_EVENTS
        self._too_large = 0
        self._small_until_s = 0.0
        self._running: Deferred[None] | None = None
        self._in_flight: Deferred[Any] | None = None
        self._waiting: Deferred[None] | None = None

    # --- life

    async def open(self) -> None:
        """Learn of the assets, each of which has a durable place when this is over.

        :raises SmapError: if the places cannot be written.
        """
        try:
            await self._look()
        except BaseException:
            self._let_go()
            raise
        self._has_looked = True

    def start(self, send: Send) -> None:
        """Send whenever ``up`` was said."""
        self._send = send
        self._running = Deferred.fromCoroutine(self._run())
        self._clock.background(self._running, f"events of {self._label}")

    def up(self) -> None:
        """There is a connection."""
        self._paused = ""
        self._not_before_s = 0.0
        self._backoff.reset()
        self._ring()

    def down(self, why: str) -> None:
        """There is none."""
        self._paused = why

    async def stop(self) -> None:
        """End; the places stay."""
        self._let_go()
        if self._in_flight is not None:
            self._in_flight.cancel()
        self._ring()
        running = self._running
        if running is not None:
            ended: Deferred[None] = Deferred()
            running.addBoth(lambda _: ended.callback(None))
            await ended

    def status(self) -> dict[str, Json]:
        """For /status."""
        return {
            "state": self._state(),
            "assets": len(self._streams),
            "waiting": self._streams.behind,
            "sent": self.sent,
            "batches": self.batches,
            "failures": self.failures,
            "passed_over": self.passed_over,
            "last_ms": self.last_ms,
            "last_error": self.last_error,
            "last_error_ms": self.last_error_ms,
        }

    # --- the loop

    async def _run(self) -> None:
        while not self._is_stopped:
            await Deferred.fromCoroutine(self._turn()).addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        """A mistake of ours, or a disk that fails, holds this up but does not end it."""
        error: Any = failure.value
        if self._is_stopped or isinstance(error, ShutdownRequested):
            self._is_stopped = True  # the log has ended before us
            return
        for stream in self._streams:
            self._streams.follow(stream)
        known = isinstance(error, SmapError)
        text = error.message if known else f"{type(error).__name__}: {error}"
        self._failed(text, **({} if known else {"failure": failure}))

    async def _turn(self) -> None:
        wait_s = self._not_before_s - self._clock.seconds()
        if wait_s > 0:
            await self._wait(wait_s)
        elif self._is_to_look:
            await self._look()
        elif self._paused:
            await self._wait(None)
        else:
            batch = await self._gather()
            if batch and not self._is_stopped:
                await self._deliver(batch)
            elif not self._streams.ready and not self._is_to_look:
                await self._wait(None)

    async def _look(self) -> None:
        """Which assets there are now; each has its place before anything of it is sent."""
        self._is_to_look = False
        self._seen = self._log.next_offset(ASSET_LOG)
        self._watch_assets()
        there: dict[str, Mapping[str, Json]] = {
            one["id"]: one for one in self._twin.assets() if one["id"] in self._patterns
        }
        for stream in self._streams:
            known = there.get(stream.asset)
            if known is None or known["base"] != stream.life:
                self._streams.leave(stream)
        new = [one for asset, one in there.items() if asset not in self._streams]
        if not new:
            return
        made = [self._log.cursor(self._name, one["id"], self._start_of(one)) for one in new]
        self._in_flight = DeferredList(made, consumeErrors=True)
        try:
            results = await self._in_flight
        finally:
            self._in_flight = None
        failed: Any = None
        for one, (is_made, cursor) in zip(new, results, strict=True):
            if is_made:
                self._streams.take(one["id"], cursor)
            else:
                failed = cursor
        if failed is not None:
            self._is_to_look = True
            failed.raiseException()

    def _start_of(self, asset: Mapping[str, Json]) -> Start:
        if self._has_looked:  # it is new, whatever a clock that was set meanwhile says
            return Start.OLDEST
        return Start.OLDEST if asset["created_ms"] >= self._began_ms else Start.NEWEST

    async def _gather(self) -> list[_Part]:
        """The next events of those who have some, one page each."""
        batch: list[_Part] = []
        count = size = 0
        each = max(PAGE, self._most // max(1, self._streams.ready))
        for _ in range(self._streams.ready):
            if count >= self._most or size >= MOST_BYTES or self._is_stopped:
                break
            stream = self._streams.next()
            if stream is None:
                continue
            part = await self._page(stream, min(each, self._most - count))
            if part is None:
                continue
            batch.append(part)
            count += len(part.lines)
            size += sum(map(len, part.lines))
        return batch

    async def _page(self, stream: AssetStream, most: int) -> _Part | None:
        """The next events of one asset; None if there are none now."""
        place = stream.cursor.place
        try:
            events, behind = await self._twin.events(stream.asset, place, most)
        except AssetUnknown:
            self._is_to_look = True
            return None
        if self._log.base(stream.asset) != stream.life:
            self._is_to_look = True
            return None
        lines = [event_line(stream.asset, one) for one in events if one["source"] != self._own]
        if behind <= place:
            self._streams.follow(stream)
            return None
        return _Part(stream, behind, lines)

    async def _deliver(self, batch: list[_Part]) -> None:
        assert self._send is not None
        lines = [line for part in batch for line in part.lines]
        if lines:
            self._in_flight = self._send(lines)
            try:
                outcome: Outcome = await self._in_flight
            except CancelledError:  # by stop, or with the loop that it was on
                outcome = Retry(None, "it was cut off")
            finally:
                self._in_flight = None
            if self._is_stopped and not isinstance(outcome, Accepted):
                return
            if not isinstance(outcome, Accepted):
                self._not_taken(batch, outcome, len(lines))
                return
        await self._taken(batch, len(lines))

    async def _taken(self, batch: Sequence[_Part], count: int) -> None:
        self._too_large = 0
        if self._clock.seconds() >= self._small_until_s:
            self._most = MOST_EVENTS
        self.sent += count
        self.batches += bool(count)
        self.last_ms = self._clock.wall_ms()
        self._backoff.reset()
        self._faults.cleared(
            ("events", self._label), "{source}: events are delivered again", source=self._label
        )
        for part in batch:
            if self._log.base(part.stream.asset) == part.stream.life:
                part.stream.cursor.ack(part.place)
        await self._durable(batch)
        for part in batch:
            self._streams.follow(part.stream)

    async def _durable(self, batch: Sequence[_Part]) -> None:
        """Not to be left before: what was sent would be sent again and again."""
        while not self._is_stopped:
            flushes = [part.stream.cursor.flush() for part in batch]
            results = await DeferredList(flushes, consumeErrors=True)
            failed: Any = next((result for is_done, result in results if not is_done), None)
            if failed is None or isinstance(failed.value, ShutdownRequested):
                return
            self._failed(f"their place cannot be written: {failed.value}")
            await self._wait(self._not_before_s - self._clock.seconds())

    def _not_taken(self, batch: Sequence[_Part], outcome: Any, count: int) -> None:
        if isinstance(outcome, TooLarge):
            self._note(outcome.why)
            self._small_until_s = self._clock.seconds() + SMALLER_FOR_S
            if count > 1:
                self._most = max(1, count // 2)
                self._again(batch)
                return
            self._too_large += 1
            if self._too_large >= GIVE_UP_AFTER:
                self._pass_over(batch, outcome.why)
                return
        self._again(batch)
        self._failed(outcome.why)

    def _pass_over(self, batch: Sequence[_Part], why: str) -> None:
        """One event that the peer does not take, however often: the others behind it go on."""
        self._too_large = 0
        self.passed_over += 1
        stream = batch[0].stream
        self._faults.fault(
            ("event too large", self._label),
            f"{self._label}: an event of {stream.asset} before {batch[0].place} is not taken "
            f"({why}); it is passed over",
        )
        for part in batch:
            part.stream.cursor.ack(part.place)
            self._streams.follow(part.stream)

    def _again(self, batch: Sequence[_Part]) -> None:
        for part in reversed(batch):
            self._streams.queue(part.stream, first=True)

    def _failed(self, why: str, **fields: Any) -> None:
        self.failures += 1
        self._not_before_s = self._clock.seconds() + self._backoff.next()
        self._note(why)
        self._faults.fault(
            ("events", self._label),
            f"{self._label}: events cannot be delivered: {why}. They are kept, and tried again.",
            **fields,
        )

    def _note(self, why: str) -> None:
        self.last_error, self.last_error_ms = why, self._clock.wall_ms()

    # --- which assets there are

    def _watch_assets(self) -> None:
        if self._assets_more is None and not self._is_stopped:
            self._assets_more = self._log.when_more(ASSET_LOG, self._seen)
            self._assets_more.addCallbacks(self._assets_changed, lambda _: None)

    def _assets_changed(self, _: None) -> None:
        self._assets_more = None
        self._is_to_look = True
        self._ring_soon()

    def _let_go(self) -> None:
        self._is_stopped = True
        self._streams.close()
        if self._assets_more is not None:
            self._assets_more.cancel()

    # --- waiting

    def _ring_soon(self) -> None:
        """What was published with it is told next."""
        if self._waiting is not None and not self._is_settling:
            self._is_settling = True
            self._clock.later(SETTLE_S, self._ring)

    async def _wait(self, seconds: float | None) -> None:
        if self._is_stopped:
            return
        waiting = self._waiting = Deferred[None]()
        timer: ITimer | None = None
        if seconds is not None:
            timer = self._clock.later(max(seconds, 0.0), self._ring)
        await waiting
        if timer is not None:
            timer.discard()

    def _ring(self) -> None:
        self._is_settling = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def _state(self) -> str:
        if self._is_stopped:
            return "stopped"
        if self._paused:
            return "paused"
        if self._in_flight is not None:
            return "sending"
        return "waiting" if self._not_before_s > self._clock.seconds() else "idle"

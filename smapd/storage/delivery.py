"""The pump from one cursor to one sink: read, write the body, send, and only then move on.

One request is in flight at a time, and the cursor is durable before the next one begins; so after
a crash at most one body is sent twice. A sink that fails is tried again with growing pauses, at the
next place of its ring; nothing leaves but by ``Accepted`` or as a counted gap.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred

from smapd.interfaces import IBackoff, IClock, ICursor, IFaults, ISink
from smapd.values import Accepted, Gap, Json, Outcome, Position, Retry, TooLarge

from .bell import Bell
from .body_size import MOST_BYTES, BodySize
from .delivering import (
    Counters,
    DeliveryOptions,
    DeliveryState,
    Idle,
    Paused,
    Piece,
    Sending,
    Source,
    Stopped,
    Waiting,
    status_of,
)
from .pace import Pace
from .poison import REST_S, Budget, Hunt, Repeats, behind_suspects
from .ring import Ring, Target
from .slices import oldest_ms
from .trouble import Trouble

ABOUT_THE_BODY_AFTER: Final = 3
"""So many answers 500 in a row to the same body are taken for a refusal of it."""

_GIVE_UP_AFTER: Final = 3  # refusals of a body without readings, until it is let go


class Delivery:
    """One pump; on the reactor's thread. ``start`` it once, ``stop`` ends it.

    ``name``: for the log. ``source``: writes the bodies. ``gone``: is told of each gap that this
    cursor met or made.
    """

    def __init__(
        self,
        name: str,
        cursor: ICursor,
        source: Source,
        sink: ISink,
        targets: Sequence[Target],
        *,
        clock: IClock,
        backoff: IBackoff,
        faults: IFaults,
        options: DeliveryOptions | None = None,
        missing: Callable[[Sequence[Gap]], None] = lambda gaps: None,
    ) -> None:
        self.name, self.cursor = name, cursor
        self.counters = Counters()
        self.state: DeliveryState = Idle(clock.wall_ms())
        self.oldest_ms: int | None = None
        """Time of the oldest reading in what failed last; None while all goes well."""
        self.lag_ms = 0
        """How old the first reading of the last body was when it was accepted."""
        self.ring = Ring(targets)
        self._source, self._sink = source, sink
        self._clock = clock
        self._trouble = Trouble(name, self.ring, self.counters, clock, backoff, faults)
        self._options, self._missing = options or DeliveryOptions(), missing
        self._paused: str | None = None
        self._is_stopped = False
        self._running: Deferred[None] | None = None
        self._in_flight: Deferred[Outcome] | None = None
        self._flight_s = 0.0
        self._bell = Bell(clock)
        self._pace = Pace(clock.seconds())
        self._size = BodySize()
        self._owed = 0
        self._hunt: Hunt | None = None
        self._rest_until_s = 0.0
        self._budget = Budget()
        self._repeats = Repeats()

    # --- life

    def start(self) -> None:
        """Begin; a second call changes nothing."""
        if self._running is None and not self._is_stopped:
            self._running = Deferred.fromCoroutine(self._run())
            self._clock.background(self._running, f"delivery of {self.name}")

    def stop(self) -> Deferred[None]:
        """End; what is in flight is cut off, and comes again. Fires when nothing runs any more."""
        self._is_stopped = True
        done: Deferred[None] = Deferred()
        if self._running is None:
            self.state = Stopped()
            done.callback(None)
            return done
        self._running.addBoth(lambda _: done.callback(None))
        if self._in_flight is not None:
            self._in_flight.cancel()
        self._bell.ring()
        return done

    def pause(self, why: str) -> None:
        """Send nothing from now on; what is in flight goes on."""
        self._paused = why
        self._bell.ring()

    def resume(self) -> None:
        """Send again; at once, if it waited for the pause after a failure."""
        self._paused = None
        self.hurry()

    @property
    def is_paused(self) -> bool:
        """Whether ``pause`` was said last."""
        return self._paused is not None

    def hurry(self) -> None:
        """Try again now, whatever pause was kept; something about the sink has changed."""
        self._pace.not_before_s = 0.0
        self._trouble.hurry()
        self._bell.ring()

    def nudge(self) -> None:
        """The source has news."""
        if self._pace.not_before_s <= self._clock.seconds():
            self._bell.ring()

    def change(self, targets: Sequence[Target], sink: ISink, options: DeliveryOptions) -> None:
        """From the next request on: these places, this sink, these options."""
        self.ring.change(targets)
        self._sink, self._options = sink, options
        self._hunt = None
        if self._in_flight is not None:
            self._in_flight.cancel()
        self.hurry()

    def sending_s(self) -> float:
        """For how long a request has been under way; 0.0 if none is. A sink ends each in 30 s."""
        return 0.0 if self._in_flight is None else self._clock.seconds() - self._flight_s

    def status(self) -> dict[str, Json]:
        """Its state and counters, for /status; without secrets."""
        shown = self.ring.current.shown
        return status_of(self.state, self.counters, shown, self.cursor.waiting(), self.lag_ms)

    # --- the loop

    async def _run(self) -> None:
        while not self._is_stopped:
            await self._safely(self._turn())
        self.state = Stopped()

    def _safely(self, turn: Coroutine[Any, Any, None]) -> Deferred[None]:
        """A mistake of ours, or a disk that cannot be read, holds this up but does not end it."""
        return Deferred.fromCoroutine(turn).addErrback(self._broken)

    def _broken(self, failure: Any) -> None:
        if not self._is_stopped:
            error = failure.value
            self._failed(f"{type(error).__name__}: {error}", None, turn=False, failure=failure)

    async def _turn(self) -> None:
        if self._paused is not None:
            self.state = Paused(self._paused)
            await self._wait(None)
            return
        now_s = self._clock.seconds()
        if now_s < self._pace.not_before_s:
            await self._wait(self._pace.not_before_s - now_s)
            return
        now_ms = self._clock.wall_ms()
        until_ms = self.counters.day_ends_ms(now_ms, self._options.bytes_per_day)
        if until_ms is not None:
            self.state = Waiting(until_ms, 0, "its bytes of this day are used up")
            await self._wait((until_ms - now_ms) / 1000)
            return
        piece = await self._next(now_s)
        if piece is None:
            if self._source.has_news():  # they came while the journal was read
                return
            if not isinstance(self.state, Idle):
                self.state = Idle(self._clock.wall_ms())
            await self._wait(self._idle_s(), more=True)
        elif not self._is_stopped and self._paused is None:
            await self._send(piece)

    async def _next(self, now_s: float) -> Piece | None:
        """What to send now; None if there is nothing, or its time has not come."""
        if self._source.has_news():
            return Piece((), (), 0, None)
        options = self._options
        if self._owed <= 0:
            if self._pace.is_too_soon(options, now_s):
                return None
            if options.min_period_s:  # to count what waits is to look at each stream
                self._owed = self.cursor.waiting()
        while not self._is_stopped:
            limit = self._limit(now_s)
            if self._hunt is not None and self._hunt.suspects:
                piece = await behind_suspects(self.cursor, self._hunt, limit, MOST_BYTES)
                if piece is None:
                    self._end_hunt("what it refuses has no neighbour that it accepted")
                return piece
            batch = await self.cursor.read(limit, MOST_BYTES)
            if batch.runs or batch.gaps:
                return Piece(batch.runs, batch.gaps, batch.count, batch.end)
            self._owed = 0
            if batch.end <= batch.first:
                break
            await self._ack(batch.end)  # nothing there is for this report
        if self._pace.is_beat_due(options, now_s):
            return Piece((), (), 0, None, beat=True)
        return None

    def _limit(self, now_s: float) -> int:
        self._size.look(now_s)
        if self._hunt is not None:
            return max(1, min(self._hunt.limit, self._size.readings))
        return self._size.readings

    async def _send(self, piece: Piece) -> None:
        draft = self._source.draft(piece.runs, piece.gaps, self._size.nodes, piece.beat)
        if draft is None:
            if piece.suspects:
                self._set_aside(piece)
            if piece.end is not None:
                await self._done(piece)
            return
        target = self.ring.current
        self.state = Sending(self._clock.wall_ms(), piece.count, target.shown)
        self._flight_s = self._clock.seconds()
        self._in_flight = maybeDeferred(self._sink.send, draft.payload, target.url)
        try:
            outcome: Outcome = await self._in_flight
        except CancelledError:
            return  # by stop or change: it comes again
        finally:
            self._in_flight = None
        self.counters.sent(len(draft.payload.body), self._clock.wall_ms())
        self.oldest_ms = None if isinstance(outcome, Accepted) else oldest_ms(piece.runs)
        if isinstance(outcome, Accepted):
            draft.taken()
            await self._accepted(piece)
        elif isinstance(outcome, TooLarge):
            await self._too_large(piece, outcome)
        elif isinstance(outcome, Retry) and not self._is_about_the_body(piece, outcome):
            if self._hunt is not None:
                self._hunt.abandon_suspects()
            self._failed(outcome.why, outcome.after_s)
        else:
            await self._refused(piece, outcome)

    # --- what comes of a send

    async def _accepted(self, piece: Piece) -> None:
        now_s, now_ms = self._clock.seconds(), self._clock.wall_ms()
        self.counters.accepted(piece.count, now_ms)
        if piece.runs:
            self.lag_ms = now_ms - piece.runs[0].ms[0]
        self._repeats.end()
        self._trouble.is_over()
        rate = self._options.catch_up_rate
        if rate and piece.count and self.cursor.waiting() > piece.count:
            self._pace.not_before_s = now_s + piece.count / rate
        self._pace.accepted(now_s)
        if piece.suspects:
            self._set_aside(piece)
        if self._hunt is not None:
            self._hunt.accepted(self.ring.index, now_s)
        self.state = Idle(now_ms)
        if piece.end is not None:
            await self._done(piece)

    async def _done(self, piece: Piece) -> None:
        """The sink has it, or is not to have it: move on, and make that durable."""
        assert piece.end is not None
        self._owed -= piece.count + piece.suspects
        # only now: while a sink is away what is missing may grow, and is read with each try
        if found := [gap for gap in piece.gaps if gap.why != "refused"]:
            self._missing(found)
        await self._ack(piece.end)
        if self._hunt is not None and piece.end >= self._hunt.end:
            self._hunt = None

    async def _ack(self, end: Position) -> None:
        """Not to be left before it is durable: what was sent would be sent again and again."""
        while not self._is_stopped:
            errors: list[Any] = []
            await maybeDeferred(self.cursor.ack, end).addErrback(errors.append)
            if not errors:
                return
            why = f"its place cannot be written: {errors[0].value}"
            self._failed(why, None, turn=False)
            await self._wait(self._pace.not_before_s - self._clock.seconds())

    async def _too_large(self, piece: Piece, outcome: TooLarge) -> None:
        if self._size.too_large(piece.count, self._clock.seconds()):
            self._note_error(outcome.why or "too large")
        else:
            await self._refused(piece, outcome)

    async def _refused(self, piece: Piece, outcome: Any) -> None:
        now_s = self._clock.seconds()
        self.counters.refused += 1
        why = outcome.why or "too large for it, however small"
        if piece.end is None:
            self._refused_news(why)
            return
        hunt = self._hunt
        if piece.count == 0:
            await self._refused_gaps(piece, why)
        elif hunt is None:
            if piece.count == 1 or now_s < self._rest_until_s:
                self._failed(why, getattr(outcome, "after_s", None))
                return
            self._hunt = Hunt(piece.end, piece.count)
            self._note_error(why)
        elif hunt.refused(
            piece.count,
            self.ring.index,
            now_s,
            self._budget.left(now_s),
            is_sure=not isinstance(outcome, Retry),
        ):
            self._note_error(why)
        else:
            self._end_hunt(why)

    async def _refused_gaps(self, piece: Piece, why: str) -> None:
        """A body of gaps alone. The readings are gone anyway: after a few tries go without."""
        assert piece.end is not None
        if piece.suspects:
            self._end_hunt(why)
        elif self._repeats.again(piece.end) < _GIVE_UP_AFTER:
            self._failed(why, None)
        else:
            await self._done(piece)

    def _refused_news(self, why: str) -> None:
        self._failed(why, None)
        if self._repeats.again(None) >= _GIVE_UP_AFTER:
            self._repeats.end()
            self._source.skip_news()

    def _is_about_the_body(self, piece: Piece, outcome: Retry) -> bool:
        """An answer 500 is, in a hunt, or when it comes again and again for the same body."""
        if outcome.status != 500 or piece.end is None:
            return False
        if self._hunt is not None:
            return True
        again = self._repeats.again(self.cursor.position) >= ABOUT_THE_BODY_AFTER
        return again and piece.count > 1 and self._clock.seconds() >= self._rest_until_s

    def _set_aside(self, piece: Piece) -> None:
        self._budget.spend(piece.suspects, self._clock.seconds())
        self._missing([gap for gap in piece.gaps if gap.why == "refused"])
        if self._hunt is not None:
            self._hunt.abandon_suspects()

    def _end_hunt(self, why: str) -> None:
        self._hunt = None
        self._rest_until_s = self._clock.seconds() + REST_S
        self._failed(why, None)

    def _failed(self, why: str, after_s: float | None, turn: bool = True, **fields: Any) -> None:
        """Wait by the backoff; ``turn``: and try the next place then."""
        self.state = self._trouble.failed(why, after_s, turn, **fields)
        self._pace.not_before_s = self._clock.seconds() + self._trouble.wait_s

    def _note_error(self, why: str) -> None:
        self.counters.error(why, self._clock.wall_ms())

    # --- time

    def _idle_s(self) -> float | None:
        """How long to wait at most, where nothing is to be sent."""
        return self._pace.idle_s(self._options, self._clock.seconds(), self._is_held())

    async def _wait(self, seconds: float | None, more: bool = False) -> None:
        if not self._is_stopped:
            await self._bell.wait(seconds, self.cursor if more and not self._is_held() else None)

    def _is_held(self) -> bool:
        """Whether readings wait for MinPeriod: then more of them change nothing."""
        is_too_soon = self._pace.is_too_soon(self._options, self._clock.seconds())
        return is_too_soon and self.cursor.waiting() > 0

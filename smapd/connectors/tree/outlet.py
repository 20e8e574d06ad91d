"""Readings on their way to one source: a cursor on the journal, and the pump that empties it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from smapd.interfaces import IBackoff, IClock, IFaults, IReadings, ISink
from smapd.storage import (
    Delivery,
    DeliveryOptions,
    Draft,
    FreshFirst,
    Rates,
    Target,
    fresh_names,
    seconds_until_loss,
)
from smapd.values import GAP_CAUSES, Gap, Json, Limits, OneEach, Outcome, Payload, Run, Start

from .lines import gap_lines, lines_of
from .options import DEFAULT_KEPT
from .peer import Peer
from .selection import ISelection

_GAPS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class OutletOptions:
    """What a section says of the readings it sends."""

    limits: Limits = Limits()
    delivery: DeliveryOptions = DeliveryOptions()
    fresh_first: bool = False
    catch_up_rate: float | None = None
    sequence: bool = False
    gaps: bool = False
    quality: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> OutletOptions:
        """From the values of a section; with ``Keep`` or ``KeepBytes`` the default count is none.

        With ``Order = fresh`` the two cursors keep the rate themselves.
        """
        kept: int | None = options["MaxReadings"]
        if kept == DEFAULT_KEPT and (
            options["Keep"] is not None or options["KeepBytes"] is not None
        ):
            kept = None
        most = [size for size in (options["MaxBytes"], options["KeepBytes"]) if size is not None]
        fresh = options["Order"] == "fresh"
        return cls(
            Limits(kept, min(most, default=None), options["MaxAge"], options["Keep"]),
            DeliveryOptions(
                options["MinPeriod"] or 0.0,
                None,
                None if fresh else options["CatchUpRate"],
                options["BytesPerDay"],
            ),
            fresh,
            options["CatchUpRate"],
            options["Sequence"],
            options["Gaps"],
            options["Quality"],
        )


class Notifications:
    """The ``Source`` of a delivery: a body is a line of JSON for each notification."""

    def __init__(self, selection: ISelection, options: OutletOptions) -> None:
        self._selection, self._options = selection, options

    def has_news(self) -> bool:
        """There is nothing but readings."""
        return False

    def skip_news(self) -> None:
        """There is none."""

    def draft(
        self, runs: Sequence[Run], gaps: Sequence[Gap], most_nodes: int, beat: bool
    ) -> Draft | None:
        """A body of these; None if none of them is selected."""
        options = self._options
        wanted = runs if self._takes_all(runs) else [r for r in runs if self._selection.takes(r)]
        lines = list(lines_of(wanted, sequence=options.sequence, quality=options.quality))
        if options.gaps:
            lines += gap_lines(gaps)
        if not lines:
            return None
        is_each = isinstance(wanted, OneEach)
        count = len(wanted) if is_each else sum(len(run.ms) for run in wanted)
        return Draft(Payload(b"\n".join(lines), (), count), _nothing)

    def _takes_all(self, runs: Sequence[Run]) -> bool:
        """Whether none of them needs to be looked at."""
        if self._selection.selects is None:
            return True
        return isinstance(runs, OneEach) and self._selection.takes_each(set(runs.numbers))


@implementer(ISink)
class PeerSink:
    """Hands each body to a peer, as the notifications that it holds."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def send(self, payload: Payload, location: str) -> Deferred[Outcome]:
        """Send them; ends within 30 s."""
        return self._peer.send(payload.body.split(b"\n"))


class Outlet:
    """One source's readings; on the tree's home thread.

    Made before readings come, so that its cursor has them; ``start`` once the peer is there.
    """

    def __init__(
        self,
        cursor_name: str,
        label: str,
        selection: ISelection,
        options: OutletOptions,
        *,
        readings: IReadings,
        clock: IClock,
        backoff: Callable[[], IBackoff],
        faults: IFaults,
    ) -> None:
        """``label``: names the source in the log."""
        self.gaps: Counter[str] = Counter()
        self.last_gaps: list[Gap] = []
        self._label, self._selection, self._options = label, selection, options
        self._clock, self._backoff, self._faults = clock, backoff, faults
        self._is_waiting_to_change = False
        self._rates = Rates(selection.streams)
        self._began_ms = self._down_ms = clock.wall_ms()
        main = readings.cursor(cursor_name, selection.selects, Start.NEWEST, options.limits)
        self.cursor = FreshFirst(
            readings,
            main,
            selection.selects,
            clock=clock,
            may_part=options.fresh_first,
            rate=options.catch_up_rate,
        )
        self.delivery: Delivery | None = None

    def start(self, peer: Peer, shown: str) -> None:
        """Deliver to this peer whenever it is up. ``shown``: where that is."""
        self.delivery = Delivery(
            self._label,
            self.cursor,
            Notifications(self._selection, self._options),
            PeerSink(peer),
            [Target("", shown)],
            clock=self._clock,
            backoff=self._backoff(),
            faults=self._faults,
            options=self._options.delivery,
            missing=self._missing,
        )
        self.delivery.pause("not connected yet")
        self.delivery.start()

    def up(self) -> None:
        """There is a connection."""
        if self.delivery is not None:
            self.delivery.resume()

    def down(self, why: str) -> None:
        """There is none."""
        if self.delivery is not None:
            if not (self.delivery.is_paused or self.cursor.waiting()):
                self._down_ms = self._clock.wall_ms()  # until now nothing had to wait
            self.delivery.pause(why)

    async def stop(self) -> None:
        """End; what is pending stays."""
        if self.delivery is not None:
            await self.delivery.stop()

    def reselect(self) -> None:
        """The selection has changed; once for all that is added in this turn."""
        if not self._is_waiting_to_change:
            self._is_waiting_to_change = True
            self._clock.later(0, self._change_cursor)

    def status(self) -> dict[str, Json]:
        """For /status; without secrets."""
        shown: dict[str, Json] = {"state": "stopped", "waiting": self.cursor.waiting()}
        if self.delivery is not None:
            shown = self.delivery.status()
        left_s = self.seconds_until_loss()
        shown["hours_until_loss"] = None if left_s is None else round(left_s / 3600, 2)
        shown["gaps"] = dict(self.gaps)
        shown["last_gaps"] = [_gap(gap) for gap in self.last_gaps]
        return shown

    def seconds_until_loss(self) -> float | None:
        """When its first reading is lost if it stays as it is; None if that cannot be told."""
        delivery, away_s = self.delivery, 0.0
        is_well = delivery is not None and not delivery.is_paused and delivery.oldest_ms is None
        if self.cursor.waiting() and not is_well:
            since_ms = max(self._began_ms, self._down_ms)
            if delivery is not None:
                since_ms = max(since_ms, delivery.counters.last_ms, delivery.oldest_ms or 0)
            away_s = (self._clock.wall_ms() - since_ms) / 1000
        fastest_hz = self._rates.fastest_hz(self._clock.seconds())
        return seconds_until_loss(self._options.limits, fastest_hz, max(away_s, 0.0))

    # --- inside

    def _change_cursor(self) -> None:
        self._is_waiting_to_change = False
        changed: Deferred[None] = self.cursor.change(self._selection.selects, self._options.limits)
        self._clock.background(changed, f"selecting for {self._label}")

    def _missing(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            self.gaps[gap.why] += gap.count
            self.last_gaps = [*self.last_gaps, gap][-_GAPS_SHOWN:]
            cause = GAP_CAUSES.get(gap.why, gap.why)
            self._faults.fault(
                ("gap", self._label, gap.why),
                f"{self._label}: {gap.count} readings of {gap.path} are lost: {cause}. "
                f"{self.gaps[gap.why]} so far; /status has the last ones.",
                same=gap.why,
            )


async def forget(readings: IReadings, cursor_name: str) -> None:
    """Let go of what is pending for an outlet; durable when this is over."""
    for name in [*fresh_names(readings, cursor_name), cursor_name]:
        await readings.forget(name)


def _nothing() -> None:
    return None


def _gap(gap: Gap) -> dict[str, Json]:
    return {
        "stream": str(gap.stream),
        "path": gap.path,
        "from": [gap.from_seq, gap.from_ms],
        "to": [gap.to_seq, gap.to_ms],
        "count": gap.count,
        "why": gap.why,
    }

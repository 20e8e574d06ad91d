"""What a delivery is made of, and what it can be doing: frozen values and counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from smapd.values import Gap, Json, Payload, Position, Run

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Draft:
    """One body, written. ``taken``: to be called when the sink has accepted it."""

    payload: Payload
    taken: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """What is sent next. ``suspects``: readings passed over in it."""

    runs: Sequence[Run]
    gaps: Sequence[Gap]
    count: int
    end: Position | None
    suspects: int = 0
    beat: bool = False


class Source(Protocol):
    """Writes the bodies; on the reactor's thread."""

    def has_news(self) -> bool:
        """Whether there is something to send that is no reading."""

    def skip_news(self) -> None:
        """The sink does not take it: go without."""

    def draft(
        self, runs: Sequence[Run], gaps: Sequence[Gap], most_nodes: int, beat: bool
    ) -> Draft | None:
        """A body of these; without both, of what is new beside them, at most so many nodes.

        None if nothing is to be sent: then what was given counts as delivered. ``beat``: send a
        sign of life, even an empty one.
        """


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How a delivery behaves; in seconds. None: not bounded.

    ``min_period_s``: least time between two rounds of sends. ``max_period_s``: after so long
    without a send, one that may be empty. ``catch_up_rate``: readings per second while more wait
    than one body holds. ``bytes_per_day``: on the wire, by UTC days.
    """

    min_period_s: float = 0.0
    max_period_s: float | None = None
    catch_up_rate: float | None = None
    bytes_per_day: int | None = None


# --- what it is doing


@dataclass(frozen=True, slots=True)
class Idle:
    """All is delivered, or a period has not passed yet."""

    since_ms: int


@dataclass(frozen=True, slots=True)
class Sending:
    """A request is under way. ``to``: the place, as it may be shown."""

    since_ms: int
    count: int
    to: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something failed, and is tried again then."""

    until_ms: int
    failures: int
    why: str


@dataclass(frozen=True, slots=True)
class Paused:
    """Somebody said so."""

    why: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Over; it does not begin again."""


DeliveryState: TypeAlias = Idle | Sending | Waiting | Paused | Stopped


@dataclass(slots=True)
class Counters:
    """What a delivery did since it was made; ``last_ms``: 0 for never."""

    bodies: int = 0
    readings: int = 0
    size_bytes: int = 0
    failures: int = 0
    refused: int = 0
    last_ms: int = 0
    last_error: str = ""
    last_error_ms: int = 0
    today: int = 0
    today_bytes: int = 0

    def sent(self, size_bytes: int, now_ms: int) -> None:
        """So many bytes went onto the wire, whatever came of it."""
        self._turn_day(now_ms)
        self.size_bytes += size_bytes
        self.today_bytes += size_bytes

    def accepted(self, readings: int, now_ms: int) -> None:
        """A body of so many readings was."""
        self.bodies += 1
        self.readings += readings
        self.last_ms = now_ms

    def error(self, why: str, now_ms: int) -> None:
        """The last thing that went wrong."""
        self.last_error, self.last_error_ms = why, now_ms

    def day_ends_ms(self, now_ms: int, most: int | None) -> int | None:
        """When the next UTC day begins, if the bytes of this one are used up; else None."""
        self._turn_day(now_ms)
        if most is None or self.today_bytes < most:
            return None
        return (self.today + 1) * _DAY_MS

    def _turn_day(self, now_ms: int) -> None:
        day = now_ms // _DAY_MS
        if day != self.today:
            self.today, self.today_bytes = day, 0


def status_of(
    state: DeliveryState, counters: Counters, to: str, waiting: int, lag_ms: int
) -> dict[str, Json]:
    """What ``/status`` shows of one. ``to``: the place, as it may be shown."""
    shown: dict[str, Json] = {"state": type(state).__name__.lower()}
    if isinstance(state, Waiting):
        shown |= {"why": state.why, "failures": state.failures, "until_ms": state.until_ms}
    elif isinstance(state, Paused):
        shown["why"] = state.why
    elif isinstance(state, Sending):
        shown["since_ms"] = state.since_ms
    return shown | {
        "to": to,
        "waiting": waiting,
        "lag_s": lag_ms / 1000,
        "bodies": counters.bodies,
        "readings": counters.readings,
        "bytes": counters.size_bytes,
        "failures": counters.failures,
        "refused": counters.refused,
        "last_ms": counters.last_ms,
        "last_error": counters.last_error,
        "last_error_ms": counters.last_error_ms,
    }

"""How one metric is told: what it is called, and how its samples are read from a status."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from smapd.values import GAP_CAUSES, Json

from .status_look import Look, number


class Kind(enum.Enum):
    """What Prometheus calls the type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Sample: TypeAlias = "tuple[tuple[str, ...], float | Mapping[str, Any]]"
"""Label values, and the number; of a histogram what ``runtime.Durations`` shows."""

Read: TypeAlias = "Callable[[Look], Iterator[Sample]]"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``may_fall``: a sum over things that come and go, to be kept from falling."""

    name: str
    kind: Kind
    doc: str
    read: Read
    labels: tuple[str, ...] = ()
    may_fall: bool = False


def counter(name: str, doc: str, read: Read, *labels: str, may_fall: bool = False) -> Family:
    """What only grows."""
    return Family(name, Kind.COUNTER, doc, read, labels, may_fall)


def gauge(name: str, doc: str, read: Read, *labels: str) -> Family:
    """What goes up and down."""
    return Family(name, Kind.GAUGE, doc, read, labels)


def histogram(name: str, doc: str, read: Read, *labels: str) -> Family:
    """Counts by bounds."""
    return Family(name, Kind.HISTOGRAM, doc, read, labels)


# --- how samples are read


def one(*keys: str) -> Read:
    """The number at this place of the status."""

    def read(look: Look) -> Iterator[Sample]:
        value = number(look.at(*keys))
        if value is not None:
            yield (), value

    return read


def durations(*keys: str) -> Read:
    """The histogram at this place."""

    def read(look: Look) -> Iterator[Sample]:
        value = look.at(*keys)
        if isinstance(value, Mapping) and isinstance(value.get("at_most"), list):
            yield (), value

    return read


def length(*keys: str) -> Read:
    """How many are in the list there."""

    def read(look: Look) -> Iterator[Sample]:
        value = look.at(*keys)
        if isinstance(value, list | tuple):
            yield (), len(value)

    return read


def failing(look: Look) -> Iterator[Sample]:
    error = look.at("journal", "error")
    if isinstance(error, str):
        yield (), bool(error)


def longest(look: Look) -> Iterator[Sample]:
    for name, pool in look.pools:
        now = pool.get("longest")
        yield (name,), (number(now.get("seconds")) if isinstance(now, Mapping) else None) or 0.0


def threads(look: Look) -> Iterator[Sample]:
    for name, pool in look.pools:
        for state in ("idle", "busy"):
            yield (name, state), number(pool.get(state)) or 0.0


def of(rows: str, key: str) -> Read:
    """A number of each row that has it; ``rows``: an attribute of Look."""

    def read(look: Look) -> Iterator[Sample]:
        for name, row in getattr(look, rows):
            value = number(row.get(key))
            if value is not None:
                yield (name,), value

    return read


def state(rows: str, states: tuple[str, ...]) -> Read:
    """1 for the state that each row is in, 0 for all others."""
    shown = tuple((state, state.replace(" ", "_")) for state in states)

    def read(look: Look) -> Iterator[Sample]:
        for name, row in getattr(look, rows):
            now = row.get("state")
            for state, label in shown:
                yield (name, label), now == state

    return read


def _causes(counts: Json) -> Iterator[tuple[str, float]]:
    """Each cause there is, those that never came about too: a rate needs a 0 to begin from."""
    found: Mapping[str, Any] = counts if isinstance(counts, Mapping) else {}
    for why in (*GAP_CAUSES, *(why for why in found if why not in GAP_CAUSES)):
        yield why, number(found.get(why)) or 0.0


def journal_dropped(look: Look) -> Iterator[Sample]:
    counts = look.at("journal", "dropped")
    if isinstance(counts, Mapping):
        for why, count in _causes(counts):
            yield (why,), count


def report_gaps(look: Look) -> Iterator[Sample]:
    for name, row in look.reports:
        for why, count in _causes(row.get("gaps")):
            yield (name, why), count


def report_info(look: Look) -> Iterator[Sample]:
    for name, row in look.reports:
        yield (name, *(str(row.get(key, "")) for key in ("uuid", "origin", "format"))), 1


def report_lag(look: Look) -> Iterator[Sample]:
    for name, row in look.reports:
        yield (name,), look.lag_s(row)


def report_time(key: str) -> Read:
    """A time of each report that has one."""

    def read(look: Look) -> Iterator[Sample]:
        for name, row in look.reports:
            ms = number(row.get(key))
            if ms:
                yield (name,), ms / 1000

    return read


def until_loss(look: Look) -> Iterator[Sample]:
    for name, row in look.reports:
        hours = number(row.get("hours_until_loss"))
        if hours is not None:
            yield (name,), hours * 3600


def connection_up(look: Look) -> Iterator[Sample]:
    for connector, source, row in look.connections:
        yield (connector, source), row.get("state") == "connected"


def connection(*keys: str) -> Read:
    """A number of each connector's source that has it."""

    def read(look: Look) -> Iterator[Sample]:
        for connector, source, row in look.connections:
            found: Any = row
            for key in keys:
                found = found.get(key) if isinstance(found, Mapping) else None
            value = number(found)
            if value is not None:
                yield (connector, source), value

    return read


def connection_error(look: Look) -> Iterator[Sample]:
    """When anything of a source last failed."""
    for connector, source, row in look.connections:
        parts = [row.get(key) for key in ("readings", "events", "published")]
        times = [number(one.get("last_error_ms")) for one in parts if isinstance(one, Mapping)]
        newest_ms = max([ms for ms in times if ms], default=0.0)
        if newest_ms:
            yield (connector, source), newest_ms / 1000


def connection_gaps(look: Look) -> Iterator[Sample]:
    for connector, source, row in look.connections:
        readings = row.get("readings")
        if isinstance(readings, Mapping):
            for why, count in _causes(readings.get("gaps")):
                yield (connector, source, why), count


def driver_trouble(look: Look) -> Iterator[Sample]:
    for name, row in look.drivers:
        yield (name,), bool(row.get("error"))


def answers(look: Look) -> Iterator[Sample]:
    for name, row in look.listeners:
        answers = row.get("answers")
        if isinstance(answers, Mapping):
            for status, count in answers.items():
                yield (name, str(status)), number(count) or 0.0


def jobs(look: Look) -> Iterator[Sample]:
    for state in ("waiting", "running"):
        value = number(look.at("jobs", state))
        if value is not None:
            yield (state,), value


def version(look: Look) -> Iterator[Sample]:
    yield (str(look.at("version") or ""),), 1

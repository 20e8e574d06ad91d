"""How much the event log keeps, and when it writes."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import MIB


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Sizes in bytes, times in seconds.

    ``history_s``, ``max_bytes``: files whose events are older go, and the oldest when all together
    are larger, acknowledged or not; None: all are kept. ``min_free``: with less free on the disk
    events are refused. ``ack_s``: an ack that no event's commit takes along is durable after so
    long. ``segment_bytes``: one file. ``uncommitted_bytes``: what may wait for the disk.
    ``append_bytes``: of one append. ``recent_bytes``: the newest events that are also in memory.
    ``id_s``, ``ids``: how long, and how many, dedupe ids are known.
    """

    history_s: float | None = None
    max_bytes: int | None = None
    min_free: int = 256 * MIB
    ack_s: float = 1.0
    segment_bytes: int = 64 * MIB
    uncommitted_bytes: int = 16 * MIB
    append_bytes: int = 8 * MIB
    recent_bytes: int = 4 * MIB
    id_s: float = 86_400.0
    ids: int = 100_000

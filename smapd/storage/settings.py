"""How much the journal keeps, and when it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes in bytes, times in seconds.

    ``commit_s``, ``commit_readings``: a commit begins at whichever is first. ``history_s``,
    ``history_bytes``: what is kept though nobody waits for it; 0 s: nothing. ``max_bytes``: files
    that are kept for cursors. ``min_free``: with less free on the disk history gives way.
    ``segment_bytes``: one file. ``uncommitted_bytes``: what may wait in memory.
    """

    commit_s: float = 1.0
    commit_readings: int = 2_000
    history_s: float = 7 * 86_400.0
    history_bytes: int = 2_048 * MIB
    max_bytes: int = 2_048 * MIB
    min_free: int = 256 * MIB
    segment_bytes: int = 64 * MIB
    uncommitted_bytes: int = 16 * MIB

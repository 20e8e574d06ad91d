"""How long something took, again and again: counted by bounds, for /status and for metrics."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from smapd.values import Json

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From what a good disk and an idle loop need, to what somebody should be woken for."""


class Durations:
    """Counters of fixed size. One thread adds at a time; any thread may look."""

    __slots__ = ("_counts", "count", "last_s", "sum_s", "worst_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.count = 0
        self.sum_s = self.last_s = self.worst_s = 0.0

    def add(self, seconds: float) -> None:
        """One more took so long; below 0 counts as 0."""
        seconds = max(seconds, 0.0)
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.count += 1
        self.sum_s += seconds
        self.last_s = seconds
        if seconds > self.worst_s:
            self.worst_s = seconds

    def status(self) -> dict[str, Json]:
        """What ``/status`` shows.

        ``at_most``: [[bound in seconds, how many took no longer], …]; those above the last bound
        are in ``count`` alone.
        """
        total, at_most = 0, []
        counts = list(self._counts)  # one look: whoever adds may do so meanwhile
        for bound_s, count in zip(BOUNDS_S, counts, strict=False):
            total += count
            at_most.append([bound_s, total])
        return {
            "count": total + counts[-1],
            "sum_s": round(self.sum_s, 6),
            "last_s": round(self.last_s, 6),
            "worst_s": round(self.worst_s, 6),
            "at_most": at_most,
        }

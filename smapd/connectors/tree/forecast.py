"""When a source whose server stays away loses its first reading, at the rate of now.

As of a report: the fastest stream is the first to come to its bound, and how fast each one is shows
from its numbers, looked at twice. The journal's own bounds in bytes come on top.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from smapd.values import Limits

from .selection import ISelection

APART_S: Final = 10.0
"""Two looks at the numbers are at least so far apart: /status may be asked each second."""


class Forecast:
    """Of one source; on the home thread."""

    def __init__(self, selection: ISelection, limits: Limits) -> None:
        self._selection, self._limits = selection, limits
        self._seqs: dict[UUID, int] = {}
        self._at_s: float | None = None
        self._fastest_hz = 0.0

    def seconds_left(self, now_s: float, away_s: float) -> float | None:
        """From now; 0 if it has begun, None if nothing is lost as far as can be told.

        ``away_s``: for how long nothing was delivered; 0 while all goes well.
        """
        limits = self._limits
        bounds = [bound for bound in (limits.keep_s, limits.max_age_s) if bound is not None]
        if limits.max_readings is not None:
            self._look(now_s)
            if self._fastest_hz:
                bounds.append(limits.max_readings / self._fastest_hz)
        return max(min(bounds) - away_s, 0.0) if bounds else None

    def _look(self, now_s: float) -> None:
        """A stream that came since the last look counts from the next one on."""
        if self._at_s is not None and now_s - self._at_s < APART_S:
            return
        seqs = {stream.uuid: stream.next_seq for stream in self._selection.streams()}
        if self._at_s is not None:
            most = max((seq - self._seqs.get(uuid, seq) for uuid, seq in seqs.items()), default=0)
            self._fastest_hz = max(most, 0) / (now_s - self._at_s)
        self._seqs, self._at_s = seqs, now_s

"""When a consumer that stays away loses its first reading, at the rate of now.

The fastest stream is the first to come to its bound. How fast each one is shows from its numbers,
looked at twice; nothing is kept on the way of a reading for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Final

from smapd.interfaces import ITimeseries
from smapd.values import Limits

APART_S: Final = 10.0
"""Two looks at the numbers are at least so far apart: /status may be asked each second."""


class Rates:
    """How many readings a second the fastest of these streams takes; home thread."""

    def __init__(self, streams: Callable[[], Iterable[ITimeseries]]) -> None:
        self._streams = streams
        self._seqs = array("q")
        self._at_s: float | None = None
        self._fastest_hz: float | None = None

    def fastest_hz(self, now_s: float) -> float | None:
        """As of the last two looks; None before the second. Reads one number a stream."""
        if self._at_s is not None and now_s - self._at_s < APART_S:
            return self._fastest_hz
        seqs = array("q", [stream.next_seq for stream in self._streams()])
        if self._at_s is not None and seqs and len(seqs) == len(self._seqs):
            most = max(now - then for now, then in zip(seqs, self._seqs, strict=True))
            self._fastest_hz = max(most, 0) / (now_s - self._at_s)
        else:  # the tree has changed: the numbers belong to others now
            self._fastest_hz = None
        self._seqs, self._at_s = seqs, now_s
        return self._fastest_hz


def seconds_until_loss(limits: Limits, fastest_hz: float | None, away_s: float) -> float | None:
    """From now; 0 if it has begun, None if nothing is lost as far as can be told.

    ``away_s``: for how long nothing was delivered; 0 while all goes well. The journal's own bounds
    in bytes come on top.
    """
    bounds = [limits.keep_s, limits.max_age_s]
    if limits.max_readings is not None and fastest_hz:
        bounds.append(limits.max_readings / fastest_hz)
    least = min([bound for bound in bounds if bound is not None], default=None)
    return None if least is None else max(least - away_s, 0.0)

"""The rhythm of a periodic call."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any

SHORTEST_S = 0.001


@dataclass(frozen=True, slots=True)
class Beat:
    """When a call is to come.

    Every ``interval_s`` seconds: at once and then so, or (``now`` False) first after one
    interval. ``align_s``: first when the wall clock shows a multiple of it, counted from midnight
    UTC of 1970. ``spread_s``: shifted by a part of that many seconds, always the same part for
    the same call, so that many calls of one interval do not come in one moment.
    """

    interval_s: float
    now: bool = True
    align_s: float | None = None
    spread_s: float | None = None

    @classmethod
    def of(cls, interval_s: Any, now: bool, align_s: Any, spread_s: Any) -> Beat:
        """One from what a driver gives, numpy's numbers too."""
        return cls(_float(interval_s), now, _float(align_s), _float(spread_s))

    def __post_init__(self) -> None:
        _check("interval", self.interval_s, SHORTEST_S)
        if self.align_s is not None:
            _check("align", self.align_s, SHORTEST_S)
        if self.spread_s is not None:
            _check("spread", self.spread_s, 0.0)


def _float(seconds: Any) -> Any:
    """numpy's numbers too; what is no number is left for the check to refuse."""
    is_number = isinstance(seconds, numbers.Real) and not isinstance(seconds, bool)
    return float(seconds) if is_number else seconds


def _check(what: str, seconds: object, least_s: float) -> None:
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, numbers.Real)
        or not math.isfinite(seconds)
        or seconds < least_s
    ):
        raise ValueError(
            f"the {what} of a periodic call must be a number of seconds, at least {least_s:g}: "
            f"got {seconds!r}"
        )

"""When a delivery may send, and when it has to: its periods, and the pauses it keeps."""

from __future__ import annotations

from .delivering import DeliveryOptions


class Pace:
    """Times are seconds of the clock that nobody sets. ``now_s``: when it was made."""

    def __init__(self, now_s: float) -> None:
        self.not_before_s = 0.0
        """Nothing is sent until then: something failed, or the rate of catching up is kept."""
        self._sent_s = now_s
        self._round_s: float | None = None

    def accepted(self, now_s: float) -> None:
        """A body was."""
        self._sent_s = self._round_s = now_s

    def is_too_soon(self, options: DeliveryOptions, now_s: float) -> bool:
        """Whether MinPeriod has not passed yet."""
        least_s, round_s = options.min_period_s, self._round_s
        return bool(least_s and round_s is not None and now_s < round_s + least_s)

    def is_beat_due(self, options: DeliveryOptions, now_s: float) -> bool:
        """Whether MaxPeriod has passed without a body."""
        return options.max_period_s is not None and now_s >= self._sent_s + options.max_period_s

    def idle_s(self, options: DeliveryOptions, now_s: float, is_held: bool) -> float | None:
        """How long to wait at most, where nothing is to be sent. ``is_held``: for MinPeriod."""
        waits = []
        if is_held and self._round_s is not None:
            waits.append(self._round_s + options.min_period_s - now_s)
        if options.max_period_s is not None:
            waits.append(self._sent_s + options.max_period_s - now_s)
        return max(min(waits), 0.001) if waits else None

"""What a delivery does about a failure: how long it waits, where it tries next, what it says."""

from __future__ import annotations

from typing import Any

from smapd.interfaces import IBackoff, IClock, IFaults

from .delivering import Counters, Waiting
from .ring import Ring


class Trouble:
    """Of the delivery ``name``; on the reactor's thread. ``wait_s``: after the last failure."""

    def __init__(
        self,
        name: str,
        ring: Ring,
        counters: Counters,
        clock: IClock,
        backoff: IBackoff,
        faults: IFaults,
    ) -> None:
        self.wait_s = 0.0
        self._name, self._ring, self._counters = name, ring, counters
        self._clock, self._backoff, self._faults = clock, backoff, faults

    def failed(self, why: str, after_s: float | None, turn: bool, **fields: Any) -> Waiting:
        """Something did: wait by the backoff, or ``after_s``, as the sink said.

        ``turn``: and try the next place then. ``fields``: for the log.
        """
        now_s = self._clock.seconds()
        pause_s = self._backoff.next()
        shown = self._ring.current.shown
        self.wait_s = self._ring.failed(now_s, pause_s, after_s) if turn else pause_s
        self._counters.failures += 1
        now_ms = self._clock.wall_ms()
        self._counters.error(why, now_ms)
        self._faults.fault(
            ("delivery", self._name),
            f"{self._name} cannot deliver to {shown}: {why}. All is kept, and tried again.",
            **fields,
        )
        return Waiting(now_ms + round(self.wait_s * 1000), self._backoff.failures, why)

    def hurry(self) -> None:
        """The next pause is a short one again."""
        self._backoff.reset()

    def is_over(self) -> None:
        """A body was accepted."""
        self._backoff.reset()
        self._faults.cleared(
            ("delivery", self._name),
            "{report}: delivers again, after {count} failures in {for_s} s",
            report=self._name,
        )

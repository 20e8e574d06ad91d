"""How much goes into one body: less for a while, after a sink said that one was too large."""

from __future__ import annotations

from typing import Final

MOST_READINGS: Final = 10_000
MOST_BYTES: Final = 4 * 2**20
MOST_NODES: Final = 5_000
"""Nodes that one body brings whole, where readings do not ask for them."""

SMALLER_FOR_S: Final = 3600.0
"""How long bodies stay small after a sink said that one was too large."""


class BodySize:
    """The most ``readings`` of a body, and the most ``nodes``."""

    def __init__(self) -> None:
        self.readings = MOST_READINGS
        self.nodes = MOST_NODES
        self._small_until_s = 0.0

    def look(self, now_s: float) -> None:
        """Large ones again, if the time has come."""
        if now_s >= self._small_until_s:
            self.readings, self.nodes = MOST_READINGS, MOST_NODES

    def too_large(self, readings: int, now_s: float) -> bool:
        """One of so many was: whether there is a smaller one."""
        self._small_until_s = now_s + SMALLER_FOR_S
        if readings > 1:
            self.readings = max(1, readings // 2)
        elif readings == 0 and self.nodes > 1:
            self.nodes //= 2
        else:
            return False
        return True

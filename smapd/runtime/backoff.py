"""How long to wait before trying again: the one policy of the whole daemon."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from smapd.interfaces import IBackoff

FIRST_S = 1.0
FACTOR = 1.5
JITTER = 0.2
MOST_S = 60.0


@implementer(IBackoff)
class Backoff:
    """Pauses that grow: 1 s, then 1.5 times longer each, ± 20 %, never above 60 s.

    ``random`` gives numbers in [0, 1), like ``random.random``; it is handed in so that a test
    knows the pauses. One object serves one thing that may fail; it has no lock, so one thread
    at a time.
    """

    __slots__ = ("_factor", "_first_s", "_jitter", "_most_s", "_pause_s", "_random", "failures")

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first_s: float = FIRST_S,
        factor: float = FACTOR,
        jitter: float = JITTER,
        most_s: float = MOST_S,
    ) -> None:
        if not (0 < first_s <= most_s and factor >= 1 and 0 <= jitter < 1):
            raise ValueError(
                "a backoff needs 0 < first_s <= most_s, factor >= 1 and 0 <= jitter < 1: got "
                f"first_s={first_s}, most_s={most_s}, factor={factor}, jitter={jitter}"
            )
        self._random = random
        self._first_s, self._factor, self._jitter, self._most_s = first_s, factor, jitter, most_s
        self._pause_s = first_s
        self.failures = 0

    def next(self) -> float:
        """Count one failure; the seconds to wait after it."""
        self.failures += 1
        pause_s = self._pause_s
        self._pause_s = min(pause_s * self._factor, self._most_s)
        spread = 1 + self._jitter * (2 * self._random() - 1)
        return min(pause_s * spread, self._most_s)

    def reset(self) -> None:
        """It worked: the next failure waits ``first_s`` again."""
        self._pause_s = self._first_s
        self.failures = 0

"""The timers that the server needs, so that it can be handed any clock with these two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Timers(Protocol):
    """What ``runtime.Clock`` has of timers; on the reactor's thread."""

    @property
    def seconds(self) -> Callable[[], float]:
        """Gives the seconds of a monotonic clock."""

    def later(self, delay_s: float, f: Callable[..., object], *a: Any) -> Any:
        """Call ``f(*a)`` once in ``delay_s`` seconds; gives an ``IDelayedCall``."""

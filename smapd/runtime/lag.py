"""How late the reactor is: how long whatever is due waits because something else holds the thread.

A timer of one second looks how late it came. A lag of one second means that HTTP answers, polls
and deliveries all stood still for a second; a driver that blocks on the reactor is the usual cause.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from smapd.values import Json

from .durations import Durations

if TYPE_CHECKING:
    from .clock import Clock, Timer

LOOK_S: Final = 1.0
RECENT: Final = 60
"""Looks of which the worst is shown: about the last minute."""


class ReactorLag:
    """Measures the reactor's lag each second between ``start`` and ``stop``; on its thread."""

    def __init__(self, clock: Clock) -> None:
        self.lags = Durations()
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._due_s = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Look each second from now on; a second call changes nothing."""
        if self._timer is None:
            self._arm()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.discard()
            self._timer = None

    def status(self) -> dict[str, Json]:
        """What ``/status`` shows: ``recent_worst_s`` is that of the last minute."""
        return self.lags.status() | {"recent_worst_s": round(max(self._recent, default=0.0), 6)}

    def _arm(self) -> None:
        # not Clock.every: its beats stay in phase, so a call does not learn which beat it is, and
        # 2.3 s late would look like 0.3 s
        now_s = self._clock.seconds()
        self._due_s = math.floor(now_s) + LOOK_S  # with the other beats, which come at full seconds
        self._timer = self._clock.later(self._due_s - now_s, self._look)

    def _look(self) -> None:
        late_s = max(self._clock.seconds() - self._due_s, 0.0)
        self.lags.add(late_s)
        self._recent.append(late_s)
        self._arm()

"""Waiting for whichever comes first: a while, more to read, or somebody who rings."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred

from smapd.interfaces import IClock, ICursor

_NOT_AT_ONCE_S: Final = 0.05


class Bell:
    """One waits, others ring; on the reactor's thread."""

    def __init__(self, clock: IClock) -> None:
        self._clock = clock
        self._waiting: Deferred[None] | None = None
        self._asked = False

    async def wait(self, seconds: float | None, cursor: ICursor | None = None) -> None:
        """Until it rings: by itself after so long, or when there is more for ``cursor``."""
        waiting = self._waiting = Deferred[None]()
        timer = None
        if seconds is not None:
            timer = self._clock.later(max(seconds, 0.0), self.ring)
        if cursor is not None and not self._asked:
            self._asked = True
            coming = cursor.when_more()
            if coming.called:  # what is there was not to be had a moment ago: no busy loop
                self._clock.later(_NOT_AT_ONCE_S, self._heard, None)
            else:
                coming.addBoth(self._heard)
        await waiting
        if timer is not None:
            timer.discard()

    def ring(self) -> None:
        """End the waiting, if anyone waits."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def _heard(self, _: object) -> None:
        self._asked = False
        self.ring()

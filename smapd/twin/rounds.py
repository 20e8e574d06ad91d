"""Publishers in the daemon that are told together, and come again together.

A commit of the event log takes what several publishers gave it, and all of them are told at once.
As a rule each of them publishes its next event then. The reactor is woken when the last of them
has come, not by each: every time that it is woken it takes the lock of the interpreter from those
that it waits for. Those who do not come are not waited for longer than `LOOK_S` after the last one
that did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from smapd.errors import ShutdownRequested
from smapd.interfaces import IClock, ITimer
from smapd.runtime.program import Reply, Turns

LOOK_S: Final = 0.001
"""The least that the reactor can sleep."""
MOST_LOOKS: Final = 5
FEW: Final = 8
"""Fewer in a look than that: another thread computes, and takes its 5 ms at every turn. Then it is
better to wait for it all at once."""


class Rounds(Turns):
    """Who was told, and who came; on the reactor's thread but for ``came``.

    ``due()`` is called when somebody waits, and no more are expected.
    """

    def __init__(self, clock: IClock, due: Callable[[], None]) -> None:
        super().__init__()
        self._clock, self._due = clock, due
        self._arrived = self._expected = 0
        self._seen = self._looks = 0
        self._timer: ITimer | None = None

    def came(self) -> bool:
        """One more publishes: whether all are here who are expected. Any thread."""
        with self._lock:
            self._arrived += 1
            return self._arrived >= self._expected

    def give(self, reply: Reply[Any]) -> None:
        """This one is told: it may come again."""
        if self._timer is None:
            try:
                self._timer = self._clock.later(LOOK_S, self._look)
            except ShutdownRequested:  # nobody could look, so nobody waits for anybody
                reply.release()
                return
            self._seen, self._looks = self._arrived, 0
        self._expected = max(self._expected, self._arrived) + 1
        super().give(reply)

    def taken(self) -> None:
        """What they brought is being dealt with."""
        if self._timer is not None and self._arrived >= self._expected:
            self.stop()

    def stop(self) -> None:
        """Expect nobody; whoever waits for its turn goes on."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.discard()
        self._expected = 0
        self.release()

    def _look(self) -> None:
        self._looks += 1
        if self._arrived - self._seen < FEW:
            self.release()
        if self._seen < self._arrived < self._expected and self._looks < MOST_LOOKS:
            self._seen = self._arrived
            self._timer = self._clock.later(LOOK_S, self._look)
        else:
            self.stop()
            self._due()

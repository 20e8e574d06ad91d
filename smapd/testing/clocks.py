"""A clock that stands still until the test moves it."""

from __future__ import annotations

from twisted.internet.task import Clock as Timers

from smapd.runtime import Clock

START_MS = 1_700_000_000_000
"""What the wall clock shows at first: 2023-11-14T22:13:20Z."""


class FakeClock(Clock):
    """A ``Clock`` whose time passes by ``advance`` alone; its timers are real ones on fake time.

    Monotonic time begins at 0 s. The wall clock goes with it, until ``step_wall`` sets it.
    """

    def __init__(self, start_ms: int = START_MS) -> None:
        self.timers = Timers()
        self._wall_offset_ms = start_ms
        super().__init__(self.timers, self._fake_wall_ms)

    def advance(self, seconds: float) -> None:
        """Let time pass; every timer on the way fires at its moment, in order."""
        until_s = self.timers.seconds() + seconds
        while True:
            coming = self.timers.getDelayedCalls()
            next_s = min((call.getTime() for call in coming), default=until_s + 1)
            if next_s > until_s:
                break
            self._be_at(max(next_s, self.timers.seconds()))
        self._be_at(until_s)

    def jump(self, seconds: float) -> None:
        """Let time pass in one piece, as when the reactor was held up: timers fire late."""
        self._be_at(self.timers.seconds() + seconds)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back; no time passes."""
        self._wall_offset_ms += round(seconds * 1000)

    @property
    def pending(self) -> int:
        """How many timers are set."""
        return len(self.timers.getDelayedCalls())

    def _be_at(self, seconds: float) -> None:
        self.timers.rightNow = seconds  # not by a sum, which would round past a timer
        self.timers.advance(0)

    def _fake_wall_ms(self) -> int:
        return self._wall_offset_ms + round(self.timers.seconds() * 1000)

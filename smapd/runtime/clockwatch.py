"""Notices when the wall clock is set, so that readings around it can say so.

Nothing in the daemon waits by the wall clock, so a step delays nothing; but the stamps of two
readings a second apart may then be an hour apart. Each step is kept, logged and told, and the
readings of the ten seconds after it carry what the clock would have shown without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from smapd.values import ClockStep, Json, Level, Quality

from .guard import attempt

if TYPE_CHECKING:
    from .clock import Clock, Repeating

STEP_MS = 500
"""A jump smaller than this is how clocks are kept right; it is no event."""

LOOK_S = 1.0
NOTE_S = 10.0
KEPT = 100


class ClockWatch:
    """Compares the wall clock with the monotonic one; on the reactor's thread."""

    def __init__(
        self, clock: Clock, on_step: Callable[[ClockStep], None] | None = None, kept: int = KEPT
    ) -> None:
        """``on_step`` is told of each step; what it raises is logged."""
        self._clock = clock
        self._on_step = on_step
        self._log = Logger()
        self.steps: deque[ClockStep] = deque(maxlen=kept)
        self.count = 0
        self._offset_ms = self._read()[1]
        self._noted_from_ms = self._offset_ms
        self._noted_steps = 0
        self._note_until_s = float("-inf")
        self._looking: Repeating | None = None

    def start(self) -> None:
        """Look each second from now on."""
        if self._looking is None:
            self._looking = self._clock.every(LOOK_S, self.look)

    def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.stop()
            self._looking = None

    def look(self) -> None:
        """Compare now."""
        now_s, offset_ms = self._read()
        step_ms = offset_ms - self._offset_ms
        before_ms = self._offset_ms
        if not -STEP_MS < step_ms < STEP_MS:
            # once more: we may have been put to sleep between the two clocks
            now_s, offset_ms = self._read()
            step_ms = offset_ms - before_ms
        self._offset_ms = offset_ms  # small ones too: a clock that is slewed drifts for ever
        if -STEP_MS < step_ms < STEP_MS:
            return
        step = ClockStep(round(before_ms + now_s * 1000), round(offset_ms + now_s * 1000), now_s)
        self.steps.append(step)
        self.count += 1
        if now_s >= self._note_until_s:  # of several steps in a row the first one's clock counts
            self._noted_from_ms, self._noted_steps = before_ms, 0
        self._note_until_s = now_s + NOTE_S
        self._noted_steps += 1
        several = f" ({self._sum()})" if self._noted_steps > 1 else ""
        self._log.warn(
            "the wall clock was set by {step_s:+.3f} s{several}; readings of the next {note_s:g} s "
            "carry both times",
            step_s=step.step_ms / 1000,
            several=several,
            note_s=NOTE_S,
        )
        if self._on_step is not None:
            result = attempt(self._on_step, step)
            if isinstance(result, Failure):
                self._log.failure("a step of the wall clock could not be told", result)

    def note(self) -> Quality | None:
        """What readings taken now should carry; None when the clock is as it was. Cheap.

        Good, with a reason like "clock stepped by +3600.000 s; unstepped 1700000000123": the
        second number is the milliseconds that the clock would show had it not been set. After
        several steps in a row both are those of all together, and it says "in 2 steps".
        """
        self.look()
        now_s = self._clock.seconds()
        if now_s >= self._note_until_s:
            return None
        unstepped_ms = round(self._noted_from_ms + now_s * 1000)
        return Quality(Level.GOOD, f"clock stepped by {self._sum()}; unstepped {unstepped_ms}")

    def status(self) -> Json:
        """How many steps there were, and the last ones, newest last."""
        return {
            "steps": self.count,
            "last": [
                {"before_ms": s.before_ms, "after_ms": s.after_ms, "step_s": s.step_ms / 1000}
                for s in self.steps
            ],
        }

    def _sum(self) -> str:
        """How far the steps of now, taken together, have set the clock."""
        stepped_s = (self._offset_ms - self._noted_from_ms) / 1000
        several = f" in {self._noted_steps} steps" if self._noted_steps > 1 else ""
        return f"{stepped_s:+.3f} s{several}"

    def _read(self) -> tuple[float, float]:
        now_s = self._clock.seconds()
        return now_s, self._clock.wall_ms() - now_s * 1000

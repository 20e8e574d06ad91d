"""What this process gives the disk to write, and how much that makes in a day.

Flash wears out by bytes written. The kernel counts them for each process in /proc/self/io
(proc(5)): ``write_bytes``, what was sent towards the storage layer, whatever file it was for. Where
there is no such file, as on other systems, nothing is shown. A budget may be set beside it; once it
is passed over an hour or more that is told, and once it is kept again.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smapd.interfaces import IFaults
from smapd.values import Json

if TYPE_CHECKING:
    from .clock import Clock, Repeating

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
LOOK_S: Final = 600.0
COUNTED: Final = Path("/proc/self/io")


class DiskWrites:
    """Looks every ten minutes and keeps a day of it; on the reactor's thread."""

    def __init__(
        self,
        clock: Clock,
        counted: Path = COUNTED,
        *,
        budget: int | None = None,
        faults: IFaults | None = None,
    ) -> None:
        """``counted``: the kernel's counters; a read of memory, so it cannot block.

        ``budget``: bytes a day; ``faults`` is told when it is passed.
        """
        self._clock, self._counted = clock, counted
        self._budget, self._faults = budget, faults
        self._looks: deque[tuple[float, int]] = deque(maxlen=round(DAY_S / LOOK_S) + 1)
        self._looking: Repeating | None = None

    def start(self) -> None:
        """Count from now on; a second call changes nothing."""
        if self._looking is None:
            self._looking = self._clock.every(LOOK_S, self._look)
            self._look()

    def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.stop()
            self._looking = None

    def status(self) -> dict[str, Json]:
        """What ``/status`` shows; {} where the system does not say, or before ``start``.

        ``bytes``: since the process began. ``bytes_per_day``: those of the last ``over_s`` seconds,
        which is a day at most, scaled to a day; None at first: a start writes more than its share.
        """
        written = self._read()
        if written is None or not self._looks:
            return {}
        now_s = self._clock.seconds()
        began_s, before = self._looks[0]
        over_s = now_s - began_s
        per_day = round((written - before) / over_s * DAY_S) if over_s >= LOOK_S else None
        shown = {"bytes": written, "bytes_per_day": per_day, "over_s": round(over_s, 1)}
        return shown if self._budget is None else shown | {"budget": self._budget}

    def _look(self) -> None:
        written = self._read()
        if written is not None:
            self._looks.append((self._clock.seconds(), written))
            self._compare()

    def _compare(self) -> None:
        told = self.status()
        if self._budget is None or self._faults is None or told.get("over_s", 0.0) < HOUR_S:
            return
        if told["bytes_per_day"] > self._budget:
            text = f"{told['bytes_per_day']} bytes a day are written; WriteBudget is {self._budget}"
            self._faults.fault("write budget", text, same="passed")
        else:
            self._faults.cleared("write budget", "the disk is written within WriteBudget again")

    def _read(self) -> int | None:
        try:
            lines = self._counted.read_text("ascii").splitlines()
        except (OSError, ValueError):
            return None
        for line in lines:
            name, _, count = line.partition(":")
            if name == "write_bytes" and count.strip().isdigit():
                return int(count)
        return None

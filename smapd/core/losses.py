"""Counts what a full inbox had to turn away, exactly, from any number of threads, without a lock.

``next`` on an ``itertools.count`` is one step that no other thread can come between. To ask one
for its count is such a step as well, and is taken off again.
"""

from __future__ import annotations

from itertools import count, repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names a stream; only the type checker follows that name
    from .nodes import Timeseries


class Losses:
    """Readings turned away, by stream: `lose` from any thread, the rest on the home thread."""

    def __init__(self) -> None:
        self._counts: dict[Timeseries, count[int]] = {}
        self._told: dict[Timeseries, int] = {}  # readings already told of, and our own asking
        self.fresh = False

    def lose(self, stream: Timeseries, readings: int) -> None:
        """Count so many readings of this stream as lost."""
        counter = self._counts.setdefault(stream, count())
        for _ in repeat(None, readings):
            next(counter)
        self.fresh = True

    def collect(self) -> list[tuple[Timeseries, int]]:
        """What was lost since last asked, by stream."""
        self.fresh = False
        found = []
        for stream, counter in tuple(self._counts.items()):
            told = self._told.get(stream, 0)
            total = next(counter)
            if total > told:
                found.append((stream, total - told))
            self._told[stream] = total + 1
        return found

    def forget(self, stream: Timeseries) -> None:
        """This stream is gone from the tree."""
        self._counts.pop(stream, None)
        self._told.pop(stream, None)

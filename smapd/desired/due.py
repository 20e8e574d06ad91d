"""When each resource is looked at again: one timer for all of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from smapd.interfaces import IClock, ITimer

TOGETHER_S: Final = 0.05
"""What is due within so long is looked at together."""
WAIT_S: Final = 1.0
"""How long what is due waits where it cannot be looked at now."""


class Due:
    """Names, each with its time; on the reactor's thread.

    ``look``: is given the names that are due; False if they have to wait, and are given again.
    """

    def __init__(self, clock: IClock, look: Callable[[list[str]], bool]) -> None:
        self._clock, self._look = clock, look
        self._heap: list[tuple[float, str]] = []
        self._at: dict[str, float] = {}
        self._timer: ITimer | None = None

    def __len__(self) -> int:
        return len(self._at)

    def put(self, name: str, after_s: float) -> None:
        """It is due after so long, and not when it was before."""
        due_s = self._clock.seconds() + after_s
        self._at[name] = due_s
        heapq.heappush(self._heap, (due_s, name))
        if len(self._heap) > 4 * len(self._at) + 64:
            self._heap = [(at, of) for of, at in self._at.items()]
            heapq.heapify(self._heap)
        self._arm()

    def forget(self, name: str) -> None:
        """It is not due any more."""
        self._at.pop(name, None)

    def clear(self) -> None:
        """Nothing is."""
        self._heap.clear()
        self._at.clear()
        if self._timer is not None:
            self._timer.discard()
            self._timer = None

    def _arm(self) -> None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # put again meanwhile, or forgotten
        if self._heap and self._timer is None:
            wait_s = self._heap[0][0] - self._clock.seconds()
            self._timer = self._clock.later(max(wait_s, TOGETHER_S), self._fire)

    def _fire(self) -> None:
        self._timer = None
        until_s = self._clock.seconds() + TOGETHER_S
        due: list[str] = []
        while self._heap and self._heap[0][0] <= until_s:
            at_s, name = heapq.heappop(self._heap)
            if self._at.get(name) == at_s:
                del self._at[name]
                due.append(name)
        if due and not self._look(due):
            for name in due:
                self.put(name, WAIT_S)
        self._arm()

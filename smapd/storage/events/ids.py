"""Which dedupe ids were seen, and at which offset: for a day, or the last 100,000."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

Key: TypeAlias = tuple[str, str]
"""Asset and dedupe id."""


class Ids:
    """The ids of events that are durable. ``seconds`` are those of a clock that only grows."""

    def __init__(self, keep_s: float, most: int) -> None:
        self._keep_s, self._most = keep_s, most
        self._offsets: dict[Key, int] = {}
        self._ages: deque[tuple[float, list[Key]]] = deque()  # when they go, oldest first

    def __len__(self) -> int:
        return len(self._offsets)

    def get(self, key: Key) -> int | None:
        """The offset that was given for it."""
        return self._offsets.get(key)

    def add(self, named: list[tuple[Key, int]], now_s: float, age_s: float = 0.0) -> None:
        """Take in the ids of one commit, which was so long ago."""
        age_s = min(max(age_s, 0.0), self._keep_s)  # the wall clock may have been wrong then
        self._offsets.update(named)
        self._ages.append((now_s + self._keep_s - age_s, [key for key, _ in named]))
        while self._ages and (len(self._offsets) > self._most or self._ages[0][0] <= now_s):
            _until, keys = self._ages.popleft()
            for key in keys:
                self._offsets.pop(key, None)

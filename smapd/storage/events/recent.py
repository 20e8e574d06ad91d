"""The newest events, still in memory: who follows closely never waits for the disk."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from smapd.values import EventRecord

Run: TypeAlias = tuple[int, list[EventRecord]]
"""The offset of the first one, and what became durable together."""


class Recent:
    """The newest events of all assets, at most so many bytes of them."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._runs: dict[str, deque[Run]] = {}
        self._order: deque[tuple[str, Run, int]] = deque()
        self.size_bytes = 0

    def add(self, asset: str, first: int, records: list[EventRecord], size: int) -> None:
        """Take in what became durable: ``records`` from offset ``first`` on."""
        if size > self._most:
            self._runs.pop(asset, None)  # what is here has no hole
            return
        run = (first, records)
        runs = self._runs.get(asset)
        if runs is None:
            runs = self._runs[asset] = deque()
        runs.append(run)
        self._order.append((asset, run, size))
        self.size_bytes += size
        while self.size_bytes > self._most:
            other, oldest, less = self._order.popleft()
            self.size_bytes -= less
            theirs = self._runs.get(other)
            if theirs and theirs[0] is oldest:
                theirs.popleft()
                if not theirs:
                    del self._runs[other]

    def read(
        self, asset: str, offset: int, limit: int, limit_bytes: int
    ) -> list[EventRecord] | None:
        """Events from ``offset`` on, at most so many; None if that one is not here."""
        runs = self._runs.get(asset)
        if runs is None or offset < runs[0][0]:
            return None
        found: list[EventRecord] = []
        size = 0
        for first, records in _from(runs, offset):
            for i in range(max(offset - first, 0), len(records)):
                record = records[i]
                size += len(record.data)
                if found and (len(found) >= limit or size > limit_bytes):
                    return found
                found.append(EventRecord(*record[:7], first + i))
        return found


def _from(runs: deque[Run], offset: int) -> list[Run]:
    """The runs from the one that has ``offset`` on; looked for from the newest back."""
    behind: list[Run] = []
    for run in reversed(runs):
        behind.append(run)
        if run[0] <= offset:
            break
    behind.reverse()
    return behind

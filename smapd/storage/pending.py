"""Readings that wait in memory for a commit, packed when they are many, and bounded."""

from __future__ import annotations

from collections import deque
from typing import Final

from smapd.values import Batch

from .packed import Packed, pack
from .packing import Numbers, pack_batches
from .parts import Work
from .rows import RowGap
from .settings import Settings

LOOSE_MOST: Final = 20_000
"""Readings kept as the tree gave them while a commit is under way; then they are packed."""

COMMIT_BYTES: Final = 4 * 2**20
"""How much one commit takes at most."""


class Pending:
    """What comes after the commit that is under way; on the reactor's thread.

    ``lost``: readings that had to go since the start, as a gap of their streams.
    """

    def __init__(self, settings: Settings, numbers: Numbers) -> None:
        self.lost = 0
        self.packed_bytes = 0
        self._settings, self._numbers = settings, numbers
        self._loose: list[Batch] = []
        self._loose_count = 0
        self._packed: deque[tuple[Packed, list[RowGap]]] = deque()
        self._packed_count = 0

    def __bool__(self) -> bool:
        return bool(self._loose or self._packed)

    @property
    def count(self) -> int:
        """How many readings."""
        return self._loose_count + self._packed_count

    @property
    def is_crowded(self) -> bool:
        """Whether so many are as the tree gave them that they should be packed."""
        return self._loose_count > LOOSE_MOST

    def add(self, batch: Batch, count: int) -> None:
        """These too; ``count`` readings."""
        self._loose.append(batch)
        self._loose_count += count

    def pack(self) -> None:
        """Make rows of them."""
        if not self._loose:
            return
        is_hurried = self._loose_count >= self._settings.commit_readings
        batches, self._loose, self._loose_count = self._loose, [], 0
        for packed, gaps in pack_batches(batches, self._numbers, is_hurried):
            self._packed.append((packed, gaps))
            self.packed_bytes += packed.size
            self._packed_count += packed.count

    def give(self, work: Work) -> None:
        """The oldest rows to this commit, as many as it takes."""
        size = sum(packed.size for packed, _ in work.rows)
        while self._packed and (not work.rows or size < COMMIT_BYTES):
            row = self._take()
            size += row[0].size
            work.rows.append(row)

    def bound(self, work: Work | None, is_held: bool) -> None:
        """Let the oldest go when too much waits: each stream's part of it becomes a gap.

        ``work``: the commit before these; ``is_held``: nothing of it is under way.
        """
        most = self._settings.uncommitted_bytes
        under_way = sum(packed.size for packed, _ in work.rows) if work is not None else 0
        if work is not None and is_held:
            # Its rows are the oldest, and may go.
            while _may_lose(work.rows) and under_way + self.packed_bytes > most:
                packed, gaps = work.rows.pop(0)
                under_way -= packed.size
                if not work.rows:
                    work.rows.append((pack(None, []), []))  # a row for the gaps alone
                self._lose(packed, gaps, work.rows[0][1])
        while len(self._packed) > 1 and under_way + self.packed_bytes > most:
            packed, gaps = self._take()
            self._lose(packed, gaps, self._packed[0][1])

    def _take(self) -> tuple[Packed, list[RowGap]]:
        packed, gaps = self._packed.popleft()
        self.packed_bytes -= packed.size
        self._packed_count -= packed.count
        return packed, gaps

    def _lose(self, packed: Packed, gaps: list[RowGap], into: list[RowGap]) -> None:
        """Put this row's gaps, and its readings as gaps, before those of ``into``."""
        self.lost += packed.count
        lost: dict[int, RowGap] = {}
        runs = [
            RowGap(n, seq, seq + count - 1, packed.t_first, packed.t_last, count, "disk")
            for n, seq, count in packed.runs()
        ]
        for gap in (*gaps, *runs, *into):
            known = lost.get(gap.number)
            lost[gap.number] = gap if known is None else _joined(known, gap)
        into[:] = lost.values()


def _joined(one: RowGap, after: RowGap) -> RowGap:
    return RowGap(
        one.number,
        one.from_seq,
        after.to_seq,
        min(one.from_ms, after.from_ms),
        max(one.to_ms, after.to_ms),
        one.count + after.count,
        "disk",
    )


def _may_lose(rows: list[tuple[Packed, list[RowGap]]]) -> bool:
    """Whether the first row can go: a last one that holds gaps alone stays."""
    return len(rows) > 1 or bool(rows and rows[0][0].count)

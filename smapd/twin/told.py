"""Which assets a role was told of, so that nothing is told twice when a client comes back.

After each connection the hub tells all assets there are, then what has happened since the thing's
durable place. The number of a record (``seq``) is its own for ever; from the numbers alone follows
what the program has to be told.
"""

from __future__ import annotations

import collections
from typing import Final

CREATED: Final = "created"
DELETED: Final = "deleted"
MOST_GONE: Final = 100_000
"""Deletions remembered; behind that an old one that comes again is told again."""


class Told:
    """One role's assets; on the call thread, but ``is_gone`` on any."""

    def __init__(self) -> None:
        self._there: dict[str, int] = {}
        self._gone: collections.OrderedDict[str, int] = collections.OrderedDict()

    def record(self, kind: str, asset: str, seq: int) -> list[str]:
        """What to tell the program for this record: created, deleted, both in an order, or [].

        Call it once the record's turn has come: it is taken as told.
        """
        there = self._there.get(asset)
        if kind == CREATED:
            if (there is not None and seq <= there) or seq < self._gone.get(asset, -1):
                return []
            told = [CREATED] if there is None else [DELETED, CREATED]
            if there is not None:  # its deletion was missed, and is told by this
                self._leave(asset, seq)
            self._there[asset] = seq
            return told
        if seq <= self._gone.get(asset, -1):
            return []
        if there is not None and seq < there:  # it went, and came again
            self._leave(asset, seq)
            return [DELETED, CREATED]
        self._there.pop(asset, None)
        self._leave(asset, seq)
        return [DELETED]

    def is_gone(self, asset: str) -> bool:
        """Whether it was told as deleted, and not as created since."""
        return asset in self._gone and asset not in self._there

    def assets(self) -> list[str]:
        """Those that are there, as far as was told."""
        return list(self._there)

    def _leave(self, asset: str, seq: int) -> None:
        self._gone[asset] = seq
        self._gone.move_to_end(asset)
        while len(self._gone) > MOST_GONE:
            self._gone.popitem(last=False)

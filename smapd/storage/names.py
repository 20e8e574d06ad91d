"""Who is behind the numbers that the rows have for streams."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from smapd.values import Gap, OneEach

from .rows import RowGap


class Names:
    """Stream numbers to uuids and paths."""

    def __init__(self, streams: dict[int, tuple[str, str]]) -> None:
        """``streams``: number to (uuid, path); may grow."""
        self._streams = streams
        self._uuids: dict[int, UUID] = {}
        self._last: OneEach | None = None

    def shared(self, each: OneEach) -> OneEach:
        """The one that was read last if it is like this, and else this: cursors that keep pace are
        given the same."""
        if self._last is None or not self._last.is_like(each):
            self._last = each
        return self._last

    def of(self, number: int) -> tuple[UUID, str]:
        """The stream's uuid and path; the nil uuid if nothing knows it any more."""
        uuid, path = self._streams.get(number, (None, ""))
        found = self._uuids.get(number)
        if found is None:
            if uuid is None:
                return UUID(int=0), ""
            found = self._uuids[number] = UUID(uuid)
        return found, path

    def all_of(self, numbers: Sequence[int]) -> tuple[list[UUID], list[str]]:
        """As `of`, for each; in two columns."""
        try:
            uuids = list(map(self._uuids.__getitem__, numbers))
            return uuids, [path for _, path in map(self._streams.__getitem__, numbers)]
        except KeyError:  # not all were asked for before
            found = [self.of(number) for number in numbers]
            return [uuid for uuid, _ in found], [path for _, path in found]

    def gap(self, gap: RowGap) -> Gap:
        """The gap with its stream's names."""
        uuid, path = self.of(gap.number)
        return Gap(uuid, path, *gap[1:])

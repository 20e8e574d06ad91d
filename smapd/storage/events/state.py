"""What the store knows of segments, assets and one commit; and a commit's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .rows import ROW_BYTES, seal
from .segments import AssetRow


@dataclass(slots=True)
class Part:
    """Packed events of one asset in one commit. ``ids``: (index of an event, dedupe id)."""

    asset: str
    first: int
    events: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    ids: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Work:
    """One commit. ``bases``: of assets that are gone. ``cursors``: places; None: forgotten.

    ``size``: bytes of the events.
    """

    parts: list[Part] = field(default_factory=list)
    bases: dict[str, int] = field(default_factory=dict)
    cursors: dict[tuple[str, str], int | None] = field(default_factory=dict)
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.parts or self.bases or self.cursors)


@dataclass(slots=True)
class Info:
    """One segment. ``t_max``: latest time of publication in it, once that was looked at.

    ``written_s``: when its last events came, by the clock that nobody sets, once it was asked for.
    """

    path: Path
    number: int
    size: int
    t_max: int | None = None
    written_s: float | None = None


@dataclass(slots=True)
class Asset:
    """One asset. ``begin``: its next offset when the newest segment was begun."""

    number: int
    name: str
    base: int
    next: int
    begin: int
    commit: int

    def row(self, begin: int) -> AssetRow:
        """As a segment that was begun there has it."""
        return AssetRow(self.number, self.name, self.base, begin, self.commit)


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open log says. ``ids``: (when, [(asset, dedupe id, offset)]) by commit, oldest first.

    ``notes``: sentences for the log about what was mended.
    """

    assets: list[tuple[str, int, int]]
    cursors: list[tuple[str, str, int]]
    ids: list[tuple[int, list[tuple[str, str, int]]]]


class Known(Mapping[str, Asset]):
    """All assets, with those that a commit adds; a copy would cost much for a few of many."""

    def __init__(self, assets: dict[str, Asset], fresh: list[Asset]) -> None:
        self._assets, self._fresh = assets, {asset.name: asset for asset in fresh}

    def __getitem__(self, name: str) -> Asset:
        return self._assets.get(name) or self._fresh[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._assets, **self._fresh})

    def __len__(self) -> int:
        return len(self._assets) + len(self._fresh)


class InSegment(Exception):
    """Something is wrong in this segment."""

    def __init__(self, info: Info, error: BaseException) -> None:
        super().__init__(str(error))
        self.info, self.error = info, error


def rows_of(asset: Asset, part: Part, commit: int) -> Iterator[tuple[int, int, int, int, bytes]]:
    """The rows of one part, none much larger than it should be."""
    at, size = 0, 0
    for i, event in enumerate(part.events):
        if i > at and size + len(event) > ROW_BYTES:
            yield _row(asset, part, at, i, commit)
            at, size = i, 0
        size += len(event)
    yield _row(asset, part, at, len(part.events), commit)


def _row(
    asset: Asset, part: Part, start: int, stop: int, commit: int
) -> tuple[int, int, int, int, bytes]:
    first, t_max = part.first + start, max(part.times[start:stop])
    data = seal(commit, asset.number, first, part.events[start:stop], t_max)
    return asset.number, first, stop - start, t_max, data

"""What the journal's store remembers of its files, its cursors, and a commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from smapd.values import Limits, Position

from .packed import Packed
from .reading import Window
from .rows import RowGap
from .segments import Times

ROW_RUNS: Final = 20
"""A row costs a start as much as so many of its runs."""
SET_MS: Final = 1_577_836_800_000
"""2020: a wall clock that shows less was not set since the machine started."""


@dataclass(slots=True)
class Info:
    """One segment. ``last`` below ``first``: it has no row.

    ``written_s``: when its last commit was, by the clock that nobody sets.
    """

    path: Path
    first: int
    last: int
    size: int
    written_s: float
    times: Times = Times()


@dataclass(slots=True)
class Place:
    """One cursor. ``scan``: what it has looked at and found nothing for it is behind that."""

    name: str
    position: Position
    limits: Limits
    selects: Callable[[int], bool] | None = None
    scan: Position = Position(0, 0)
    base: Counter[int] | None = None
    """Per stream: the readings of it, selected, that were behind when the count began, as a
    number to take off ``Store.totals``. None until the cursor is asked for."""
    base_all: int = 0
    """All of ``base`` together, against ``Store._taken``."""
    inflight: Window | None = None
    dropped: int = 0


@dataclass(slots=True)
class Work:
    """One commit. ``acks``: cursor name to position. ``forgets``: names of cursors to remove."""

    rows: list[tuple[Packed, list[RowGap]]] = field(default_factory=list)
    streams: list[tuple[int, str, str, int]] = field(default_factory=list)
    acks: dict[str, Position] = field(default_factory=dict)
    forgets: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.rows or self.acks or self.forgets or self.touched)


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open journal says. ``notes``: sentences for the log about what was mended."""

    streams: list[tuple[int, str, str, int]]
    cursors: dict[str, tuple[Position, Limits]]
    newest: Position
    readings: int
    notes: list[str]


class In(Exception):
    """Something is wrong in this segment."""

    def __init__(self, info: Info, error: BaseException) -> None:
        super().__init__(str(error))
        self.info, self.error = info, error


def limits_of(limits: Limits) -> list[Any]:
    """As a segment keeps them."""
    return [limits.max_readings, limits.max_bytes, limits.max_age_s, limits.keep_s]

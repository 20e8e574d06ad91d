"""Puts a sound segment in the place of a damaged one.

A damaged file is read page by page (`scan`); what is sound becomes a new file, with a row that says
LOST in the place of events that are gone, and the old file goes to ``quarantine/``. So each asset's
offsets stay dense, and who reads never meets damage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..quarantine import set_aside
from ..rawscan import Wal, read_wal
from ..segment_files import mended_name
from .rows import Row, seal
from .scan import Found, scan
from .segments import About, AssetRow, CursorRow, Flush, create

KIND: Final = "events"
"""Their files in quarantine begin so."""

MOST_LOST: Final = 2**31
"""How many lost events one row stands for at most."""


@dataclass(slots=True)
class Mended:
    """What a repair did. ``lost``: events that are gone."""

    path: Path
    lost: int


@dataclass(slots=True)
class Around:
    """What is known of a damaged segment from elsewhere.

    ``names``: (name, base) by the asset's number. ``begins``, ``ends``: next offset per asset when
    the file was begun, and when it was closed, or now; None if nobody knows. ``cursors``: None if
    nobody knows; ``older``: as they were before this file. ``about``: as the file should say.
    """

    names: dict[int, tuple[str, int]] = field(default_factory=dict)
    begins: Mapping[int, int] | None = None
    ends: Mapping[int, int] | None = None
    cursors: list[CursorRow] | None = None
    older: list[CursorRow] = field(default_factory=list)
    about: About | None = None
    at_ms: int = 0


def mend(path: Path, quarantine: Path, around: Around, wal: Wal | None = None) -> Mended:
    """Put a sound file in the place of a damaged one, which goes to quarantine.

    ``wal``: its log, if it was read before SQLite opened the file, which may have worked it in.
    """
    found = scan(path, wal if wal is not None else read_wal(path))
    assets = _assets(found, around)
    ends = _ends(found, assets, around)
    rows, lost = _rows(found, assets, ends)
    cursors = _cursors(found, around, assets, ends)
    about = around.about or found.about or About(0, 0, 0, 0)
    number = max(found.last_commit(), about.commits) + 1
    last = Flush(
        number,
        around.at_ms,
        sum(row[2] for row in rows),
        len(assets),
        len(cursors),
        *([], [], [], []),
    )
    target = mended_name(path)
    flushes = [flush for flush in found.flushes.values() if about.commits < flush.number < number]
    create(target, about, assets.values(), cursors, rows, [*flushes, last]).close()
    set_aside(path, quarantine, f"{KIND}-{path.stem}")
    return Mended(target, lost)


def _assets(found: Found, around: Around) -> dict[int, AssetRow]:
    """All assets there were, by number; without a hole in the numbers."""
    known = dict(found.assets)
    for flush in found.flushes.values():
        for number, name in flush.fresh:
            known.setdefault(number, AssetRow(number, name, 0, 0, flush.number))
    oldest: dict[int, int] = {}
    for number, first in found.rows:
        oldest[number] = min(first, oldest.get(number, first))
    highest = max((*known, *around.names, *oldest), default=0)
    for number in range(1, highest + 1):
        name, base = around.names.get(number, (f"$lost-{number}", 0))
        if around.begins is not None:
            begin = around.begins.get(number, 0)  # one that came later began at 0
        else:
            begin = oldest.get(number, (around.ends or {}).get(number, 0))
        mine = known.get(number)
        if mine is None:
            known[number] = AssetRow(number, name, base, begin, 0)
        else:
            if around.begins is not None:
                mine = mine._replace(begin=begin)
            known[number] = mine._replace(base=max(mine.base, base))
    return dict(sorted(known.items()))


def _ends(found: Found, assets: Mapping[int, AssetRow], around: Around) -> dict[int, int]:
    """The next offset of each asset behind this file, as far as anything knows."""
    ends = {number: asset.begin for number, asset in assets.items()}
    if around.ends is not None:
        return ends | {number: end for number, end in around.ends.items() if number in assets}
    for row, _ in found.rows.values():
        ends[row.asset] = max(ends[row.asset], row.end)
    for flush in found.flushes.values():
        for number, first, count in flush.parts:
            if number in ends:
                ends[number] = max(ends[number], first + count)
    for cursor in found.cursors.values():
        if cursor.asset in ends:
            ends[cursor.asset] = max(ends[cursor.asset], cursor.place)
    for asset in assets.values():
        ends[asset.number] = max(ends[asset.number], asset.base)
    return ends


def _rows(
    found: Found, assets: Mapping[int, AssetRow], ends: Mapping[int, int]
) -> tuple[list[tuple[int, int, int, int, bytes]], int]:
    """The rows of the new file, dense per asset; and how many events are lost."""
    sound: dict[int, list[tuple[Row, bytes]]] = {}
    # Of rows that overlap, the older one is of a commit that was undone, and came again.
    for row, data in sorted(found.rows.values(), key=_newest_first):
        others = sound.setdefault(row.asset, [])
        if all(row.end <= other.first or other.end <= row.first for other, _ in _near(others, row)):
            others.append((row, data))
    rows: list[tuple[int, int, int, int, bytes]] = []
    lost = 0
    for number, asset in assets.items():
        at, end = asset.begin, ends[number]
        for row, data in sorted(sound.get(number, ()), key=lambda pair: pair[0].first):
            if row.first < at or row.end > end:
                continue
            lost += row.first - at
            rows += _lost(number, at, row.first)
            rows.append((number, row.first, row.count, row.t_max, data))
            at = row.end
        lost += end - at
        rows += _lost(number, at, end)
    return rows, lost


def _newest_first(pair: tuple[Row, bytes]) -> tuple[int, int]:
    return -pair[0].commit, -pair[0].first


def _near(others: list[tuple[Row, bytes]], row: Row) -> Iterable[tuple[Row, bytes]]:
    """Those that may overlap: nearly always none, since a commit comes behind the one before."""
    if not others or row.end <= others[-1][0].first:
        return ()
    return others


def _lost(number: int, first: int, end: int) -> list[tuple[int, int, int, int, bytes]]:
    return [
        (number, at, n, 0, seal(0, number, at, [], 0, lost=n))
        for at in range(first, end, MOST_LOST)
        for n in [min(end - at, MOST_LOST)]
    ]


def _cursors(
    found: Found, around: Around, assets: Mapping[int, AssetRow], ends: Mapping[int, int]
) -> list[CursorRow]:
    """Where each cursor is: as known, else as the file says, else where it was before it."""
    if around.cursors is not None:
        return around.cursors
    chosen = {(c.name, c.asset): c for c in around.older} | found.cursors
    for flush in found.flushes.values():
        for name, number in flush.forgets:
            cursor = chosen.get((name, number))
            if cursor is not None and cursor.commit < flush.number:
                del chosen[name, number]
    kept = []
    for cursor in chosen.values():
        asset = assets.get(cursor.asset)
        if asset is not None:
            place = min(max(cursor.place, asset.base), ends[cursor.asset])
            kept.append(cursor._replace(place=place))
    return kept

"""Readings as the wire has them: ``[ms, value]``, or ``[ms, value, seqno]`` with a number of the
driver's own.

What JSON cannot hold is null, and named beside: ``"NonFinite": [[i, "NaN"]]``, i being the place in
Readings. A bad reading has no value and is left out, unless quality is asked for: then
``"Quality": [[level, reason, seq], ...]`` runs parallel to Readings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from smapd.values import GOOD, Json, Level

from .batches import Row

NON_FINITE: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

_LABELS = {level: level.label for level in Level}


def put_readings(answer: dict[str, Json], rows: Iterable[Row], quality: bool) -> None:
    """Add Readings to a node's JSON, and where needed NonFinite and Quality."""
    shown: list[list[Json]] = []
    unsaid: list[list[Json]] = []
    told: list[list[Json]] = []
    for ms, value, judged, seq, seqno in rows:
        if value is None and not quality:
            continue
        if value.__class__ is float and value - value != 0.0:
            unsaid.append([len(shown), _word(value)])
            value = None
        shown.append([ms, value, seqno] if seqno else [ms, value])
        if quality:
            level, reason = judged or GOOD
            told.append([_LABELS[level], reason, seq])
    answer["Readings"] = shown
    if unsaid:
        answer["NonFinite"] = unsaid
    if quality:
        answer["Quality"] = told


def _word(value: float) -> str:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"

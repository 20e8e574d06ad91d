"""From a device's fields at two moments to the values of its streams; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .metrics import Kind, Row

Fields: TypeAlias = Mapping[str, float]
"""What one device shows at one moment, by psutil's names."""


def derive(row: Row, before: Fields | None, after: Fields, elapsed_s: float) -> float | None:
    """The value of one stream; None if there is nothing to say.

    ``before``: the fields ``elapsed_s`` seconds ago (monotonic), None if there are none: then
    what grows has no speed yet. Nor has it when it shrank: the counter began anew.
    """
    value = after.get(row.field)
    if value is None:
        return None
    if row.kind in (Kind.GAUGE, Kind.COUNTER):
        return int(value) if row.data_type == "long" else float(value)
    earlier = None if before is None else before.get(row.field)
    if before is None or earlier is None or elapsed_s <= 0:
        return None
    grown = value - earlier
    if row.kind is Kind.SHARE:
        whole = after["total"] - before["total"]
        # the kernel's iowait may run back by a tick, so below zero is zero here
        return _percent(grown / whole) if whole > 0 else None
    if grown < 0:
        return None
    if row.kind is Kind.BUSY_MS:
        return _percent(grown / 1000 / elapsed_s)
    return round(grown / elapsed_s, 3)


def _percent(share: float) -> float:
    return round(min(max(share * 100, 0.0), 100.0), 3)

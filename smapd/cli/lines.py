"""A reading as one line of text: path, time, value and unit, with a tab between.

What is not good has a fifth column that says why. A path, value or unit cannot bring a tab or a
line end of its own, so ``cut`` and ``awk -F'\\t'`` find what they look for.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

from smapd.core import Timeseries
from smapd.interfaces import ITimeseries
from smapd.values import Level, Reading, Value

from .peer import printable

NONE = "-"
"""Stands for the value of a bad reading, and for the unit of a stream that has none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity", "True": "true", "False": "false"}


def line(stream: ITimeseries, reading: Reading) -> str:
    """The line, without its end; any thread."""
    unit = cast(Timeseries, stream).unit
    columns = [stream.path, _time(reading.ms), _value(reading.value), unit or NONE]
    level, reason = reading.quality
    if level is not Level.GOOD:
        columns.append(f"{level.label}: {reason}" if reason else level.label)
    return "\t".join(map(printable, columns))


def _time(ms: int) -> str:
    """As in ``2026-11-20T09:00:00.123Z``; the number itself where no calendar reaches."""
    try:
        when = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return str(ms)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(value: Value) -> str:
    if value is None:
        return NONE
    if isinstance(value, str):
        return value
    text = repr(value)
    return _WORDS.get(text, text)

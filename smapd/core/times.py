"""A time as ``add`` takes it, to int milliseconds UTC.

Seconds as int, float or numeric text, or an aware datetime. An int is whole seconds; a float and a
datetime keep their milliseconds. On a stream made with ``milliseconds=True`` a number is
milliseconds, cut to whole ones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final

from smapd.values import LONG_MAX

from .fitting import Unfit, described

MS_MAX: Final = LONG_MAX
MS_MIN: Final = -LONG_MAX

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CANNOT = (TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError)


def from_seconds(time: Any) -> int:
    """Milliseconds of a time given in seconds.

    :raises Unfit: for what is no time, is not finite, or is out of range.
    """
    if time.__class__ is int:
        ms = time * 1000
    elif time.__class__ is float:
        exact = time * 1000
        if not isfinite(exact):
            raise Unfit(f"a time is finite, not {time!r} seconds")
        ms = round(exact)
    elif isinstance(time, datetime):
        ms = _from_datetime(time)
    else:
        return from_seconds(_number(time))
    return _within(ms)


def from_milliseconds(time: Any) -> int:
    """Milliseconds of a time given in such; see `from_seconds`."""
    if time.__class__ is int:
        ms = time
    elif time.__class__ is float:
        if not isfinite(time):
            raise Unfit(f"a time is finite, not {time!r}")
        ms = int(time)
    elif isinstance(time, datetime):
        ms = _from_datetime(time)
    else:
        return from_milliseconds(_number(time))
    return _within(ms)


def _within(ms: int) -> int:
    if MS_MIN <= ms <= MS_MAX:
        return ms
    raise Unfit("the time is out of range")


def _from_datetime(time: datetime) -> int:
    if time.utcoffset() is None:
        raise Unfit("a datetime needs a timezone; this one has none")
    return ((time - _EPOCH) // _MICROSECOND + 500) // 1000


def _number(time: Any) -> int | float:
    """The exact int or float that stands for a time: numeric text, a numpy scalar, a Decimal."""
    if isinstance(time, bool) or time is None:
        raise Unfit(f"a time is a number of seconds or a datetime, not {time}")
    try:
        if isinstance(time, str):
            return _from_text(time)
        if isinstance(time, bytes | bytearray):
            raise TypeError
        if hasattr(time, "dtype") and (time.ndim or time.dtype.kind not in "iuf"):
            raise TypeError
        if hasattr(time, "__index__"):
            return int(time.__index__())
        return float(time)
    except _CANNOT:
        raise Unfit(f"a time is a number of seconds or a datetime, not {described(time)}") from None


def _from_text(text: str) -> int | float:
    if not text.isascii() or "_" in text or len(text) > 64:
        raise ValueError
    try:
        return int(text)
    except ValueError:
        return float(text)

"""A block of readings in columns: the checks of ``add``, done in bulk.

A column of one plain type is judged by that type and its extremes, at C speed. Any other is gone
through one by one; what does not fit is left out and reported, the rest is kept.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from smapd.values import LONG_MAX, LONG_MIN, Value

from .fitting import Unfit
from .shape import Shape
from .times import MS_MAX, MS_MIN

# 2**63 as a float is beyond range; the next one below is the last that fits.
_FLOAT_MS_MAX = 9.2e18


def column(given: Any, what: str) -> list[Any]:
    """A new list of a list, tuple, array, numpy array or any iterable.

    :raises TypeError: for text, bytes, and what cannot be gone through.
    """
    if isinstance(given, str | bytes | bytearray):
        raise TypeError(f"{what} are a column of readings, not {type(given).__name__}.")
    if hasattr(given, "tolist"):
        given = given.tolist()
    if not hasattr(given, "__iter__"):
        raise TypeError(f"{what} are a column of readings, not {type(given).__name__}.")
    return list(given)


def fit_columns(
    shape: Shape, times: list[Any], values: list[Any] | None
) -> tuple[list[int], list[Value], int, str]:
    """Milliseconds and values that fit, how many pairs did not, and why the last of these did not.

    ``values`` None stands for a bad block: as many readings without a value.
    """
    all_ms = _bulk_times(shape, times)
    all_values: list[Value] | None
    all_values = [None] * len(times) if values is None else _bulk_values(shape, values)
    if all_ms is not None and all_values is not None:
        return all_ms, all_values, 0, ""
    return _one_by_one(shape, times, values)


def _one_by_one(
    shape: Shape, times: list[Any], values: list[Any] | None
) -> tuple[list[int], list[Value], int, str]:
    ms: list[int] = []
    kept: list[Value] = []
    refused, why = 0, ""
    to_ms, fit = shape.to_ms, shape.fit
    for i, time in enumerate(times):
        try:
            at = to_ms(time)
            value = None if values is None else fit(values[i])
        except Unfit as unfit:
            refused, why = refused + 1, str(unfit)
        else:
            ms.append(at)
            kept.append(value)
    return ms, kept, refused, why


def _bulk_times(shape: Shape, times: list[Any]) -> list[int] | None:
    kinds = set(map(type, times))
    if kinds == {int}:
        scale = 1 if shape.milliseconds else 1000
        if min(times) * scale < MS_MIN or max(times) * scale > MS_MAX:
            return None
        return times if scale == 1 else [t * 1000 for t in times]
    if kinds == {float}:
        scale = 1 if shape.milliseconds else 1000
        if not all(map(isfinite, times)) or max(map(abs, times)) * scale > _FLOAT_MS_MAX:
            return None
        return list(map(int, times)) if scale == 1 else [round(t * 1000) for t in times]
    return None


def _bulk_values(shape: Shape, values: list[Any]) -> list[Value] | None:
    kinds = set(map(type, values))
    if shape.data_type == "double":
        if kinds == {float}:
            return values
        if kinds <= {int, float, bool} and all(
            LONG_MIN <= v <= LONG_MAX for v in values if v.__class__ is int
        ):
            return list(map(float, values))
    elif shape.data_type != "long" or not kinds <= {int, bool}:
        return None
    elif min(values) >= LONG_MIN and max(values) <= LONG_MAX:
        return values
    return None

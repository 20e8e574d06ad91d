"""Does a value fit a stream's type? One function a ReadingType, each value -> the value kept.

numpy is never imported: its scalars and 0-d arrays are known by ``dtype`` and ``ndim``, and what
``item()`` gives is looked at. All of this runs on the caller's thread, for every reading.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final, TypeAlias

from smapd.values import LONG_MAX, LONG_MIN, Level, Quality

MAX_STRING_BYTES: Final = 64 * 1024
MAX_REASON_CHARACTERS: Final = 1000

Fit: TypeAlias = Callable[[Any], Any]

_CANNOT: Final = (TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError)


class Unfit(ValueError):
    """A value, time or quality that a stream does not take; says why in a few words."""


def fit_long(value: Any) -> int:
    """A whole number of 64 bits; a bool stays one. Floats are refused, 3.0 as well."""
    kind = value.__class__
    if kind is int:
        if LONG_MIN <= value <= LONG_MAX:
            return value  # type: ignore[no-any-return]
        raise Unfit(_beyond("a long", value))
    if kind is bool:
        return value  # type: ignore[no-any-return]
    plain = _plain(value)
    if plain.__class__ is bool:
        return plain
    if isinstance(plain, int):
        return fit_long(int(plain))
    # a JSON parser makes a float of a whole number that is too large for it
    if plain.__class__ is float and isfinite(plain) and not LONG_MIN <= plain <= LONG_MAX:
        raise Unfit(_beyond("a long", plain))
    raise Unfit(f"a long takes whole numbers, not {described(value)}")


def fit_double(value: Any) -> float:
    """A float, also NaN and the infinities; whole numbers of 64 bits and bools become floats."""
    if value.__class__ is float:
        return value
    plain = _plain(value)
    if isinstance(plain, int):
        if LONG_MIN <= plain <= LONG_MAX:
            return float(plain)
        raise Unfit(_beyond("a whole number for a double", plain))
    if not isinstance(plain, str | bytes | bytearray):
        try:
            return float(plain)
        except _CANNOT:
            pass
    raise Unfit(f"a double takes numbers, not {described(value)}")


def fit_string(value: Any) -> str:
    """Text of at most 64 KiB as UTF-8."""
    if value.__class__ is not str:
        value = _plain(value)
        if not isinstance(value, str):
            raise Unfit(f"a string takes text, not {described(value)}")
        value = str.__str__(value)
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise Unfit("the text has a lone surrogate, and so no UTF-8 form") from None
    if size > MAX_STRING_BYTES:
        raise Unfit(f"a string has at most {MAX_STRING_BYTES} bytes; this has {size}")
    return value  # type: ignore[no-any-return]


FITS: Final[dict[str, Fit]] = {"long": fit_long, "double": fit_double, "string": fit_string}


def fit_quality(quality: Any) -> Quality:
    """A quality as given to ``add``; an overlong reason is cut."""
    if quality.__class__ is not Quality or quality[0].__class__ is not Level:
        raise Unfit(f"a quality is one of smapd.values, not {described(quality)}")
    reason = quality[1]
    if not isinstance(reason, str):
        raise Unfit(f"the reason of a quality is text, not {described(reason)}")
    if not reason.isascii():
        reason = reason.encode(errors="replace").decode()
    if len(reason) > MAX_REASON_CHARACTERS or reason is not quality[1]:
        return Quality(quality[0], reason[:MAX_REASON_CHARACTERS])
    return quality


def fit_seqno(seqno: Any) -> int:
    """A driver's own number of a reading: whole, 64 bits."""
    plain = seqno if seqno.__class__ is int else _plain(seqno)
    if not isinstance(plain, int) or isinstance(plain, bool):
        raise Unfit(f"a sequence number is a whole number, not {described(seqno)}")
    if not LONG_MIN <= plain <= LONG_MAX:
        raise Unfit(_beyond("a sequence number", plain))
    return int(plain)


def described(value: Any) -> str:
    """A value in a few words, without trusting its own repr."""
    kind = value.__class__
    if value is None:
        return "None (a reading without a value needs quality=bad(reason))"
    if kind is str:
        text = ascii(value[:41]) if not value.isprintable() else repr(value[:41])
        return f"the text {text}" if len(value) <= 41 else f"the text {text[:-1]}...'"
    if kind in (bool, float, complex) or (kind is int and value.bit_length() <= 64):
        return f"{kind.__name__} {value!r}"
    return kind_of(value)


def kind_of(value: Any) -> str:
    """The name of a value's type with its article: a list, an int."""
    name = type(value).__name__
    return f"an {name}" if name[:1] in "aeiouAEIOU" else f"a {name}"


def _beyond(what: str, number: float) -> str:
    """Why a number does not fit 64 bits; the count of its own says nothing beside the sign."""
    if not isinstance(number, float):
        number = int(number)
        if number.bit_length() > 64:
            return f"{what} has 64 bits; this number has {number.bit_length()}"
    return f"{what} goes from {LONG_MIN} to {LONG_MAX}; {number!r} is beyond"


def _plain(value: Any) -> Any:
    """The Python value that a numpy scalar, a 0-d array or anything like a number stands for."""
    if isinstance(value, int | float | str):
        return value
    try:
        if hasattr(value, "dtype"):
            return value.item() if value.ndim == 0 else value
        if hasattr(value, "__index__"):
            return value.__index__()
    except _CANNOT:
        pass
    return value

"""Which values of a register may be written: the column ``write`` of a map; pure.

``yes``: a bool as it is, a number with all that its type holds. ``0..100``: from, to, in the units
of the readings. ``0|1|2``: these whole numbers and no others.
"""

from __future__ import annotations

import re
import struct
from decimal import Decimal

from .registers import BOOL, Number, Register, Writable

_LONG = (-(2**63), 2**63 - 1)
_FLOATS = {"f": 3.0e38, "d": 1.0e300}
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})", re.ASCII)
_LISTED = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_MOST_VALUES = 100


def writable(register: Register, text: str) -> Writable:
    """What this text lets be written; whether it fits the register is not looked at.

    :raises ValueError: without a full stop, for what is no such text.
    """
    if text == "yes":
        return Writable(0, 1) if register.kind is BOOL else Writable(*_whole_range(register))
    if register.kind is BOOL:
        raise ValueError("a bool is written by yes")
    if "|" in text:
        return _listed(register, text)
    low, dots, high = text.partition("..")
    if not dots:
        raise ValueError("neither yes, nor a range like 0..100, nor values like 0|1|2")
    first, last = _end(register, low), _end(register, high)
    if first > last:
        raise ValueError("it goes down. Write the lower end first")
    return Writable(first, last)


def _listed(register: Register, text: str) -> Writable:
    if register.data_type != "long":
        raise ValueError("single values are for whole numbers. Write a range")
    parts = [part.strip() for part in text.split("|")]
    if not all(_LISTED.fullmatch(part) for part in parts):
        raise ValueError("not whole numbers, with | between them")
    if len(parts) > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values. Write a range")
    values = tuple(dict.fromkeys(int(part) for part in parts))
    return Writable(min(values), max(values), values)


def _end(register: Register, text: str) -> Number:
    if _NUMBER.fullmatch(text.strip()) is None:
        raise ValueError("no range. Write one like 0..100")
    value = Decimal(text.strip())
    if register.data_type == "double":
        return float(value)
    if value % 1:
        raise ValueError("the readings are whole numbers. Write such a range")
    return int(value)


def _whole_range(register: Register) -> tuple[Number, Number]:
    kind = register.kind
    if kind.is_float:
        most = _FLOATS[kind.format] * min(abs(float(register.scale)), 1.0)
        return -most, most
    bits = 8 * struct.calcsize(f">{kind.format}")
    raw = (0, 2**bits - 1) if kind.format.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    low, high = sorted(one * register.scale + register.offset for one in raw)
    if register.data_type == "double":
        return float(low), float(high)
    return max(int(low), _LONG[0]), min(int(high), _LONG[1])

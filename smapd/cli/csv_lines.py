"""Readings as lines of CSV, ``uuid,path,seconds,value``: as reports in CSV have them."""

from __future__ import annotations

from typing import Final

from smapd.values import Value

_TO_QUOTE: Final = frozenset(',"\r\n')


def cell(text: str) -> str:
    """A text, quoted where it has to be."""
    if _TO_QUOTE.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def seconds(ms: int) -> str:
    """A time in seconds, with three decimals where there are milliseconds."""
    whole, rest = divmod(abs(ms), 1000)
    sign = "-" if ms < 0 else ""
    return f"{sign}{whole}.{rest:03}" if rest else f"{sign}{whole}"


def csv_value(value: Value) -> str:
    """A value; not finite: nan, inf, -inf; true and false are 1 and 0."""
    if isinstance(value, str):
        return cell(value.encode("utf-8", "replace").decode())
    return str(int(value)) if isinstance(value, bool) else str(value)

"""Times in a CSV file to milliseconds UTC.

A time that names no zone is one of a wall clock, and twice a year such a clock jumps. Of the hour
that comes twice, rows are usually in order, so the second pass begins where a time steps back; a
time that the clock never showed is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Final
from zoneinfo import ZoneInfo

AMBIGUOUS: Final = ("order", "first", "second", "reject")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXCEL: Final = datetime.fromisoformat("1899-12-30")  # of a wall clock
_DAY_MS: Final = 86_400_000
_MS: Final = timedelta(milliseconds=1)
_OFFSET: Final = re.compile(r"([+-])([01]\d|2[0-3]):?([0-5]\d)")
_NUMBERS: Final = {"s": Decimal(1000), "ms": Decimal(1), "us": Decimal("0.001")}
_NAMED: Final = (*_NUMBERS, "iso", "excel")
_MOST_MS: Final = 253_402_300_800_000  # the year 10,000
_LEAST_MS: Final = -62_135_596_800_000  # the year 1


def zone(text: str) -> tzinfo:
    """A zone by its name, or by its distance from UTC.

    :raises ValueError: if there is none.
    """
    if text.upper() in ("UTC", "Z"):
        return UTC
    found = _OFFSET.fullmatch(text)
    if found is not None:
        minutes = int(found[2]) * 60 + int(found[3])
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    try:
        return ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        raise ValueError("no such zone. Write one like Europe/Berlin, UTC or +01:00.") from None


@dataclass(frozen=True)
class TimeFormat:
    """How times are written. ``zone``: of those that name none; None: each must name its own."""

    format: str
    zone: tzinfo | None
    ambiguous: str = "order"

    def check(self) -> None:
        """:raises ValueError: if no time can be read by it."""
        if self.format in _NAMED:
            if self.format == "excel" and self.zone is None:
                raise ValueError("days of a wall clock. Write its Zone.")
            return
        if "%" not in self.format:
            raise ValueError("no such format. Write iso, s, ms, us, excel, or one like %Y-%m-%d.")
        try:
            datetime.strptime("", self.format)  # noqa: DTZ007
        except ValueError as e:
            if "does not match" not in str(e):
                text = str(e).replace("'", "")
                raise ValueError(f"{text}. See strptime in Python's documents.") from None
        if self.zone is None and "%z" not in self.format and "%s" not in self.format:
            raise ValueError("it has no zone (%z). Write the Zone of the times.")

    def read(self, text: str, before_ms: int | None = None) -> int:
        """Milliseconds of a time. ``before_ms``: that of the row before, of the same stream.

        :raises ValueError: in a few words, if it is none.
        """
        text = text.strip()
        if self.format in _NUMBERS:
            return _number(text, _NUMBERS[self.format])
        if self.format == "excel":
            return self._excel(text, before_ms)
        try:
            if self.format == "iso":
                when = datetime.fromisoformat(text)
            else:
                when = datetime.strptime(text, self.format)  # noqa: DTZ007
        except ValueError:
            raise ValueError(f"the time {_shown(text)} is not like {self._like()}") from None
        return self._placed(when, before_ms, text)

    def _like(self) -> str:
        return "2026-11-20T09:00:00Z" if self.format == "iso" else self.format

    def _excel(self, text: str, before_ms: int | None) -> int:
        ms = _number(text, Decimal(_DAY_MS))
        try:
            return self._placed(_EXCEL + timedelta(milliseconds=ms), before_ms, text)
        except OverflowError:
            raise ValueError(f"the time {_shown(text)} is out of range") from None

    def _placed(self, when: datetime, before_ms: int | None, text: str) -> int:
        if when.tzinfo is not None:
            return _ms(when)
        if self.zone is None:
            raise ValueError(f"the time {_shown(text)} names no zone, and the mapping has no Zone")
        first = _ms(when.replace(tzinfo=self.zone, fold=0))
        second = _ms(when.replace(tzinfo=self.zone, fold=1))
        if first == second:
            return first
        if first > second:  # with the distance of winter it is later than with that of summer
            raise ValueError(f"the time {_shown(text)} was skipped by the clocks in {self.zone}")
        if self.ambiguous == "order":
            return second if before_ms is not None and before_ms >= first else first
        if self.ambiguous == "reject":
            raise ValueError(f"the time {_shown(text)} came twice in {self.zone}")
        return first if self.ambiguous == "first" else second


def _number(text: str, factor: Decimal) -> int:
    try:
        found = Decimal(text)
        if not found.is_finite() or abs(found) > 10**18 or "_" in text:
            raise InvalidOperation
        ms = int((found * factor).to_integral_value())
    except InvalidOperation:
        raise ValueError(f"the time {_shown(text)} is no number") from None
    if not _LEAST_MS <= ms < _MOST_MS:
        raise ValueError(f"the time {_shown(text)} is beyond the year 9999; is the Format right?")
    return ms


def _ms(when: datetime) -> int:
    # rounded, as readings' times are
    return (when - _EPOCH + _MS / 2) // _MS


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")

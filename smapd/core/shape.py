"""What a stream is, apart from its name: shared by all streams of equal properties.

A hundred thousand streams have a handful of shapes between them: the JSON of Properties, the check
of a value and the reading of a time are looked up here, once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from smapd.values import DATA_TYPES

from .fitting import FITS, Fit
from .times import from_milliseconds, from_seconds

MAX_BUFFER: Final = 1_000_000
MAX_TEXT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The properties of a stream, checked, with what follows from them.

    :raises ValueError: for an unknown data type, a buffer size out of range, or text that cannot be
        sent.
    """

    unit: str | None
    data_type: str
    timezone: str
    timezone_given: bool
    buffersz: int
    milliseconds: bool
    properties: dict[str, str] = field(init=False, compare=False)
    fit: Fit = field(init=False, compare=False)
    to_ms: Callable[[Any], int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if self.data_type not in DATA_TYPES:
            raise ValueError(
                f"{self.data_type!r} is no data type; there are {', '.join(DATA_TYPES)}."
            )
        if isinstance(self.buffersz, bool) or not isinstance(self.buffersz, int):
            raise ValueError(f"A buffer size is a whole number, not {self.buffersz!r}.")
        if not 1 <= self.buffersz <= MAX_BUFFER:
            raise ValueError(f"A buffer holds 1 to {MAX_BUFFER} readings, not {self.buffersz}.")
        properties = {"ReadingType": self.data_type, "Timezone": text(self.timezone, "A timezone")}
        if self.unit is not None:
            properties["UnitofMeasure"] = text(self.unit, "A unit")
        object.__setattr__(self, "properties", properties)
        object.__setattr__(self, "fit", FITS[self.data_type])
        object.__setattr__(self, "to_ms", from_milliseconds if self.milliseconds else from_seconds)


def text(given: Any, what: str) -> str:
    """A text that can go out as JSON.

    :raises ValueError: naming ``what`` if it is none, is too long, or has no UTF-8 form.
    """
    if not isinstance(given, str):
        raise ValueError(f"{what} is text, not {type(given).__name__}.")
    try:
        size = len(given.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} has a lone surrogate, and so no UTF-8 form.") from None
    if size > MAX_TEXT_BYTES:
        raise ValueError(f"{what} has at most {MAX_TEXT_BYTES} bytes; this has {size}.")
    return str(given)

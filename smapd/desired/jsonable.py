"""What JSON can hold: checked strictly for resources, made to fit for logs.

The limits are those of whoever reads it behind us: integers of 64 bits, finite floats, text that is
UTF-8, keys that are text.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from typing import Any, Final

from twisted.python.failure import Failure

from smapd.runtime import attempt
from smapd.values import LONG_MAX, LONG_MIN, Json

MOST_DEEP: Final = 32
MOST_TEXT: Final = 32 * 1024
"""Letters of one text in a log; a resource's may be longer."""
MOST_PARTS: Final = 10_000
"""Values in one thing that is logged."""
MOST_LETTERS: Final = 256 * 1024
"""Letters in one thing that is logged."""


def as_json(value: Any, what: str) -> Json:
    """A copy of ``value`` in plain JSON types; ``what`` names it in the sentence.

    :raises ValueError: if JSON cannot hold it.
    """
    return _strict(value, what, 0)


def fitted(value: Any) -> Json:
    """A copy of ``value`` in plain JSON types, with text in place of what is none; never raises."""
    return _lenient(value, 0, [MOST_PARTS, MOST_LETTERS])


def text_of(value: object, most: int = MOST_TEXT) -> str:
    """``str(value)``, bounded, and UTF-8; the type's name if its ``str`` fails."""
    text = attempt(str, value)
    if isinstance(text, Failure):
        text = f"<{type(value).__name__} whose text fails: {type(text.value).__name__}>"
    return clean(text, most)


def clean(text: str, most: int = MOST_TEXT) -> str:
    """This text without what UTF-8 cannot hold, and not longer than ``most`` letters."""
    if len(text) > most:
        text = text[:most] + "…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _strict(value: Any, what: str, depth: int) -> Json:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, str):
        plain = str.__str__(value)
        if not plain.isascii():
            try:
                plain.encode("utf-8")
            except UnicodeEncodeError:
                raise ValueError(f"{what} holds text that is not UTF-8") from None
        return plain
    if isinstance(value, int):
        if not LONG_MIN <= value <= LONG_MAX:
            raise ValueError(f"{what} holds {str(value)[:40]}, which is more than 64 bits hold")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{what} holds {value}, which JSON has no word for")
        return float(value)
    if depth >= MOST_DEEP:
        raise ValueError(f"{what} is nested more than {MOST_DEEP} deep, or holds itself")
    if isinstance(value, list | tuple):
        return [_strict(one, f"{what}[{i}]", depth + 1) for i, one in enumerate(value)]
    if isinstance(value, Mapping):
        made = {}
        for key, one in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{what} has the key {text_of(key, 40)!r}, which is not text")
            made[_strict(key, what, depth + 1)] = _strict(one, f"{what}[{key!r}]", depth + 1)
        return made
    raise ValueError(f"{what} holds {_named(value)}")


def _named(value: object) -> str:
    """What a value is that JSON cannot hold, and what would do."""
    kind = type(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes: hand them to exporter.upload_file, and keep the hash that it gives"
    if isinstance(value, property | types.MemberDescriptorType | types.GetSetDescriptorType):
        return "a reference to a field of another class, not a value"
    if callable(value) and not isinstance(value, type):
        return f"{getattr(value, '__qualname__', 'a function')}, which was not called"
    if kind.__module__ == "builtins" or isinstance(value, type):
        return f"a value of type {kind.__name__}: it takes None, bool, int, float, str, list, dict"
    return f"an object of class {kind.__qualname__}, not a plain value of it"


def _lenient(value: Any, depth: int, left: list[int]) -> Json:
    left[0] -= 1
    if left[0] < 0:
        return "…"
    if value is None or type(value) is bool:
        return value
    if isinstance(value, str):
        return _within(clean(str.__str__(value)), left)
    if isinstance(value, int):
        fits = LONG_MIN <= value <= LONG_MAX
        return int(value) if fits else text_of(hex(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else float.__repr__(value)
    if depth < MOST_DEEP and left[0] > 0 and isinstance(value, list | tuple | Mapping):
        made = attempt(_lenient_parts, value, depth + 1, left)
        if not isinstance(made, Failure):  # a foreign container's own methods may raise
            return made
    return _within(text_of(value), left)


def _lenient_parts(value: Any, depth: int, left: list[int]) -> Json:
    if not isinstance(value, Mapping):
        return [_lenient(one, depth, left) for one in value[: left[0] + 1]]
    made: dict[str, Json] = {}
    for key, one in value.items():
        if left[0] <= 0:
            made["…"] = len(value)
            break
        made[_within(text_of(key, 200), left)] = _lenient(one, depth, left)
    return made


def _within(text: str, left: list[int]) -> str:
    most = max(0, left[1])
    left[1] -= len(text)
    return text if len(text) <= most else text[:most] + "…"

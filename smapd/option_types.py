"""The types of options that sections share: each ``type(text) -> value``.

A type's ValueError carries the sentence that the operator reads. Pure; any thread.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from smapd.texts import show
from smapd.values import LONG_MAX, LONG_MIN

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16}", re.ASCII)
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "b": 1} | {
    unit: 1024**n
    for n, letter in enumerate("kmgt", 1)
    for unit in (letter, letter + "b", letter + "ib")
}
_WORDS = {"yes": True, "true": True, "on": True, "1": True}
_WORDS |= {"no": False, "false": False, "off": False, "0": False}
_CENTURY_S = 100 * 366 * 86400.0


def integer(text: str) -> int:
    """A whole number within 64 bits, in digits or 0x….

    :raises ValueError: if it is anything else.
    """
    text = text.strip()
    if _INTEGER.fullmatch(text) is None:
        raise ValueError("not a whole number. Write digits, like 30.")
    value = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
    if not LONG_MIN <= value <= LONG_MAX:
        raise ValueError("beyond 64 bits. Write a smaller number.")
    return value


def number(text: str) -> float:
    """A finite number.

    :raises ValueError: if it is anything else, NaN and infinity too.
    """
    try:
        # float() takes the digits of every script; who reads the file may not
        value = float(text) if "_" not in text and text.isascii() else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("not a number. Write one like 0.5.")
    return value


def boolean(text: str) -> bool:
    """yes, true, on, 1 or no, false, off, 0, in any case.

    :raises ValueError: if it is anything else.
    """
    value = _WORDS.get(text.strip().lower())
    if value is None:
        raise ValueError("neither yes nor no. Write yes or no.")
    return value


def duration(text: str) -> float:
    """Seconds, from 500ms, 30s, 5m, 1h or 1d; a bare number is seconds.

    :raises ValueError: if it is anything else, negative, or longer than a century.
    """
    m = _NUMBER.fullmatch(text)
    factor = _SECONDS.get(m[2]) if m else None
    if m is None or factor is None:
        raise ValueError("not a duration. Write a number with ms, s, m, h or d, like 30s.")
    value = float(m[1]) * factor
    if value > _CENTURY_S:
        raise ValueError("longer than a hundred years. Write a shorter time, like 30d.")
    return value


def size(text: str) -> int:
    """Bytes, from 64KiB or 2GiB; a bare number is bytes, and k, M, G, KB, MB, GB count by 1024 too.

    :raises ValueError: if it is anything else, or beyond 64 bits.
    """
    m = _NUMBER.fullmatch(text)
    factor = _BYTES.get(m[2].lower()) if m else None
    if m is None or factor is None:
        raise ValueError("not a size. Write bytes, or a number with KiB, MiB or GiB, like 64KiB.")
    value = int(m[1]) * factor if m[1].isdigit() and len(m[1]) < 20 else float(m[1]) * factor
    if value > LONG_MAX:
        raise ValueError("beyond 64 bits. Write a smaller size.")
    return int(value)


def port(text: str) -> int:
    """A TCP or UDP port, 0 to 65535.

    :raises ValueError: if it is anything else.
    """
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError("not a port. Write a number from 0 to 65535.")
    return int(text)


def path(text: str) -> Path:
    """A file or directory, relative to the working directory; ``~`` is the home directory.

    :raises ValueError: if it is empty or holds a NUL.
    """
    if not text or "\0" in text:
        raise ValueError("not a path. Write the name of a file or directory.")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("no such user's home directory. Write the path in full.") from None


def uuid(text: str) -> UUID:
    """A uuid, 32 hexadecimal digits with or without dashes.

    :raises ValueError: if it is anything else.
    """
    try:
        value = UUID(text)
        # UUID() forgives braces, underscores and prefixes; what is dumped should read as written
        if value.hex == text.replace("-", "").lower():
            return value
    except ValueError:
        pass
    raise ValueError("not a uuid. Write one like 75503ac2-abf0-11e0-b7d6-0026bb56ec92.")


def url(*schemes: str) -> Callable[[str], str]:
    """The type of a URL with one of these schemes and a host; the value is the text.

    The type raises ValueError for another scheme, no host, a bad port or a blank in it.
    """

    def parse(text: str) -> str:
        return checked_url(text, schemes)

    parse.__name__ = "url"
    return parse


_TYPES: Final[Mapping[Any, Callable[[str], Any]]] = {int: integer, float: number, bool: boolean}


def type_of(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return _TYPES.get(kind, kind)


def label_of(kind: Callable[[Any], Any]) -> str:
    name: str = getattr(type_of(kind), "__name__", type(kind).__name__)
    return {"str": "text"}.get(name, name)


class ListOf:
    """The type of a comma list of one type; the value is a tuple. One element needs no comma."""

    takes_lists = True

    def __init__(self, element: Callable[[str], Any] = str) -> None:
        self.element = type_of(element)
        self.__name__ = "list of " + ("words" if element is str else label_of(element))

    def __call__(self, text: str | Sequence[str]) -> tuple[Any, ...]:
        parts = [text] if isinstance(text, str) else text
        return tuple(self.element(part) for part in parts if part != "")


words = ListOf(str)


def checked_url(text: str, schemes: Sequence[str]) -> str:
    sentence = (
        f"not a URL of scheme {' or '.join(schemes)}. Write one like {schemes[0]}://host/path."
    )
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  raises for a bad one
    except ValueError:
        raise ValueError(sentence) from None
    if parts.scheme not in schemes and "://" in text:
        known = " or ".join(schemes)
        raise ValueError(f"a URL of scheme {show(parts.scheme) or 'none'}; {known} is needed.")
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(sentence)
    if any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError("a URL with a blank or control character in it. Write it as %20.")
    return text

"""Files of Java properties: ``key=value`` a line, as java.util.Properties reads them, in UTF-8.

- ``=``, ``:`` or blanks end the key; blanks around that sign belong to neither.
- A line that is empty, or begins with ``#`` or ``!``, says nothing.
- An odd number of backslashes at the end of a line continues it on the next one, whose leading
  blanks are dropped. A comment is not continued.
- ``\\t \\n \\r \\f`` and ``\\uXXXX`` are what they are in Java; any other letter behind a
  backslash is itself. Two ``\\u`` halves of a surrogate pair make one letter.
- Of a key that comes twice the last value counts. The end of a line is LF, CR or both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANK = " \t\f"
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.|$)", re.DOTALL)
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_BOM = "\ufeff"


def parse_properties(text: str) -> dict[str, str]:
    """The keys and values of a properties file.

    :raises ValueError: with the line's number, for a ``\\u`` that is none.
    """
    found: dict[str, str] = {}
    for number, line in _logical_lines(text.removeprefix(_BOM)):
        key, value = _split(line)
        try:
            found[_plain(key)] = _plain(value)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of its first line, text) of each line that says something, continuations joined."""
    parts: list[str] = []
    first = 0
    for number, raw in enumerate(_LINE_ENDS.split(text), 1):
        line = raw.lstrip(_BLANK)
        if not parts:
            if not line or line[0] in "#!":
                continue
            first = number
        goes_on = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        parts.append(line[:-1] if goes_on else line)
        if not goes_on:
            yield first, "".join(parts)
            parts = []
    if parts:
        yield first, "".join(parts)


def _split(line: str) -> tuple[str, str]:
    at = 0
    while at < len(line) and line[at] not in "=:" + _BLANK:
        at += 2 if line[at] == "\\" else 1
    key, rest = line[:at], line[at:].lstrip(_BLANK)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANK)
    return key, rest


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    text = _ESCAPE.sub(_unescaped, text)
    try:  # the halves of a pair, written one by one
        return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be")
    except UnicodeDecodeError:
        raise ValueError("half of a surrogate pair. Write both \\u halves.") from None


def _unescaped(escape: re.Match[str]) -> str:
    what = escape[1]
    if len(what) == 5:
        return chr(int(what[1:], 16))
    if what == "u":
        raise ValueError("a \\u without four hexadecimal digits. Write \\u00fc, or two backslashes")
    return _LETTERS.get(what, what)

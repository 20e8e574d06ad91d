"""How a value stands in a config file: text or a comma list, quotes, and a comment behind it.

The rules are ConfigObj's. Its own expression for a value tries every way to pair the quotes, which
takes time without bound on a line of many quoted words with one mistake; this one goes from left
to right once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_PLAIN = re.compile(r"""[^'",#\s](?:[^,#\n]*[^,#\s])?""")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_AFTER_QUOTE = re.compile(r"\s*(?:[,#]|$)")


class Value(NamedTuple):
    """What stands behind the ``=``: text or a list of texts, and the comment with its ``#``."""

    value: str | list[str]
    comment: str


def split_value(text: str) -> Value:
    """Read one line's value.

    :raises ValueError: if quotes or commas do not match; the text is the sentence.
    """
    if "#" not in text and "," not in text and '"' not in text and "'" not in text:
        return Value(text.strip(), "")
    items: list[str] = []
    at, n, comma = 0, len(text), False
    while True:
        while at < n and text[at].isspace():
            at += 1
        if at == n or text[at] == "#":
            if comma or not items:
                break
            raise AssertionError("a value ends behind an item or a comma")
        if text[at] == ",":
            if items or text[at + 1 :].partition("#")[0].strip():
                raise ValueError("a comma with nothing before it. Write quotes around the value.")
            return Value([], text[at + 1 :].strip())
        item, at = _quoted(text, at) if text[at] in "'\"" else _bare(text, at)
        items.append(item)
        while at < n and text[at].isspace():
            at += 1
        if at == n or text[at] == "#":
            break
        at += 1
        comma = True
    comment = text[at:].strip()
    if comma:
        return Value(items, comment)
    return Value(items[0] if items else "", comment)


def write_value(value: str | Sequence[str]) -> str:
    """The text that ``split_value`` (or, over several lines, the reader) reads as this value.

    :raises ValueError: if a config file cannot hold it; the text says why.
    """
    if not isinstance(value, str):
        if not value:
            return ","
        return ", ".join(_quote(item) for item in value) + "," * (len(value) == 1)
    if "\n" in value or ('"' in value and "'" in value and not _is_plain(value)):
        _refuse_control(value)
        for quotes in ('"""', "'''"):
            # a quote at the end would run together with the closing ones
            if quotes not in value and not value.endswith(quotes[0]):
                return quotes + value + quotes
        raise ValueError("it holds both kinds of triple quotes.")
    return _quote(value)


def write_name(name: str, *, stop: str) -> str:
    """A key (``stop`` is "=") or section name (``stop`` is "]"), quoted where it must be.

    :raises ValueError: if a config file cannot hold it.
    """
    _refuse_control(name)
    if "\n" in name:
        raise ValueError("a name cannot hold a line break.")
    plain = name and name == name.strip() and name[0] not in "'\"#[" and stop not in name
    if plain:
        return name
    for quote in "\"'":
        # the expressions that read a name end it at the first quote that fits
        if name and quote not in name:
            return quote + name + quote
    raise ValueError("a name cannot hold both kinds of quotes.")


def _bare(text: str, at: int) -> tuple[str, int]:
    end = at
    while end < len(text) and text[end] not in ",#":
        end += 1
    return text[at:end].rstrip(), end


def _quoted(text: str, at: int) -> tuple[str, int]:
    """From the quote at ``at`` to the first one like it behind which an item may end."""
    end = text.find(text[at], at + 1)
    while end >= 0:
        if _AFTER_QUOTE.match(text, end + 1):
            return text[at + 1 : end], end + 1
        end = text.find(text[at], end + 1)
    raise ValueError("quotes that do not match. Write one pair around the whole value.")


def _is_plain(value: str) -> bool:
    return _PLAIN.fullmatch(value) is not None


def _quote(value: str) -> str:
    _refuse_control(value)
    if "\n" in value:
        raise ValueError("an item of a list cannot hold a line break.")
    if _is_plain(value):
        return value
    for quote in "\"'":
        if quote not in value:
            return quote + value + quote
    raise ValueError("an item of a list cannot hold both kinds of quotes.")


def _refuse_control(text: str) -> None:
    if _CONTROL.search(text):
        raise ValueError("a config file cannot hold control characters.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a config file cannot hold half of a surrogate pair.") from None

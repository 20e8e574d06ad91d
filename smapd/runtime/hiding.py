"""Takes secrets out of texts that a driver, or a library under it, wrote.

What a section was given as a secret may come back in an exception: a URL with its password, a line
of a protocol, a ``repr`` of the options. Who tells of it, tells it through ``hider``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlsplit

from smapd.errors import SecretUnreadable
from smapd.options import SECRETIVE, Secret, SecretUrl

Hide = Callable[[str], str]
"""A text without the secrets in it; any thread."""

LEAST: Final = 4
"""Characters of a secret that can be looked for; a shorter one would take words apart."""


def shown_as_is(text: str) -> str:
    """For who has no secrets."""
    return text


def hider(options: Mapping[str, Any]) -> Hide:
    """What takes the secrets among these resolved options out of a text.

    A value of type ``secret`` is one, and a text whose key is named like one. As written, as
    ``repr`` and JSON write it, and quoted for a URL.
    """
    found: set[str] = set()
    for key, value in options.items():
        _collect(key, value, found)
    # of a secret within another the longer one goes first
    wanted = sorted((text for text in found if len(text) >= LEAST), key=len, reverse=True)
    if not wanted:
        return shown_as_is
    pattern = re.compile("|".join(map(re.escape, wanted)))
    return lambda text: pattern.sub("***", text)


def _collect(key: str, value: Any, found: set[str]) -> None:
    if isinstance(value, Mapping):
        for below, held in value.items():
            _collect(str(below), held, found)
    elif isinstance(value, (list, tuple)):
        for held in value:
            _collect(key, held, found)
    elif isinstance(value, Secret):
        try:
            text = value.reveal()
        except SecretUnreadable:
            return
        _add(text, found)
        if isinstance(value, SecretUrl):
            parts = urlsplit(text)
            for part in (parts.password, parts.query, parts.path.strip("/")):
                if part:
                    _add(part, found)
    elif isinstance(value, str) and SECRETIVE.search(key):
        _add(value, found)


def _add(text: str, found: set[str]) -> None:
    quoted = quote(text, safe=""), quote(text), quote_plus(text)
    found |= {text, repr(text)[1:-1], json.dumps(text)[1:-1], *quoted}

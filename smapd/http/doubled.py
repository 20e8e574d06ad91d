"""Finds a key that an object of a JSON body has twice.

The parser keeps the last of them and drops the others, and with them their readings, so such a
body is refused. Whether there is one follows from two numbers, without parsing again: outside of
its strings a text has one colon for each key; what was parsed has one key less for each doubled.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, Final

from smapd.errors import BadRequest

NAMED_UP_TO: Final = 64 * 1024
"""Bytes; in a longer body the key is not looked for, since that takes a slow parser."""

# possessive, so that a long text takes no stack
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STRINGS: Final = re.compile(rb'(?:[^"]*+"(?:[^"\\]++|\\.)*+"){1,4096}+', re.DOTALL)


def check_keys(text: bytes, value: Any) -> None:
    """Return if no object in ``text`` has a key twice; ``value`` is what it was parsed to.

    :raises BadRequest: naming the key, unless the text is long.
    """
    # Each is at least the one before it and at most all colons, so the cheap ones mostly settle it:
    # 4 ms for 16 MB of readings. A URL in the metadata makes it 20.
    keys = _count(value, in_lists=False)
    if keys == text.count(b":"):
        return
    colons = _colons(text)
    if keys == colons or _count(value, in_lists=True) == colons:
        return
    name = _find(text) if len(text) <= NAMED_UP_TO else None
    what = "a key" if name is None else f"the key {name[:100]!r}"
    raise BadRequest(
        f"The body has {what} twice in one object; only the last would count.",
        hint="Give each key once: all readings of a path in one list.",
    )


def _count(value: Any, in_lists: bool) -> int:
    """How many keys the objects in this value have; ``in_lists``: those in lists too."""
    count = 0
    todo = [value]
    while todo:
        value = todo.pop()
        if value.__class__ is dict:
            count += len(value)
            value = value.values()
        elif not in_lists or value.__class__ is not list:
            continue
        todo += [one for one in value if one.__class__ is dict or one.__class__ is list]
    return count


def _colons(text: bytes) -> int:
    """The colons of a sound JSON text that stand outside of its strings."""
    count = at = 0
    while some := _STRINGS.match(text, at):  # some at a time: a list of all is as large as 600 MB
        count += _STRING.sub(b"", some[0]).count(b":")
        at = some.end()
    return count + text.count(b":", at)


def _find(text: bytes) -> str | None:
    """The first key that an object of this text has twice; None if the parser gives up."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found.append(name)
                return
            seen.add(name)

    # what it stumbles over, like a thousand brackets, costs the name alone
    with suppress(ValueError, RecursionError):
        json.loads(text, object_pairs_hook=look)
    return found[0] if found else None

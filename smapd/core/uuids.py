"""The uuid of a stream: version 5 of a namespace and a key, byte for byte as sMAP makes it.

A key in a config file is hashed as UTF-8. A key that a driver hands over is hashed as Python 2's
``unicode-escape`` once it is not ASCII (``café`` as ``caf\\xe9``); ASCII keys are the same in both.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from uuid import UUID

UTF_8 = "utf-8"
UNICODE_ESCAPE = "unicode-escape"
MAX_KEY_CHARACTERS = 4096

# UUID() alone takes blanks and underscores too.
_SPELLED = re.compile(r"(urn:uuid:)?\{?[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}\}?")

_KEEP = ~((0xF << 76) | (0x3 << 62))
_VERSION_5 = (5 << 76) | (0x2 << 62)


def stream_uuid(namespace: UUID, key: str | bytes, encoding: str = UNICODE_ESCAPE) -> UUID:
    """uuid5 of a namespace and a key; from any thread.

    ``encoding`` (``unicode-escape`` or ``utf-8``) matters for keys beyond ASCII alone.

    :raises ValueError: for an empty or overlong key, or one without UTF-8 form.
    """
    if not key or len(key) > MAX_KEY_CHARACTERS:
        raise ValueError(f"A key has 1 to {MAX_KEY_CHARACTERS} characters; this has {len(key)}.")
    if isinstance(key, str):
        key = key.encode("ascii" if key.isascii() else encoding)
    digest = hashlib.sha1(namespace.bytes + key, usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16], "big") & _KEEP | _VERSION_5)


def as_uuid(given: Any, what: str) -> UUID:
    """A uuid given as such or as text.

    :raises ValueError: naming ``what`` and the text that is no uuid.
    """
    if isinstance(given, UUID):
        return given
    if isinstance(given, str) and (found := text_as_uuid(given)) is not None:
        return found
    raise ValueError(
        f"{what} {str(given)[:100]!r} is not a uuid; "
        "one looks like 75503ac2-abf0-11e0-b7d6-0026bb56ec92 (make one with: uuid)."
    )


def text_as_uuid(text: str) -> UUID | None:
    """The uuid that a text spells, with or without dashes, braces or ``urn:uuid:``; else None."""
    return UUID(text) if _SPELLED.fullmatch(text) else None

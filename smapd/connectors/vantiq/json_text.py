"""JSON as it goes out: fast for what is plain, lenient as the standard library for the rest."""

from __future__ import annotations

import json
from typing import Any

import orjson

_LENIENT = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def encode(value: Any) -> bytes:
    """JSON in UTF-8; keys that are no text become text, arrays of numpy become lists.

    :raises ValueError: if it cannot be told in JSON, with a sentence that says why.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass
    try:
        return orjson.dumps(value, option=_LENIENT)
    except TypeError as error:
        why = str(error)
    try:  # whole numbers beyond 64 bits
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"it cannot be told in JSON: {why}") from None

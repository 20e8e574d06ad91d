"""JSON out: orjson, and for what it does not take the standard library, so that GET never fails."""

from __future__ import annotations

import json
from typing import Any

import orjson


def encode(value: Any) -> bytes:
    """``value`` as JSON in UTF-8; NaN and infinity become null, as orjson has it."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # a driver's metadata may hold anything: integers beyond 64 bits, half a surrogate pair
        return json.dumps(_plain(value), default=str).encode("ascii")


def _plain(value: Any) -> Any:
    """``value`` with text for keys, and without what JSON has no word for."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value

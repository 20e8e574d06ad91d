"""Metadata: nested dicts of JSON values, never changed in place.

``{"Extra/Foo": "bar"}`` and ``{"Extra": {"Foo": "bar"}}`` say the same. Each change makes a new
dict; equal ones are shared between nodes, since whole racks of streams carry the same words.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from smapd.values import Json

from .fitting import kind_of
from .shape import text

MAX_DEPTH: Final = 16
MAX_KEYS: Final = 10_000
POOL_SIZE: Final = 4096

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


class MetadataPool:
    """Gives equal metadata as one dict; forgets all when full. One for each tree; home thread."""

    def __init__(self) -> None:
        self._known: dict[Any, dict[str, Json]] = {}

    def share(self, metadata: dict[str, Json]) -> dict[str, Json] | None:
        """An equal dict seen before, else this one; None for an empty one."""
        if not metadata:
            return None
        if len(self._known) >= POOL_SIZE:
            self._known.clear()
        return self._known.setdefault(_frozen(metadata), metadata)


def spread(changes: Any) -> dict[str, Json]:
    """Checked and nested: every ``a/b`` key split, every value one that JSON can hold.

    None as a value stays: it asks `merged` to take the key away.

    :raises ValueError: naming the key.
    """
    if not isinstance(changes, Mapping):
        raise ValueError(f"Metadata is a dict like {{'Extra/Foo': 'bar'}}, not {kind_of(changes)}.")
    nested: dict[str, Json] = {}
    _spread(changes, nested, (), [MAX_KEYS])
    return nested


def merged(old: Mapping[str, Json] | None, changes: Mapping[str, Json]) -> dict[str, Json]:
    """A new dict: ``old`` with ``changes`` (from `spread`) over it.

    Groups are merged, anything else is replaced, and None takes a key away, with the group that it
    leaves empty.
    """
    result = dict(old or {})
    for key, value in changes.items():
        if isinstance(value, dict):
            before = result.get(key)
            group = merged(before if isinstance(before, dict) else None, value)
            if group:
                result[key] = group
            else:
                result.pop(key, None)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def inherited(chain: Iterable[Mapping[str, Json] | None]) -> dict[str, Json]:
    """What applies at the end of a chain of nodes, root first: the nearer wins."""
    result: dict[str, Json] = {}
    for metadata in chain:
        if metadata:
            result = merged(result, metadata)
    return result


def _spread(
    given: Mapping[Any, Any], into: dict[str, Json], above: tuple[str, ...], room: list[int]
) -> None:
    for key, value in given.items():
        if not isinstance(key, str):
            raise ValueError(f"A metadata key is text, not {kind_of(key)}.")
        names = key.split("/")
        where = "/".join((*above, key))[:100]
        text(key, f"The metadata key {where!a}")
        if not all(names):
            raise ValueError(f"The metadata key {where!r} has an empty part; write Extra/Foo.")
        if len(above) + len(names) > MAX_DEPTH:
            raise ValueError(f"The metadata key {where!r} is deeper than {MAX_DEPTH} levels.")
        room[0] -= 1
        if room[0] < 0:
            raise ValueError(f"Metadata of one call has at most {MAX_KEYS} keys.")
        group = into
        for name in names[:-1]:
            below = group.get(name)
            if not isinstance(below, dict):
                below = group[sys.intern(name)] = {}
            group = below
        last = sys.intern(names[-1])
        if isinstance(value, Mapping):
            below = group.get(last)
            if not isinstance(below, dict):
                below = group[last] = {}
            _spread(value, below, (*above, *names), room)
        else:
            group[last] = _json(value, where, MAX_DEPTH)


def _json(value: Any, where: str, depth: int) -> Json:
    """A copy of the value in plain JSON types."""
    if hasattr(value, "dtype"):  # numpy
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value, f"Metadata {where}")
    if isinstance(value, int):
        if _INT_MIN <= value <= _INT_MAX:
            return int(value)
        raise ValueError(f"Metadata {where} is a number of more than 64 bits.")
    if isinstance(value, float):
        if isfinite(value):
            return float(value)
        raise ValueError(f"Metadata {where} is {value!r}, which JSON cannot hold.")
    if isinstance(value, list | tuple | Mapping):
        if depth <= 0 or len(value) > MAX_KEYS:
            raise ValueError(f"Metadata {where} is too deep or too long.")
        if isinstance(value, Mapping):
            for key in value:
                text(key, f"A key in metadata {where}")
            return {str(k): _json(v, where, depth - 1) for k, v in value.items()}
        return [_json(v, where, depth - 1) for v in value]
    raise ValueError(f"Metadata {where} is {kind_of(value)}, which JSON cannot hold.")


def _frozen(value: Json) -> Any:
    """A hashable twin; the type tells True from 1 from 1.0, and the order of keys counts."""
    if isinstance(value, dict):
        return tuple([(k, _frozen(v)) for k, v in value.items()])
    if isinstance(value, list):
        return (list, *map(_frozen, value))
    return (type(value), value)

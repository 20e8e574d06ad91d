"""Ids of assets, and the patterns that select them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from smapd.errors import BadRequest

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PATTERN: Final = re.compile(r"[A-Za-z0-9._:*?-]{1,128}")
MOST_PATTERNS: Final = 10_000


def asset_id(value: Any) -> str:
    """The value, if it is an asset's id.

    :raises BadRequest: if it is none.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise BadRequest(
            f"{str(value)[:60]!r} is no asset id; "
            "one has 1 to 128 letters, digits, '.', '_', ':' or '-'."
        )
    return value


class Patterns:
    """Ids, and patterns in which ``*`` stands for any letters and ``?`` for one."""

    __slots__ = ("_all", "_exact", "_regex", "_texts")

    def __init__(self, texts: Iterable[str]) -> None:
        """:raises BadRequest: naming one that is no pattern."""
        self._texts = tuple(texts)
        for one in self._texts:
            if not _PATTERN.fullmatch(one):
                raise BadRequest(
                    f"{one[:60]!r} is no asset id or pattern: one has 1 to 128 letters, digits, "
                    "'.', '_', ':', '-', and '*' or '?' for any letters or one."
                )
        self._all = "*" in self._texts
        wild = [one for one in self._texts if "*" in one or "?" in one]
        self._exact = frozenset(self._texts) - frozenset(wild)
        found = "|".join(
            re.escape(one).replace(r"\*", ".*").replace(r"\?", ".") for one in sorted(set(wild))
        )
        self._regex = re.compile(found) if wild else None

    def __contains__(self, asset: str) -> bool:
        return (
            self._all
            or asset in self._exact
            or (self._regex is not None and self._regex.fullmatch(asset) is not None)
        )

    def __str__(self) -> str:
        return ", ".join(self._texts)

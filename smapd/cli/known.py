"""What a daemon holds of a stream already, so that an import adds only what is missing.

Asked with ``GET /data/PATH?from&limit&quality=1``, in pages; what was answered is kept, so a stream
whose past is empty is asked about once. A reading is the same as another of its stream if time and
value are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from smapd.values import LONG_MAX, Quality, Value

from .peer import Peer

PAGE: Final = 10_000
"""Readings of one answer, where few streams are loaded; of many streams each answer is shorter."""
_LEAST: Final = 100
_MOST: Final = 1_000_000  # readings remembered, all streams together

_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Item(NamedTuple):
    """One reading on its way in. ``quality``: None for good."""

    ms: int
    value: Value
    quality: Quality | None = None
    seqno: int | None = None


class _Past:
    """What is known of one stream: all of ``low <= ms < high``."""

    __slots__ = ("high", "low", "there")

    def __init__(self, low: int, high: int, there: set[tuple[int, object]]) -> None:
        self.low, self.high, self.there = low, high, there


class Known:
    """What one daemon holds."""

    def __init__(self, daemon: Peer) -> None:
        self._daemon = daemon
        self._pasts: dict[str, _Past] = {}
        self._size = 0

    def missing(self, path: str, items: Sequence[Item]) -> list[Item]:
        """Those of ``items`` (ordered by time) that the daemon does not hold.

        :raises SmapError: if it does not say.
        """
        left = []
        past = self._pasts.get(path)
        for item in items:
            if past is None or not past.low <= item.ms < past.high:
                past = self._ask(path, item.ms)
            if (item.ms, _key(item.value)) not in past.there:
                left.append(item)
        return left

    def forget(self, paths: Iterable[str]) -> None:
        """Ask anew about these: what was sent may have got there, or not."""
        for path in paths:
            past = self._pasts.pop(path, None)
            self._size -= len(past.there) if past is not None else 0

    def _ask(self, path: str, low: int) -> _Past:
        self.forget([path])
        if self._size > _MOST:
            self._pasts.clear()
            self._size = 0
        limit = min(PAGE, max(_LEAST, _MOST // (len(self._pasts) + 1)))
        answer = self._daemon.get("/data" + path, {"from": low, "limit": limit, "quality": 1})
        there = {(ms, _key(value)) for ms, value in _readings(answer) if ms >= low}
        following = answer.get("Next") if isinstance(answer, Mapping) else None
        high = LONG_MAX + 1 if following is None else max(int(following), low + 1)
        past = self._pasts[path] = _Past(low, high, there)
        self._size += len(there)
        return past


def _readings(answer: Any) -> Iterable[tuple[int, Value]]:
    if not isinstance(answer, Mapping):
        return
    rows = answer.get("Readings")
    if not isinstance(rows, list):
        return
    unsaid = {i: _WORDS.get(word) for i, word in answer.get("NonFinite") or ()}
    for i, row in enumerate(rows):
        yield row[0], unsaid.get(i) if row[1] is None else row[1]


def _key(value: Value) -> object:
    """The value, so that it can be looked up: NaN is not equal to itself."""
    return "NaN" if isinstance(value, float) and math.isnan(value) else (value,)

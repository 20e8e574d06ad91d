"""Readings of the past: ``GET /data/PATH?from&to&limit&order``, read from the journal.

``from`` and ``to`` are milliseconds since 1970 or ISO 8601 with a zone; ``from`` belongs to the
range, ``to`` does not. ``limit`` is 1,000 unless given, 10,000 at most, 200 of texts. ``order`` is
asc or desc. The answer is the node's, with the readings of the range; ``Next`` is there if more
follow, and is what to give as ``from`` (as ``to``, with order=desc) to get them. With ``gaps=1``,
``Gaps`` tells what is missing: ``[{From: [seq, ms], To: [seq, ms], Count, Why}]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from smapd.errors import BadRequest
from smapd.values import Gap, Json, Reading

USUAL: Final = 1_000
MOST: Final = 10_000
MOST_TEXTS: Final = 200
_KEYS: Final = (b"from", b"to", b"limit", b"order", b"gaps")
_FAR_MS: Final = 2**63 - 1
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """What is asked of one stream's past; times in ms UTC, ``to_ms`` not among them."""

    from_ms: int
    to_ms: int
    limit: int
    newest_first: bool
    gaps: bool


def wanted(args: Mapping[bytes, Sequence[bytes]] | None) -> Range | None:
    """The range that a query asks for; None if it asks for none.

    :raises BadRequest: naming the argument that cannot be read.
    """
    if not args or not any(key in args for key in _KEYS):
        return None
    order = _first(args, b"order") or "asc"
    if order not in ("asc", "desc"):
        raise BadRequest(f"order = {order[:20]}: write asc or desc.")
    limit = _first(args, b"limit") or str(USUAL)
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= MOST:
        raise BadRequest(f"limit = {limit[:20]}: write a number from 1 to {MOST}.")
    start = _time(args, b"from", -_FAR_MS)
    end = _time(args, b"to", _FAR_MS)
    if start >= end:
        raise BadRequest("from is not before to; the range is empty.")
    return Range(start, end, int(limit), order == "desc", _first(args, b"gaps") == "1")


def page(
    asked: Range, readings: list[Reading], gaps: list[Gap]
) -> tuple[list[Reading], dict[str, Json]]:
    """The readings to show of one more than asked for, and the keys beside them.

    Readings of one millisecond are not parted, so that ``Next`` neither repeats nor skips one;
    where a page holds nothing else they are, and what is beyond the limit cannot be had by it.
    """
    beside: dict[str, Json] = {}
    shown = readings
    if len(readings) > asked.limit:
        edge = readings[asked.limit].ms
        shown = [reading for reading in readings[: asked.limit] if reading.ms != edge]
        if not shown:
            shown = readings[: asked.limit]
            edge += 0 if asked.newest_first else 1
        elif asked.newest_first:
            edge += 1
        beside["Next"] = edge
    if asked.gaps:
        beside["Gaps"] = [
            {
                "From": [gap.from_seq, gap.from_ms],
                "To": [gap.to_seq, gap.to_ms],
                "Count": gap.count,
                "Why": gap.why,
            }
            for gap in gaps
        ]
    return shown, beside


def _first(args: Mapping[bytes, Sequence[bytes]], key: bytes) -> str:
    found = args.get(key)
    return found[0].decode("utf-8", "replace") if found else ""


def _time(args: Mapping[bytes, Sequence[bytes]], key: bytes, default: int) -> int:
    text = _first(args, key)
    if not text:
        return default
    if _NUMBER.fullmatch(text):
        return int(text)
    try:
        # a plus sign in a query stands for a blank
        when = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise BadRequest(
            f"{key.decode()} = {text[:40]}: not a time.",
            hint="Write milliseconds since 1970, or ISO 8601 with a zone, like 2026-03-01T12:00Z.",
        )
    return round(when.timestamp() * 1000)

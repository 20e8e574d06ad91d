"""What an HTTP answer means for the readings that were sent.

| status | outcome |
| --- | --- |
| 200, 201, 204 | ``Accepted`` |
| 413 | ``TooLarge`` |
| 400, 415, 422 | ``Refused``: the sink took offence at this body |
| any other, 202 and every redirect among them | ``Retry`` |

A redirect is not followed: it could lead anywhere, and whoever moved must be named in the config.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

from smapd.values import Accepted, Outcome, Refused, Retry, TooLarge

SUCCESS: Final = frozenset({200, 201, 204})
_REFUSED: Final = frozenset({400, 415, 422})

LONGEST_PAUSE_S: Final = 3600.0
"""What a sink may ask for at most: beyond that, a mistake of its would stop us for good."""

_SHOWN: Final = 200  # letters of an error body


def outcome(status: int, phrase: str, body: str, retry_after: str | None, now_ms: int) -> Outcome:
    """What became of a body, by the answer. ``body`` and ``phrase`` without secrets."""
    if status in SUCCESS:
        return Accepted()
    why = f"it answered {status}"
    if told := phrase.strip() or _PHRASES.get(status, ""):
        why += f" {_line(told)}"
    if 300 <= status < 400:
        why += ": a redirect, which is not followed. Name the new place in ReportDeliveryLocation"
    elif status == 202:
        why += ": only 200, 201 and 204 say that it keeps the readings"
    if text := _line(body):
        why += f": {text}"
    if status == 413:
        return TooLarge(why)
    if status in _REFUSED:
        return Refused(why, status)
    return Retry(pause_s(retry_after, now_ms), why, status)


def pause_s(retry_after: str | None, now_ms: int) -> float | None:
    """The pause that a Retry-After header asks for, at most an hour; None if it asks for none.

    It holds seconds, or a date, which is taken against our wall clock.
    """
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), LONGEST_PAUSE_S)
    try:
        until_ms = parsedate_to_datetime(text).timestamp() * 1000
    except (ValueError, OverflowError):
        return None
    return min(max((until_ms - now_ms) / 1000, 0.0), LONGEST_PAUSE_S)


def _line(text: str) -> str:
    """The text in one line that can be printed, not too long."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


_PHRASES: Final = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

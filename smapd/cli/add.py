"""Adds one reading to a timeseries of a running daemon."""

from __future__ import annotations

import argparse
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from smapd.errors import BadPath, BadRequest, SmapError
from smapd.values import wall_ms

from . import peer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``add``."""
    # By itself argparse takes -1e5 and -inf for options.
    parser._negative_number_matcher = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)
    parser.add_argument("path", metavar="PATH", help="path of the timeseries, like /hall/meter")
    parser.add_argument("value", metavar="VALUE", help="number, or text for a string series")
    parser.add_argument(
        "--time",
        metavar="T",
        help="seconds since 1970, or a date and time with zone, like 2026-11-20T09:00:00Z; "
        "else now",
    )
    peer.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Add it, and print what was added.

    :raises SmapError: if the path, value or time does not fit, or no daemon answers.
    """
    path = _path(args.path)
    ms = wall_ms() if args.time is None else time_ms(args.time)
    daemon = peer.find(args)
    found = daemon.get("/data" + path)
    if not isinstance(found, dict) or not found.keys() & {"Readings", "Contents"}:
        raise peer.stranger(daemon.url, f"it tells nothing of {path}")
    if "Readings" not in found:
        raise BadRequest(f"{path} is a collection; a reading goes to a timeseries.")
    data_type = found.get("Properties", {}).get("ReadingType", "long")
    value = parse_value(args.value, data_type, path)
    daemon.post("/readings", {path: _body(ms, value)})
    shown = value if isinstance(value, str) else str(value).lower()
    when = (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    print(f"{path} {peer.printable(shown)} at {when.replace('+00:00', 'Z')}")
    return 0


def parse_value(text: str, data_type: str, path: str) -> int | float | str:
    """The text as a value of that ReadingType; true and false fit where numbers do.

    :raises BadRequest: if it does not fit.
    """
    if data_type == "string":
        if not _is_utf8(text):
            raise BadRequest(f"{path} takes UTF-8 text, not {text!r}.")
        return text
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    kind, parse = ("number", float) if data_type == "double" else ("whole number", int)
    try:
        if "_" in word or not word.isascii():  # Python reads 1_0, and the digits of every script
            raise ValueError
        return parse(word)
    except ValueError:
        raise BadRequest(f"{path} takes a {kind} ({data_type}), not {text!r}.") from None


def time_ms(text: str) -> int:
    """Milliseconds since 1970 from seconds, or from an ISO date and time that names its zone.

    :raises BadRequest: if it is neither, or beyond the years 1 to 9999.
    """
    try:
        seconds = Decimal(text if text.isascii() and "_" not in text else "NaN")
        if seconds.is_finite() and abs(seconds) < 10**12:
            ms = int((seconds * 1000).to_integral_value())
            _EPOCH + timedelta(milliseconds=ms)
            return ms
    except InvalidOperation:
        pass
    except OverflowError:
        raise BadRequest(f"--time {text}: beyond the year 9999; are these seconds?") from None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(
            f"--time {text}: neither seconds since 1970 nor like 2026-11-20T09:00:00Z."
        ) from None
    if when.tzinfo is None:
        raise BadRequest(f"--time {text}: names no zone; add Z or one like +01:00.")
    return (when - _EPOCH) // timedelta(milliseconds=1)


def _path(text: str) -> str:
    names = [name for name in text.split("/") if name]
    path = "/" + "/".join(names)
    if not names or any(name.startswith("+") for name in names):
        raise BadPath(f"{text!r} is not the path of a timeseries.")
    if not _is_utf8(path):
        raise SmapError(f"{text!r} is not UTF-8 text.")
    return path


def _is_utf8(text: str) -> bool:
    """False for an argument of other bytes, in whose place Python puts halves of letters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _body(ms: int, value: Any) -> dict[str, Any]:
    """JSON has no NaN and no infinity: null, and the word beside it."""
    if isinstance(value, float) and not math.isfinite(value):
        word = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return {"Readings": [[ms, None]], "NonFinite": [[0, word]]}
    return {"Readings": [[ms, value]]}

"""Prints JSON for people: sorted keys, one value a line; ``curl -s URL | jprint``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from .output import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``jprint``."""
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="- or nothing: stdin")


def run(args: argparse.Namespace) -> int:
    """Print it; 1 if it cannot be read or is not JSON."""
    try:
        if args.file == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(args.file, "rb") as f:
                data = f.read()
    except OSError as e:
        return _failed(f"{args.file}: {e.strerror or e}.")
    if not data.strip():
        return _failed("there is nothing to print; is the daemon running?")
    try:
        value = json.loads(data, parse_constant=_no_number, parse_float=_finite)
        text = _text(value, sys.stdout.encoding or "ascii")
    except (ValueError, RecursionError) as e:
        return _failed(f"this is not JSON: {_reason(e, data)}.")
    print(text)
    return 0


def jprint(argv: Sequence[str] | None = None) -> int:
    """The ``jprint`` command; its exit status."""
    from .exits import guarded

    parser = argparse.ArgumentParser(prog="jprint", description=__doc__)
    arguments(parser)
    return guarded(lambda: run(parser.parse_args(argv)), "jprint")


def _text(value: Any, encoding: str) -> str:
    """The value printed; what this encoding has no letter for is escaped, and still JSON."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, indent=2, sort_keys=True)
    return text


def _no_number(word: str) -> Any:
    """NaN, Infinity and -Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"it holds {word}")


def _finite(digits: str) -> float:
    """A number with a fraction or exponent; one beyond a double would be printed as Infinity."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"it holds {digits[:40]}, which is beyond a double")
    return value


def _failed(sentence: str) -> int:
    say(f"jprint: {sentence}")
    return 1


def _reason(e: Exception, data: bytes) -> str:
    """What stands there instead: most often an error page, which says more than a column."""
    if isinstance(e, RecursionError):
        return "it is nested too deeply"
    if isinstance(e, UnicodeError):
        return "it is not UTF-8 text"
    start = "".join(c if c.isprintable() else " " for c in data[:60].decode("utf-8", "replace"))
    return f"{e}; it begins with {start!r}"

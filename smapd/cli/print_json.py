"""Prints JSON for people: sorted keys, one value a line; ``curl -s URL | jprint``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any


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
    except KeyboardInterrupt:
        return 130
    if not data.strip():
        return _failed("there is nothing to print; is the daemon running?")
    try:
        value = json.loads(data)
        text = _text(value, sys.stdout.encoding or "ascii")
    except (ValueError, RecursionError) as e:
        return _failed(f"this is not JSON: {_reason(e, data)}.")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def jprint(argv: Sequence[str] | None = None) -> int:
    """The ``jprint`` command; its exit status."""
    parser = argparse.ArgumentParser(prog="jprint", description=__doc__)
    arguments(parser)
    return run(parser.parse_args(argv))


def _text(value: Any, encoding: str) -> str:
    """The value printed; what this encoding has no letter for is escaped, and still JSON."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, indent=2, sort_keys=True)
    return text


def _failed(sentence: str) -> int:
    print(f"jprint: {sentence}", file=sys.stderr)
    return 1


def _reason(e: Exception, data: bytes) -> str:
    """What stands there instead: most often an error page, which says more than a column."""
    if isinstance(e, RecursionError):
        return "it is nested too deeply"
    if isinstance(e, UnicodeError):
        return "it is not UTF-8 text"
    start = "".join(c if c.isprintable() else " " for c in data[:60].decode("utf-8", "replace"))
    return f"{e}; it begins with {start!r}"

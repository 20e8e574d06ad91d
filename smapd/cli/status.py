"""Shows what a running daemon does, and what does not run as it should; its counters by --all."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from . import peer
from .summary import summary

_FIRST: Final = ("daemon", "drivers", "tree", "reports", "journal", "http", "actuation", "jobs")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``status``."""
    peer.arguments(parser)
    parser.add_argument("--all", action="store_true", help="every counter and state there is")
    parser.add_argument("--json", action="store_true", help="as the daemon gives it")


def run(args: argparse.Namespace) -> int:
    """Print it.

    :raises NotRunning: if no daemon answers.
    :raises SmapError: if what answers is none.
    """
    daemon = peer.find(args)
    found = daemon.get("/status")
    if not isinstance(found, dict) or not isinstance(found.get("daemon"), dict):
        raise peer.stranger(daemon.url, "it tells no status of a daemon")
    if args.json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return 0
    print(daemon.url)
    for line in lines(ordered(found), 1) if args.all else summary(found):
        print(line)
    return 0


def ordered(found: Mapping[str, Any]) -> dict[str, Any]:
    """Its sections, what people look for first; the daemon has them as its parts were made."""
    first = {name: found[name] for name in _FIRST if name in found}
    return first | {name: value for name, value in found.items() if name not in first}


def lines(value: Any, depth: int = 0) -> Iterator[str]:
    """A JSON value for people: one fact a line, what is nested two blanks further in."""
    indent = "  " * depth
    if isinstance(value, dict):
        for key, inner in value.items():
            name = peer.printable(str(key))
            if _is_plain(inner):
                yield f"{indent}{name}: {_plain(inner)}"
            else:
                yield f"{indent}{name}:"
                yield from lines(inner, depth + 1)
    elif isinstance(value, list) and not _is_plain(value):
        for inner in value:
            for i, line in enumerate(lines(inner, depth + 1)):
                yield line if i else f"{indent}- {line[len(indent) + 2 :]}"
    else:
        yield indent + _plain(value)


def _is_plain(value: Any) -> bool:
    """Whether it fits on the line of its key."""
    if isinstance(value, list):
        return not any(isinstance(inner, list | dict) for inner in value)
    return not isinstance(value, dict) or not value


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value in (None, "", {}) else peer.printable(str(value))

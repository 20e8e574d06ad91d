"""Prints a new uuid for a root; or, from a root's uuid and a key, the uuid of that stream."""

from __future__ import annotations

import argparse
import uuid as uuids
from collections.abc import Sequence

from .output import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``uuid``."""
    parser.add_argument(
        "stream",
        nargs="*",
        metavar="ROOT KEY",
        help="uuid of the root (or of a driver's section) and the stream's key",
    )


def run(args: argparse.Namespace) -> int:
    """Print it; 2 if the arguments are not those of a stream."""
    if not args.stream:
        print(uuids.uuid4())
        return 0
    if len(args.stream) != 2:
        say("uuid: give no argument, or ROOT and KEY.")
        return 2
    root, key = args.stream
    try:
        namespace = uuids.UUID(root) if root.isascii() else None
    except ValueError:
        namespace = None
    if namespace is None:
        say(f"uuid: {root!r} is not a uuid.")
        return 2
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        say(f"uuid: {key!r} is not UTF-8 text.")
        return 2
    print(uuids.uuid5(namespace, key))
    return 0


def uuid(argv: Sequence[str] | None = None) -> int:
    """The ``uuid`` command; its exit status."""
    from .exits import guarded

    parser = argparse.ArgumentParser(prog="uuid", description=__doc__)
    arguments(parser)
    return guarded(lambda: run(parser.parse_args(argv)), "uuid")

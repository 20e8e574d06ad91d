"""Commands that have commands of their own, as in ``smapd asset add``."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def subcommands(
    parser: argparse.ArgumentParser, common: Callable[[argparse.ArgumentParser], object]
) -> Callable[[str, str], argparse.ArgumentParser]:
    """What adds one, by name and one line of help; ``common``: adds the arguments all of them have.

    Which was given stands in ``args.what``.
    """
    parsers = parser.add_subparsers(dest="what", metavar="WHAT", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        one = parsers.add_parser(name, help=text, description=text, allow_abbrev=False)
        common(one)
        return one

    return add

"""Prints a config file in normal form: without defaults, quoted where needed, no secret."""

from __future__ import annotations

import argparse
import sys

from . import plans


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``dump``."""
    parser.add_argument("config", metavar="FILE", help="the config file")


def run(args: argparse.Namespace) -> int:
    """Print it; nothing is started and no device asked.

    :raises ConfigError: if the file has errors.
    """
    plan = plans.load(args.config)
    from smapd.config import dump

    for problem in plan.warnings:
        print(problem, file=sys.stderr)
    print(dump(plan), end="")
    return 0

"""Prints a config file in normal form: without defaults, quoted where needed, no secret.

A URL that may hold a key, like the one that a report goes to, is shown as a comment with its host.
"""

from __future__ import annotations

import argparse

from . import plans
from .output import say


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
        say(str(problem))
    print(dump(plan, for_show=True), end="")
    return 0

"""Checks a config file without starting anything, and names everything that is wrong with it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from smapd.errors import ConfigError
from smapd.values import Problem

from . import exits, plans
from .output import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``check``."""
    parser.add_argument("config", metavar="FILE", help="the config file")
    parser.add_argument("--json", action="store_true", help="the problems as JSON, on stdout")


def run(args: argparse.Namespace) -> int:
    """Print every problem; 78 if one of them is an error, 0 if there are warnings alone."""
    try:
        plan = plans.load(args.config)
    except ConfigError as e:
        if not args.json:
            raise
        print(_json(args.config, e.problems, ok=False))
        return exits.CONFIG
    if args.json:
        print(_json(args.config, plan.warnings, ok=True))
        return exits.OK
    for problem in plan.warnings:
        say(str(problem))
    sections = len(plan.sections)
    print(f"{args.config}: no errors in {sections} section{'s' * (sections != 1)}.")
    return exits.OK


def _json(file: str, problems: Sequence[Problem], *, ok: bool) -> str:
    shown = [
        {
            "severity": problem.severity.value,
            "file": problem.file,
            "line": problem.line,
            "section": problem.section,
            "key": problem.key,
            "value": problem.value,
            "text": problem.text,
        }
        for problem in problems
    ]
    return json.dumps({"file": file, "ok": ok, "problems": shown}, indent=2)

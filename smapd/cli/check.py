"""Checks a config file without starting anything, and names everything that is wrong with it.

Says too how long each report's consumer may stay away before a reading is lost.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from smapd.errors import ConfigError
from smapd.options import duration
from smapd.values import Problem

from . import exits, plans
from .check_others import check_others
from .output import say

if TYPE_CHECKING:
    from smapd.config import Plan
    from smapd.reports.forecast import Outage


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``check``."""
    parser.add_argument("config", metavar="FILE", help="the config file")
    parser.add_argument("--json", action="store_true", help="the problems as JSON, on stdout")


def run(args: argparse.Namespace) -> int:
    """Print every problem; 78 if one of them is an error, 0 if there are warnings alone."""
    try:
        plan = plans.load(args.config)
        warnings = [*plan.warnings, *check_others(plan)]
    except ConfigError as e:
        if not args.json:
            raise
        print(_json(args.config, e.problems, ok=False))
        return exits.CONFIG
    if args.json:
        print(_json(args.config, warnings, ok=True, outages=_outages(plan)))
        return exits.OK
    for problem in warnings:
        say(str(problem))
    sections = len(plan.sections) + len(plan.plain)
    print(f"{args.config}: no errors in {sections} section{'s' * (sections != 1)}.")
    for name, found in _outages(plan).items():
        print(f"[{name}] {found.sentence()}")
    return exits.OK


def _outages(plan: Plan) -> dict[str, Outage]:
    """By the report's name."""
    from smapd.reports.forecast import outage

    rates = dict(_rates(plan))
    return {
        other.name: outage(other.options, rates, plan.server["MaxBytes"])
        for other in plan.others
        if other.kind == "report"
    }


def _rates(plan: Plan) -> Iterator[tuple[str, float]]:
    """(path, seconds between two polls) of the drivers that have a Rate."""
    for section in plan.sections:
        rate = section.options.get("Rate") if section.kind == "driver" else None
        if isinstance(rate, str):  # a driver without a table has text alone
            try:
                rate = duration(rate)
            except ValueError:
                continue
        if isinstance(rate, int | float) and rate > 0:
            yield section.path, float(rate)


def _json(
    file: str,
    problems: Sequence[Problem],
    *,
    ok: bool,
    outages: Mapping[str, Outage] | None = None,
) -> str:
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
    told = {
        name: {"hours": one.hours, "bound": one.bound, "readings": one.readings}
        for name, one in (outages or {}).items()
    }
    return json.dumps({"file": file, "ok": ok, "problems": shown, "outages": told}, indent=2)

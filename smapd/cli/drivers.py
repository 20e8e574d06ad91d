"""Lists the drivers that a config file may name, those of other installed packages too.

Either name serves as the type of a section. Any class of one's own does too, by its dotted path.
"""

from __future__ import annotations

import argparse

from smapd.errors import NoSuchDriver, SmapError

from .peer import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """``drivers`` takes none."""


def run(args: argparse.Namespace) -> int:
    """Print short name, dotted name and what each is; imports them all.

    :raises NoSuchDriver: if nothing is installed, not even smapd itself.
    """
    from smapd.config import list_drivers

    found = list_drivers()
    if not found:
        raise NoSuchDriver(
            "no driver is listed, as smapd is not installed here.",
            hint="Install it with: pip install -e .",
        )
    shorts = max(len(short) for short, _ in found)
    dotteds = max(len(dotted) for _, dotted in found)
    for short, dotted in found:
        print(f"{short:{shorts}}  {dotted:{dotteds}}  {summary(dotted)}".rstrip())
    return 0


def summary(dotted: str) -> str:
    """The first line of a driver's docstring, or why it cannot be used here."""
    from smapd.config import find_driver

    try:
        doc = find_driver(dotted).__doc__ or ""
    except SmapError as e:
        return printable(f"({' '.join(filter(None, (e.message, e.hint)))})")
    return printable(doc.strip().partition("\n")[0].rstrip())

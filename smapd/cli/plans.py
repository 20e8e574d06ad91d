"""From a config file to a checked plan, as every command that takes a config does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smapd.config import Plan


def load(file: str) -> Plan:
    """The checked plan of a config file.

    :raises ConfigError: with every problem in the file.
    """
    from smapd.assembly import TABLES
    from smapd.config import load_plan

    return load_plan(file, tables=TABLES)

"""What a daemon is made from: the keys of all rooms, a plan, and what the command line says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from smapd import desired, http, reports, runtime, storage, twin
from smapd.config import Plan
from smapd.connectors.tree import tables as connector_tables
from smapd.driver.host import DriverHost
from smapd.options import merge
from smapd.reports.options import resource

TABLES: Final = (
    *http.TABLES,
    *reports.TABLES,
    *runtime.TABLES,
    *storage.TABLES,
    *twin.TABLES,
    *desired.TABLES,
    *connector_tables(resource),
)
"""The option tables of every room."""


@dataclass(frozen=True)
class LoadedPlan(Plan):
    """The plan of a tree that ``loader.load`` made. ``hosts``: its drivers that are set up."""

    hosts: Mapping[str, DriverHost] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line overrules, and who is told that the daemon is ready."""

    port: int | None = None
    data_dir: str | Path | None = None
    serve_http: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
    announce: Callable[[str], None] = field(default=lambda text: None)


def defaults() -> dict[str, Any]:
    """The keys of [server] as they are where nobody sets them."""
    values, _problems = merge(TABLES)["server"].parse({})
    return values

"""The keys of [server] that say where the data lies."""

from __future__ import annotations

from smapd.options import Option, OptionTable, path

TABLES = (
    OptionTable(
        "server",
        (
            Option(
                "DataDir",
                path,
                "smapd-data",
                "directory for everything that is kept; made if missing, one daemon each",
            ),
        ),
    ),
)

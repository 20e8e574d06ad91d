"""The keys of ``[server]`` that this room reads."""

from __future__ import annotations

from smapd.options import Option, OptionTable, integer

TABLES = (
    OptionTable(
        "server",
        (
            Option(
                "PollThreads",
                integer,
                20,
                "threads kept for polls; up to 200 run when drivers block",
                at_least=1,
                at_most=200,
            ),
            Option(
                "WorkThreads",
                integer,
                8,
                "threads for the drivers' setup, start and stop, and for actuations",
                at_least=1,
                at_most=200,
            ),
            Option(
                "LogFormat",
                str,
                "text",
                "text for people, json for one JSON object a line",
                choices=("text", "json"),
            ),
            Option(
                "LogLevel",
                str,
                "info",
                "the least that is logged",
                choices=("debug", "info", "warn", "error", "critical"),
            ),
        ),
    ),
)

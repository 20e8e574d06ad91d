"""The keys of ``[server]`` that this room reads."""

from __future__ import annotations

from smapd.options import Option, OptionTable, integer, size

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
                "WriteBudget",
                size,
                None,
                "bytes a day that the disk may be given, as a flash card bears; shown beside what "
                "it is given, and told when that is more",
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

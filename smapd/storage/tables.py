"""The keys of [server] that say where the data lies, and how much of it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smapd.options import Option, OptionTable, duration, integer, path, size

from .events import EventSettings
from .settings import Settings

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
            Option(
                "CommitInterval",
                duration,
                "1s",
                "readings are on the disk after so long; longer spares a flash card",
                at_least="10ms",
                at_most="10m",
            ),
            Option(
                "CommitReadings",
                integer,
                2_000,
                "or as soon as so many wait, whichever is first",
                at_least=1,
                at_most=1_000_000,
            ),
            Option(
                "History",
                duration,
                "7d",
                "how long the readings of all streams are kept; 0 keeps only what is not delivered",
            ),
            Option("HistoryBytes", size, "2GiB", "and how much of the disk they may take"),
            Option(
                "MaxBytes",
                size,
                "2GiB",
                "how much undelivered readings may take, all reports together; the oldest go first",
                at_least="1MiB",
            ),
            Option(
                "MinFree",
                size,
                "256MiB",
                "with less free on the disk, history gives way and events are refused",
            ),
            Option(
                "QuarantineBytes",
                size,
                "256MiB",
                "how much of what was found damaged is kept, in quarantine/; the oldest goes first",
            ),
            Option(
                "EventHistory",
                duration,
                None,
                "how long events are kept, acknowledged or not; without it for ever",
                at_least="1m",
            ),
            Option(
                "EventMaxBytes",
                size,
                None,
                "how much of the disk events may take, the oldest go first; without it, all of it",
                at_least="1MiB",
            ),
        ),
    ),
)


def settings_from(values: Mapping[str, Any]) -> Settings:
    """The journal's settings, from the checked values of [server]."""
    return Settings(
        commit_s=values["CommitInterval"],
        commit_readings=values["CommitReadings"],
        history_s=values["History"],
        history_bytes=values["HistoryBytes"],
        max_bytes=values["MaxBytes"],
        min_free=values["MinFree"],
    )


def event_settings_from(values: Mapping[str, Any]) -> EventSettings:
    """The event log's settings, from the checked values of [server]."""
    return EventSettings(
        history_s=values["EventHistory"],
        max_bytes=values["EventMaxBytes"],
        min_free=values["MinFree"],
        ack_s=values["CommitInterval"],
    )

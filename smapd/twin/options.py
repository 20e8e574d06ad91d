"""The keys of ``[server]`` that the daemon's side of the twin reads."""

from __future__ import annotations

from typing import Final

from smapd.options import Option, OptionTable, boolean, words

SERVER: Final = OptionTable(
    "server",
    (
        Option(
            "EventModules",
            words,
            (),
            "modules with event types that may be published over HTTP, beside those that installed "
            "packages offer (entry point smapd.events)",
        ),
        Option(
            "AnyEvents",
            boolean,
            "no",
            "take events of unknown types over HTTP as they are, without a schema",
        ),
    ),
)

TABLES: Final = (SERVER,)

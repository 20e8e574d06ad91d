"""The keys of a ``[connector NAME]`` section."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from smapd.options import (
    REQUIRED,
    ListOf,
    Option,
    OptionTable,
    Secret,
    Where,
    duration,
    integer,
    number,
    path,
    port,
    secret,
    size,
    url,
)
from smapd.values import Problem

KINDS: Final = ("vantiq",)
PUBLISHES: Final = ("none", "actuate", "event", "both")
QUERIES: Final = ("none", "tree", "requests", "both")
ORDERS: Final = ("oldest", "fresh")

DEFAULT_KEPT: Final = 10_000
"""Readings that wait per stream, as of a report."""

_PATTERN: Final = re.compile(r"[A-Za-z0-9._:*?-]{1,128}")


def pattern(text: str) -> str:
    """An asset's id, or a pattern with ``*`` and ``?``.

    :raises ValueError: if it is neither.
    """
    text = text.strip()
    if not _PATTERN.fullmatch(text):
        raise ValueError("no asset id or pattern. Write one like pump-7, or pump-* for many.")
    return text


def tables(resource: Callable[[str], str]) -> tuple[OptionTable, ...]:
    """The tables of this room. ``resource``: the type of a ReportResource, which is a report's."""
    return (
        OptionTable(
            "connector",
            (*_PEER, *_outbound(resource), *_INBOUND),
            title="a connector",
            check=_check,
            is_open=True,
        ),
    )


_PEER: Final = (
    Option("type", str, REQUIRED, "what kind of peer it connects to", choices=KINDS),
    Option(
        "ServerConfig",
        path,
        None,
        "a server.config file, whose properties hold where a key here does not say otherwise",
    ),
    Option("TargetServer", url("http", "https", "ws", "wss"), None, "the URL of the server"),
    Option(
        "AuthToken",
        secret,
        None,
        "the access token; without it, that of the environment's CONNECTOR_AUTH_TOKEN",
    ),
    Option(
        "Sources", ListOf(str), (), "the names of the sources, each with a WebSocket of its own"
    ),
    Option("SendPings", bool, None, "whether to ping every 20 s; yes, unless ServerConfig says no"),
    Option("TcpProbePort", port, None, "port of the TCP probe; without it there is none"),
    Option(
        "FailOnConnectionError",
        bool,
        None,
        "whether a source ends for good when it cannot connect; no: it is tried again",
    ),
    Option("ReconnectSecret", secret, None, "takes the place of the one that is made and kept"),
    Option(
        "ConnectKWArgs",
        secret,
        None,
        "a JSON object for the WebSocket library, in '…': {\"max_size\": 1048576}",
    ),
)


def _outbound(resource: Callable[[str], str]) -> tuple[Option, ...]:
    return (
        Option(
            "Notify",
            resource,
            None,
            "whose readings are sent as notifications, as a ReportResource says it: /path/+",
        ),
        Option("Notify*", resource, None, "0 to 9: further ones"),
        Option(
            "Assets", ListOf(pattern), (), "whose events are sent: ids, or patterns with * and ?"
        ),
        Option("MinPeriod", duration, None, "least time between two batches of readings"),
        Option("MaxAge", duration, None, "older readings are not sent"),
        Option(
            "MaxReadings",
            integer,
            DEFAULT_KEPT,
            "undelivered readings kept per stream and source, the oldest dropped first; where "
            "Keep or KeepBytes is set these count, and the default does not",
            at_least=1,
            at_most=2**31 - 1,
        ),
        Option("MaxBytes", size, None, "undelivered bytes kept in the journal", at_least="1MiB"),
        Option("Keep", duration, None, "undelivered readings are kept so long, like 14d"),
        Option("KeepBytes", size, None, "bytes that Keep may take", at_least="1MiB"),
        Option(
            "CatchUpRate",
            number,
            None,
            "readings per second, at most, that are sent while more wait than one batch holds",
            at_least=1.0,
        ),
        Option(
            "BytesPerDay",
            size,
            None,
            "bytes of readings a day, at most; the rest waits for the next day (UTC)",
            at_least="64KiB",
        ),
        Option(
            "Order",
            str,
            "oldest",
            "what goes first after an outage: oldest, each stream in order; or fresh",
            choices=ORDERS,
        ),
        Option("Sequence", bool, False, "send the number of the first reading as First"),
        Option("Gaps", bool, False, "send what was dropped or is missing"),
        Option("Quality", bool, False, "send how far each reading may be trusted"),
    )


_INBOUND: Final = (
    Option(
        "Publish",
        str,
        "none",
        "what a publish may do: actuate sets actuators, event publishes events of assets",
        choices=PUBLISHES,
    ),
    Option(
        "Query",
        str,
        "both",
        "what a query may ask: tree gives nodes and readings, requests asks assets (type 2)",
        choices=QUERIES,
    ),
    Option(
        "Handler",
        str,
        None,
        "a class, as package.module.Class, whose coroutines handle what comes; it gets the keys "
        "that are not named here",
    ),
)


KEYS: Final = frozenset(option.name for option in (*_PEER, *_outbound(str), *_INBOUND))
"""All of them; other keys of a section are the Handler's own."""


def _check(values: Mapping[str, Any], where: Where) -> Iterator[Problem]:
    if values["ServerConfig"] is None:
        for key in ("TargetServer", "Sources"):
            if not values[key]:
                text = "missing, and there is no ServerConfig that could say it."
                yield where.problem(text, key)
    for place in values["Notify*"]:
        if place > 9:
            yield where.problem("one too many: there are Notify0 to Notify9.", f"Notify{place}")
    kwargs = values["ConnectKWArgs"]
    if isinstance(kwargs, Secret) and not kwargs.reference:
        from smapd.connectors.vantiq.kwargs import parse_kwargs  # with it comes the library

        try:
            parse_kwargs(kwargs.reveal())
        except ValueError as error:
            yield where.problem(str(error), "ConnectKWArgs")
    handler = values["Handler"]
    if handler is not None and not _is_dotted(handler):
        yield where.problem("no class. Write it as package.module.Class.", "Handler", handler)


def _is_dotted(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)

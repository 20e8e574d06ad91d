"""A section of type vantiq in a config file: its settings, from its keys and its ServerConfig."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from smapd.options import Secret, read_regular

from .errors import VantiqConnectorConfigException
from .names import VantiqConnector as names
from .properties import parse_properties
from .settings import Limits, VantiqSettings, connection_settings, split_sources

FILE_BYTES: Final = 2**20

OWN_QUERIES: Final = 100
"""Queries of one source that the tree answers at one time; further ones wait."""
CLOSE_S: Final = 0.7
"""For the closing handshake, and for handlers: the daemon's stop has no more."""

_KEYS: Final = {
    "TargetServer": names.TARGET_SERVER,
    "AuthToken": names.AUTH_TOKEN,
    "ReconnectSecret": names.FIXED_RECONNECT_SECRET,
    "SendPings": names.SEND_PINGS,
    "FailOnConnectionError": names.FAIL_ON_CONNECTION_ERROR,
    "ConnectKWArgs": names.CONNECT_KW_ARGS,
}


def read_properties(options: Mapping[str, Any]) -> dict[str, str]:
    """What the file of ``ServerConfig`` says; nothing without one. Blocks on the disk.

    :raises VantiqConnectorConfigException: if it cannot be read, naming the file.
    """
    file: Path | None = options["ServerConfig"]
    if file is None:
        return {}
    try:
        data = read_regular(file, FILE_BYTES)
        if len(data) > FILE_BYTES:
            raise VantiqConnectorConfigException(f"{file}: larger than 1 MiB; no properties.")
        found = parse_properties(data.decode())
    except OSError as error:
        raise VantiqConnectorConfigException(
            f"{file}: cannot be read ({error.strerror or error}). Name the file in ServerConfig, "
            "and let this user read it."
        ) from error
    except ValueError as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise VantiqConnectorConfigException(f"{file}: {why}") from None
    return {key: value.strip() for key, value in found.items()}


def sources_of(
    options: Mapping[str, Any], properties: Mapping[str, str], section: str
) -> list[str]:
    """The names of the sources.

    :raises VantiqConnectorConfigException: if neither the section nor the file has one.
    """
    written: Sequence[str] = options["Sources"]
    found = split_sources(",".join(written)) or split_sources(properties.get(names.SOURCES, ""))
    if not found:
        raise VantiqConnectorConfigException(
            f"[{section}] Sources is not set, and {options['ServerConfig']} has no "
            f"{names.SOURCES}. Write Sources = NAME."
        )
    return found


def probe_port_of(options: Mapping[str, Any], properties: Mapping[str, str]) -> int | None:
    """The port of the TCP probe; None unless one is asked for.

    :raises VantiqConnectorConfigException: if the file has one that is none.
    """
    written: int | None = options["TcpProbePort"]
    text = properties.get(names.PORT_PROPERTY_NAME, "")
    if written is not None or not text:
        return written
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 65536):
        raise VantiqConnectorConfigException(
            f"{options['ServerConfig']}: {names.PORT_PROPERTY_NAME}: not a port. Write a number "
            "from 0 to 65535."
        )
    return int(text)


def settings_of(
    options: Mapping[str, Any],
    properties: Mapping[str, str],
    section: str,
    *,
    has_handler: bool,
    environ: Mapping[str, str] = os.environ,
) -> VantiqSettings:
    """How to reach the server. ``options``: with their secrets resolved. Blocks on the disk.

    A key of the section wins over one of the file.

    :raises VantiqConnectorConfigException: naming the place and the key.
    """
    merged = {names.SEND_PINGS: "true", **properties}
    for key, name in _KEYS.items():
        value = options[key]
        if value is not None:
            merged[name] = _text(value)
    where = f"[{section}]"
    if options["ServerConfig"] is not None:
        where += f" with {options['ServerConfig']}"
    made = connection_settings(merged, where, environ)
    queries = Limits().running_queries if has_handler else OWN_QUERIES
    limits = replace(made.limits, running_queries=queries)
    if made.limits.close_s == Limits().close_s:
        limits = replace(limits, close_s=CLOSE_S)
    return replace(made, limits=limits)


def _text(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

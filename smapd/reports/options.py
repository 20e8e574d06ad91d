"""The keys of a ``[report …]`` section, and what [server] says of reports made over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from ipaddress import ip_network as parse_network
from typing import Any, Final

from smapd.options import (
    REQUIRED,
    ListOf,
    Option,
    OptionTable,
    Where,
    boolean,
    duration,
    integer,
    number,
    path,
    secret_url,
    size,
)
from smapd.values import Problem

from .resource import parse_resource

FORMATS: Final = ("json", "gzip-json", "avro", "gzip-avro", "csv")
"""How a report's body is written."""

TELLING: Final = ("json", "gzip-json")
"""The formats that have a place for Sequence, Gaps and Quality."""

ORDERS: Final = ("oldest", "fresh")
"""What goes first after an outage."""

_LOCATION = "ReportDeliveryLocation"


def resource(text: str) -> str:
    """What a report selects: ``/+``, ``/path/+``, ``/path``, a uuid, or by metadata.

    :raises ValueError: if it is none of these.
    """
    return parse_resource(text).text


def network(text: str) -> IPv4Network | IPv6Network:
    """A network like 10.0.0.0/8, or one address.

    :raises ValueError: if it is none.
    """
    try:
        return parse_network(text.strip())
    except ValueError:
        raise ValueError("not a network. Write one like 10.0.0.0/8, or an IP address.") from None


def _check(values: Mapping[str, Any], where: Where) -> Iterator[Problem]:
    for place in values[_LOCATION + "*"]:
        if place > 9:
            text = f"one too many: there are {_LOCATION}0 to {_LOCATION}9."
            yield where.problem(text, f"{_LOCATION}{place}")
    least, most = values["MinPeriod"], values["MaxPeriod"]
    if least is not None and most is not None and least > most:
        yield where.problem("longer than MaxPeriod. Write a shorter time.", "MinPeriod")
    if values["Format"] not in TELLING:
        for key in ("Sequence", "Gaps", "Quality"):
            if values[key]:
                text = f"Format {values['Format']} has no place for it. Write Format = json."
                yield where.problem(text, key)
    if values["Key"] is not None and values["ClientCert"] is None:
        yield where.problem("a key without its ClientCert.", "Key")


TABLES: Final = (
    OptionTable(
        "report*",
        (
            Option(_LOCATION, secret_url, REQUIRED, "the URL that readings are posted to"),
            Option(
                _LOCATION + "*",
                secret_url,
                None,
                "0 to 9: the URLs that are tried next, in this order, when one fails",
            ),
            Option(
                "ReportResource",
                resource,
                REQUIRED,
                "what is sent: /+ for everything, /path/+ for all below a path, a path, or a uuid",
            ),
            Option("Format", str, "json", "how the body is written", choices=FORMATS),
            Option("MinPeriod", duration, None, "least time between two posts"),
            Option("MaxPeriod", duration, None, "most time between two posts"),
            Option("MaxAge", duration, None, "older readings are not sent"),
            Option(
                "MaxReadings",
                integer,
                10_000,
                "undelivered readings kept per stream, the oldest dropped first; where Keep or "
                "KeepBytes is set these count, and the default does not",
                at_least=1,
                at_most=2**31 - 1,
            ),
            Option(
                "MaxBytes", size, None, "undelivered bytes kept in the journal", at_least="1MiB"
            ),
            Option("Keep", duration, None, "undelivered readings are kept so long, like 14d"),
            Option("KeepBytes", size, None, "bytes that Keep may take", at_least="1MiB"),
            Option(
                "CatchUpRate",
                number,
                None,
                "readings per second, at most, that are sent while more wait than one post holds",
                at_least=1.0,
            ),
            Option(
                "BytesPerDay",
                size,
                None,
                "bytes on the wire a day, at most; the rest waits for the next day (UTC)",
                at_least="64KiB",
            ),
            Option(
                "Order",
                str,
                "oldest",
                "what goes first after an outage: oldest, each stream in order; or fresh",
                choices=ORDERS,
            ),
            Option("Sequence", boolean, False, "send the number of the first reading as First"),
            Option("Gaps", boolean, False, "send what was dropped or is missing"),
            Option("Quality", boolean, False, "send how far each reading may be trusted"),
            Option("ClientCert", path, None, "PEM file: the certificate shown to the consumer"),
            Option("Key", path, None, "PEM file: its private key, if not in the same file"),
            Option("CA", path, None, "PEM file: the authorities trusted, not the system's"),
        ),
        title="a report",
        check=_check,
    ),
    OptionTable(
        "server",
        (
            Option(
                "AllowTargets",
                ListOf(network),
                (),
                "networks that reports made over HTTP may go to, beside public addresses",
            ),
        ),
    ),
)

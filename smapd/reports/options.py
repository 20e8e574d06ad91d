"""The keys of a ``[report …]`` section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from smapd.options import (
    REQUIRED,
    Option,
    OptionTable,
    Where,
    boolean,
    duration,
    integer,
    secret_url,
)
from smapd.values import Problem

FORMATS: Final = ("json", "gzip-json", "avro", "gzip-avro", "csv")
"""How a report's body is written."""

_LOCATION = "ReportDeliveryLocation"


def resource(text: str) -> str:
    """What a report selects: ``/+``, ``/path/+``, ``/path`` or a uuid.

    :raises ValueError: if it is empty.
    """
    if not text.strip():
        raise ValueError("empty. Write /+ for everything, or a path.")
    return text.strip()


def _check(values: Mapping[str, Any], where: Where) -> Iterator[Problem]:
    for number in values[_LOCATION + "*"]:
        if number > 9:
            text = f"one too many: there are {_LOCATION}0 to {_LOCATION}9."
            yield where.problem(text, f"{_LOCATION}{number}")
    least, most = values["MinPeriod"], values["MaxPeriod"]
    if least is not None and most is not None and least > most:
        yield where.problem("longer than MaxPeriod. Write a shorter time.", "MinPeriod")


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
                "undelivered readings kept per stream, the oldest dropped first",
                at_least=1,
                at_most=2**31 - 1,
            ),
            Option("Sequence", boolean, False, "send the number of the first reading as First"),
            Option("Gaps", boolean, False, "send what was dropped or is missing"),
        ),
        title="a report",
        check=_check,
    ),
)

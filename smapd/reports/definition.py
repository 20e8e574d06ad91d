"""One report as it was asked for: by a section of the config file, over HTTP, or by a program."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from smapd.core import as_uuid, stream_uuid
from smapd.errors import BadRequest
from smapd.options import Secret, url
from smapd.storage import DeliveryOptions, Target
from smapd.values import Json, Limits

from .options import FORMATS, ORDERS, TELLING
from .resource import Resource, parse_resource

INVALID: Final = "Invalid Reporting object (does not validate)"
NO_END: Final = 2**31 - 1
"""What GET shows for a MaxPeriod that was not given."""

DEFAULT_KEPT: Final = 10_000
"""Readings per stream, as the tutorial has it."""

MOST_LOCATIONS: Final = 11
_LOCATION: Final = "ReportDeliveryLocation"
_http_url = url("http", "https")


class Origin(enum.Enum):
    """Who made a report."""

    CONFIG = "config"
    HTTP = "http"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class Definition:
    """What a report is. Times in seconds. ``local``: it may go to loopback and private addresses.

    ``urls``: where to, the first choice first; may hold keys. ``sources``: how each is shown, a
    reference or the URL without its password. ``anywhere``: a config file's report, or a program's.
    """

    uuid: UUID
    name: str
    resource: Resource
    urls: tuple[str, ...] = field(repr=False)
    sources: tuple[str, ...]
    origin: Origin
    local: bool = False
    format: str = "json"
    min_period_s: float = 0.0
    max_period_s: float | None = None
    max_age_s: float | None = None
    max_readings: int | None = DEFAULT_KEPT
    max_bytes: int | None = None
    keep_s: float | None = None
    keep_bytes: int | None = None
    catch_up_rate: float | None = None
    bytes_per_day: int | None = None
    order: str = "oldest"
    sequence: bool = False
    gaps: bool = False
    quality: bool = False
    expires_s: float | None = None
    paused: bool = False
    client_cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @property
    def anywhere(self) -> bool:
        """Whether no address is forbidden to it."""
        return self.origin is not Origin.HTTP

    @property
    def limits(self) -> Limits:
        """What may wait for it. With ``Keep`` or ``KeepBytes`` the default does not count."""
        most_bytes = [size for size in (self.max_bytes, self.keep_bytes) if size is not None]
        return Limits(self.max_readings, min(most_bytes, default=None), self.max_age_s, self.keep_s)

    @property
    def delivery(self) -> DeliveryOptions:
        """How it is delivered. With ``Order = fresh`` the two cursors keep the rate themselves."""
        return DeliveryOptions(
            self.min_period_s,
            self.max_period_s,
            None if self.order == "fresh" else self.catch_up_rate,
            self.bytes_per_day,
        )

    @property
    def targets(self) -> list[Target]:
        """Where it goes."""
        return [Target(one, shown_url(one)) for one in self.urls]

    def as_json(self) -> dict[str, Json]:
        """What GET /reports/UUID answers: these keys and no more, as sMAP has them."""
        answer: dict[str, Json] = {
            "uuid": str(self.uuid),
            "ReportResource": self.resource.text,
            _LOCATION: list(self.sources),
            "MinPeriod": _number(self.min_period_s),
            "MaxPeriod": NO_END if self.max_period_s is None else _number(self.max_period_s),
        }
        if self.expires_s is not None:
            answer["ExpireTime"] = _number(self.expires_s)
        return answer

    def as_body(self) -> dict[str, Json]:
        """All that can be said of it in a body: what ``as_json`` has, and its other keys."""
        body = {key: getattr(self, name) for key, (name, _) in _READERS.items() if name in _PLAIN}
        return body | self.as_json()

    def as_record(self) -> dict[str, Json]:
        """All of it as JSON, for ``from_record``; the URLs of a config file stay in the file."""
        record = {key: getattr(self, key) for key in _PLAIN if getattr(self, key) != _DEFAULTS[key]}
        record |= {key: str(path) for key in _PATHS if (path := getattr(self, key)) is not None}
        return record | {
            "uuid": str(self.uuid),
            "name": self.name,
            "resource": self.resource.text,
            "origin": self.origin.value,
            "urls": [] if self.origin is Origin.CONFIG else list(self.urls),
            "sources": [shown_url(one) for one in self.urls]
            if self.origin is Origin.CONFIG
            else list(self.sources),
        }


_PLAIN: Final = [
    "local",
    "format",
    "min_period_s",
    "max_period_s",
    "max_age_s",
    "max_readings",
    "max_bytes",
    "keep_s",
    "keep_bytes",
    "catch_up_rate",
    "bytes_per_day",
    "order",
    "sequence",
    "gaps",
    "quality",
    "expires_s",
    "paused",
]
_PATHS: Final = ("client_cert", "key", "ca")
_DEFAULTS: Final = {
    name: Definition.__dataclass_fields__[name].default for name in (*_PLAIN, *_PATHS)
}


def from_record(record: Mapping[str, Json]) -> Definition:
    """What ``as_record`` gave.

    :raises KeyError, TypeError, ValueError: if it is none.
    """
    values = {key: record[key] for key in _PLAIN if key in record}
    values |= {key: Path(record[key]) for key in _PATHS if key in record}
    return Definition(
        UUID(str(record["uuid"])),
        str(record["name"]),
        parse_resource(record["resource"]),
        tuple(record["urls"]),
        tuple(record["sources"]),
        Origin(record["origin"]),
        **values,
    )


def from_section(root: UUID, name: str, options: Mapping[str, Any]) -> Definition:
    """The report of a config section, from its options with their secrets resolved."""
    found = [options[_LOCATION], *options[_LOCATION + "*"].values()]
    kept: int | None = options["MaxReadings"]
    if kept == DEFAULT_KEPT and (options["Keep"] is not None or options["KeepBytes"] is not None):
        kept = None
    return Definition(
        stream_uuid(root, name, "utf-8"),
        name,
        parse_resource(options["ReportResource"]),
        tuple(_text(one) for one in found),
        tuple(_source(one) for one in found),
        Origin.CONFIG,
        format=options["Format"],
        min_period_s=options["MinPeriod"] or 0.0,
        max_period_s=options["MaxPeriod"],
        max_age_s=options["MaxAge"],
        max_readings=kept,
        max_bytes=options["MaxBytes"],
        keep_s=options["Keep"],
        keep_bytes=options["KeepBytes"],
        catch_up_rate=options["CatchUpRate"],
        bytes_per_day=options["BytesPerDay"],
        order=options["Order"],
        sequence=options["Sequence"],
        gaps=options["Gaps"],
        quality=options["Quality"],
        client_cert=options["ClientCert"],
        key=options["Key"],
        ca=options["CA"],
    )


def from_body(
    body: Any, known: Definition | None = None, *, origin: Origin = Origin.HTTP, local: bool = False
) -> Definition:
    """The report that a body asks for; what it leaves out is as in ``known``, where that is given.

    Keys it does not know are dropped, as sMAP does. :raises BadRequest: naming the key.
    """
    if not isinstance(body, Mapping):
        raise BadRequest(f"{INVALID}: it is no object.")
    given: dict[str, Any] = {}
    for key, (name, read) in _READERS.items():
        if key in body:
            try:
                given[name] = read(body[key])
            except (ValueError, TypeError) as error:
                raise BadRequest(f"{INVALID}: {key}: {error}") from None
    for key in ("ReportResource", _LOCATION) if known is None else ():
        if _READERS[key][0] not in given:
            raise BadRequest(f"{INVALID}: {key} is missing.")
    if known is None:
        if "uuid" not in given:
            raise BadRequest(f"{INVALID}: uuid is missing.")
        if ("keep_s" in given or "keep_bytes" in given) and "max_readings" not in given:
            given["max_readings"] = None
        made = Definition(
            name=f"report {given['uuid']}", origin=origin, local=local, sources=(), **given
        )
    else:
        given.pop("uuid", None)
        if "urls" in given and given["urls"] != known.urls:
            given |= {"local": local, "origin": origin}
        made = replace(known, **given)
    if "urls" in given:
        made = replace(made, sources=tuple(_without_login(one) for one in made.urls))
    _check(made)
    return made


def shown_url(text: str) -> str:
    """A URL without what may be a key."""
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _check(made: Definition) -> None:
    if not made.urls:
        raise BadRequest(f"{INVALID}: {_LOCATION} names no place.")
    if made.max_period_s is not None and made.min_period_s > made.max_period_s:
        raise BadRequest(f"{INVALID}: MinPeriod is longer than MaxPeriod.")
    if (made.sequence or made.gaps or made.quality) and made.format not in TELLING:
        raise BadRequest(
            f"{INVALID}: Format {made.format} has no place for Sequence, Gaps and Quality."
        )


def _number(seconds: float) -> Json:
    return int(seconds) if seconds == int(seconds) else seconds


def _text(location: Any) -> str:
    return location.reveal() if isinstance(location, Secret) else str(location)


def _source(location: Any) -> str:
    if isinstance(location, Secret) and location.reference:
        return location.reference
    return _without_login(_text(location))


def _without_login(text: str) -> str:
    login, at, rest = text.partition("://")[2].partition("/")[0].rpartition("@")
    return text.replace(f"{login}@", "***@", 1) if at else text


# --- the values of a body


def _uuid(value: Any) -> UUID:
    return as_uuid(value, "the uuid")


def _resource(value: Any) -> Resource:
    if not isinstance(value, str):
        raise ValueError("it is no text.")
    return parse_resource(value)


def _urls(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError("it is no list of texts.")
    if len(value) > MOST_LOCATIONS:
        raise ValueError(f"it names more than {MOST_LOCATIONS} places.")
    return tuple(_http_url(one) for one in value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise ValueError("it is no number of seconds.")
    return float(value)


def _most_seconds(value: Any) -> float | None:
    seconds = _seconds(value)
    return None if seconds >= NO_END else seconds


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
        raise ValueError("it is no whole number above 0.")
    return value


def _rate(value: Any) -> float:
    seconds = _seconds(value)
    if not seconds:
        raise ValueError("it is no rate above 0.")
    return seconds


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it is neither true nor false.")
    return value


def _one_of(words: tuple[str, ...]) -> Any:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"it is not one of {', '.join(words)}.")
        return str(value)

    return read


_READERS: Final[Mapping[str, tuple[str, Any]]] = {
    "uuid": ("uuid", _uuid),
    "ReportResource": ("resource", _resource),
    _LOCATION: ("urls", _urls),
    "MinPeriod": ("min_period_s", _seconds),
    "MaxPeriod": ("max_period_s", _most_seconds),
    "ExpireTime": ("expires_s", _seconds),
    "Format": ("format", _one_of(FORMATS)),
    "MaxAge": ("max_age_s", _seconds),
    "MaxReadings": ("max_readings", _count),
    "MaxBytes": ("max_bytes", _count),
    "Keep": ("keep_s", _seconds),
    "KeepBytes": ("keep_bytes", _count),
    "CatchUpRate": ("catch_up_rate", _rate),
    "BytesPerDay": ("bytes_per_day", _count),
    "Order": ("order", _one_of(ORDERS)),
    "Sequence": ("sequence", _flag),
    "Gaps": ("gaps", _flag),
    "Quality": ("quality", _flag),
    "Paused": ("paused", _flag),
}

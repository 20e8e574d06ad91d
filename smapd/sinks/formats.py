"""The formats of a report's body, by the name that ``Format`` has in a config file.

Each turns a ``ReportBody`` into a ``Payload``. None of them fails for what a reading or metadata
may hold: a body that cannot be written would stand in the way of all behind it for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from smapd.values import OneByPath, Payload, ReportBody

from .avro_body import encode_avro
from .csv_body import encode_csv
from .json_body import encode_json
from .packing import gzip

_GZIP: Final = ("Content-Encoding", "gzip")


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a report's body.

    ``encode``: on any thread, without a pause; raises nothing. ``tells``: whether it has a place
    for the numbers, gaps and qualities that a report may ask for; what has none leaves them out,
    so a report that asks for them in such a format is to be refused beforehand. ``whole``: whether
    it has a place for what goes out whole; without, a body with nothing but nodes is empty.
    """

    name: str
    encode: Callable[[ReportBody], Payload]
    tells: bool = True
    whole: bool = True


def _json(body: ReportBody) -> Payload:
    return Payload(_once("json", encode_json, body), (_JSON,), _count(body))


def _gzip_json(body: ReportBody) -> Payload:
    packed = _once("gzip-json", lambda b: gzip(_once("json", encode_json, b)), body)
    return Payload(packed, (_JSON, _GZIP), _count(body))


def _avro(body: ReportBody) -> Payload:
    return Payload(_once("avro", encode_avro, body), (_AVRO,), _count(body))


def _gzip_avro(body: ReportBody) -> Payload:
    packed = _once("gzip-avro", lambda b: gzip(_once("avro", encode_avro, b)), body)
    return Payload(packed, (_AVRO, _GZIP), _count(body))


def _csv(body: ReportBody) -> Payload:
    return Payload(_once("csv", encode_csv, body), (_CSV,), _count(body))


def _once(name: str, encode: Callable[[ReportBody], bytes], body: ReportBody) -> bytes:
    """The body, written anew unless it says nothing but what another report's did just now."""
    if not isinstance(body.runs, OneByPath) or (
        body.nodes or body.gaps or body.sequence or body.quality
    ):
        return encode(body)
    written = body.runs.each.written
    found = written.get(name)
    if found is None:
        found = written[name] = encode(body)
    return found


def _count(body: ReportBody) -> int:
    if isinstance(body.runs, OneByPath):
        return len(body.runs)
    return sum([len(run.ms) for runs in body.runs.values() for run in runs])


_JSON: Final = ("Content-Type", "application/json")
_AVRO: Final = ("Content-Type", "avro/binary")
_CSV: Final = ("Content-Type", "text/csv")

FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        one.name: one
        for one in (
            Format("json", _json),
            Format("gzip-json", _gzip_json),
            Format("avro", _avro, tells=False),
            Format("gzip-avro", _gzip_avro, tells=False),
            Format("csv", _csv, tells=False, whole=False),
        )
    }
)
"""Every format there is."""

"""A report as one bare Avro datum, without container or schema, as sMAP's archivers read it.

The datum is a map from path to a union of Collection (0) and Timeseries (1). Below, in the order of
their fields, ``?`` stands for a union of null and this, ``n?`` for one of null, long and double:

Collection
    Proxy boolean?, Metadata?, Contents array of string
Timeseries
    uuid fixed 16, Description string?, Metadata?, Properties?, Actuator?,
    Readings: array of array of long, double or string?
Metadata
    SourceName string?, Instrument?, Location?, Operator?, BACnet: null, a record that we never
    write, or map of string; Extra map of string?
Instrument
    Manufacturer, Model, PartNumber, SerialNumber, Text, each string?;
    MinValue, MaxValue, Resolution, Precision, Accuracy, each n?;
    SamplingPeriod: null, string, or a record that we never write
Location
    Altitude long?; Area, Building, Campus, City, Country, Description, Floor, Latitude, Longitude,
    Postalcode, Room, State, Street, Text, Uri, each string?
Operator
    Expression string (in a union of its own), SourceStreams array of uuid, Materialized boolean
Properties
    UnitofMeasure string, ReadingType enum (long, double, string), Timezone string?
Actuator
    Model enum (binary, discrete, continuous, continuousInteger); MinValue, MaxValue, StepSize, each
    n?; Values: array of null, long, double or string?

A reading is its time in ms, its value, and the driver's own number if it has one, all as doubles,
also on a long stream. A text goes as the string of the last union, which sMAP's own schema lacks:
it had no way to send one. What has no field is left out, and so are bad readings.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from smapd.values import Json, NodePart, OneByPath, OneEach, ReportBody, Run

_NULL: Final = b"\x00"
_SOME: Final = b"\x02"
"""The first branch of a union, and the second."""

_READING: Final = struct.Struct("<BBdBdB")
_NUMBERED: Final = struct.Struct("<BBdBdBdB")
_ALONE: Final = struct.Struct("<B16s4xBBBBdBdBB")
"""A timeseries with one reading and nothing else, behind its path."""

_TIME: Final = struct.Struct("<BBdB")
_DOUBLE: Final = struct.Struct("<d")

_TEXTS: Final = ("Manufacturer", "Model", "PartNumber", "SerialNumber", "Text")
_MEASURES: Final = ("MinValue", "MaxValue", "Resolution", "Precision", "Accuracy")
_PLACES: Final = tuple(
    ["Area", "Building", "Campus", "City", "Country", "Description", "Floor", "Latitude"]
    + ["Longitude", "Postalcode", "Room", "State", "Street", "Text", "Uri"]
)
_TYPES: Final = ("long", "double", "string")
_MODELS: Final = ("binary", "discrete", "continuous", "continuousInteger")


def encode_avro(body: ReportBody) -> bytes:
    """The datum. Raises nothing for what readings and metadata may hold."""
    if isinstance(body.runs, OneByPath) and not body.nodes:
        alone = _encode_each(body.runs.each)
        if alone is not None:
            return alone
    out: list[bytes] = []
    count = 0
    for path, node in body.nodes.items():
        count += 1
        if node.uuid is None:
            out += (_string(path), _NULL, _collection(node.fields))
        else:
            out += (_string(path), _SOME, node.uuid.bytes, _whole(node))
            _put_readings(out, body.runs.get(path, ()))
    for path, runs in body.runs.items():
        run = runs[0]
        if path in body.nodes or not (run.quality is None or any(map(_has_values, runs))):
            continue
        count += 1
        out += (_string(path), _SOME, run.stream.bytes, b"\x00\x00\x00\x00")
        _put_readings(out, runs)
    if not count:
        return _NULL
    return b"".join((_long(count), *out, _NULL))


def _encode_each(each: OneEach) -> bytes | None:
    """One reading each, without an object in between; None if one is a text."""
    pack = _ALONE.pack
    try:
        readings = [
            pack(2, stream.bytes, 2, 2, 4, 2, ms, 2, value, 0, 0)
            for stream, ms, value in zip(each.streams, each.ms, each.values, strict=True)
        ]
    except struct.error:
        return None
    nodes = [_string(path) + reading for path, reading in zip(each.paths, readings, strict=True)]
    return b"".join((_long(len(nodes)), *nodes, _NULL))


def _put_readings(out: list[bytes], runs: Iterable[Run]) -> None:
    readings: list[bytes] = []
    for run in runs:
        if run.seqnos is None:
            try:
                readings += [
                    _READING.pack(4, 2, ms, 2, value, 0)
                    for ms, value in zip(run.ms, run.values, strict=True)
                ]
                continue
            except struct.error:  # a text, or no value
                pass
        readings += _one_by_one(run)
    out.append(_SOME)
    if readings:
        out.append(_long(len(readings)))
        out += readings
    out.append(_NULL)


def _one_by_one(run: Run) -> Iterable[bytes]:
    for i, (ms, value) in enumerate(zip(run.ms, run.values, strict=True)):
        seqno = run.seqnos[i] if run.seqnos is not None else None
        if value is None:
            continue
        if not isinstance(value, str) and not seqno:
            yield _READING.pack(4, 2, ms, 2, value, 0)
        elif not isinstance(value, str):
            yield _NUMBERED.pack(6, 2, ms, 2, value, 2, _float(seqno), 0)
        else:
            head = _TIME.pack(6 if seqno else 4, 2, ms, 4) + _string(value)
            yield head + (_SOME + _DOUBLE.pack(_float(seqno)) if seqno else b"") + _NULL


def _has_values(run: Run) -> bool:
    return run.quality is None or any(value is not None for value in run.values)


# --- what goes out whole


def _collection(fields: Mapping[str, Json]) -> bytes:
    contents = [_string(str(name)) for name in fields.get("Contents") or ()]
    return _NULL + _metadata(fields.get("Metadata")) + _array(contents)


def _whole(node: NodePart) -> bytes:
    fields = node.fields
    return (
        _maybe(fields.get("Description"))
        + _metadata(fields.get("Metadata"))
        + _properties(fields.get("Properties"))
        + _actuator(fields.get("Actuator"))
    )


def _metadata(given: Json) -> bytes:
    if not isinstance(given, Mapping) or not given:
        return _NULL
    extra, bacnet = given.get("Extra"), given.get("BACnet")
    return b"".join(
        (
            _SOME,
            _maybe(given.get("SourceName")),
            _instrument(given.get("Instrument")),
            _location(given.get("Location")),
            _operator(given.get("Operator")),
            b"\x04" + _map(bacnet) if isinstance(bacnet, Mapping) else _NULL,
            _SOME + _map(extra) if isinstance(extra, Mapping) else _NULL,
        )
    )


def _instrument(given: Json) -> bytes:
    if not isinstance(given, Mapping):
        return _NULL
    texts = b"".join(_maybe(given.get(name)) for name in _TEXTS)
    measures = b"".join(_measure(given.get(name)) for name in _MEASURES)
    return _SOME + texts + measures + _maybe(given.get("SamplingPeriod"))


def _location(given: Json) -> bytes:
    if not isinstance(given, Mapping):
        return _NULL
    altitude = _number(given.get("Altitude"))
    low = altitude is None or abs(altitude) >= 2**63
    high = _NULL if low else _SOME + _long(round(altitude or 0))
    return _SOME + high + b"".join(_maybe(given.get(name)) for name in _PLACES)


def _operator(given: Json) -> bytes:
    if not isinstance(given, Mapping) or not isinstance(given.get("Expression"), str):
        return _NULL
    streams = given.get("SourceStreams")
    named = [streams] if isinstance(streams, str) else streams or ()
    uuids = [one.bytes for one in map(_uuid, named) if one is not None]
    kept = str(given.get("Materialized", True)).lower() not in ("false", "no", "0")
    return _SOME + _NULL + _string(given["Expression"]) + _array(uuids) + bytes((kept,))


def _properties(given: Json) -> bytes:
    if not isinstance(given, Mapping):
        return _NULL
    kind = given.get("ReadingType")
    return (
        _SOME
        + _string(str(given.get("UnitofMeasure", "")))
        + _long(_TYPES.index(kind) if kind in _TYPES else _TYPES.index("double"))
        + _maybe(given.get("Timezone"))
    )


def _actuator(given: Json) -> bytes:
    if not isinstance(given, Mapping) or given.get("Model") not in _MODELS:
        return _NULL
    values = given.get("Values")
    choices = _NULL
    if isinstance(values, list | tuple):
        choices = _SOME + _array([_choice(value) for value in values])
    measures = b"".join(_measure(given.get(n)) for n in ("MinValue", "MaxValue", "StepSize"))
    return _SOME + _long(_MODELS.index(given["Model"])) + measures + choices


def _choice(value: Json) -> bytes:
    return b"\x06" + _string(value) if isinstance(value, str) else _measure(value)


def _measure(value: Json) -> bytes:
    """A union of null, long and double; numbers stand in config files as text."""
    number = _number(value)
    if number is None:
        return _NULL
    return _SOME + _long(number) if isinstance(number, int) else b"\x04" + _DOUBLE.pack(number)


def _number(value: Json) -> int | float | None:
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return _number(kind(value))
            except ValueError:
                continue
        return None
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else None
    return value if isinstance(value, float) and value - value == 0.0 else None


def _uuid(value: Json) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _maybe(value: Json) -> bytes:
    """A union of null and string; a number or a list goes as its text."""
    return _NULL if value is None else _SOME + _string(_as_text(value))


def _map(given: Mapping[str, Json], above: str = "") -> bytes:
    """A map of string; what is nested gets the path as its key, as in a config file."""
    flat = list(_flat(given, above))
    if not flat:
        return _NULL
    return _long(len(flat)) + b"".join(_string(k) + _string(v) for k, v in flat) + _NULL


def _flat(given: Mapping[str, Json], above: str) -> Iterable[tuple[str, str]]:
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}/")
        elif value is not None:
            yield f"{above}{key}", _as_text(value)


def _as_text(value: Json) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _array(items: Sequence[bytes]) -> bytes:
    return _long(len(items)) + b"".join(items) + _NULL if items else _NULL


def _string(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return _long(len(data)) + data


def _long(number: int) -> bytes:
    """Avro's long: zigzag, then seven bits a byte, the least first."""
    n = (number << 1) ^ (number >> 63)
    if 0 <= n < 0x80:
        return bytes((n,))
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _float(seqno: int | None) -> float:
    try:
        return float(seqno or 0)
    except OverflowError:
        return float("inf")

"""The bodies of reports as records, whatever format they came in.

JSON, Avro (one bare datum, as sMAP has it) and CSV (``uuid,path,seconds,value``), each plain or
packed; the original calls zlib gzip, and both are taken. What a body says of a node beside its
readings is kept as JSON.
"""

from __future__ import annotations

import csv
import io
import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple
from uuid import UUID

from smapd.errors import BadRequest, TooLarge
from smapd.values import LONG_MAX, LONG_MIN, Json, Value

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of a body, unpacked."""
_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MOST_MS: Final = LONG_MAX


class Record(NamedTuple):
    """One reading. ``seq``: its number in its stream, -1 if the sender says none.

    ``note``: of a reading without a value, or one that is not good, why; else "".
    """

    ms: int
    value: Value
    seq: int = -1
    note: str = ""


@dataclass(slots=True)
class Received:
    """What a report says of one stream. ``about``: what it says beside readings, {} for nothing."""

    uuid: UUID
    path: str
    records: list[Record] = field(default_factory=list)
    about: dict[str, Json] = field(default_factory=dict)
    gaps: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """One body. ``collections``: what it says of those, by path."""

    streams: list[Received] = field(default_factory=list)
    collections: dict[str, Json] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Readings in it."""
        return sum(len(stream.records) for stream in self.streams)


def decode(body: bytes, content_type: str, content_encoding: str) -> Report:
    """The report in a body.

    :raises BadRequest: saying what it is not, and where.
    :raises TooLarge: if it is larger than 64 MiB when unpacked.
    """
    packing = content_encoding.strip().lower()
    if packing in ("gzip", "x-gzip", "deflate"):
        body = _unpacked(body)
    elif packing not in ("", "identity"):
        raise BadRequest(f"The body is packed as {packing[:40]}. Send it plain, or as gzip.")
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("avro/") or kind.endswith(("/avro", "+avro")):
        return _from_avro(body)
    if kind in ("text/csv", "application/csv"):
        return _from_csv(body)
    if kind in ("", "application/octet-stream", "text/plain") or kind.endswith("json"):
        return _from_json(body)
    # what curl says of any body
    if kind == "application/x-www-form-urlencoded" and body.lstrip()[:1] == b"{":
        return _from_json(body)
    raise BadRequest(f"The body is labelled {kind[:60]}. Send JSON, avro/binary or text/csv.")


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(47)
    try:
        plain = unpacker.decompress(body, MOST_BYTES + 1)
    except zlib.error:
        raise BadRequest("The body is not gzip, as its Content-Encoding says.") from None
    if len(plain) > MOST_BYTES:
        raise TooLarge("The body has more than 64 MiB when unpacked.")
    if not unpacker.eof or unpacker.unused_data:
        raise BadRequest("The packed body is cut short, or has something behind its end.")
    return plain


# --- JSON


def _from_json(body: bytes) -> Report:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise BadRequest(f"The body is not JSON: {e}.") from None
    if not isinstance(found, dict):
        raise BadRequest('The body is no report: {"/path": {"uuid", "Readings": [[ms, value]]}}.')
    report = Report()
    for name, node in found.items():
        path = _text(name)
        if not isinstance(node, dict):
            raise BadRequest(f"{_shown(path)}: a node is an object.")
        if "Readings" not in node:
            report.collections[path] = node
            continue
        stream = Received(_uuid(node.get("uuid"), path), path)
        stream.records = _records(path, node)
        gaps = node.get("Gaps")
        stream.gaps = gaps if isinstance(gaps, list) else []
        stream.about = {k: v for k, v in node.items() if k not in _READINGS_KEYS}
        report.streams.append(stream)
    return report


_NO_DATUM: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
    struct.error,
)
"""What a reader of foreign bytes raises, whatever they are."""
_READINGS_KEYS: Final = ("uuid", "Readings", "NonFinite", "First", "Jumps", "Quality", "Gaps")


def _records(path: str, node: Mapping[str, Any]) -> list[Record]:
    rows = node["Readings"]
    if not isinstance(rows, list):
        raise BadRequest(f"{_shown(path)}: Readings is a list.")
    try:
        unsaid = {int(i): _WORDS[word] for i, word in node.get("NonFinite") or ()}
        jumps = {int(i): int(seq) for i, seq in node.get("Jumps") or ()}
        seq = -1 if node.get("First") is None else int(node["First"])
        quality = node.get("Quality")
        records = []
        for i, row in enumerate(rows):
            seq = jumps.get(i, seq)
            ms, value = int(row[0]), row[1]
            note = ""
            if quality is not None and quality[i][0] != "good":
                note = _text(f"{quality[i][0]}: {quality[i][1]}".removesuffix(": "))
            if value is None:
                value = unsaid.get(i)
                note = note or ("" if i in unsaid else "bad")
            elif not isinstance(value, int | float | str):
                raise TypeError
            if not -_MOST_MS <= ms <= _MOST_MS:
                raise OverflowError
            if isinstance(value, int) and not LONG_MIN <= value <= LONG_MAX:
                value = float(value)
            records.append(Record(ms, value, seq, note))
            seq += seq >= 0
    except (TypeError, ValueError, KeyError, IndexError, OverflowError):
        raise BadRequest(
            f"{_shown(path)}: Readings, or what stands beside it, is not as a report has it."
        ) from None
    return records


def _uuid(given: object, path: str) -> UUID:
    try:
        return UUID(str(given))
    except ValueError:
        raise BadRequest(f"{_shown(path)}: the uuid is missing, or is none.") from None


# --- CSV


def _from_csv(body: bytes) -> Report:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.") from None
    streams: dict[str, Received] = {}
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        for row in reader:
            if not row:
                continue
            uuid, path, seconds, value = row
            stream = streams.get(uuid)
            if stream is None:
                stream = streams[uuid] = Received(UUID(uuid), path)
            ms = int((Decimal(seconds) * 1000).to_integral_value())
            if abs(ms) > _MOST_MS:
                raise OverflowError
            stream.records.append(Record(ms, _number_or_text(value)))
    except (ValueError, OverflowError, InvalidOperation, csv.Error):
        raise BadRequest(f"Line {reader.line_num} is not uuid,path,seconds,value.") from None
    return Report(list(streams.values()))


def _number_or_text(text: str) -> Value:
    """CSV does not tell the text 5 from the number: what can be a number is one."""
    for kind in (int, float):
        try:
            if "_" in text or text != text.strip():
                break
            found = kind(text)
        except ValueError:
            continue
        return found if isinstance(found, float) or LONG_MIN <= found <= LONG_MAX else float(found)
    return text


# --- Avro


def _from_avro(body: bytes) -> Report:
    import fastavro

    from .avro_schema import schema

    stream = io.BytesIO(body)
    parsed = fastavro.parse_schema(schema())
    try:
        found = fastavro.schemaless_reader(stream, parsed, parsed, return_record_name=True)
    except _NO_DATUM as e:
        raise BadRequest(f"The body is no Avro datum of a report: {e!r:.200}.") from None
    if stream.read(1):
        raise BadRequest("The body has something behind its Avro datum.")
    report = Report()
    assert isinstance(found, dict)
    for path, union in found.items():
        name, node = union
        if name == "Collection":
            report.collections[path] = _plain(node)
            continue
        received = Received(UUID(bytes=node["uuid"]), path)
        received.records = list(_avro_records(path, node["Readings"]))
        about = {k: v for k, v in node.items() if k not in ("uuid", "Readings") and v is not None}
        received.about = _plain(about)
        report.streams.append(received)
    return report


def _avro_records(path: str, rows: Any) -> Iterator[Record]:
    for row in rows:
        ms = row[0] if row else None
        if not isinstance(ms, int | float) or not math.isfinite(ms) or len(row) < 2:
            raise BadRequest(f"{_shown(path)}: a reading is [ms, value].")
        yield Record(int(ms), row[1], note="" if row[1] is not None else "bad")


def _plain(value: Any) -> Any:
    """What fastavro gives, as JSON: named unions undone, bytes as uuids."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return _plain(value[1])
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if len(value) == 16 else value.hex()
    return value


def _text(text: str) -> str:
    """Without half characters, which have no place in a file."""
    return text.encode("utf-8", "replace").decode()


def _shown(path: str) -> str:
    return ascii(path[:100])

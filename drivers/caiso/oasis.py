"""What OASIS answers: a zip file with one CSV file in it, or with an XML file that says why not.

No tree, no options: bytes in, rows out. The status is 200 in both cases. Who asks more than once in
five seconds gets the status 429, or a page of HTML that names the acceptable use policy.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from smapd.driver import BadReading, DeviceUnavailable

from .reports import Report, Series

START = "INTERVALSTARTTIME_GMT"
VALUES = ("MW", "VALUE", "PRC")
"""The column of the value; which of them it is depends on the report."""

MOST_FILES = 16
MOST_BYTES = 64 * 1024 * 1024
"""Of a file once it is unpacked."""

_CODE = re.compile(r"<(?:\w+:)?ERR_CODE>\s*(\w{1,10})\s*<")
_WORDS = re.compile(r"<(?:\w+:)?ERR_DESC>\s*([^<]{1,300}?)\s*<")


def question(base: str, report: Report, now_s: int) -> str:
    """The address of a report at this time."""
    window = {
        "resultformat": "6",
        "startdatetime": _gmt(now_s - report.back_s),
        "enddatetime": _gmt(now_s + report.ahead_s),
    }
    query = urlencode({**report.query, **window}, quote_via=quote, safe=",")
    return f"{base}{'&' if '?' in base else '?'}{query}"


def readings(report: Report, data: bytes) -> dict[Series, list[tuple[int, float]]]:
    """(seconds UTC, value) of each stream of the report that has any, oldest first.

    The time is when the interval begins.

    :raises DeviceUnavailable: if OASIS wants to be asked less often.
    :raises BadReading: if it says that there is nothing, or the answer cannot be read.
    """
    found: dict[Series, dict[int, float]] = {}
    for number, row in enumerate(_rows(data), 2):
        for series in report.series:
            if all(row.get(column) == value for column, value in series.where.items()):
                taken = _taken(row, number)
                if taken is not None:
                    found.setdefault(series, {})[taken[0]] = taken[1]
    if not found:
        raise BadReading("no row of the answer is one of those that are read")
    return {series: sorted(times.items()) for series, times in found.items()}


def _rows(data: bytes) -> Iterator[Mapping[str, str]]:
    text = _unpacked(data)
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = rows.fieldnames or ()
        missing = [START] if START not in columns else []
        if not any(column in columns for column in VALUES):
            missing.append(" or ".join(VALUES))
        if missing:
            raise BadReading(f"the answer has no column {' and no column '.join(missing)}")
        yield from rows
    except csv.Error as error:
        raise BadReading(f"line {rows.line_num} of the answer is no CSV: {error}") from error


def _unpacked(data: bytes) -> str:
    """The text of the CSV file in the answer."""
    if not data.startswith(b"PK"):
        if b"acceptable use" in data[:8192].lower():
            raise DeviceUnavailable("OASIS asks for fewer requests (its acceptable use policy)")
        raise BadReading("the answer is no zip file")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = archive.infolist()[:MOST_FILES]
            for ending in (".csv", ".xml"):
                for file in files:
                    if file.filename.lower().endswith(ending):
                        with archive.open(file) as f:
                            plain = f.read(MOST_BYTES + 1)
                        if len(plain) > MOST_BYTES:
                            raise BadReading(f"a file of the answer has over {MOST_BYTES} bytes")
                        return _checked(plain.decode("utf-8-sig"), ending)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise BadReading(f"the answer is a broken zip file: {error}") from error
    except (RuntimeError, NotImplementedError) as error:  # locked, or packed in a newer way
        raise BadReading(f"the answer is a zip file that cannot be read: {error}") from error
    raise BadReading("the answer is a zip file without a CSV file in it")


def _checked(text: str, ending: str) -> str:
    if ending == ".csv":
        return text
    code, words = _CODE.search(text), _WORDS.search(text)
    if code is None:
        raise BadReading("the answer is XML where CSV was asked for")
    said = " ".join(words[1].split()) if words else "no reason"
    raise BadReading(f"OASIS says: {said} (code {code[1]})")


def _taken(row: Mapping[str, str], number: int) -> tuple[int, float] | None:
    text = next((row[column] for column in VALUES if row.get(column)), "")
    if not text.strip():
        return None  # an interval that is not known yet
    try:
        when = datetime.fromisoformat(row[START])
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return int(when.timestamp()), float(text)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadReading(f"line {number} of the answer: {error}") from error


def _gmt(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H:%M-0000")

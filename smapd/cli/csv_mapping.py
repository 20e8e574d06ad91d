"""The mapping file of ``load-csv``: how a CSV file is written, and which stream each value is of.

::

    [csv]                              # all of it may be left out
    Delimiter = ;
    DecimalComma = yes
    [time]
    Column = Date, Time                # several columns are joined by a blank
    Format = %d.%m.%Y %H:%M:%S         # or iso, s, ms, us, excel
    Zone = Europe/Berlin
    [/hall/power]                      # a column for each stream …
    Column = "P [kW]"
    [rows]                             # … or a row for each reading
    PathColumn = Tag
    ValueColumn = Value
    [/hall/temperature]                # what a tag is called here, where that is not its path
    Tag = TI-100
    Scale = 0.1

Without a mapping: ``uuid,path,seconds,value`` without a header, as reports in CSV are written.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from smapd.config.reader import RawSection, read
from smapd.errors import ConfigError
from smapd.options import (
    REQUIRED,
    ListOf,
    Option,
    OptionTable,
    Where,
    boolean,
    edit_distance,
    integer,
    number,
    show,
)
from smapd.values import Problem, Severity

from .csv_times import AMBIGUOUS, TimeFormat, zone

_words: Final = ListOf(str)


def delimiter(text: str) -> str:
    """One letter, or one of the words tab, comma, semicolon, blank.

    :raises ValueError: if it is none.
    """
    named = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "blank": " "}
    found = named.get(text.lower(), text)
    if len(found) != 1 or found in "\r\n\0":
        raise ValueError("not one letter. Write one like ; or the word tab, comma or blank.")
    return found


def encoding(text: str) -> str:
    """The name of an encoding that has ASCII in it, so that lines can be told apart.

    :raises ValueError: if it is none, or not known.
    """
    try:
        name = codecs.lookup(text).name
        if "\n,1".encode(name) != b"\n,1":
            raise ValueError("not an encoding with plain line ends. Convert the file to UTF-8.")
    except (LookupError, UnicodeError):
        raise ValueError("no such encoding. Write utf-8, latin-1 or cp1252.") from None
    return name


def letter(text: str) -> str:
    """One letter, or nothing.

    :raises ValueError: if it is more.
    """
    if len(text) > 1:
        raise ValueError("more than one letter. Write one, or nothing.")
    return text


_CSV: Final = OptionTable(
    "csv",
    (
        Option("Delimiter", delimiter, ",", "what stands between two cells; tab for a tab"),
        Option("Quote", letter, '"', "what stands around a cell that holds a delimiter"),
        Option("Encoding", encoding, "utf-8", "of the file, like utf-8, latin-1 or cp1252"),
        Option("Header", boolean, "yes", "whether the first row names the columns"),
        Option("SkipLines", integer, 0, "lines before that", at_least=0, at_most=10_000),
        Option("Comment", str, "#", "lines that begin so are passed over"),
        Option("DecimalComma", boolean, "no", "whether 21,5 is twenty-one and a half"),
        Option("Thousands", letter, "", "what may stand between thousands, like . or a blank"),
        Option("Missing", _words, (), "texts that mean that there is no reading, beside nothing"),
    ),
)
_TIME: Final = OptionTable(
    "time",
    (
        Option("Column", _words, REQUIRED, "the column of the time; several are joined"),
        Option(
            "Format",
            str,
            "iso",
            "iso, s, ms or us since 1970, excel (days), or like %d.%m.%Y %H:%M:%S",
        ),
        Option("Zone", zone, None, "for times that name none, like Europe/Berlin, UTC or +01:00"),
        Option(
            "Ambiguous",
            str,
            "order",
            "the hour that comes twice in autumn: first, second, by the order of rows, or reject",
            choices=AMBIGUOUS,
        ),
    ),
)
_ROWS: Final = OptionTable(
    "rows",
    (
        Option("PathColumn", str, None, "the column of the path, or of a tag that stands for one"),
        Option("UuidColumn", str, None, "the column of the stream's uuid; wins over the path"),
        Option("ValueColumn", str, REQUIRED, "the column of the value"),
        Option("Prefix", str, "", "put before each path that is not a tag, like /hall"),
    ),
)
_STREAM: Final = OptionTable(
    "/*",
    (
        Option("Column", str, None, "the column of its values"),
        Option("Tag", str, None, "with [rows]: what the file calls it"),
        Option("Scale", number, 1.0, "multiplies each value"),
        Option("Offset", number, 0.0, "is added after that"),
    ),
    title="a stream",
)
TABLES: Final = (_CSV, _TIME, _ROWS, _STREAM)
"""The sections of a mapping file."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Where values of one stream stand, and what is done with them. ``line``: of its section."""

    path: str
    column: str | None = None
    tag: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    line: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether values are taken as they stand."""
        return self.scale == 1.0 and self.offset == 0.0


@dataclass(frozen=True, slots=True)
class Rows:
    """A file with a row for each reading."""

    path_column: str | None
    uuid_column: str | None
    value_column: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Mapping_:
    """A checked mapping; columns by name, or by number from 1 as text."""

    time_columns: tuple[str, ...]
    time: TimeFormat
    streams: tuple[Stream, ...] = ()
    rows: Rows | None = None
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    header: bool = True
    skip_lines: int = 0
    comment: str = "#"
    decimal_comma: bool = False
    thousands: str = ""
    missing: frozenset[str] = frozenset()
    file: str = field(default="", compare=False)


REPORT: Final = Mapping_(
    ("3",), TimeFormat("s", None, "order"), (), Rows("2", "1", "4"), header=False, comment=""
)
"""``uuid,path,seconds,value``: as reports in CSV, ``journal export`` and ``receive`` write it."""


def load_mapping(file: str) -> Mapping_:
    """Read and check a mapping file.

    :raises ConfigError: with every problem in it.
    """
    doc = read(file)
    problems = doc.problems
    found: dict[str, dict[str, Any]] = {}
    streams: list[Stream] = []
    for section in doc.sections:
        table = _table(section.name)
        if table is None:
            problems.append(doc.where(section).problem(_unknown(section.name)))
            continue
        where = doc.where(section)
        values, wrong = table.parse(section.values, where)
        problems += wrong
        if any(problem.severity is Severity.ERROR for problem in wrong):
            found.setdefault(table.section, values)
        elif table is _STREAM:
            streams.append(_stream(section, values, where, problems))
        else:
            found[table.section] = values
            problems += _check(table, values, where)
    problems += _whole(file, found, streams)
    errors = [p for p in problems if p.severity is Severity.ERROR]
    if errors:
        raise ConfigError(sorted(errors, key=lambda p: p.line or 2**31))
    csv, time, rows = found.get("csv") or _CSV.parse({})[0], found["time"], found.get("rows")
    return Mapping_(
        time["Column"],
        TimeFormat(time["Format"], time["Zone"], time["Ambiguous"]),
        tuple(streams),
        None
        if rows is None
        else Rows(rows["PathColumn"], rows["UuidColumn"], rows["ValueColumn"], rows["Prefix"]),
        csv["Delimiter"],
        csv["Quote"],
        csv["Encoding"],
        csv["Header"],
        csv["SkipLines"],
        csv["Comment"],
        csv["DecimalComma"],
        csv["Thousands"],
        frozenset(csv["Missing"]),
        file,
    )


def _table(name: str) -> OptionTable | None:
    if name.startswith("/"):
        return _STREAM
    return next((table for table in TABLES if table.section == name), None)


def _unknown(name: str) -> str:
    known = [table.section for table in TABLES if table is not _STREAM]
    close = [one for one in known if edit_distance(name.lower(), one, 2) <= 2]
    meant = f"Did you mean [{close[0]}]?" if close else f"Did you mean [/{show(name)}]?"
    return f"no such section. {meant}"


def _stream(
    section: RawSection, values: Mapping[str, Any], where: Where, problems: list[Problem]
) -> Stream:
    path = "/" + "/".join(filter(None, section.name.split("/")))
    column, tag = values["Column"], values["Tag"]
    if (column is None) == (tag is None):
        problems.append(where.problem("it has Column, or with [rows] Tag, and not both."))
    return Stream(path, column, tag, values["Scale"], values["Offset"], section.line)


def _check(table: OptionTable, values: Mapping[str, Any], where: Where) -> Iterator[Problem]:
    if table is _TIME:
        try:
            TimeFormat(values["Format"], values["Zone"], values["Ambiguous"]).check()
        except ValueError as e:
            yield where.problem(str(e), "Format", show(values["Format"]))
        if not values["Column"]:
            yield where.problem("missing. It is the column of the time.", "Column")
    elif table is _ROWS and values["PathColumn"] is None and values["UuidColumn"] is None:
        yield where.problem("missing. It is the column of the path.", "PathColumn")
    elif table is _CSV:
        decimal = "," if values["DecimalComma"] else "."
        if values["Thousands"] == decimal:
            text = "the decimal sign already. See DecimalComma."
            yield where.problem(text, "Thousands", show(values["Thousands"]))
        if values["Delimiter"] == values["Quote"]:
            yield where.problem("the quote already.", "Delimiter", show(values["Delimiter"]))


def _whole(file: str, found: Mapping[str, Any], streams: list[Stream]) -> Iterator[Problem]:
    """What must hold between sections."""
    if "time" not in found:
        yield Problem("[time] is missing: it says which column is the time.", file)
    has_rows = "rows" in found
    for stream in streams:
        if has_rows and stream.column is not None:
            text = "with [rows] it has Tag: what the file calls it."
            yield Problem(text, file, stream.line, stream.path, "Column")
        elif not has_rows and stream.tag is not None:
            yield Problem("Tag needs a section [rows].", file, stream.line, stream.path, "Tag")
    if not has_rows and not streams:
        yield Problem("no stream: write a section [/path] with its Column, or [rows].", file)
    for key, what in (("column", "Column"), ("tag", "Tag")):
        names = [getattr(s, key) for s in streams if getattr(s, key) is not None]
        for stream in streams:
            name = getattr(stream, key)
            first = names.index(name) if name is not None else 0
            if name is not None and streams[first] is not stream and what == "Tag":
                text = f"{show(name)} stands for {streams[first].path} already."
                yield Problem(text, file, stream.line, stream.path, what)

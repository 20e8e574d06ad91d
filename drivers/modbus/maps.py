"""Register maps: a CSV or INI file into registers.

A CSV file has a head line with the names of its columns, then one line a value; where it has no
comma, semicolons separate. An INI file has one section a value, whose name is the path; what stands
above the first section holds for all. The columns, or keys, are those of ``COLUMNS``; an empty one
counts as absent. Lines that begin with # are comments.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

from smapd.driver import DriverFailed

from .registers import BOOL, KINDS, Kind, Order, Register, Table
from .written import writable

MAPS = Path(__file__).parent / "maps"
"""The maps that come with smapd, each known by its name without .csv."""

COLUMNS = (
    "path",
    "table",
    "address",
    "type",
    "order",
    "bit",
    "scale",
    "offset",
    "no value",
    "unit",
    "key",
    "write",
    "description",
)

_T = TypeVar("_T")

MOST_BYTES = 1024 * 1024
MOST_REGISTERS = 10_000
_MOST_TOLD = 10
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16}", re.ASCII)
_SECTION = re.compile(r"\[(.*)\]\s*(?:#.*)?")


class MapError(DriverFailed):
    """The register map cannot be used.

    Each thing wrong with it is named with its line. It is read again with the next set-up.
    """

    code = "bad_map"

    def __init__(self, message: str) -> None:
        # It is the cause of a DriverFailed; beside that class no other says so in one sentence.
        super(DriverFailed, self).__init__(message)
        self.section, self.step = "", "setup"


def load_map(file: Path) -> tuple[Register, ...]:
    """The registers of a file, or of the map of that name that comes with smapd. Blocks on disk.

    :raises MapError: if there is no such file, or something is wrong with it.
    """
    if not file.suffix and len(file.parts) == 1:
        shipped = MAPS / f"{file}.csv"
        if not shipped.is_file():
            names = ", ".join(sorted(p.stem for p in MAPS.glob("*.csv")))
            raise MapError(
                f"Map = {file}: no map of that name comes with smapd. There is {names}; "
                "a file of your own ends in .csv or .ini."
            )
        file = shipped
    return parse_map(_read(file), file.name)


def parse_map(text: str, name: str) -> tuple[Register, ...]:
    """The registers of a map's text; ``name`` ends in .csv or .ini, and is what errors call it.

    :raises MapError: naming everything that is wrong with it.
    """
    parse = {".csv": _csv_rows, ".ini": _ini_rows}.get(Path(name).suffix.lower())
    if parse is None:
        raise MapError(f"{name}: not a register map. One ends in .csv or .ini.")
    problems: list[str] = []
    found: list[Register] = []
    lines: dict[str, int] = {}  # of each path and key
    for line, cells in parse(text, problems):
        if len(found) >= MOST_REGISTERS:
            problems.append(f"line {line}: more than {MOST_REGISTERS} registers. Split the map.")
            break
        row = _Row(cells)
        register = row.register()
        problems += [f"line {line}: {problem}" for problem in row.problems]
        if register is None:
            continue
        for what, word in (("path", register.path), ("key", register.key)):
            if word and (first := lines.setdefault(f"{what} {word}", line)) != line:
                problems.append(f"line {line}: {what} = {word}: that of line {first} already.")
        found.append(register)
    if not found and not problems:
        problems.append("no register in it.")
    if problems:
        told = [f"{name}: {problem}" for problem in problems[:_MOST_TOLD]]
        if len(problems) > _MOST_TOLD:
            told.append(f"and {len(problems) - _MOST_TOLD} more")
        raise MapError(" ".join(told))
    return tuple(found)


class _Row:
    """The cells of one row, each taken out and checked; what is wrong with them is collected."""

    def __init__(self, cells: Mapping[str, str]) -> None:
        self._cells = cells
        self.problems: list[str] = []

    def register(self) -> Register | None:
        """The register; None if there are problems."""
        path = self._needed("path", "Write where its stream is, like /l1/voltage")
        if path and not path.startswith("/"):
            self._wrong("path", "not a path. Write one that begins with /, like /l1/voltage.")
        table = self._one_of("table", {t.value: t for t in Table})
        kind = self._kind(table)
        address = self._integer("address", 0, 0xFFFF)
        if address is None and not self._cells.get("address"):
            self._wrong("address", "missing. Write a number from 0 to 65535.")
        orders = {order.value: order for order in Order}
        order = self._one_of("order", orders) if self._cells.get("order") else Order.ABCD
        bit = self._bit(table, kind)
        scale, offset = self._decimal("scale", "1"), self._decimal("offset", "0")
        if kind is BOOL and (scale, offset) != (1, 0):
            self._wrong("scale", "a bool has neither scale nor offset. Leave them empty.")
        if scale == 0:
            self._wrong("scale", "every reading would be the same. Leave it empty for 1.")
        unit = self._needed("unit", "Write one, or 1 for a bare number")
        no_value = self._no_value(kind)
        write = self._cells.get("write", "").lower()
        if write == "no":
            write = ""
        if write and table in (Table.DISCRETE, Table.INPUT):
            self._wrong("write", f"a register of the table {table.value} cannot be written.")
        if write and bit is not None:
            self._wrong("write", "one bit cannot be written without the others of its register.")
        if write and self._cells.get("key"):
            self._wrong("key", "what can be written is named by its path alone. Leave it empty.")
        if table is None or kind is None or address is None or order is None or self.problems:
            return None
        if address + kind.words > 0x10000:
            self._wrong("address", f"its {kind.name} ends beyond 65535.")
            return None
        register = Register(
            path=path,
            table=table,
            address=address,
            kind=kind,
            order=order,
            bit=bit,
            scale=scale,
            offset=offset,
            no_value=no_value,
            unit=unit,
            key=self._cells.get("key", ""),
            description=self._cells.get("description", ""),
        )
        return self._writable(register, write) if write else register

    def _writable(self, register: Register, write: str) -> Register | None:
        """With what may be written; None if there are problems."""
        try:
            found = writable(register, write)
            for one in found.values or (found.low, found.high):
                register.words(one)
        except ValueError as e:
            self._wrong("write", f"{e}.")
            return None
        return replace(register, writable=found)

    def _wrong(self, column: str, text: str) -> None:
        found = self._cells.get(column, "")
        self.problems.append(f"{column} = {found[:60]}: {text}" if found else f"{column}: {text}")

    def _needed(self, column: str, what: str) -> str:
        text = self._cells.get(column, "")
        if not text:
            self._wrong(column, f"missing. {what}.")
        return text

    def _one_of(self, column: str, choices: Mapping[str, _T]) -> _T | None:
        text = self._cells.get(column, "")
        folded = {name.lower(): choice for name, choice in choices.items()}
        if text.lower() not in folded:
            what = (
                f"not one of {', '.join(choices)}."
                if text
                else f"missing. Write one of {', '.join(choices)}."
            )
            self._wrong(column, what)
            return None
        return folded[text.lower()]

    def _kind(self, table: Table | None) -> Kind | None:
        if table is not None and table.is_bits and not self._cells.get("type"):
            return BOOL
        kind = self._one_of("type", KINDS)
        if kind is not None and kind is not BOOL and table is not None and table.is_bits:
            self._wrong("type", f"a {table.value} is a bool, and nothing else.")
        return kind

    def _bit(self, table: Table | None, kind: Kind | None) -> int | None:
        is_needed = kind is BOOL and table is not None and not table.is_bits
        if is_needed and not self._cells.get("bit"):
            self._wrong("bit", "missing. A bool of a register is one of its bits, 0 to 15.")
        elif not is_needed and self._cells.get("bit"):
            self._wrong("bit", "only a bool of a holding or input register has one.")
        return self._integer("bit", 0, 15)

    def _no_value(self, kind: Kind | None) -> int | None:
        if kind is None or not self._cells.get("no value"):
            return None
        if kind is BOOL:
            self._wrong("no value", "a bool has none.")
            return None
        bits = kind.words * 16
        value = self._integer("no value", -(1 << bits - 1), (1 << bits) - 1)
        return None if value is None else value & (1 << bits) - 1

    def _integer(self, column: str, least: int, most: int) -> int | None:
        text = self._cells.get(column, "")
        if not text:
            return None
        if _INTEGER.fullmatch(text) is None:
            self._wrong(column, "not a whole number. Write digits, or 0x and hexadecimal ones.")
            return None
        value = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
        if not least <= value <= most:
            self._wrong(column, f"not from {least} to {most}.")
            return None
        return value

    def _decimal(self, column: str, default: str) -> Decimal:
        try:
            value = Decimal(self._cells.get(column) or default)
        except InvalidOperation:
            value = Decimal("nan")
        if not value.is_finite() or not -30 <= value.adjusted() <= 30:
            self._wrong(column, "not a number. Write one like 0.1.")
            return Decimal(default)
        return value


def _read(file: Path) -> str:
    try:
        with open(file, "rb") as f:
            data = f.read(MOST_BYTES + 1)
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise MapError(f"Map = {file}: cannot be read: {why}.") from None
    if len(data) > MOST_BYTES:
        raise MapError(f"{file.name}: larger than 1 MiB. Split the map.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise MapError(f"{file.name}: line {line}: not UTF-8. Save the file as UTF-8.") from None


def _csv_rows(text: str, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    lines = text.splitlines()
    # a comment is blanked out, so that the reader's count of lines stays right
    lines = ["" if line.lstrip().startswith("#") else line for line in lines]
    head = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter="," if "," in head else ";", strict=True)
    columns: list[str] | None = None
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if columns is None:
                columns = [_column(cell, reader.line_num, problems) for cell in cells]
                if twice := sorted({c for c in columns if columns.count(c) > 1}):
                    problems.append(f"line {reader.line_num}: column {twice[0]} is there twice.")
                if problems:
                    return
                continue
            if any(cells[len(columns) :]):
                text = f"{len(cells)} cells, but {len(columns)} columns. Put quotes around commas."
                problems.append(f"line {reader.line_num}: {text}")
                continue
            yield reader.line_num, dict(zip(columns, cells, strict=False))
    except csv.Error as e:
        problems.append(f"line {reader.line_num}: {e}.")


def _ini_rows(text: str, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    defaults: dict[str, str] = {}
    row: dict[str, str] = defaults
    begins = 0
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if section := _SECTION.fullmatch(line):
            if begins:
                yield begins, defaults | row
            begins, row = number, {"path": section[1].strip()}
            continue
        key, equals, value = line.partition("=")
        if not equals:
            problems.append(f"line {number}: neither [path] nor key = value.")
            continue
        key = _column(key.strip(), number, problems)
        if key in row:
            problems.append(f"line {number}: {key}: given already.")
        row[key] = _unquoted(value)
    if begins:
        yield begins, defaults | row


def _column(name: str, line: int, problems: list[str]) -> str:
    """The column that a head or key names; _ and - stand for a blank, and case does not count."""
    column = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    if column not in COLUMNS:
        close = difflib.get_close_matches(column, COLUMNS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There is {', '.join(COLUMNS)}."
        problems.append(f"line {line}: {name or 'an empty name'}: no such column. {hint}")
    return column


def _unquoted(value: str) -> str:
    value = value.strip()
    if value[:1] in ("'", '"'):
        end = value.find(value[0], 1)
        return value[1:end] if end > 0 else value[1:]
    return value.partition(" #")[0].strip()

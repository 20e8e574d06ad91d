"""From the cells of a row to readings: which stream, when, and what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from smapd.core.fitting import FITS, Unfit
from smapd.errors import BadRequest, SmapError

from .add import parse_value
from .csv_mapping import Mapping_, Rows, Stream
from .known import Item
from .peer import Answered, Peer

_WHOLE: Final = re.compile(r"([+-]?\d+)\.0*")


@dataclass(frozen=True, slots=True)
class Target:
    """A stream of the daemon: its path, and its ReadingType."""

    path: str
    data_type: str


class Targets:
    """The streams of a daemon, looked up once each."""

    def __init__(self, daemon: Peer) -> None:
        self._daemon = daemon
        self._by_path: dict[str, Target | None] = {}
        self._by_uuid: dict[str, Target] = {}
        self._has_all = False

    def of_path(self, path: str) -> Target | None:
        """The stream at a path; None if there is none."""
        if path not in self._by_path:
            if self._has_all:
                return None
            self._by_path[path] = self._ask(path)
        return self._by_path[path]

    def of_uuid(self, uuid: str) -> Target | None:
        """The stream of a uuid; None if there is none."""
        return self._by_uuid.get(uuid.lower())

    def ask_for_all(self) -> None:
        """Have all of them, by one question.

        :raises SmapError: if the daemon does not answer.
        """
        for path, node in self._daemon.get("/data/+").items():
            if "Readings" in node:
                target = self._by_path[path] = _target(path, node)
                self._by_uuid[str(node.get("uuid"))] = target
        self._has_all = True

    def _ask(self, path: str) -> Target | None:
        try:
            found = self._daemon.get("/data" + path)
        except Answered as e:
            if e.status == 404:
                return None
            raise
        return _target(path, found) if "Readings" in found else None


class Values:
    """Reads the rows of one file.

    :raises SmapError: (the constructor) if a column or stream of the mapping is not there.
    """

    def __init__(
        self, mapping: Mapping_, header: Sequence[str] | None, targets: Targets, name: str
    ) -> None:
        self._mapping, self._header, self._targets, self._name = mapping, header, targets, name
        self._time = [self._column(column, "time") for column in mapping.time_columns]
        self._before: dict[str, int] = {}
        self._clean = _cleaner(mapping)
        self._missing = mapping.missing | {""}
        self._read: Callable[[Sequence[str]], Iterator[tuple[Target, Item] | str]]
        if mapping.rows is not None:
            self._rows_from(mapping.rows, mapping.streams)
            self._read = self._long
        else:
            self._wide_streams = [
                (stream, self._column(stream.column or "", stream.path), self._target_of(stream))
                for stream in mapping.streams
            ]
            self._read = self._wide

    @property
    def before(self) -> dict[str, int]:
        """Time of the last row, by stream; "" for a file whose rows are of all streams."""
        return self._before

    def remember(self, before: Mapping[str, Any]) -> None:
        """Go on from where an earlier run was."""
        self._before.update({str(key): int(ms) for key, ms in before.items()})

    def read(self, cells: Sequence[str]) -> Iterator[tuple[Target, Item] | str]:
        """The readings of a row, and for what cannot be read a few words."""
        return self._read(cells)

    # --- a column for each stream

    def _wide(self, cells: Sequence[str]) -> Iterator[tuple[Target, Item] | str]:
        try:
            ms = self._ms(cells, "")
        except ValueError as e:
            yield str(e)
            return
        for stream, column, target in self._wide_streams:
            if column >= len(cells):
                yield f"there is no cell {column + 1} for {stream.path}"
                continue
            text = cells[column].strip()
            if text in self._missing:
                continue
            try:
                yield target, Item(ms, self._value(text, stream, target))
            except ValueError as e:
                yield str(e)

    # --- a row for each reading

    def _rows_from(self, rows: Rows, streams: Sequence[Stream]) -> None:
        self._path_at = self._uuid_at = None
        if rows.path_column is not None:
            self._path_at = self._column(rows.path_column, "[rows]")
        if rows.uuid_column is not None:
            self._uuid_at = self._column(rows.uuid_column, "[rows]")
        self._value_at = self._column(rows.value_column, "[rows]")
        self._prefix = rows.prefix.rstrip("/")
        self._targets.ask_for_all()
        self._tags = {s.tag: (s, self._target_of(s)) for s in streams if s.tag is not None}

    def _long(self, cells: Sequence[str]) -> Iterator[tuple[Target, Item] | str]:
        try:
            stream, target = self._which(cells)
            ms = self._ms(cells, target.path)
            text = _cell(cells, self._value_at, "value")
            if target.data_type != "string":
                text = text.strip()
            if text not in self._missing or (target.data_type == "string" and not text):
                yield target, Item(ms, self._value(text, stream, target))
        except ValueError as e:
            yield str(e)

    def _which(self, cells: Sequence[str]) -> tuple[Stream | None, Target]:
        if self._uuid_at is not None:
            found = self._targets.of_uuid(_cell(cells, self._uuid_at, "uuid").strip())
            if found is not None:
                return None, found
        if self._path_at is None:
            raise ValueError(f"there is no stream {_shown(cells[self._uuid_at or 0])}")
        name = _cell(cells, self._path_at, "path").strip()
        if name in self._tags:
            return self._tags[name]
        path = self._prefix + "/" + "/".join(filter(None, name.split("/")))
        target = self._targets.of_path(path)
        if target is None:
            raise ValueError(f"there is no timeseries {_shown(path)}")
        return None, target

    # --- both

    def _ms(self, cells: Sequence[str], whose: str) -> int:
        text = " ".join([_cell(cells, column, "time").strip() for column in self._time])
        ms = self._mapping.time.read(text, self._before.get(whose))
        self._before[whose] = ms
        return ms

    def _value(self, text: str, stream: Stream | None, target: Target) -> Any:
        kind = target.data_type
        try:
            if kind == "string":
                return FITS[kind](text)
            text = self._clean(text)
            if stream is not None and not stream.is_plain:
                value = _scaled(parse_value(text, "double", target.path), text, stream)
                return FITS[kind](_whole(value, target.path) if kind == "long" else value)
            if kind == "long" and (whole := _WHOLE.fullmatch(text)) is not None:
                text = whole[1]
            return FITS[kind](parse_value(text, kind, target.path))
        except BadRequest as e:
            raise ValueError(e.message.rstrip(".")) from None
        except Unfit as e:
            raise ValueError(f"{target.path}: {e}") from None

    def _target_of(self, stream: Stream) -> Target:
        target = self._targets.of_path(stream.path)
        if target is None:
            where = f"{self._mapping.file}:{stream.line}: " if stream.line else ""
            raise SmapError(f"{where}the daemon has no timeseries {stream.path}.")
        return target

    def _column(self, name: str, whose: str) -> int:
        """Where a column stands, from 0: by its name in the header, else by its number from 1."""
        if self._header is not None and name in self._header:
            if self._header.count(name) > 1:
                text = f"{self._name}: two columns are called {name!r}, that of {whose}."
                raise SmapError(text, hint="Name it by its number, from 1.")
            return self._header.index(name)
        if name.isascii() and name.isdigit() and 1 <= int(name) <= 10_000:
            return int(name) - 1
        if self._header is None:
            text = (
                f"{self._name} has no header, so the column of {whose} is a number, not {name!r}."
            )
            raise SmapError(text)
        known = ", ".join(map(repr, self._header[:20]))
        raise SmapError(f"{self._name} has no column {name!r}, that of {whose}. It has {known}.")


def _cell(cells: Sequence[str], column: int, what: str) -> str:
    if column >= len(cells):
        raise ValueError(f"there is no cell {column + 1} for the {what}")
    return cells[column]


def _scaled(found: Any, text: str, stream: Stream) -> float:
    """By decimals, as they are written: 1.1 times 1000 is 1100, and not a hair more."""
    try:
        exact = Decimal(text) * Decimal(repr(stream.scale)) + Decimal(repr(stream.offset))
        return float(exact)
    except InvalidOperation:  # true and false, and infinity less infinity
        return float(found) * stream.scale + stream.offset


def _whole(value: float, path: str) -> int:
    nearest = round(value) if value - value == 0.0 else 0
    if abs(value - nearest) > 1e-9 * max(1.0, abs(value)):
        raise ValueError(f"{path} takes a whole number (long), not {value!r}")
    return nearest


def _cleaner(mapping: Mapping_) -> Callable[[str], str]:
    """A number as it stands in the file to one as Python has it."""
    thousands, decimal = mapping.thousands, "," if mapping.decimal_comma else "."
    mark = re.escape(thousands)
    groups = re.compile(rf"[+-]?\d{{1,3}}(?:{mark}\d{{3}})+(?:{re.escape(decimal)}\d*)?")

    def clean(text: str) -> str:
        if thousands == " ":
            text = text.replace("\u00a0", " ").replace("\u202f", " ")
        if thousands and thousands in text:
            if not groups.fullmatch(text):
                raise ValueError(f"{_shown(text)} has its {thousands!r} not between thousands")
            text = text.replace(thousands, "")
        if decimal == ",":
            if "." in text:
                raise ValueError(f"{_shown(text)} has a dot, and the decimal sign is a comma")
            text = text.replace(",", ".")
        return text

    return clean if thousands or decimal == "," else str


def _target(path: str, node: Mapping[str, Any]) -> Target:
    return Target(path, str(node.get("Properties", {}).get("ReadingType", "long")))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")

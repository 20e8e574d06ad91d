"""A config file read into sections that know their lines.

ConfigObj parses; it forgets lines, and goes on in the section before a header that it cannot use.
So the headers are found here first, and a header in error is replaced by a name that no file can
hold; what stands below it is then nobody's, instead of the wrong section's.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from configobj import ConfigObj, ConfigObjError, DuplicateError

from smapd.config.syntax import split_value
from smapd.errors import ConfigError
from smapd.options import Where, read_regular, show
from smapd.values import Problem, Severity

MOST_BYTES: Final = 8 * 1024 * 1024
LONGEST_LINE: Final = 64 * 1024
LONGEST_HEAD: Final = 8 * 1024
LONGEST_NAME: Final = 120
DEEPEST: Final = 16
"""Sections in sections: what walks them calls itself for each level."""

_HEADER = re.compile(
    r"""\s*(?P<open>\[[\[\s]*)
        (?P<name>"\s*\S.*?\s*"|'\s*\S.*?\s*'|[^'"\s].*?)
        (?P<close>(?:\s*\])+)\s*(?:\#.*)?""",
    re.VERBOSE,
)
_KEY = re.compile(r"""\s*(".*?"|'.*?'|[^'"=].*?)\s*=\s*(.*)""", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SECRETIVE = re.compile(r"pass|token|secret|auth|credential|delivery|^key$|apikey", re.IGNORECASE)
_NOBODY = "\x01"  # control characters are refused, so no section is called this


@dataclass(frozen=True, slots=True)
class RawSection:
    """A section of the first level. ``values``: text, list of texts or nested dict by key."""

    name: str
    line: int
    end: int
    values: Mapping[str, Any]


@dataclass(slots=True)
class Document:
    """A config file as read: its sections in file order, and what is wrong with its syntax."""

    file: str
    lines: list[str]
    sections: list[RawSection] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def where(self, section: RawSection, *, keys: bool = True) -> Where:
        """The place of a section; without ``keys`` only its own line, which is cheaper."""
        lines = dict(self._keys(section)) if keys else {}
        return Where(self.file, _name(section.name), section.line, lines)

    def problem(
        self,
        section: RawSection,
        key: str,
        text: str,
        *,
        found: Any = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem with one key of a section, or with the section if ``key`` is empty."""
        where = self.where(section, keys=bool(key))
        self.problems.append(where.problem(text, key, show(found), severity))

    def _keys(self, section: RawSection) -> Iterator[tuple[str, int]]:
        """(key, line) of the keys of a section itself and the headers nested in it, last first.

        Last first, so that a dict of them keeps the first line of each.
        """
        found: list[tuple[str, int]] = []
        closing, nested = "", False
        for number in range(section.line, section.end):
            line = self.lines[number]
            if closing:
                closing = "" if closing in line else closing
                continue
            if header := _header_of(line):
                nested = True
                found.append((_unquote(header["name"]), number + 1))
            elif not line.lstrip().startswith("#") and (m := _KEY.match(line)):
                if not nested:
                    found.append((_unquote(m[1]), number + 1))
                closing = _opens(m[2], self.lines, number)
        return reversed(found)


def read(file: str | Path) -> Document:
    """Read and parse a file.

    :raises ConfigError: if it cannot be read, is too large or is no UTF-8 text.
    """
    name = str(file)
    try:
        data = read_regular(file, MOST_BYTES)
    except FileNotFoundError:
        raise _unusable(name, "no such file.") from None
    except IsADirectoryError:
        raise _unusable(name, "a directory. Name a config file.") from None
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise _unusable(name, f"cannot be read: {why}.") from None
    if len(data) > MOST_BYTES:
        raise _unusable(name, "larger than 8 MiB. Split it over several daemons.")
    return parse(data, name)


def parse(data: bytes | str, name: str) -> Document:
    """Parse a config file's content; ``name`` is what problems call the file.

    :raises ConfigError: if it is no UTF-8 text.
    """
    text = data if isinstance(data, str) else _decode(data, name)
    text = text.removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if m := _CONTROL.search(text):
        line = text.count("\n", 0, m.start()) + 1
        raise _unusable(name, f"no text file: it holds the byte 0x{ord(m[0]):02x}.", line)
    doc = Document(name, text.split("\n"))
    if len(text) > LONGEST_LINE and max(map(len, doc.lines)) > LONGEST_LINE:
        line = next(n for n, t in enumerate(doc.lines, 1) if len(t) > LONGEST_LINE)
        raise _unusable(name, "a line longer than 64 KiB. Split it.", line)
    heads, lines = _find_headers(doc, '"""' in text or "'''" in text)
    parsed = _Tolerant.of(lines)
    ends = [line - 1 for _, line in heads[1:]] + [len(doc.lines)] * bool(heads)
    for (title, line), end in zip(heads, ends, strict=True):
        if not title.startswith(_NOBODY):
            values = _plain(parsed, title)
            doc.sections.append(RawSection(title, line, end, values))
    _note_strays(doc, parsed, heads)
    for error in parsed.found:
        _note_error(doc, error, heads)
    if "#" in text or "%(" in text:
        _note_surprises(doc, heads)
    return doc


class _Tolerant(ConfigObj):  # type: ignore[misc]
    """ConfigObj with a linear reading of values; errors are kept in ``found``."""

    found: list[ConfigObjError]

    @classmethod
    def of(cls, lines: list[str]) -> _Tolerant:
        options = {"interpolation": False, "list_values": True, "encoding": "utf-8"}
        try:
            config = cls(lines, raise_errors=False, **options)
            config.found = []
        except ConfigObjError as e:
            config = e.config
            config.found = list(e.errors)
        return config

    def _handle_value(self, value: str) -> tuple[str | list[str], str]:
        if "#" not in value and "," not in value and '"' not in value and "'" not in value:
            return value.strip(), ""
        try:
            return split_value(value)
        except ValueError as e:
            raise SyntaxError(str(e)) from None


def _unusable(name: str, text: str, line: int = 0) -> ConfigError:
    return ConfigError([Problem(text, name, line)])


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        text = f"not UTF-8: the byte 0x{data[e.start]:02x}. Save the file as UTF-8."
        raise _unusable(name, text, line) from None


def _find_headers(doc: Document, triple: bool) -> tuple[list[tuple[str, int]], list[str]]:
    """(name, line) of the sections of the first level, and the lines with bad headers replaced."""
    heads: list[tuple[str, int]] = []
    lines = doc.lines
    replaced: dict[int, str] = {}
    seen: dict[tuple[str, ...], int] = {}
    above: tuple[str, ...] = ()
    numbers = _outside_triples(lines) if triple else range(len(lines))
    for n in numbers:
        line = lines[n]
        if len(line) > LONGEST_HEAD and _has_endless_head(line):
            text = "neither a section nor key = value, and too long to tell."
            where = heads[-1][0] if heads else ""
            doc.problems.append(Problem(text, doc.file, n + 1, section=_name(where)))
            lines[n] = ""
            continue
        if "[" not in line or not line.lstrip().startswith("["):
            continue
        place, text = _place(line, above)
        if not text and place in seen:
            text = f"the section is there already, at line {seen[place]}. Join the two."
        if text:
            doc.problems.append(Problem(text, doc.file, n + 1, section=_shown(line)))
        if text or place[0].startswith(_NOBODY):
            depth = min(len(place), len(above) + 1) if place[0].startswith(_NOBODY) else 1
            place = (*above[: depth - 1], f"{_NOBODY}{n}")
            replaced[n] = "[" * depth + place[-1] + "]" * depth
        seen.setdefault(place, n + 1)
        above = place
        if len(place) == 1:
            heads.append((place[0], n + 1))
    if replaced:
        lines = [replaced.get(n, line) for n, line in enumerate(lines)]
    return heads, lines


def _has_endless_head(line: str) -> bool:
    """Whether the expressions for headers and keys would take the square of its length."""
    return len(line.partition("=")[0]) > LONGEST_HEAD and not line.lstrip().startswith("#")


def _place(line: str, above: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The names from the first level down to this header's, and what is wrong with it."""
    header = _header_of(line)
    if header is None:
        return (_NOBODY,), "not a section. Write [/path] or [name] alone on a line."
    depth = header["open"].count("[")
    place = (*above[: depth - 1], _unquote(header["name"]))
    if depth != header["close"].count("]"):
        return (_NOBODY,), "as many ] as [ are needed."
    if above and above[0].startswith(_NOBODY) and depth > 1:
        return (above[0], _NOBODY), ""
    if depth > DEEPEST:
        return (_NOBODY,), f"nested deeper than {DEEPEST} levels. Write fewer [."
    if depth > len(above) + 1:
        return (_NOBODY,), f"nested too deep. Write a section with {depth - 1} [ above it."
    return place, ""


def _header_of(line: str) -> re.Match[str] | None:
    return _HEADER.fullmatch(line) if line.lstrip().startswith("[") else None


def _outside_triples(lines: list[str]) -> Iterator[int]:
    """The numbers of the lines that are not inside a triple-quoted value."""
    closing = ""
    for n, line in enumerate(lines):
        if closing:
            closing = "" if closing in line else closing
            continue
        yield n
        if ("'''" in line or '"""' in line) and not line.lstrip().startswith(("#", "[")):
            m = _KEY.match(line)
            closing = _opens(m[2], lines, n) if m else ""


def _opens(value: str, lines: list[str], n: int) -> str:
    """The quotes that end the value which begins on line n, if it goes on over further lines."""
    quotes = value[:3]
    if quotes not in ("'''", '"""') or quotes in value[3:]:
        return ""
    last = next((line for line in lines[n + 1 :] if quotes in line), None)
    if last is None:
        return ""  # never ends: ConfigObj reports this line, and goes on with the next
    rest = last.partition(quotes)[2].strip()
    return quotes if not rest or rest.startswith("#") or quotes in rest else ""


def _unquote(name: str) -> str:
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name


def _plain(parsed: ConfigObj, title: str) -> dict[str, Any]:
    """A section's values as a plain dict; ConfigObj's own look-up is slow."""
    section = dict.__getitem__(parsed, title)
    values: dict[str, Any] = dict(dict.items(section))
    if section.sections:
        for name in section.sections:
            if name.startswith(_NOBODY):
                del values[name]
            else:
                values[name] = _plain(section, name)
    return values


def _name(title: str) -> str:
    """A section's name in a message; a path may be long, but not without end."""
    return title if len(title) <= LONGEST_NAME else title[: LONGEST_NAME - 1] + "…"


def _shown(line: str) -> str:
    """A header as it may stand between brackets in a message."""
    text = show(line.strip())
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return text


def _at(doc: Document, heads: list[tuple[str, int]], line: int) -> tuple[str, int]:
    """The name and line of the section of the first level in which a line stands."""
    i = bisect_right([n for _, n in heads], line) - 1
    if i < 0:
        return "", 0
    name, start = heads[i]
    return _shown(doc.lines[start - 1]) if name.startswith(_NOBODY) else _name(name), start


def _note_strays(doc: Document, parsed: ConfigObj, heads: list[tuple[str, int]]) -> None:
    if not parsed.scalars:
        return
    first = heads[0][1] - 1 if heads else len(doc.lines)
    before = RawSection("", 0, first, {})
    lines = dict(doc._keys(before))
    for key in parsed.scalars:
        text = "stands before the first section. Write [/] above it."
        doc.problems.append(Problem(text, doc.file, lines.get(key, 0), key=key))


def _note_error(doc: Document, error: ConfigObjError, heads: list[tuple[str, int]]) -> None:
    """One of ConfigObj's errors in our words."""
    n: int = error.line_number
    line = doc.lines[n - 1]
    section, start = _at(doc, heads, n)
    m = _KEY.match(line)
    key = _unquote(m[1]) if m else ""
    value = ""
    if isinstance(error, DuplicateError):
        first = _first_line(doc, start, n, key)
        text = f"given already, at line {first}. Keep one of them."
    elif m is None:
        text = f"neither a section nor key = value: {_found(line.strip(), line)}"
    elif m[2][:3] in ("'''", '"""'):
        text = f"{m[2][:3]} opens a text that is not closed. Write {m[2][:3]} at its end."
    else:
        value = _found(m[2], key)
        try:
            split_value(m[2])
            text = "cannot be read. Write quotes around the value."
        except ValueError as e:
            text = str(e)
    doc.problems.append(Problem(text, doc.file, n, section, key, Severity.ERROR, value))


def _found(value: str | list[str], key: str) -> str:
    """What was found, unless its name says that it may be a secret: types are not known yet."""
    return "***" if _SECRETIVE.search(key) else show(value)


def _first_line(doc: Document, start: int, end: int, key: str) -> int:
    for number in range(start, end):
        m = _KEY.match(doc.lines[number])
        if m and _unquote(m[1]) == key:
            return number + 1
    return start


def _note_surprises(doc: Document, heads: list[tuple[str, int]]) -> None:
    """Warn of what ConfigObj's syntax or its original use makes of a value without a word."""
    for n, line in enumerate(doc.lines, 1):
        if ("#" not in line and "%(" not in line) or line.lstrip().startswith(("#", "[")):
            continue
        m = _KEY.match(line)
        if m is None or m[2][:3] in ("'''", '"""'):
            continue
        try:
            value, comment = split_value(m[2])
        except ValueError:
            continue
        before = m[2][: len(m[2].rstrip()) - len(comment)] if comment else ""
        text = ""
        if comment and (before[-1:].strip() or (not value and comment[1:2].strip())):
            text = "a # begins a comment and cuts the value. Write quotes around it."
        elif "%(" in str(value) and re.search(r"%\([^)]*\)s", str(value)):
            text = "%(name)s is taken as it stands; nothing is put in its place."
        if text:
            section, _ = _at(doc, heads, n)
            key = _unquote(m[1])
            doc.problems.append(
                Problem(text, doc.file, n, section, key, Severity.WARNING, _found(value, key))
            )

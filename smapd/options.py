"""Options: the keys of one section, declared once; parsed, checked and documented from that.

An option's type is any callable ``type(text) -> value`` whose ValueError carries the sentence that
the operator reads. The types that sections share stand here; ``str``, ``int``, ``float`` and
``bool`` mean this file's ``str``, ``integer``, ``number`` and ``boolean``. Everything here is pure
and may be used from any thread; only ``Secret.resolve`` reads the environment and files.
"""

from __future__ import annotations

import difflib
import enum
import errno
import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from smapd.errors import SecretUnreadable
from smapd.values import LONG_MAX, LONG_MIN, Problem, Severity

__all__ = [
    "REQUIRED",
    "ListOf",
    "Option",
    "OptionTable",
    "Secret",
    "SecretUrl",
    "Where",
    "boolean",
    "duration",
    "edit_distance",
    "hidden_keys",
    "integer",
    "merge",
    "nearest",
    "number",
    "open_urls",
    "path",
    "port",
    "read_regular",
    "resolve",
    "secret",
    "secret_url",
    "secret_url_of",
    "show",
    "size",
    "url",
    "uuid",
    "words",
]


class Required(enum.Enum):
    """The default of an option that has none."""

    REQUIRED = "required"


REQUIRED: Final = Required.REQUIRED

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16}", re.ASCII)
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "b": 1} | {
    unit: 1024**n
    for n, letter in enumerate("kmgt", 1)
    for unit in (letter, letter + "b", letter + "ib")
}
_WORDS = {"yes": True, "true": True, "on": True, "1": True}
_WORDS |= {"no": False, "false": False, "off": False, "0": False}
_CENTURY_S = 100 * 366 * 86400.0
_SHOWN = 60
_SECRET_BYTES = 64 * 1024


# --- types


def integer(text: str) -> int:
    """A whole number within 64 bits, in digits or 0x….

    :raises ValueError: if it is anything else.
    """
    text = text.strip()
    if _INTEGER.fullmatch(text) is None:
        raise ValueError("not a whole number. Write digits, like 30.")
    value = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
    if not LONG_MIN <= value <= LONG_MAX:
        raise ValueError("beyond 64 bits. Write a smaller number.")
    return value


def number(text: str) -> float:
    """A finite number.

    :raises ValueError: if it is anything else, NaN and infinity too.
    """
    try:
        # float() takes the digits of every script; who reads the file may not
        value = float(text) if "_" not in text and text.isascii() else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("not a number. Write one like 0.5.")
    return value


def boolean(text: str) -> bool:
    """yes, true, on, 1 or no, false, off, 0, in any case.

    :raises ValueError: if it is anything else.
    """
    value = _WORDS.get(text.strip().lower())
    if value is None:
        raise ValueError("neither yes nor no. Write yes or no.")
    return value


def duration(text: str) -> float:
    """Seconds, from 500ms, 30s, 5m, 1h or 1d; a bare number is seconds.

    :raises ValueError: if it is anything else, negative, or longer than a century.
    """
    m = _NUMBER.fullmatch(text)
    factor = _SECONDS.get(m[2]) if m else None
    if m is None or factor is None:
        raise ValueError("not a duration. Write a number with ms, s, m, h or d, like 30s.")
    value = float(m[1]) * factor
    if value > _CENTURY_S:
        raise ValueError("longer than a hundred years. Write a shorter time, like 30d.")
    return value


def size(text: str) -> int:
    """Bytes, from 64KiB or 2GiB; a bare number is bytes, and k, M, G, KB, MB, GB count by 1024 too.

    :raises ValueError: if it is anything else, or beyond 64 bits.
    """
    m = _NUMBER.fullmatch(text)
    factor = _BYTES.get(m[2].lower()) if m else None
    if m is None or factor is None:
        raise ValueError("not a size. Write bytes, or a number with KiB, MiB or GiB, like 64KiB.")
    value = int(m[1]) * factor if m[1].isdigit() and len(m[1]) < 20 else float(m[1]) * factor
    if value > LONG_MAX:
        raise ValueError("beyond 64 bits. Write a smaller size.")
    return int(value)


def port(text: str) -> int:
    """A TCP or UDP port, 0 to 65535.

    :raises ValueError: if it is anything else.
    """
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError("not a port. Write a number from 0 to 65535.")
    return int(text)


def path(text: str) -> Path:
    """A file or directory, relative to the working directory; ``~`` is the home directory.

    :raises ValueError: if it is empty or holds a NUL.
    """
    if not text or "\0" in text:
        raise ValueError("not a path. Write the name of a file or directory.")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("no such user's home directory. Write the path in full.") from None


def uuid(text: str) -> UUID:
    """A uuid, 32 hexadecimal digits with or without dashes.

    :raises ValueError: if it is anything else.
    """
    try:
        value = UUID(text)
        # UUID() forgives braces, underscores and prefixes; what is dumped should read as written
        if value.hex == text.replace("-", "").lower():
            return value
    except ValueError:
        pass
    raise ValueError("not a uuid. Write one like 75503ac2-abf0-11e0-b7d6-0026bb56ec92.")


def url(*schemes: str) -> Callable[[str], str]:
    """The type of a URL with one of these schemes and a host; the value is the text.

    The type raises ValueError for another scheme, no host, a bad port or a blank in it.
    """

    def parse(text: str) -> str:
        return _checked_url(text, schemes)

    parse.__name__ = "url"
    return parse


_TYPES: Final[Mapping[Any, Callable[[str], Any]]] = {int: integer, float: number, bool: boolean}


def _type(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return _TYPES.get(kind, kind)


def _label(kind: Callable[[Any], Any]) -> str:
    name: str = getattr(_type(kind), "__name__", type(kind).__name__)
    return {"str": "text"}.get(name, name)


class ListOf:
    """The type of a comma list of one type; the value is a tuple. One element needs no comma."""

    takes_lists = True

    def __init__(self, element: Callable[[str], Any] = str) -> None:
        self.element = _type(element)
        self.__name__ = "list of " + ("words" if element is str else _label(element))

    def __call__(self, text: str | Sequence[str]) -> tuple[Any, ...]:
        parts = [text] if isinstance(text, str) else text
        return tuple(self.element(part) for part in parts if part != "")


words = ListOf(str)


# --- secrets

SECRETIVE = re.compile(
    r"passw|passphrase|pwd$|^pw$|token|secret|credential|api_?key|private_?key", re.IGNORECASE
)
"""Names of keys whose value may be a secret, where no option table says so."""


class Secret:
    """A text that is never shown: its str and repr are ``***``.

    Holds either the text itself, or a reference ``env:NAME`` or ``file:PATH`` to it.
    """

    __slots__ = ("_text", "reference")

    def __init__(self, text: str | None, reference: str = "") -> None:
        self._text = text
        self.reference = reference
        """``env:NAME`` or ``file:PATH`` as the config has it; "" for a text written there."""

    def resolve(self) -> Secret:
        """This secret with its text read from where the reference points; blocks on a file.

        :raises SecretUnreadable: naming the variable or file, never its content.
        """
        return self if self._text is not None else type(self)(_read(self.reference), self.reference)

    def reveal(self) -> str:
        """The text. Hand it to the peer at once, and keep it nowhere.

        :raises SecretUnreadable: if it was not resolved before and cannot be now.
        """
        return self._text if self._text is not None else _read(self.reference)

    def source(self) -> str:
        """What a config file has for it: the reference if there is one, else the text itself."""
        return self.reference or self.reveal()

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self._text, self.reference) == (other._text, other.reference)

    def __hash__(self) -> int:
        return hash((self._text, self.reference))

    def __reduce__(self) -> Any:
        raise TypeError("a secret cannot be pickled or copied to another process")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self


class SecretUrl(Secret):
    """A URL whose path, query or user part may hold a key; shown as ``scheme://host:port/***``."""

    __slots__ = ("schemes",)

    def __init__(
        self, text: str | None, reference: str = "", schemes: tuple[str, ...] = ("http", "https")
    ) -> None:
        super().__init__(text, reference)
        self.schemes = schemes

    def resolve(self) -> SecretUrl:
        """As ``Secret.resolve``; what was read must be a URL.

        :raises SecretUnreadable: if it cannot be read or is not a URL of an allowed scheme.
        """
        if self._text is not None:
            return self
        return SecretUrl(self.reveal(), self.reference, self.schemes)

    def reveal(self) -> str:
        """As ``Secret.reveal``."""
        if self._text is not None:
            return self._text
        try:
            return _checked_url(_read(self.reference), self.schemes)
        except ValueError as e:
            raise SecretUnreadable(f"{self.reference} is {e}") from None

    def __repr__(self) -> str:
        if self._text is None:
            return "***"
        parts = urlsplit(self._text)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***"


def secret(text: str) -> Secret:
    """A secret: ``env:NAME``, ``file:PATH`` (read when the section starts), or the text itself.

    :raises ValueError: if it is empty.
    """
    reference = _reference(text)
    return Secret(None, reference) if reference else Secret(text)


def secret_url_of(*schemes: str) -> Callable[[str], SecretUrl]:
    """The type of a URL of these schemes that may hold a key; ``env:`` and ``file:`` as in secret.

    The type raises ValueError as that of ``url`` does, without quoting the text.
    """

    def parse(text: str) -> SecretUrl:
        reference = _reference(text)
        if reference:
            return SecretUrl(None, reference, schemes)
        return SecretUrl(_checked_url(text, schemes), "", schemes)

    parse.__name__ = "secret_url"
    return parse


secret_url = secret_url_of("http", "https")


def resolve(values: Mapping[str, Any]) -> dict[str, Any]:
    """These parsed values with every secret in them resolved; blocks on files.

    :raises SecretUnreadable: for the first that cannot be read, naming its key.
    """

    def one(key: str, value: Any) -> Any:
        if isinstance(value, Secret):
            try:
                return value.resolve()
            except SecretUnreadable as e:
                raise SecretUnreadable(f"{key}: {e.message}", hint=e.hint) from None
        if isinstance(value, tuple):
            return tuple(one(key, v) for v in value)
        if isinstance(value, dict):
            return {k: one(f"{key.removesuffix('*')}{k}", v) for k, v in value.items()}
        return value

    return {key: one(key, value) for key, value in values.items()}


# --- options and tables


@dataclass(frozen=True, slots=True)
class Where:
    """The place of a section, from which its problems are named. ``lines``: line of each key."""

    file: str = ""
    section: str = ""
    line: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)

    def problem(
        self, text: str, key: str = "", value: str = "", severity: Severity = Severity.ERROR
    ) -> Problem:
        """A problem of this section or of one key in it; ``value`` is what was found."""
        line = self.lines.get(key, self.line) if key else self.line
        return Problem(text, self.file, line, self.section, key, severity, value)


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a section.

    ``type``: ``type(text) -> value``. ``default``: REQUIRED, None, a value, or text that the type
    parses. ``at_least``, ``at_most``: inclusive, a value or text. A ``name`` that ends in ``*``
    declares repeated keys ``Name0``, ``Name1`` …; their values come as ``{0: …, 1: …}`` in order.
    ``deprecated``: what to do instead; of the form "use Other", the value goes to that option.
    """

    name: str
    type: Callable[[Any], Any]
    default: Any
    doc: str
    choices: tuple[Any, ...] | None = field(default=None, kw_only=True)
    at_least: Any = field(default=None, kw_only=True)
    at_most: Any = field(default=None, kw_only=True)
    deprecated: str | None = field(default=None, kw_only=True)

    def parse(self, found: Any) -> Any:
        """The value of what a config file has (text, or a list where commas are bare).

        :raises ValueError: whose text says what is wrong and what would do.
        """
        kind = _type(self.type)
        if isinstance(found, Mapping):
            raise ValueError("a section stands where a value is expected.")
        if not isinstance(found, str) and not getattr(kind, "takes_lists", False):
            quoted = "" if self.is_secret else ', like "' + ", ".join(map(str, found)) + '"'
            raise ValueError(f"a comma makes a list of it. Write quotes{quoted}.")
        value = kind(found)
        values = value if isinstance(value, tuple) else (value,)
        for one in values:
            self._check(one)
        return value

    def default_value(self) -> Any:
        """The value when the key is absent; None for a required one."""
        if self.default is REQUIRED:
            return None
        return self.parse(self.default) if isinstance(self.default, str) else self.default

    @property
    def is_secret(self) -> bool:
        """Whether what is found for it must not be shown."""
        return _label(self.type) in ("secret", "secret_url")

    def _check(self, value: Any) -> None:
        if self.choices is not None and value not in self.choices:
            close = nearest(str(value), map(str, self.choices))
            hint = f" Did you mean {close}?" if close else ""
            raise ValueError(f"not one of {', '.join(map(str, self.choices))}.{hint}")
        kind = _type(self.type)
        for bound, below, word in (
            (self.at_least, True, "below the least allowed"),
            (self.at_most, False, "above the most allowed"),
        ):
            if bound is not None:
                limit = kind(bound) if isinstance(bound, str) else bound
                if value < limit if below else value > limit:
                    raise ValueError(f"{word}, {bound}.")


Check: TypeAlias = Callable[[Mapping[str, Any], Where], Iterable[Problem]]


@dataclass(frozen=True)
class OptionTable:
    """The options of one kind of section.

    ``section``: ``server`` stands for [server] and [server NAME], ``report*`` for every section
    that begins with these letters. ``title``: how messages call the owner of the keys. ``check``:
    what must hold between keys; called only when each key by itself is right.
    """

    section: str
    options: tuple[Option, ...]
    title: str = field(default="", kw_only=True)
    ignore_case: bool = field(default=False, kw_only=True)
    check: Check | None = field(default=None, kw_only=True)
    _by_name: dict[str, Option] = field(init=False, repr=False, compare=False)
    _defaults: dict[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, Option] = {}
        for option in self.options:
            name = self._fold(option.name)
            if name in by_name:
                raise ValueError(f"option {option.name} of {self.owner} is declared twice")
            by_name[name] = option
        object.__setattr__(self, "_by_name", by_name)
        defaults = {
            o.name: {} if o.name.endswith("*") else o.default_value()
            for o in self.options
            if self._successor(o) is None
        }
        object.__setattr__(self, "_defaults", defaults)

    @property
    def owner(self) -> str:
        """How messages call the owner of the keys."""
        return self.title or f"[{self.section.removesuffix('*')}]"

    def names(self) -> Iterator[str]:
        """The names of the options, as declared."""
        return (o.name for o in self.options)

    def find(self, key: str) -> Option | None:
        """The option that this key of a section belongs to, else None."""
        name = self._fold(key)
        option = self._by_name.get(name)
        if option is not None:
            return None if name.endswith("*") else option
        stem = name.rstrip("0123456789")
        digits = name[len(stem) :]
        if not 0 < len(digits) <= 4 or (digits[0] == "0" and digits != "0"):
            return None
        return self._by_name.get(stem + "*")

    def parse(
        self, mapping: Mapping[str, Any], where: Where = Where()
    ) -> tuple[dict[str, Any], list[Problem]]:
        """The values of a section, one for each option (defaults filled in), and all its problems.

        ``mapping``: text, list or nested section by key. Values with a problem are left out.
        Secrets come unresolved; see ``resolve``.
        """
        values = {k: dict(v) if k.endswith("*") else v for k, v in self._defaults.items()}
        problems: list[Problem] = []
        given: dict[str, str] = {}  # folded name of the option that has the value: the key used
        meant: set[str] = set()  # what unknown keys are taken for: one message each is enough
        for key, found in mapping.items():
            option = self.find(key)
            if option is None:
                problems.append(self._unknown(key, found, where, meant))
                continue
            target = self._successor(option) or option
            repeated = option.name.endswith("*")
            slot = self._fold(key if repeated else target.name)
            if slot in given:
                problems.append(where.problem(f"given already as {given[slot]}.", key))
                continue
            given[slot] = key
            shown = "***" if option.is_secret else show(found)
            if option.deprecated is not None:
                text = f"deprecated: {option.deprecated}."
                problems.append(where.problem(text, key, severity=Severity.WARNING))
            try:
                value = target.parse(found)
            except ValueError as e:
                problems.append(where.problem(str(e), key, shown))
                values.pop(target.name, None)
                continue
            if repeated:
                number = int(key[len(option.name) - 1 :])
                values.setdefault(option.name, {})[number] = value
            else:
                values[target.name] = value
        for option in self.options:
            if option.default is REQUIRED and self._fold(option.name) not in given:
                if option.name not in meant:
                    problems.append(where.problem(f"missing. It is {option.doc}.", option.name))
                values.pop(option.name, None)
        for name in [n for n, v in values.items() if n.endswith("*") and len(v) > 1]:
            values[name] = dict(sorted(values[name].items()))
        if self.check and not any(p.severity is Severity.ERROR for p in problems):
            problems.extend(self.check(values, where))
        return values, problems

    def describe(self) -> list[tuple[str, str, str, str]]:
        """(name, type, default, doc) of each option, as texts for a documentation table."""
        return [(o.name, _label(o.type), _default_text(o), _doc_text(o)) for o in self.options]

    def markdown(self) -> str:
        """The same as a Markdown table."""
        rows = [("key", "type", "default", "meaning"), ("---", "---", "---", "---")]
        rows += self.describe()
        return "".join("| " + " | ".join(c.replace("|", "\\|") for c in r) + " |\n" for r in rows)

    def _fold(self, name: str) -> str:
        return name.lower() if self.ignore_case else name

    def _successor(self, option: Option) -> Option | None:
        """The option that a deprecated one's value goes to."""
        verb, _, name = (option.deprecated or "").partition(" ")
        return self._by_name.get(self._fold(name)) if verb == "use" else None

    def _unknown(self, key: str, found: Any, where: Where, meant: set[str]) -> Problem:
        close = nearest(key, (o.name for o in self.options if o.deprecated is None))
        meant.update((close,) if close else ())
        hint = f" Did you mean {close.replace('*', '0')}?" if close else ""
        kind = "section" if isinstance(found, Mapping) else "key"
        return where.problem(f"no such {kind} of {self.owner}.{hint}", key)


def merge(tables: Iterable[OptionTable]) -> dict[str, OptionTable]:
    """One table for each section, from the tables of all rooms.

    :raises ValueError: if two rooms declare one name.
    """
    by_section: dict[str, list[OptionTable]] = {}
    for table in tables:
        by_section.setdefault(table.section, []).append(table)
    merged = {}
    for section, parts in by_section.items():
        checks = [t.check for t in parts if t.check]
        merged[section] = OptionTable(
            section,
            tuple(o for t in parts for o in t.options),
            title=next((t.title for t in parts if t.title), ""),
            ignore_case=section == "server" or any(t.ignore_case for t in parts),
            check=_all_of(checks) if checks else None,
        )
    return merged


def hidden_keys(table: OptionTable, raw: Mapping[str, Any]) -> frozenset[str]:
    """The keys of a section whose value is a secret's text itself, which nothing may show.

    A URL that may hold a key is not among them: without it a report could not be written down.
    """
    return frozenset(
        key
        for key, found in raw.items()
        if (option := table.find(key)) is not None
        and _label(option.type) == "secret"
        and not (isinstance(found, str) and found.startswith(("env:", "file:")))
    )


def open_urls(table: OptionTable, raw: Mapping[str, Any]) -> frozenset[str]:
    """The keys of a section whose value is a URL that may hold a key, as text and no reference."""
    return frozenset(
        key
        for key, found in raw.items()
        if (option := table.find(key)) is not None
        and _label(option.type) == "secret_url"
        and not (isinstance(found, str) and found.startswith(("env:", "file:")))
    )


# --- names and texts


def edit_distance(a: str, b: str, limit: int = 2) -> int:
    """How many letters to insert, drop, change or swap to get from a to b; limit + 1 if more."""
    if abs(len(a) - len(b)) > limit or max(len(a), len(b)) > 128:
        return limit + 1 if a != b else 0
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return min(last[-1], limit + 1)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant, else None."""
    folded = {k.lower(): k for k in known}
    low = name.lower()[:128]
    if low in folded:
        return folded[low]
    limit = 1 if len(low) < 4 else 2
    ranked = sorted((edit_distance(low, k, limit), k) for k in folded)
    if ranked and ranked[0][0] <= limit:
        return folded[ranked[0][1]]
    close = difflib.get_close_matches(low, folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def read_regular(file: str | Path, most: int) -> bytes:
    """What a file holds, or its first ``most`` + 1 bytes if it is larger; blocks on its disk alone.

    :raises IsADirectoryError: if it is a directory.
    :raises OSError: if it cannot be read, or is a pipe, a device or a socket: reading one may wait
        for ever, and no signal would end that.
    """

    def opened(name: str, flags: int) -> int:
        # looked at first, for opening alone starts some devices; and again, as it may be another
        _refuse_irregular(os.stat(name).st_mode, name)
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)

    with open(file, "rb", opener=opened) as f:
        _refuse_irregular(os.fstat(f.fileno()).st_mode, str(file))
        return f.read(most + 1)


def show(found: Any) -> str:
    """What was found, as one short printable line."""
    if isinstance(found, Mapping):
        return "[[…]]"
    text = found if isinstance(found, str) else ", ".join(map(str, found))
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _refuse_irregular(mode: int, name: str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", name)


def _all_of(checks: Sequence[Check]) -> Check:
    def check(values: Mapping[str, Any], where: Where) -> Iterable[Problem]:
        return [problem for one in checks for problem in one(values, where)]

    return check


def _checked_url(text: str, schemes: Sequence[str]) -> str:
    sentence = (
        f"not a URL of scheme {' or '.join(schemes)}. Write one like {schemes[0]}://host/path."
    )
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  raises for a bad one
    except ValueError:
        raise ValueError(sentence) from None
    if parts.scheme not in schemes and "://" in text:
        known = " or ".join(schemes)
        raise ValueError(f"a URL of scheme {show(parts.scheme) or 'none'}; {known} is needed.")
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(sentence)
    if any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError("a URL with a blank or control character in it. Write it as %20.")
    return text


def _reference(text: str) -> str:
    """The text if it is env:NAME or file:PATH, "" if it is the secret itself."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme in ("env", "file"):
        if not rest.strip() or "\0" in rest or (scheme == "env" and "=" in rest):
            raise ValueError("names nothing. Write env:NAME or file:PATH.")
        return f"{scheme}:{rest.strip()}"
    if not text:
        raise ValueError("empty. Write env:NAME or file:PATH.")
    return ""


def _read(reference: str) -> str:
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        text = os.environ.get(name)
        if text is None:
            raise SecretUnreadable(f"environment variable {name} is not set.")
        where = f"environment variable {name}"
    else:
        where = f"file {name}"
        try:
            data = read_regular(Path(name).expanduser(), _SECRET_BYTES)
            text = data.decode("utf-8")
        except (OSError, RuntimeError) as e:
            why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            raise SecretUnreadable(f"{where}: {why}.") from None
        except UnicodeDecodeError:
            raise SecretUnreadable(f"{where} is not UTF-8 text.") from None
        if len(data) > _SECRET_BYTES:
            raise SecretUnreadable(f"{where} is larger than 64 KiB.")
        text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretUnreadable(f"{where} is empty.")
    return text


def _default_text(option: Option) -> str:
    if option.default is REQUIRED:
        return "required"
    if option.default is None or option.default == ():
        return ""
    if option.is_secret:
        return "***"
    if isinstance(option.default, bool):
        return "yes" if option.default else "no"
    return show(option.default) if isinstance(option.default, tuple) else str(option.default)


def _doc_text(option: Option) -> str:
    parts = [option.doc]
    if option.choices is not None:
        parts.append("one of " + ", ".join(map(str, option.choices)))
    if option.at_least is not None:
        parts.append(f"at least {option.at_least}")
    if option.at_most is not None:
        parts.append(f"at most {option.at_most}")
    if option.deprecated is not None:
        parts.append(f"deprecated, {option.deprecated}")
    return "; ".join(parts)

"""Options: the keys of one section, declared once; parsed, checked and documented from that.

An option's type is any callable ``type(text) -> value`` whose ValueError carries the sentence that
the operator reads. The types that sections share are made in ``option_types.py``, secrets in
``secret.py``; both are had from here. ``str``, ``int``, ``float`` and ``bool`` mean ``str``,
``integer``, ``number`` and ``boolean``. All is pure and for any thread; only ``resolve`` reads the
environment and files.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from smapd.option_types import (
    ListOf,
    boolean,
    duration,
    integer,
    label_of,
    number,
    path,
    port,
    size,
    type_of,
    url,
    uuid,
    words,
)
from smapd.secret import (
    SECRETIVE,
    Secret,
    SecretUrl,
    resolve,
    secret,
    secret_url,
    secret_url_of,
)
from smapd.texts import edit_distance, nearest, read_regular, show
from smapd.values import Problem, Severity

__all__ = [
    "REQUIRED",
    "SECRETIVE",
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
        kind = type_of(self.type)
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
        return label_of(self.type) in ("secret", "secret_url")

    def _check(self, value: Any) -> None:
        if self.choices is not None and value not in self.choices:
            close = nearest(str(value), map(str, self.choices))
            hint = f" Did you mean {close}?" if close else ""
            raise ValueError(f"not one of {', '.join(map(str, self.choices))}.{hint}")
        kind = type_of(self.type)
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
    what must hold between keys; called only when each key by itself is right. ``is_open``: other
    keys are the owner's own, and stand among the values as they were found; only one within two
    letters of a known name is taken for a slip.
    """

    section: str
    options: tuple[Option, ...]
    title: str = field(default="", kw_only=True)
    ignore_case: bool = field(default=False, kw_only=True)
    check: Check | None = field(default=None, kw_only=True)
    is_open: bool = field(default=False, kw_only=True)
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
                if self.is_open and not self._is_slip(key, mapping):
                    values[key] = found
                else:
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
        return [(o.name, label_of(o.type), _default_text(o), _doc_text(o)) for o in self.options]

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

    def _is_slip(self, key: str, mapping: Mapping[str, Any]) -> bool:
        """Whether a key is most likely one of ours, misspelt."""
        names = [o.name for o in self.options if len(o.name) > 3 and o.name not in mapping]
        return any(edit_distance(key.lower(), name.lower()) <= 2 for name in names)

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
            is_open=any(t.is_open for t in parts),
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
        and label_of(option.type) == "secret"
        and not (isinstance(found, str) and found.startswith(("env:", "file:")))
    )


def open_urls(table: OptionTable, raw: Mapping[str, Any]) -> frozenset[str]:
    """The keys of a section whose value is a URL that may hold a key, as text and no reference."""
    return frozenset(
        key
        for key, found in raw.items()
        if (option := table.find(key)) is not None
        and label_of(option.type) == "secret_url"
        and not (isinstance(found, str) and found.startswith(("env:", "file:")))
    )


def _all_of(checks: Sequence[Check]) -> Check:
    def check(values: Mapping[str, Any], where: Where) -> Iterable[Problem]:
        return [problem for one in checks for problem in one(values, where)]

    return check


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

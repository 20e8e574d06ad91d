"""Checks data against an Avro schema, and says which field does not fit.

A schema is compiled once into a tree of small functions: ten times faster than to interpret it
for each event, and the place of a misfit comes out as the path one would write in Python.
What passes comes back as plain data: fields with a default filled in, tuples as lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from fastavro import parse_schema

from smapd.values import Json

Check: TypeAlias = Callable[[Any], Any]
"""Gives back the value as it is kept, or raises Misfit."""

_INT: Final = 2**31
_LONG: Final = 2**63
_LOGICAL: Final = frozenset(
    {
        "int-date",
        "int-time-millis",
        "long-time-micros",
        "long-timestamp-millis",
        "long-timestamp-micros",
        "long-local-timestamp-millis",
        "long-local-timestamp-micros",
        "bytes-decimal",
        "fixed-decimal",
        "string-uuid",
    }
)
"""The logical types that Avro knows; any other is a note on the type below it."""
_MISSING: Final = object()
_SHOWN: Final = 40


class Misfit(ValueError):
    """The data do not fit; ``where`` is the path to the value, ``why`` the sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.steps: list[str] = []

    @property
    def where(self) -> str:
        """Like ``data[2].Valfr``."""
        return "data" + "".join(reversed(self.steps))

    def at(self, step: str) -> Misfit:
        """The same, seen from one level further out."""
        self.steps.append(step)
        return self


class NotJson(Misfit):
    """It fits, but JSON has no word for it: NaN or infinity."""


class Shape:
    """One schema, ready to check data.

    ``is_json``: all that fits can be written as JSON, but for NaN and infinity.
    """

    def __init__(self, schema: Json) -> None:
        """Compile a schema.

        :raises ValueError: if it is no Avro schema.
        """
        try:
            self.schema = parse_schema(schema)
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"that is no Avro schema: {text}") from error
        self.is_json = True
        self._checks = {
            (strict, finite): self._compiled(strict, finite)
            for strict in (False, True)
            for finite in (False, True)
        }

    def check(self, data: Any, *, strict: bool = False) -> Any:
        """The data as they are kept. ``strict``: a field that the schema lacks is refused, too.

        :raises Misfit: naming the field.
        :raises NotJson: if there is NaN or infinity in it.
        """
        return self._checks[strict, True](data)

    def check_any_float(self, data: Any, *, strict: bool = False) -> Any:
        """As ``check``, but NaN and infinity pass."""
        return self._checks[strict, False](data)

    # --- the compiler

    def _compiled(self, strict: bool, finite: bool) -> Check:
        self._strict, self._finite = strict, finite
        self._named: dict[str, Check] = {}
        return self._of(self.schema)

    def _of(self, schema: Any) -> Check:
        if isinstance(schema, str):
            simple = self._simple(schema)
            return simple if simple is not None else self._reference(schema)
        if isinstance(schema, Sequence):
            return _union([self._of(one) for one in schema], _told(schema))
        kind = schema["type"]
        if not isinstance(kind, str):
            return self._of(kind)
        logical = f"{kind}-{schema.get('logicalType')}"
        if logical in _LOGICAL:
            self.is_json = False
            return _logical(schema, logical)
        if kind == "array":
            return _array(self._of(schema["items"]))
        if kind == "map":
            return _map(self._of(schema["values"]))
        if kind in ("record", "error"):
            return self._record(schema)
        if kind == "enum":
            return self._keep(schema, _enum(tuple(schema["symbols"])))
        if kind == "fixed":
            self.is_json = False
            return self._keep(schema, _fixed(schema["size"]))
        return self._of(kind)

    def _simple(self, kind: str) -> Check | None:
        if kind == "bytes":
            self.is_json = False
        if kind in ("float", "double"):
            return _finite if self._finite else _real
        return _SIMPLE.get(kind)

    def _reference(self, name: str) -> Check:
        named = self._named  # of this compilation; a record may hold itself

        def check(value: Any) -> Any:
            return named[name](value)

        return check

    def _keep(self, schema: Mapping[str, Any], check: Check) -> Check:
        self._named[schema["name"]] = check
        return check

    def _record(self, schema: Mapping[str, Any]) -> Check:
        fields = [
            (f["name"], self._of(f["type"]), f.get("default", _default_of(f["type"])))
            for f in schema["fields"]
        ]
        return self._keep(schema, _record(fields, self._strict))


def _default_of(kind: Any) -> Any:
    """A field that may be null may be left out, as Avro's writers have it."""
    nullable = isinstance(kind, list) and "null" in kind
    return None if nullable or kind == "null" else _MISSING


def _record(fields: list[tuple[str, Check, Any]], strict: bool) -> Check:
    names = frozenset(name for name, _, _ in fields)

    def check(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Misfit(f"{_shown(value)} is not an object with {_listed(names)}")
        found: dict[str, Any] = {}
        for name, one, default in fields:
            item = value.get(name, default)
            if item is _MISSING:
                raise Misfit("it is missing").at("." + name)
            try:
                found[name] = one(item)
            except Misfit as misfit:
                raise misfit.at("." + name) from None
        if strict and len(value) > len(found) - sum(n not in value for n in found):
            extra = next(str(key) for key in value if key not in names)
            raise Misfit(f"there is no such field; there are {_listed(names)}").at("." + extra)
        return found

    return check


def _array(item: Check) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise Misfit(f"{_shown(value)} is not a list")
        found = []
        for i, one in enumerate(value):
            try:
                found.append(item(one))
            except Misfit as misfit:
                raise misfit.at(f"[{i}]") from None
        return found

    return check


def _map(item: Check) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Misfit(f"{_shown(value)} is not an object")
        found = {}
        for key, one in value.items():
            if not isinstance(key, str):
                raise Misfit(f"the key {_shown(key)} is not a text")
            try:
                found[key] = item(one)
            except Misfit as misfit:
                raise misfit.at(f"[{key!r}]") from None
        return found

    return check


def _union(branches: list[Check], told: str) -> Check:
    if len(branches) == 1:
        return branches[0]

    def check(value: Any) -> Any:
        deepest: Misfit | None = None
        for branch in branches:
            try:
                return branch(value)
            except NotJson:
                raise
            except Misfit as misfit:
                if misfit.steps and (deepest is None or len(misfit.steps) > len(deepest.steps)):
                    deepest = misfit
        if deepest is not None:  # it was meant for that branch, and stumbled further in
            raise deepest
        raise Misfit(f"{_shown(value)} is none of {told}")

    return check


def _logical(schema: Json, logical: str) -> Check:
    """Dates, times, decimals and uuids: fastavro's own writers say what fits."""
    from fastavro.validation import validate

    def check(value: Any) -> Any:
        try:
            fits = validate(value, schema, raise_errors=False)
        except Exception:  # noqa: BLE001 - the writer of a logical type trips over the value
            fits = False
        if not fits:
            raise Misfit(f"{_shown(value)} is not a {logical.partition('-')[2]}")
        return value

    return check


def _enum(symbols: tuple[str, ...]) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in symbols:
            raise Misfit(f"{_shown(value)} is not one of {', '.join(symbols)}")
        return value

    return check


def _fixed(size: int) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, bytes | bytearray) or len(value) != size:
            raise Misfit(f"{_shown(value)} is not {size} bytes")
        return bytes(value)

    return check


def _null(value: Any) -> Any:
    if value is not None:
        raise Misfit(f"{_shown(value)} is not null")
    return None


def _boolean(value: Any) -> Any:
    if value is not True and value is not False:
        raise Misfit(f"{_shown(value)} is neither true nor false")
    return value


def _whole(limit: int, word: str) -> Check:
    def check(value: Any) -> Any:
        if value.__class__ is not int:
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise Misfit(f"{_shown(value)} is not a whole number")
            value = int(value.__index__())
        if not -limit <= value < limit:
            raise Misfit(f"{value} is beyond the {word}")
        return value

    return check


def _real(value: Any) -> Any:
    if value.__class__ is float or value.__class__ is int:
        return value
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        raise Misfit(f"{_shown(value)} is not a number")
    return float(value)


def _finite(value: Any) -> Any:
    number = _real(value)
    if not math.isfinite(number):
        raise NotJson(f"{number} cannot be written as JSON")
    return number


def _string(value: Any) -> Any:
    if not isinstance(value, str):
        raise Misfit(f"{_shown(value)} is not a text")
    return value


def _bytes(value: Any) -> Any:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise Misfit(f"{_shown(value)} is not bytes")
    return bytes(value)


_SIMPLE: Final[Mapping[str, Check]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _whole(_INT, "32 bits of an int"),
    "long": _whole(_LONG, "64 bits of a long"),
    "string": _string,
    "bytes": _bytes,
}


def _told(kinds: Sequence[Any]) -> str:
    names = []
    for kind in kinds:
        while isinstance(kind, Mapping):
            kind = kind.get("name") or kind["type"]
        names.append(str(kind))
    return ", ".join(names)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "no fields"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"

"""Versions, differences and results as lines for people, in colour where that is a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from .peer import printable

_LONGEST: Final = 120
_COLOURS: Final[Mapping[str, str]] = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "grey": "90",
    "bold": "1",
}
_OF_STATES: Final[Mapping[str, str]] = {
    "deployed": "green",
    "dry": "green",
    "skipped": "yellow",
    "failed": "red",
    "unavailable": "red",
}
_OF_CHANGES: Final[Mapping[str, tuple[str, str]]] = {
    "created": ("+", "green"),
    "updated": ("~", "yellow"),
    "purged": ("-", "red"),
}


class Paint:
    """Colours, or none."""

    def __init__(self, on: bool) -> None:
        self._on = on

    @classmethod
    def for_stdout(cls) -> Paint:
        """Colours if somebody reads it at a terminal, and has not set NO_COLOR."""
        return cls(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))

    def __call__(self, colour: str, text: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._on else text

    def state(self, state: str) -> str:
        """The word for a state, in its colour."""
        colour = _OF_STATES.get(state)
        return self(colour, state) if colour else state


def difference_lines(found: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    """What one version changes beside another."""
    old = "nothing" if found["from"] is None else f"version {found['from']}"
    yield paint("bold", f"version {found['to']} beside {old}")
    for id_ in found["removed"]:
        yield paint("red", f"- {printable(id_)}")
    for id_ in found["added"]:
        yield paint("green", f"+ {printable(id_)}")
    for id_, fields in found["changed"].items():
        yield paint("yellow", f"~ {printable(id_)}")
        yield from change_lines(fields, paint)
    yield (
        f"{len(found['added'])} added, {len(found['changed'])} changed, "
        f"{len(found['removed'])} left out, {found['same']} the same"
    )


def change_lines(changes: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    """A line for each field that differs: what it is, and what it shall be."""
    for name, change in changes.items():
        current, desired = value_text(change.get("current")), value_text(change.get("desired"))
        yield f"    {printable(name)}: {paint('red', current)} -> {paint('green', desired)}"


def result_line(result: Mapping[str, Any], paint: Paint) -> str:
    """What came of one resource, with the fields that differed below it."""
    change = str(result.get("change", ""))
    changes = result.get("changes") or {}
    if change in _OF_CHANGES:
        mark, colour = _OF_CHANGES[change]
    elif result.get("status") == "dry" and changes:
        mark, colour = _of_dry(changes)
    else:
        mark, colour = ("!", "red") if result.get("status") != "deployed" else (" ", "grey")
    name = printable(str(result["resource"]))
    told = [f"{paint(colour, f'{mark} {name}')} {paint.state(str(result.get('status', '')))}"]
    if result.get("reason"):
        told[0] += f": {printable(str(result['reason']))}"
    told += [] if set(changes) == {"purged"} else change_lines(changes, paint)
    return "\n".join(told)


def _of_dry(changes: Mapping[str, Any]) -> tuple[str, str]:
    purged = changes.get("purged")
    if purged is None:
        return _OF_CHANGES["updated"]
    return _OF_CHANGES["purged" if purged.get("desired") else "created"]


def absence_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Which agents a dry run does not ask, since they are not there; ``found``: that run."""
    names = found.get("absent")
    if not names:
        return
    more = int(found.get("absent_count", len(names))) - len(names)
    told = ", ".join(printable(str(name)) for name in names) + (f" and {more} more" if more else "")
    one = len(names) + more == 1
    whose = "its" if one else "their"
    yield f"agent{'' if one else 's'} not connected: {told}; {whose} resources are not looked at"


def action_lines(action: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    """One action with its log."""
    head = f"{stamp(action['ended_ms'])} {action['kind']} of version {action['version']}"
    took_ms = action["ended_ms"] - action["began_ms"]
    state = paint.state(str(action["status"]))
    yield f"{paint('bold', head)}: {state}, {action['change']}, {took_ms} ms"
    yield from change_lines(action["changes"], paint)
    for record in action["logs"]:
        level = str(record["level"])
        colour = {"warning": "yellow", "error": "red", "critical": "red"}.get(level, "grey")
        yield f"    {paint(colour, level)} {printable(str(record['message']))}"
        for line in str(record["kwargs"].get("traceback", "")).splitlines():
            yield f"      {printable(line)}"


def value_text(value: Any) -> str:
    """A value on one line."""
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def stamp(ms: int | None) -> str:
    """A time for people, in UTC."""
    if not ms:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds")


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows in columns, the first one being the heads."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [printable(text).ljust(width) for text, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()

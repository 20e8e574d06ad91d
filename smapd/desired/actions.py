"""What was done to each resource: how it is filtered, bounded, and written to an agent's log file.

An action::

    {"seq", "resource", "agent", "version", "deploy", "kind": "deploy" | "dry_run" | "repair",
     "began_ms", "ended_ms", "status", "change", "changes": {field: {"current", "desired"}},
     "logs": [{"level", "ms", "message", "kwargs", …}]}      as context.LogRecord.as_json

``seq`` is dense over all actions, and names one for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from smapd.values import LOG_LEVELS, ActionFilter, Json

KINDS: Final = ("deploy", "dry_run", "repair")
MOST_LOGS: Final = 1_000
"""Log records of one action; of more, the first and the last are kept."""
MOST_BYTES: Final = 1024 * 1024
"""Of one action as JSON; what is larger loses the middle of its log, then its differences."""

_RANK: Final[Mapping[str, int]] = {level: rank for rank, level in enumerate(LOG_LEVELS)}
_FILE_BYTES: Final = 10 * 1024 * 1024
_FILES: Final = 4
_MOST_FILES: Final = 1_000
_OTHERS: Final = "others"


def bounded(action: dict[str, Json]) -> dict[str, Json]:
    """The action, small enough to be kept, and surely JSON."""
    logs = action["logs"]
    if len(logs) > MOST_LOGS:
        half = MOST_LOGS // 2
        left_out = {
            "level": "warning",
            "ms": logs[half]["ms"],
            "message": f"{len(logs) - 2 * half} records of this log were left out.",
            "kwargs": {},
        }
        action = {**action, "logs": [*logs[:half], left_out, *logs[-half:]]}
    try:
        size = len(orjson.dumps(action))
    except TypeError as problem:  # an agent elsewhere sends JSON; one of ours may be mistaken
        return _without_log(action, f"What the handler told is no JSON: {problem}.")
    if size <= MOST_BYTES:
        return action
    why = f"Its log and differences had {size} bytes, too many to keep"
    if len(orjson.dumps({**action, "logs": []})) > MOST_BYTES // 2:
        return _without_log(action, f"{why}.")
    return {**action, "logs": _ends(action["logs"], why)}


def _ends(logs: Sequence[Json], why: str) -> list[Json]:
    """The first records and the last ones, as many as an eighth of the room holds each."""
    first: list[Json] = []
    last: list[Json] = []
    for end, given in ((first, logs), (last, logs[::-1])):
        room = MOST_BYTES // 8
        for record in given:
            room -= len(orjson.dumps(record))
            if room < 0 or len(first) + len(last) >= len(logs):
                break
            end.append(record)
    gone = len(logs) - len(first) - len(last)
    note = {
        "level": "warning",
        "ms": logs[min(len(first), len(logs) - 1)]["ms"],
        "message": f"{why}: {gone} records of its log were left out.",
        "kwargs": {},
    }
    return [*first, note, *last[::-1]]


def _without_log(action: Mapping[str, Json], why: str) -> dict[str, Json]:
    record = {"level": "warning", "ms": action["ended_ms"], "message": why, "kwargs": {}}
    return {**action, "logs": [record], "changes": {}}


def seen(action: Json, asked: ActionFilter) -> Json | None:
    """The action as it was asked for, None if it was not."""
    if asked.kinds and action["kind"] not in asked.kinds:
        return None
    if asked.statuses and action["status"] not in asked.statuses:
        return None
    least = _RANK[asked.level]
    if not least:
        return action
    logs = [one for one in action["logs"] if _RANK.get(one["level"].lower(), 0) >= least]
    return {**action, "logs": logs} if logs else None


def first_seen(actions: Iterable[Json], asked: ActionFilter) -> list[Json]:
    """At most ``asked.limit`` of these, as they were asked for."""
    found: list[Json] = []
    for action in actions:
        told = seen(action, asked)
        if told is not None:
            found.append(told)
            if len(found) >= asked.limit:
                break
    return found


class AgentLogs:
    """``log/agent-NAME.log``: a line for each record of a handler's log. On a disk's thread.

    A file of 10 MiB becomes ``agent-NAME.log.1``, and so on; four are kept. A model may name any
    number of agents: behind the first thousand, what is told of the others goes into one file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names: set[str] | None = None

    def write(self, actions: Sequence[Json]) -> None:
        """Append what these say, each to its agent's file.

        :raises OSError: if it cannot be written.
        """
        by_agent: dict[str, list[str]] = {}
        for action in actions:
            by_agent.setdefault(action["agent"], []).extend(log_lines(action))
        for agent, lines in by_agent.items():
            if lines:
                self._append(agent, "".join(f"{line}\n" for line in lines))

    def _append(self, agent: str, text: str) -> None:
        path = self._directory / f"agent-{self._named(agent)}.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o600), "ab") as f:
            f.write(text.encode("utf-8", "backslashreplace"))
            size = f.tell()
        if size > _FILE_BYTES:  # its name stays among those that are known
            for n in range(_FILES - 1, 0, -1):
                older = path.with_name(f"{path.name}.{n - 1}") if n > 1 else path
                if older.exists():
                    os.replace(older, path.with_name(f"{path.name}.{n}"))

    def _named(self, agent: str) -> str:
        """The middle of its file's name."""
        if self._names is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._names = {file.name for file in self._directory.glob("agent-*.log")}
        name = file_name(agent)
        if f"agent-{name}.log" not in self._names:
            if len(self._names) >= _MOST_FILES:
                return _OTHERS
            self._names.add(f"agent-{name}.log")
        return name


def log_lines(action: Json) -> Iterator[str]:
    """The lines of one action in an agent's log file."""
    for record in action["logs"]:
        stamp = datetime.fromtimestamp(record["ms"] / 1000, UTC)
        when = f"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03d}Z"
        level = str(record["level"]).lower()
        yield f"{when} {level} [{action['resource']}] {_clean(record['message'])}"
        for line in str(record["kwargs"].get("traceback") or "").splitlines():
            yield f"    {_clean(line)}"


def file_name(agent: str) -> str:
    """The agent's name as part of a file's name."""
    kept = "".join(c if c.isalnum() or c in "-_." else "_" for c in agent)
    return kept[:100].lstrip(".") or "_"


def _clean(given: Any) -> str:
    text = str(given)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

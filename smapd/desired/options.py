"""The keys of ``[agent NAME]``, and those of ``[server]`` that bound what is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from smapd.options import Option, OptionTable, boolean, duration, integer, size, words
from smapd.values import Problem

_NAME: Final = re.compile(r"[^\s/,\[\]\x00-\x1f\x7f](?:[^/,\[\]\x00-\x1f\x7f]{0,98}[^\s/,\[\]])?")
_SERVED: Final = re.compile(r"[^,\x00-\x1f\x7f]{1,1000}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept: actions by age and bytes, and how many versions."""

    retention_s: float = 30 * 86_400.0
    action_bytes: int = 256 * 1024 * 1024
    versions: int = 100


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One agent. ``names``: the agent names whose resources it takes; its own if none is given.

    ``time_limit_s``: for one resource; 0 for none. ``device``: the field that names a resource's
    device, "" for none.
    """

    name: str
    names: frozenset[str]
    handlers: tuple[str, ...] = ()
    threads: int = 4
    repair_s: float = 600.0
    time_limit_s: float = 300.0
    accept_code: bool = False
    device: str = ""


def limits_from(values: Mapping[str, Any]) -> Limits:
    """From the checked values of [server]."""
    return Limits(
        retention_s=values["ActionRetention"],
        action_bytes=values["ActionBytes"],
        versions=values["KeepVersions"],
    )


def agent_from(name: str, values: Mapping[str, Any]) -> AgentSettings:
    """From the checked values of ``[agent NAME]``; ``name`` is the header without ``agent``."""
    return AgentSettings(
        name=name,
        names=frozenset(values["Agents"] or (name,)),
        handlers=tuple(values["Handlers"] or ()),
        threads=values["Threads"],
        repair_s=values["RepairInterval"],
        time_limit_s=values["TimeLimit"],
        accept_code=values["AcceptCode"],
        device=values["Device"],
    )


def why_no_name(settings: AgentSettings) -> str:
    """Why an agent cannot be called so or cannot serve what it says, "" if it can."""
    if not _NAME.fullmatch(settings.name) or settings.name in (".", ".."):
        return (
            f"{settings.name[:80]!r} is no name of an agent: write up to 100 letters, without"
            " comma, slash or bracket."
        )
    if not settings.names:
        return "it serves no agent name."
    for name in sorted(settings.names):
        if not _SERVED.fullmatch(name):
            return f"{name[:80]!r} is no agent name of a resource: text on one line, no comma."
    return ""


def problems_of(agents: Sequence[AgentSettings]) -> list[Problem]:
    """What is wrong with the names of all ``[agent NAME]`` together; each name has one agent."""
    problems: list[Problem] = []
    serving: dict[str, str] = {}
    for one in agents:
        section = f"agent {one.name}".strip()
        why = why_no_name(one)
        if why:
            problems.append(Problem(why, section=section))
        for name in sorted(one.names):
            other = serving.setdefault(name, one.name)
            if other != one.name:
                text = f"{name} is served by [agent {other}] already; each name is by one agent."
                problems.append(Problem(text, section=section, key="Agents"))
    return problems


TABLES: Final = (
    OptionTable(
        "server",
        (
            Option(
                "ActionRetention",
                duration,
                "30d",
                "how long it is kept what was done to the resources of /desired, with the logs",
                at_least="1m",
            ),
            Option(
                "ActionBytes",
                size,
                "256MiB",
                "and how much of the disk that may take; the oldest go first",
                at_least="1MiB",
            ),
            Option(
                "KeepVersions",
                integer,
                100,
                "how many versions of the desired state are kept beside the one deployed",
                at_least=1,
                at_most=10_000,
            ),
        ),
    ),
    OptionTable(
        "agent",
        (
            Option("Agents", words, None, "agent names whose resources it takes; its own if unset"),
            Option("Handlers", words, None, "Python modules that bring the handlers"),
            Option(
                "Threads",
                integer,
                4,
                "how many resources it works on at a time",
                at_least=1,
                at_most=200,
            ),
            Option(
                "RepairInterval",
                duration,
                "10m",
                "each resource is looked at again after so long, and mended; 0: never",
            ),
            Option(
                "TimeLimit",
                duration,
                "5m",
                "a handler that takes longer with one resource has failed",
                at_least="1s",
            ),
            Option(
                "Device",
                str,
                "",
                "field of the resources that names their device; of one device, one at a time",
            ),
            Option(
                "AcceptCode",
                boolean,
                False,
                "whether a version may bring the code of handlers along, as a wheel",
            ),
            Option(
                "Events",
                str,
                None,
                "the asset to which drift that repair finds is told, as an event DriftFound",
            ),
        ),
        title="an agent",
    ),
)

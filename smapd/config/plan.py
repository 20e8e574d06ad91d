"""A config as checked values: what is to run, not yet running."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

from smapd.core import normalise, stream_uuid
from smapd.errors import SecretUnreadable
from smapd.options import resolve as resolve_values
from smapd.values import Json, Problem

Kind = Literal["collection", "timeseries", "driver"]
FindDriver = Callable[[str], type[Any]]

STRUCTURE = frozenset(("type", "key", "uuid", "asset"))
"""The keys of a section that place it in the tree; the others are CamelCase."""


@dataclass(frozen=True, slots=True)
class NodeSection:
    """One section ``[/path]``. Which fields count depends on ``kind``; the rest keep their default.

    ``key``: as given; None: the path is the key. ``uuid``: as given. ``timezone``: with the default
    of [/] filled in; None: the tree's own default. ``behind``: path of the driver section above
    this one that may make this node itself: attach this section once that driver is set up.
    ``driver``: its class; None if it cannot be imported now, ``fault`` says why. ``options``: what
    its table read, secrets unresolved (see ``resolve``); without a table every key of the section.
    ``raw``: the section as it stands in the file, text, list or nested dict by key. ``hidden``: the
    keys of ``raw`` that hold a secret's text; ``urls``: those of URLs that may hold a key.
    ``checked``: whether a table has read it. ``warnings``: of that table.
    """

    path: str
    line: int
    kind: Kind
    metadata: Mapping[str, Json] | None = None
    description: str | None = None
    key: str | None = None
    uuid: UUID | None = None
    unit: str | None = None
    data_type: str = "long"
    timezone: str | None = None
    timezone_given: bool = False
    buffersz: int = 1
    milliseconds: bool = False
    asset: str | None = None
    behind: str | None = None
    driver: type[Any] | None = None
    driver_name: str = ""
    fault: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    checked: bool = False
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherSection:
    """One section that is no node.

    ``kind``: the section of its table ("report"), "" for an unknown one. ``name``: the whole header
    ("report 0"). ``options``: what the table read, secrets unresolved. ``raw``: as it stands in the
    file. ``hidden``: the keys of ``raw`` that hold a secret's text; ``urls``: those of URLs that
    may hold a key.
    """

    kind: str
    name: str
    line: int
    options: Mapping[str, Any]
    raw: Mapping[str, Any]
    hidden: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """A checked config.

    ``sections``: in the order in which to attach them: the root, then file order, except that what
    only tags a driver's nodes stands behind that driver. ``server``: values of [server], defaults
    filled in. ``listeners``: the same of each [server NAME]. ``others``: sections of other tables.
    ``plain``: every section that is no node, unknown ones too, as ``dump`` writes them.
    """

    file: str
    root_uuid: UUID
    default_timezone: str | None
    sections: tuple[NodeSection, ...]
    server: Mapping[str, Any] = field(default_factory=dict)
    listeners: tuple[Mapping[str, Any], ...] = ()
    others: tuple[OtherSection, ...] = ()
    plain: tuple[OtherSection, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def section(self, path: str) -> NodeSection | None:
        """The section of a path, else None."""
        path = normalise(path)
        return next((s for s in self.sections if s.path == path), None)

    def only(self, paths: Collection[str]) -> Plan:
        """This plan with these node sections alone, and the root; the other kinds stay."""
        wanted = {normalise(p) for p in paths} | {"/"}
        kept = [s for s in self.sections if s.path in wanted]
        alone = [s if s.behind in wanted else replace(s, behind=None) for s in kept]
        return replace(self, sections=tuple(alone))


def namespace(plan: Plan, section: NodeSection) -> UUID:
    """The namespace in which a driver's keys are hashed: its uuid, else by its key, else its path.

    A key in a config file is hashed as UTF-8.
    """
    if section.uuid is not None:
        return section.uuid
    return stream_uuid(plan.root_uuid, section.key or section.path, "utf-8")


def resolve(section: NodeSection | OtherSection) -> dict[str, Any]:
    """A section's options with their secrets fetched; may read files, so not on the reactor.

    In a driver section without a table, ``env:NAME`` stands for that variable in every value but
    those of type, key, uuid, Metadata, Properties and Description, which are the tree's.

    :raises SecretUnreadable: naming key, and variable or file.
    """
    unchecked = isinstance(section, NodeSection) and section.options is section.raw
    if not unchecked:
        return resolve_values(section.options)
    return {
        key: value if is_structure(key) else _fetched(value, key)
        for key, value in section.options.items()
    }


def is_structure(key: str) -> bool:
    """Whether a key of a driver's section is the tree's, which takes its value as it stands."""
    return key in STRUCTURE or key == "Description" or key.startswith(("Metadata/", "Properties/"))


def _fetched(value: Any, key: str) -> Any:
    if isinstance(value, str):
        if not value.startswith("env:"):
            return value
        text = os.environ.get(value[4:].strip())
        if text is None:
            raise SecretUnreadable(f"{key}: environment variable {value[4:].strip()} is not set.")
        return text
    if isinstance(value, Mapping):
        return {k: _fetched(v, f"{key}/{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_fetched(v, key) for v in value]
    return value

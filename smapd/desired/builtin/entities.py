"""What a model may be made of: the entities that become the resources of this package.

Plain objects; any other object with these attributes does as well. ``host`` names the agent that
brings the resource about: ``Host("edge")`` for the agent ``edge``. ``requires`` holds entities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(eq=False)
class Host:
    """Where something is: the name is that of the agent."""

    name: str


@dataclass(eq=False)
class File:
    """A file. ``mode`` in octal digits, as chmod takes them: 644 or "0644". None: left alone."""

    host: Host
    path: str
    content: str | bytes | None = None
    owner: str | None = None
    group: str | None = None
    mode: int | str | None = 644
    purged: bool = False
    reload: bool = False
    requires: Sequence[object] = field(default_factory=list)
    entity_type: ClassVar[str] = "std::File"


@dataclass(eq=False)
class Actuator:
    """The state of an actuator of the tree. ``tolerance``: how far it may be off; None: its own."""

    host: Host
    path: str
    state: float | str | bool
    tolerance: float | None = None
    managed: bool = True
    requires: Sequence[object] = field(default_factory=list)
    entity_type: ClassVar[str] = "smap::Actuator"


@dataclass(eq=False)
class Report:
    """A report: what of the tree goes where. ``options``: more keys of a report, like MinPeriod."""

    host: Host
    name: str
    resource: str
    locations: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    purged: bool = False
    purge_on_delete: bool = True
    requires: Sequence[object] = field(default_factory=list)
    entity_type: ClassVar[str] = "smap::Report"

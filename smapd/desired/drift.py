"""What repair finds, as timeseries: of each resource that is looked at again, how far it was off.

``/desired/AGENT/TYPE/VALUE`` holds, for each look, in how many fields the resource differed from
what is desired: 0 while all is well. A look that failed is a bad reading with the reason. The
series begins with the first look for repair; its uuid comes from the resource's id, so it goes on
through versions and restarts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from smapd.errors import SmapError
from smapd.interfaces import IFaults
from smapd.values import GOOD, Quality, bad

from .ids import Id
from .states import ResourceState

ROOT: Final = "/desired"
_LONGEST: Final = 80
_LOOKED: Final = (ResourceState.DEPLOYED.value,)


class ITreeOfDrift(Protocol):
    """What it needs of the tree: ``core.SmapInstance`` has it."""

    def get(self, path: str) -> Any:
        """The node of a path, else None."""

    @property
    def add_timeseries(self) -> Callable[..., Any]:
        """``(path, key, unit, *, data_type, description) -> Timeseries``."""

    @property
    def add(self) -> Callable[..., None]:
        """``(path, time, value, seqno, quality)``."""


class DriftSeries:
    """Adds the readings; on the reactor's thread. ``looked`` is what ``Orchestrator`` is given."""

    def __init__(self, tree: ITreeOfDrift, faults: IFaults) -> None:
        self._tree, self._faults = tree, faults
        self._paths: dict[str, str] = {}

    def looked(self, resource: str, ms: int, status: str, differences: int) -> None:
        """A resource was looked at again."""
        value: int | None = differences
        quality: Quality = GOOD
        if status not in _LOOKED and not differences:
            value, quality = None, bad(f"the resource is {status}")
        try:
            path = self._path(resource)
            self._tree.add(path, ms / 1000.0, value, None, quality)
        except SmapError as error:
            text = f"the drift of {resource} has no timeseries: {error.message}"
            self._faults.fault(("drift", resource), text)

    def _path(self, resource: str) -> str:
        path = self._paths.get(resource)
        if path is None:
            path = drift_path(resource)
        if self._tree.get(path) is None:
            self._tree.add_timeseries(
                path,
                f"desired {resource}",
                "fields",
                data_type="long",
                description=f"Fields in which {resource} was found other than desired",
            )
        self._paths[resource] = path
        return path


def drift_path(resource: str) -> str:
    """Where the series of a resource stands in the tree."""
    id_ = Id.parse_id(resource)
    names = (id_.agent_name, id_.entity_type.replace("::", "."), id_.attribute_value)
    return "/".join((ROOT, *map(_name, names)))


def _name(text: str) -> str:
    """One name of a path; what cannot stand there is told apart by a few letters of its hash."""
    kept = "".join(c if c.isalnum() or c in "-_.:@" else "_" for c in text).strip("_")[:_LONGEST]
    if kept == text and text.strip("."):
        return text
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{kept.lstrip('.')}-{mark}" if kept.strip(".") else mark

"""The classes of the resources: what the entities of a model become, and an agent is sent.

They hold no handler: a model imports them, and so does an agent that has handlers of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from smapd.values import Json

from ..resources import ManagedResource, PurgeableResource, Resource, resource

_OCTAL: Final = re.compile(r"0?[0-7]{1,4}")


@resource("std::File", agent="host.name", id_attribute="path")
class FileResource(Resource):
    """The fields as the guide to south bound integrations has them, and no more."""

    fields: ClassVar[Sequence[str]] = (
        "path",
        "owner",
        "hash",
        "group",
        "permissions",
        "purged",
        "reload",
    )
    path: str
    owner: str | None
    hash: str | None
    group: str | None
    permissions: int | None
    purged: bool
    reload: bool

    @staticmethod
    def get_hash(exporter: Any, obj: Any) -> str | None:
        """The sha256 of the content, under which it is uploaded."""
        content = obj.content
        if content is None:
            return None
        data = content.encode("utf-8") if isinstance(content, str) else content
        name = hashlib.sha256(data).hexdigest()
        exporter.upload_file(name, data)
        return name

    @staticmethod
    def get_permissions(_exporter: Any, obj: Any) -> int | None:
        """The entity's ``mode``: 644, "644", "0644" or "0o644"; not 0o644, which Python has as 420.

        :raises ValueError: if it is none, or a number that gives more to others than to the owner:
            so it is with nearly all that were written with 0o.
        """
        mode = obj.mode
        if mode is None:
            return None
        digits = str(mode).removeprefix("0o")
        is_odd = not isinstance(mode, str) and is_mode(digits) and _is_upside_down(int(digits, 8))
        if isinstance(mode, bool) or is_odd or not is_mode(digits):
            raise ValueError(
                f"mode = {mode!r} is none: write the octal digits, 644 and not 0o644; what is meant"
                ' so, in quotes: "420"'
            )
        return int(digits)

    @staticmethod
    def get_purged(_exporter: Any, obj: Any) -> Any:
        """The entity's word; False if it has none."""
        return getattr(obj, "purged", False)

    @staticmethod
    def get_reload(_exporter: Any, obj: Any) -> Any:
        """The entity's word; False if it has none."""
        return getattr(obj, "reload", False)


@resource("smap::Actuator", agent="host.name", id_attribute="path")
class ActuatorResource(ManagedResource):
    """A state, and where."""

    fields: ClassVar[Sequence[str]] = ("path", "state", "tolerance")  # type: ignore[assignment]
    path: str
    state: float | str | bool
    tolerance: float | None

    @staticmethod
    def get_tolerance(_exporter: Any, obj: Any) -> Any:
        """The entity's word; None if it has none."""
        return getattr(obj, "tolerance", None)


@resource("smap::Report", agent="host.name", id_attribute="name")
class ReportResource(PurgeableResource):
    """A report."""

    fields: ClassVar[Sequence[str]] = ("name", "resource", "locations", "options")  # type: ignore[assignment]
    name: str
    resource: str
    locations: list[str]
    options: dict[str, Json]

    @staticmethod
    def get_locations(_exporter: Any, obj: Any) -> list[str]:
        """The entity's word, as a list."""
        found = obj.locations
        return [found] if isinstance(found, str) else list(found)

    @staticmethod
    def get_options(_exporter: Any, obj: Any) -> dict[str, Json]:
        """The entity's word; none if it has none."""
        return dict(getattr(obj, "options", None) or {})


def is_mode(digits: str) -> bool:
    """Whether these are one to four octal digits, behind a 0 perhaps."""
    return _OCTAL.fullmatch(digits) is not None


def _is_upside_down(mode: int) -> bool:
    """Whether the owner may do less than somebody else."""
    return bool((mode >> 3 | mode) & ~(mode >> 6) & 7)

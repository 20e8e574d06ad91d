"""The event that tells of drift: a resource was found other than it is desired to be."""

from __future__ import annotations

from typing import Any, ClassVar

from smapd.values import Json

from .base import AssetEvent
from .fields import field

__all__ = ["DriftFound"]


class DriftFound(AssetEvent):
    """Repair found a resource that had drifted; published to the asset that ``[agent]`` names.

    ``changes``: by field what it was and what is desired, each as JSON text. ``status``: whether it
    was mended ("deployed") or not; ``change``: what was done.
    """

    _schema: ClassVar[dict[str, Any]] = {
        "type": "record",
        "name": "DriftFound",
        "fields": [
            field("resource", "string", doc="its id"),
            field("desired_version", "long"),
            field("status", "string"),
            field("change", "string"),
            field(
                "changes",
                {
                    "type": "map",
                    "values": {
                        "type": "record",
                        "name": "Difference",
                        "fields": [field("current", "string"), field("desired", "string")],
                    },
                },
            ),
        ],
    }

    @classmethod
    def _default_version(cls) -> int:
        return 1

    @classmethod
    def _known_versions(cls) -> dict[int, Json]:
        return {1: cls._schema}

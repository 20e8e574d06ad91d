"""A word for writing Avro schemas."""

from __future__ import annotations

from typing import Any, Final

from smapd.values import Json

_NONE: Final = object()


def field(name: str, type: Json, doc: str = "", *, default: Any = _NONE) -> dict[str, Json]:
    """One field of a record in an Avro schema: ``field("Matnr", "string", doc="Material")``.

    ``type``: any Avro type. ``default``: what a reader takes for the field where the data lack
    it; give one to each field that a newer version adds, so that older data can be read as newer.
    """
    made: dict[str, Json] = {"name": name, "type": type}
    if doc:
        made["doc"] = doc
    if default is not _NONE:
        made["default"] = default
    return made

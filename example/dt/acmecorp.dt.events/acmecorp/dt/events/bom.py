"""The bill of materials, as built."""

from smapd.twin.event import AssetEvent, field

_PART_V1 = {
    "type": "record",
    "name": "Part",
    "fields": [field("number", "string", doc="the part's number"), field("quantity", "int")],
}
_PART_V2 = {
    **_PART_V1,
    "fields": [*_PART_V1["fields"], field("batch", ["null", "string"], default=None)],
}


class BomBuiltSet(AssetEvent):
    """What the asset was built from; replaces what was said before.

    Version 2 says of each part which batch it came from.
    """

    @classmethod
    def _default_version(cls):
        return 2

    @classmethod
    def _known_versions(cls):
        return {1: {"type": "array", "items": _PART_V1}, 2: {"type": "array", "items": _PART_V2}}

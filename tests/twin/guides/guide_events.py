"""The event types that the guides speak of."""

from smapd.twin import AssetEvent, field


class BomBuiltSet(AssetEvent):
    @classmethod
    def _default_version(cls):
        return 1

    @classmethod
    def _known_versions(cls):
        return {
            1: {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Part",
                    "fields": [field("Matnr", "string", doc="Material number")],
                },
            }
        }


class NewDocSet(AssetEvent):
    @classmethod
    def _known_versions(cls):
        return {1: {"type": "record", "name": "NewDoc", "fields": [field("Name", "string")]}}


class OtherSet(AssetEvent):
    pass

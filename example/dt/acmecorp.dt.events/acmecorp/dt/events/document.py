"""Documents that belong to an asset."""

from smapd.twin.event import AssetEvent, field


class NewDocumentSet(AssetEvent):
    """There is a document, which a request of type AcmecorpExampleReq gives."""

    @classmethod
    def _default_version(cls):
        return 1

    @classmethod
    def _known_versions(cls):
        return {
            1: {
                "type": "record",
                "name": "NewDocumentSet",
                "fields": [field("name", "string", doc="of its file"), field("size", "long")],
            }
        }

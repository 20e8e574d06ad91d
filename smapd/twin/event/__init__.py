"""Event types: classes with Avro schemas, and the events that are told of an asset."""

from .base import AssetEvent, Event, UnknownEvent
from .fields import field
from .internal import InternalEvent, IntTwinEofReplay
from .types import EventTypes

__all__ = [
    "AssetEvent",
    "Event",
    "EventTypes",
    "IntTwinEofReplay",
    "InternalEvent",
    "UnknownEvent",
    "field",
]

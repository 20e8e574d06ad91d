"""The tree: collections, timeseries, their uuids and metadata, and the queue readings come by."""

from .actuator import Actuator, DriverCalls
from .inbox import Home
from .instance import DEFAULT_TIMEZONE, SmapInstance
from .intake import Intake
from .nodes import Collection, Node, Timeseries
from .paths import normalise
from .scope import Scope
from .uuids import as_uuid, stream_uuid

__all__ = [
    "DEFAULT_TIMEZONE",
    "Actuator",
    "Collection",
    "DriverCalls",
    "Home",
    "Intake",
    "Node",
    "Scope",
    "SmapInstance",
    "Timeseries",
    "as_uuid",
    "normalise",
    "stream_uuid",
]

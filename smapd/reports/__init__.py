"""Reports: who is sent which readings."""

from .definition import Definition
from .options import FORMATS, TABLES
from .reports import KEPT_S, Reports
from .selection import KnownStreams
from .subscription import Neighbours, Subscription

__all__ = [
    "FORMATS",
    "KEPT_S",
    "TABLES",
    "Definition",
    "KnownStreams",
    "Neighbours",
    "Reports",
    "Subscription",
]

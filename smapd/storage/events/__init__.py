"""The event log: what assets published, kept in order and for ever, and who has read how far."""

from .cursors import EventCursor
from .log import POOL, EventLog
from .settings import EventSettings

__all__ = ["POOL", "EventCursor", "EventLog", "EventSettings"]

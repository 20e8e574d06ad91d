"""The data directory, and what lies in it: the readings journal, the event log, definitions."""

from .control import Control
from .cursors import Cursor
from .daemon import Daemon, read_daemon
from .datadir import FORMAT, DataDir
from .definitions import Definitions
from .delivering import DeliveryOptions, DeliveryState, Draft
from .delivery import Delivery
from .events import POOL as EVENTS_POOL
from .events import EventCursor, EventLog, EventSettings
from .forecast import Rates, seconds_until_loss
from .fresh import FreshFirst, fresh_names
from .journal import POOL as READINGS_POOL
from .journal import Readings
from .opening_failed import cannot_open
from .quarantine import Quarantine, Quarantined
from .ring import Target
from .settings import Settings
from .slices import tail
from .tables import TABLES, event_settings_from, settings_from

__all__ = [
    "cannot_open",
    "Control",
    "Cursor",
    "Daemon",
    "DataDir",
    "Definitions",
    "Delivery",
    "DeliveryOptions",
    "DeliveryState",
    "Draft",
    "EVENTS_POOL",
    "EventCursor",
    "EventLog",
    "EventSettings",
    "FORMAT",
    "FreshFirst",
    "Quarantine",
    "Quarantined",
    "READINGS_POOL",
    "Rates",
    "Readings",
    "Settings",
    "TABLES",
    "Target",
    "event_settings_from",
    "fresh_names",
    "read_daemon",
    "seconds_until_loss",
    "settings_from",
    "tail",
]

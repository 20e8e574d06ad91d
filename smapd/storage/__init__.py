"""The data directory, and what lies in it: the readings journal, the definitions."""

from .control import Control
from .cursors import Cursor
from .daemon import Daemon, read_daemon
from .datadir import FORMAT, DataDir
from .definitions import Definitions
from .delivering import DeliveryOptions, DeliveryState, Draft
from .delivery import Delivery
from .fresh import FreshFirst, fresh_names
from .journal import POOL as READINGS_POOL
from .journal import Readings
from .ring import Target
from .settings import Settings
from .slices import tail
from .tables import TABLES, settings_from

__all__ = [
    "Control",
    "Cursor",
    "Daemon",
    "DataDir",
    "Definitions",
    "Delivery",
    "DeliveryOptions",
    "DeliveryState",
    "Draft",
    "FORMAT",
    "FreshFirst",
    "READINGS_POOL",
    "Readings",
    "Settings",
    "TABLES",
    "Target",
    "fresh_names",
    "read_daemon",
    "settings_from",
    "tail",
]

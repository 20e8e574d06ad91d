"""The data directory, and what lies in it."""

from .daemon import Daemon, read_daemon
from .datadir import FORMAT, DataDir
from .tables import TABLES

__all__ = ["FORMAT", "TABLES", "Daemon", "DataDir", "read_daemon"]

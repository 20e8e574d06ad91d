"""Time, threads, periodic calls and the life cycle of the daemon."""

from .backoff import Backoff
from .beat import Beat
from .bundle import Runtime, make_runtime, pool_sizes
from .calls import PeriodicCall
from .clock import Clock, Repeating, Timer
from .clockwatch import ClockWatch
from .durations import Durations
from .faults import FaultLog
from .guard import attempt
from .lag import ReactorLag
from .logs import Logging, start_logging
from .notify import Notifier, Watchdog, watchdog_interval_s
from .options import TABLES
from .owner import CallOwner, current_owner
from .pool import Lane, PoolSize
from .scheduler import Scheduler
from .service import Child, OrderedService
from .status import Status
from .threads import Threads
from .writes import DiskWrites

__all__ = [
    "TABLES",
    "Backoff",
    "Beat",
    "CallOwner",
    "Child",
    "Clock",
    "ClockWatch",
    "DiskWrites",
    "Durations",
    "FaultLog",
    "Lane",
    "Logging",
    "Notifier",
    "OrderedService",
    "PeriodicCall",
    "PoolSize",
    "ReactorLag",
    "Repeating",
    "Runtime",
    "Scheduler",
    "Status",
    "Threads",
    "Timer",
    "Watchdog",
    "attempt",
    "current_owner",
    "make_runtime",
    "pool_sizes",
    "start_logging",
    "watchdog_interval_s",
]

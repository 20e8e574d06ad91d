"""Public fakes and frames for tests, of smapd itself and of anybody's drivers."""

from .clocks import START_MS, FakeClock
from .definitions import MemoryDefinitions
from .drivercase import DriverCase
from .eventlog import MemoryEventCursor, MemoryEventLog
from .listeners import RecordingListener
from .peer import FakePeer
from .process import Answer, DaemonProcess
from .readings import MemoryCursor, MemoryReadings
from .runtime import FakeRuntime
from .sinks import RecordingSink
from .threads import FakeThreads

__all__ = [
    "START_MS",
    "Answer",
    "DaemonProcess",
    "DriverCase",
    "FakeClock",
    "FakePeer",
    "FakeRuntime",
    "FakeThreads",
    "MemoryCursor",
    "MemoryDefinitions",
    "MemoryEventCursor",
    "MemoryEventLog",
    "MemoryReadings",
    "RecordingListener",
    "RecordingSink",
]

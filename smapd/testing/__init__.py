"""Public fakes and frames for tests, of smapd itself and of anybody's drivers."""

from .clocks import START_MS, FakeClock
from .definitions import MemoryDefinitions
from .drivercase import DriverCase
from .listeners import RecordingListener
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
    "FakeRuntime",
    "FakeThreads",
    "MemoryCursor",
    "MemoryDefinitions",
    "MemoryReadings",
    "RecordingListener",
    "RecordingSink",
]

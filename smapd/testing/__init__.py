"""Public fakes and frames for tests, of smapd itself and of anybody's drivers."""

from .clocks import START_MS, FakeClock
from .drivercase import DriverCase
from .listeners import MemoryReadings, RecordingListener
from .process import Answer, DaemonProcess
from .runtime import FakeRuntime
from .threads import FakeThreads

__all__ = [
    "START_MS",
    "Answer",
    "DaemonProcess",
    "DriverCase",
    "FakeClock",
    "FakeRuntime",
    "FakeThreads",
    "MemoryReadings",
    "RecordingListener",
]

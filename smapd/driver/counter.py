"""The tutorial's driver."""

from __future__ import annotations

from typing import Any

from smapd.runtime.periodic import periodic_call

from .base import SmapDriver


class BaseDriver(SmapDriver):
    """Counts from 0, one reading a second, on the timeseries /sensor0.

    It works hosted by a config section, and by hand as ``drv = BaseDriver(); drv.setup(inst, {});
    drv.start()``. Its options are not checked.
    """

    OPTIONS = None

    def setup(self, inst: Any, opts: Any) -> None:
        self.ts = inst.add_timeseries("/sensor0", "mysensor", "V")

    def start(self) -> None:
        self.counter = 0
        periodic_call(self.read, ()).start(1)

    def read(self) -> None:
        """One beat; runs in a poll thread."""
        self.ts.add(self.counter)
        self.counter += 1

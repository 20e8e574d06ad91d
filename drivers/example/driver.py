"""The driver to copy: a counter that stands for an instrument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smapd.driver import Option, SmapDriver, duration, integer
from smapd.util import periodicSequentialCall


class Driver(SmapDriver):
    """Counts: one reading each Rate, beginning with StartVal."""

    OPTIONS = (
        Option("StartVal", integer, 0, "the first value"),
        Option("Rate", duration, "1s", "time between two readings", at_least="10ms"),
    )

    def setup(self, opts: Mapping[str, Any]) -> None:
        self.add_timeseries("/sensor0", "V")
        self.set_metadata("/sensor0", {"Instrument/ModelName": "ExampleInstrument"})
        self.counter: int = opts["StartVal"]
        self.rate_s: float = opts["Rate"]

    def start(self) -> None:
        periodicSequentialCall(self.read).start(self.rate_s)

    def read(self) -> None:
        """One beat; runs in a poll thread, so a blocking call to a device may stand here."""
        self.add("/sensor0", self.counter)
        self.counter += 1

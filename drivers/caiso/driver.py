"""The driver of the California ISO's public data: which report is asked for when."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from smapd.driver import BadReading, FetchDriver, Option, fetch_options, words
from smapd.util import now, periodicSequentialCall

from .oasis import question, readings
from .reports import REPORTS, Series

BASE = "https://oasis.caiso.com/oasisapi/SingleZip"
PAUSE_S = 6.0
"""Between two requests; OASIS allows one in five seconds."""

_NAMES = tuple(report.name for report in REPORTS)


class CaIsoDriver(FetchDriver):
    """Demand, generation, imports, renewables and prices from OASIS of the California ISO."""

    OPTIONS = (
        *fetch_options(BASE, rate="5m", timeout="60s", at_least="1m"),
        Option("Reports", words, ("load", "generation"), "which reports to read", choices=_NAMES),
    )

    def setup(self, opts: Mapping[str, Any]) -> None:
        FetchDriver.setup(self, opts)
        self.reports = tuple(r for r in REPORTS if r.name in opts["Reports"])
        self.turns = itertools.cycle(self.reports)
        self.first_round = len(self.reports)
        self.newest: dict[Series, int] = {}
        self.bad: dict[str, str] = {}
        self.set_metadata(
            "/",
            {
                "Location/Country": "USA",
                "Location/Area": "CA ISO",
                "Extra/ISO": "CAISO",
                "Extra/Source": "OASIS",
            },
        )
        for report in self.reports:
            for series in report.series:
                self.add_timeseries(
                    series.path,
                    series.key,
                    series.unit,
                    data_type="double",
                    description=series.description,
                )

    def start(self) -> None:
        self.call = periodicSequentialCall(self.update)
        self.call.start(PAUSE_S)

    def update(self) -> None:
        """Ask for one report, each in its turn; in a poll thread.

        :raises DeviceUnavailable: if OASIS cannot be reached, or refuses.
        :raises BadReading: if this report, or the last answer to another, cannot be read.
        """
        self.report = next(self.turns)
        try:
            super().update()
        except BadReading as error:
            self.bad[self.report.name] = error.message
        else:
            self.bad.pop(self.report.name, None)
        self.first_round -= 1
        if self.first_round == 0:  # every stream has what there is; from now on as Rate says
            self.call.start(self.rate / len(self.reports), now=False)
        if self.bad:
            raise BadReading("; ".join(f"{name}: {why}" for name, why in sorted(self.bad.items())))

    def address(self) -> str:
        """The report's address, with a window of time up to now; of a folder, the report's file."""
        base = str(self.uri)
        if base.startswith("file:"):
            return f"{base.rstrip('/')}/{self.report.name}.zip"
        return question(base, self.report, self.now())

    def now(self) -> int:
        """The wall clock in seconds; a test gives another one."""
        return now()

    def process(self, data: bytes) -> None:
        """Add what is newer than all that was added before."""
        for series, rows in readings(self.report, data).items():
            newest = self.newest.get(series)
            fresh = [row for row in rows if newest is None or row[0] > newest]
            if fresh:
                self.add_many(
                    series.path, [at_s for at_s, _ in fresh], [value for _, value in fresh]
                )
                self.newest[series] = fresh[-1][0]

"""What is kept on disk: the data directory, the definitions, and the readings journal."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from smapd.errors import DataDirUnusable
from smapd.runtime import Durations, PoolSize, Repeating, Runtime
from smapd.storage import (
    READINGS_POOL,
    Control,
    DataDir,
    Definitions,
    Quarantine,
    Quarantined,
    Readings,
    settings_from,
)
from smapd.values import Json

CONTROL_POOL: Final = "disk-control"
LOOK_S: Final = 10.0
"""How often it is looked whether the data directory is still the one that is locked, and at what
lies in its quarantine."""


class Keeping:
    """All that writes to the data directory; on the reactor's thread."""

    log = Logger()

    def __init__(self, run: Runtime, path: str | Path, server: Mapping[str, Any]) -> None:
        self._run = run
        self.data_dir = DataDir(path)
        self.lost = ""
        """Why what is kept from now on is lost; "" while it is not."""
        self.quarantined: Quarantined | None = None
        """What lay in quarantine/ when it was last looked at; None while nobody knows."""
        self._looks: Repeating | None = None
        self.commits = Durations()
        run.threads.add_pool(CONTROL_POOL, PoolSize(kept=1, most=1, queue=1_000))
        run.threads.add_pool(READINGS_POOL, PoolSize(kept=1, most=1, queue=10_000))
        home = self.data_dir.path
        self._quarantine = Quarantine(home / "quarantine", server["QuarantineBytes"])
        self.control = Control(home, home / "quarantine")
        self.definitions = Definitions(self.control, run.threads, CONTROL_POOL)
        self.readings = Readings(
            home / "readings",
            home / "quarantine",
            run.clock,
            run.threads,
            run.backoff(),
            run.faults,
            settings_from(server),
            highest=self.control.highest,
            record=self._record,
            took=self.commits.add,
        )

    def _record(self, flush: int, readings: int) -> Deferred[None]:
        # on the thread of the definitions: one that is being written would take it along, or back
        return self._run.threads.to_pool(CONTROL_POOL, self.control.record, flush, readings)

    def open_data_dir(self) -> None:
        self.data_dir.open()
        for note in self.data_dir.notes:
            self.log.warn("{note}", note=note)

    async def open_control(self) -> None:
        try:
            await self._run.threads.to_pool(CONTROL_POOL, self.control.open)
        except (sqlite3.Error, OSError) as error:
            raise DataDirUnusable(
                f"The definitions in {self.data_dir.path} cannot be opened: {error}."
            ) from error
        await self._look()
        for note in self.control.notes:
            self.log.warn("{note}", note=note)

    def close_control(self) -> Deferred[None]:
        return self._run.threads.to_pool(CONTROL_POOL, self.control.close)

    def _look(self) -> Deferred[None]:
        # on a disk thread: a file system that is gone may hang
        found = self._run.threads.to_pool(CONTROL_POOL, self._found)
        return found.addCallback(self._is)

    def _found(self) -> tuple[str, Quarantined | None]:
        quarantined = None
        with contextlib.suppress(OSError):
            quarantined = self._quarantine.look()
        return self.data_dir.lost(), quarantined

    def _is(self, found: tuple[str, Quarantined | None]) -> None:
        lost, self.quarantined = found
        if self.quarantined is not None and self.quarantined.note:
            self.log.warn("{note}", note=self.quarantined.note)
        before, self.lost = self.lost, lost
        if lost and lost != before:
            self.log.error("{lost} What is kept from now on is lost. Restart smapd.", lost=lost)
        elif before and not lost:
            self.log.warn("data directory {path} is back", path=str(self.data_dir.path))

    def watch(self) -> None:
        """Look now and then at the data directory: whether it is still there, and what is in it."""
        self._looks = self._run.clock.every(LOOK_S, self._look)
        # what the start has set aside shows at once
        self._run.clock.background(self._look(), "looking at the data directory")

    def about_quarantine(self) -> Json:
        """What ``/status`` shows of it; {} while nobody knows."""
        return {} if self.quarantined is None else self.quarantined.status()

    def unwatch(self) -> None:
        """Look no more."""
        if self._looks is not None:
            self._looks.stop()

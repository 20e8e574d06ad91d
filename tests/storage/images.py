"""Data directories kept in memory, laid out again for each way of damaging them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random
from time import perf_counter
from unittest.mock import patch

from smapd.storage import Control, DataDir, store
from smapd.storage.segment_db import PAGE
from smapd.storage.settings import Settings
from smapd.values import Start
from tests.storage.journals import EVERYTHING, Life, Seen

STREAMS = 5
ROW = 300
"""Readings of a stream in one row, at most."""
FRAME = 24 + PAGE
SMALL = Settings(history_s=0, min_free=0, segment_bytes=150_000)
REPORTS = {f"report {i}": {"uuid": i, "ReportResource": "/+"} for i in range(6)}


class Home(Life):
    """A life of a whole data directory: its names, its definitions and its journal."""

    def __init__(self, home: Path) -> None:
        self.directory = DataDir(home)
        self.directory.open()
        self.control = Control(home, home / "quarantine")
        self.control.open()
        control = self.control
        super().__init__(
            home, STREAMS, settings=SMALL, highest=control.highest, record=control.record
        )

    def stop(self) -> None:
        super().stop()
        self.control.close()
        self.directory.close()


class Image:
    """The files of a directory at one moment, by their path in it."""

    def __init__(self, home: Path) -> None:
        self.files = {
            str(path.relative_to(home)): path.read_bytes()
            for path in sorted(home.rglob("*"))
            if path.is_file()
        }

    def lay(self, home: Path, changed: Mapping[str, bytes | None] | None = None) -> None:
        """Write them to ``home``, in place of what is there. ``changed``: None is left out."""
        shutil.rmtree(home, ignore_errors=True)
        for name, data in {**self.files, **(changed or {})}.items():
            if data is not None:
                path = home / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.write_bytes(data)

    def any_bit(self, rng: Random) -> tuple[str, int, int]:
        """(file, byte, bit): half of them anywhere, half in any file, that small ones count too."""
        names = [name for name, data in self.files.items() if data]
        sizes = [len(self.files[name]) for name in names]
        name = rng.choices(names, sizes)[0] if rng.random() < 0.5 else rng.choice(names)
        return name, rng.randrange(len(self.files[name])), rng.randrange(8)

    def flipped(self, name: str, at: int, bit: int) -> bytes:
        """A file's content with that bit flipped."""
        data = bytearray(self.files[name])
        data[at] ^= 1 << bit
        return bytes(data)

    @property
    def wal(self) -> str:
        """The name of the journal's log."""
        (name,) = (n for n in self.files if n.startswith("readings/") and n.endswith("-wal"))
        return name

    @property
    def commits(self) -> list[int]:
        """Where in the journal's log each commit ends."""
        log = self.files[self.wal]
        ends = range(32 + FRAME, len(log) + 1, FRAME)
        return [end for end in ends if any(log[end - FRAME + 4 : end - FRAME + 8])]


def fill(home: Path) -> Image:
    """Several segments, a consumer that has acked a few readings, and a log, as after SIGKILL."""
    life = Home(home)
    for name, value in REPORTS.items():
        life.control.put("report", name, value)
    rng = Random(7)
    cursor = life.journal.cursor("sink", None, Start.OLDEST, EVERYTHING)
    with patch.multiple(store, MARK_RUNS=150, MARK_RUNS_A_STREAM=1):  # a mark every few rows
        for i in range(110):
            life.add(times=rng.choice((1, 3, 20, ROW)))
            life.commit()
            if i == 3:
                cursor.ack(life.read(cursor, 7).end)
            if i == 60:
                life.run.advance(61)  # control.db is told how far the journal goes
    image = Image(home)
    life.stop()
    shutil.rmtree(home)
    return image


def read_all(life: Life, limit: int = 10_000) -> Seen:
    """What a consumer from the beginning gets."""
    seen = Seen()
    seen.drain(life, life.journal.cursor("all", None, Start.OLDEST, EVERYTHING), limit)
    return seen


def opened(home: Path) -> tuple[Home, float]:
    """A life there, and how long the start took, in seconds."""
    began_s = perf_counter()
    return Home(home), perf_counter() - began_s

"""A start on what cannot be used: one sentence, an exit status, and nothing is lost or changed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smapd.runtime import PoolSize
from smapd.storage.journal import POOL
from smapd.storage.rows import pack_small
from smapd.storage.segments import ABOUT, Segment
from smapd.testing import DaemonProcess, FakeRuntime
from smapd.values import Limits
from tests.storage.images import Image
from tests.storage.journals import EVERYTHING, Life, Seen, Settings, Start

CONFIG = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/d]
type = smapd.drivers.example.Driver
Rate = 20ms
[server]
CommitInterval = 50ms
"""


def refused(data: Path) -> tuple[str, str]:
    """What a daemon says that does not start, and what it advises; its exit status is 1."""
    daemon = DaemonProcess(CONFIG, data_dir=data)
    try:
        daemon.spawn()
        assert daemon.wait() == 1, daemon.text()
        return told(daemon)
    finally:
        daemon.close()


def told(daemon: DaemonProcess) -> tuple[str, str]:
    *before, said, advice = daemon.text().splitlines()
    assert all(" warn " in line for line in before), daemon.text()  # of what went wrong on the way
    assert advice.startswith("       ")
    return said.removeprefix("smapd: "), advice.strip()


def used(data: Path) -> None:
    """A data directory with readings."""
    with DaemonProcess(CONFIG, data_dir=data) as daemon:
        while not daemon.get("/status").json()["journal"]["committed"]:
            pass
        assert daemon.stop() == 0


@contextmanager
def mounted(disk: Path, size: str) -> Iterator[None]:
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.real
@pytest.mark.parametrize("name", ["data", "new/data"])
def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    """SM-40: also by root, for whom only the file system can refuse it."""
    disk = tmp_path / "disk"
    with mounted(disk, "4m"):
        (disk / "data").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

        assert refused(disk / name) == (
            f"data directory {disk / name}: read-only file system.",
            "Name a directory that this user may write with --data-dir or [server] DataDir.",
        )


@pytest.mark.real
def test_somebody_elses_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    """SM-40."""
    (tmp_path / "thesis.tex").write_text("all of it")

    assert refused(tmp_path)[0] == (
        f"data directory {tmp_path}: it holds other files (thesis.tex) and no VERSION of ours."
    )
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.real
def test_data_of_a_newer_smapd_is_refused_and_left_alone(tmp_path: Path) -> None:
    """SM-40: by its VERSION, and by its files where that says nothing of them."""
    data = tmp_path / "data"
    used(data)
    (data / "VERSION").write_text("smapd data 2\n")
    before = Image(data).files

    assert refused(data)[0] == (
        f"data directory {data}: it has format 2, and this smapd knows 1; it was written by a "
        "newer one."
    )
    assert Image(data).files == before

    (data / "VERSION").write_text("smapd data 1\n")
    segment = Segment(data / "readings" / "0001.db", writable=True)
    newer = pack_small(ABOUT, [2, 1, 0])
    segment.db.execute("UPDATE about SET data = ? WHERE id = 1", (newer,))
    segment.close()
    before = Image(data / "readings").files

    assert refused(data)[0] == (
        f"{data}/readings/0001.db has format 2, and this smapd knows 1; it was written by a newer "
        "one."
    )
    assert Image(data / "readings").files == before


@pytest.mark.real
@pytest.mark.parametrize("left", [0, 4_096, 16_384, 60_000, 120_000, 1_000_000])
def test_a_full_disk_is_one_sentence_and_what_was_there_is_there_later(
    tmp_path: Path, left: int
) -> None:
    """SM-29: with nothing left, and with room for a part of what a start writes."""
    disk = tmp_path / "disk"
    with mounted(disk, "4m"):
        data = disk / "data"
        used(data)
        kept = readings(data)
        with (disk / "ballast").open("wb") as ballast:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            ballast.write(bytes(max(free - left, 0)))

        daemon = DaemonProcess(CONFIG, data_dir=data)
        try:
            daemon.spawn()
            try:
                daemon.wait_for("READY=1")
            except AssertionError:
                assert left < 1_000_000, daemon.text()
                assert daemon.wait() == 1
                said, advice = told(daemon)
                assert re.search("full|no space left", said), said
                assert advice.startswith("Make room there")
            else:
                assert left > 16_384
                assert daemon.stop() == 0
        finally:
            daemon.close()
        (disk / "ballast").unlink()

        assert readings(data)[: len(kept)] == kept


def readings(data: Path) -> list[tuple[int, ...]]:
    """(number, first seq, count) of each run in the journal."""
    found = []
    for path in sorted((data / "readings").glob("*.db")):
        segment = Segment(path, writable=True)
        for head, _ in segment.rows(0):
            found += list(head.runs())
        segment.close()
    return found


def test_a_clock_that_is_set_after_the_start_makes_nothing_old(tmp_path: Path) -> None:
    """SM-29: it shows 1970 until then, as on a board without a battery; told in one sentence."""
    settings = Settings(history_s=3_600, min_free=0, segment_bytes=150_000)
    runtime = FakeRuntime({POOL: PoolSize(1, 1, queue=1_000)}, start_ms=5_000)
    life = Life(tmp_path, runtime=runtime, settings=settings)
    assert [note.partition(" (")[0] for note in life.journal.notes] == [
        "the clock of this machine is not set"
    ]
    cursor = life.journal.cursor("a", None, Start.OLDEST, Limits(None, keep_s=7_200))
    for _ in range(30):
        life.add(times=300)
        life.commit()
    files = len(life.journal.store.segments)
    assert files > 2

    runtime.clock.step_wall(1_790_000_000)
    runtime.advance(120)
    life.add(times=300)
    life.commit()
    assert len(life.journal.store.segments) >= files
    life.stop()
    for path in (tmp_path / "readings").iterdir():
        os.utime(path, (20, 20))
    life = Life(tmp_path, settings=settings)  # its clock shows 2023
    life.run.advance(3_700)

    seen = Seen()
    seen.drain(life, life.journal.cursor("a", None, Start.OLDEST, EVERYTHING))
    assert cursor.name == "a"
    assert set(seen.readings.values()) == {31 * 300}
    assert not seen.lost
    life.stop()

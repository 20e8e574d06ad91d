"""desired/builtin/disk.py: a file is the old one or the new one, whatever happens."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from smapd.desired.builtin import disk
from smapd.desired.builtin.notdone import NotDone

HALF_MIB = 512 * 1024

CHILD = f"""
import sys
from smapd.desired.builtin import disk
n = 0
print("BEGUN", flush=True)
while True:
    n += 1
    disk.write(sys.argv[1], bytes([97 + n % 26]) * {HALF_MIB}, 0o640, -1, -1)
"""


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place = tmp_path / "a"
    place.write_text("old")

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(NotDone, match="cannot be written: No space left on device"):
        disk.write(str(place), b"new", 0o644, -1, -1)
    monkeypatch.undo()

    assert place.read_text() == "old"
    assert left(tmp_path) == ["a"]


def test_file_and_directory_are_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(fd: int) -> None:
        did.append("sync directory" if os.path.isdir(f"/proc/self/fd/{fd}") else "sync file")
        fsync(fd)

    def renamed(old: str, new: str) -> None:
        did.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    disk.write(str(tmp_path / "a"), b"x", 0o644, -1, -1)

    assert did == ["sync file", "rename", "sync directory"]


def test_what_a_crash_left_is_cleared_away_but_not_what_is_being_written(tmp_path: Path) -> None:
    disk.write(str(tmp_path / "a"), b"x", 0o644, -1, -1)
    mark = f"{disk._NEW}{'0' * 16}-"
    for name in ("old", "young"):
        (tmp_path / f"{mark}{name}").write_text("half")
    os.utime(tmp_path / f"{mark}old", (1, 1))

    disk._clear_away(str(tmp_path), mark)

    assert left(tmp_path) == [f"{mark}young", "a"]


def test_a_long_name_is_no_trouble(tmp_path: Path) -> None:
    place = tmp_path / ("n" * 255)

    disk.write(str(place), b"x", 0o644, -1, -1)

    assert place.read_bytes() == b"x"


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")

    with pytest.raises(NotDone, match="is a pipe and not a file"):
        disk.digests(str(tmp_path / "a"), "sha256")


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("x")
    (tmp_path / "a").symlink_to(tmp_path / "target")
    before = (tmp_path / "target").stat().st_mode

    with pytest.raises(NotDone):
        disk.digests(str(tmp_path / "a"), "sha256")
    with pytest.raises(NotDone, match="is a symbolic link and not a file"):
        disk.mend(str(tmp_path / "a"), 0o777, -1, -1)

    assert (tmp_path / "target").stat().st_mode == before


@pytest.mark.real
def test_whoever_reads_sees_one_whole_file_also_after_kill_9(tmp_path: Path) -> None:
    """20 kills at times of a fixed seed, while a process writes it again and again."""
    rng = random.Random(7)
    place = tmp_path / "a"
    looks = 0
    for _ in range(20):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(place)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"BEGUN\n"
        ends_s = time.monotonic() + rng.uniform(0.0, 0.05)
        while time.monotonic() < ends_s:
            looks += check(place)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        looks += check(place)
    assert looks > 20


def check(place: Path) -> int:
    if not place.exists():
        return 0
    data = place.read_bytes()
    assert len(data) == HALF_MIB
    assert data.count(data[:1]) == HALF_MIB
    return 1

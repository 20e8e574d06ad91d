"""Kills between the two pieces in which SQLite writes a frame of its log, over an older log."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smapd.storage.rawscan import read_wal
from smapd.storage.segment_db import PAGE
from tests.storage.events_life import Life

HEADER, HEAD = 32, 24
FRAME = HEAD + PAGE


@pytest.fixture(scope="module")
def logs(ram: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """A directory whose log has begun anew, and the log as it was behind each of some commits."""
    home = Path(tempfile.mkdtemp(dir=ram))
    life = Life(home / "live", recent_bytes=0)
    wal = home / "live" / "events" / "0001.db-wal"
    size = -1
    while wal.stat().st_size != size:  # it grows with each commit until it begins anew
        size = wal.stat().st_size
        life.publish("a")
    data = (home / "live" / "events" / "0001.db").read_bytes()
    found = [wal.read_bytes()]
    for _ in range(15):
        life.publish("a")
        found.append(wal.read_bytes())
    assert (home / "live" / "events" / "0001.db").read_bytes() == data
    shutil.copytree(home / "live", home / "killed")
    life.stop()
    yield home / "killed", found
    shutil.rmtree(home)


def moments(before: bytes, after: bytes) -> Iterator[bytes]:
    """The log at each moment of a commit: heads and pages are written one after another."""
    changed = [
        i for i in range(HEADER, len(after), FRAME) if after[i:][:FRAME] != before[i:][:FRAME]
    ]
    for at in changed:
        for end in (at, at + HEAD):
            if end == at or not int.from_bytes(after[at + 4 : at + 8]):  # it ends no commit
                yield after[:end] + before[end:]


def test_a_commit_that_a_kill_cut_off_is_no_damage_and_leaves_no_hole(
    logs: tuple[Path, list[bytes]],
) -> None:
    """N-01, N-02: an event nobody was told of is there whole, or its offset is used again."""
    home, found = logs
    tried = 0
    for before, after in zip(found, found[1:], strict=False):
        for wal in moments(before, after):
            again = home.with_name(f"{tried}")
            shutil.copytree(home, again)
            (again / "events" / "0001.db-wal").write_bytes(wal)

            life = Life(again, recent_bytes=0)

            assert life.store.notes == []
            assert life.read_all("a") == list(range(life.log.next_offset("a")))
            life.stop()
            shutil.rmtree(again)
            tried += 1
    assert tried > 40


def test_a_word_that_changed_in_the_last_frame_is_damage(
    logs: tuple[Path, list[bytes]],
) -> None:
    """N-02: what was acknowledged is not taken for what a kill cut off."""
    home, found = logs
    wal = home / "events" / "0001.db-wal"
    before, after = found[-2:]
    last = max(
        at for at in range(HEADER, len(after), FRAME) if after[at:][:FRAME] != before[at:][:FRAME]
    )
    for at in (*range(last, last + 8), *range(last + 16, last + FRAME, 7)):
        damaged = bytearray(after)
        damaged[at] ^= 0x10
        wal.write_bytes(damaged)

        assert read_wal(home / "events" / "0001.db").suspect, at - last
    for size in (8, 64, 512):  # also more than a word
        damaged = bytearray(after)
        damaged[last + HEAD + 1000 : last + HEAD + 1000 + size] = bytes(size)
        assert damaged != after
        wal.write_bytes(damaged)
        assert read_wal(home / "events" / "0001.db").suspect, size
    wal.write_bytes(after)
    assert not read_wal(home / "events" / "0001.db").suspect

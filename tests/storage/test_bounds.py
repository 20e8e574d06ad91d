"""Every bound of the journal, and that what it costs is told exactly."""

import os
import subprocess
from pathlib import Path

import pytest

from smapd.values import Limits
from tests.storage.journals import EVERYTHING, Life, Seen, Settings, Start, result

SMALL = Settings(history_s=0, min_free=0, segment_bytes=150_000)


def test_each_stream_keeps_its_newest_readings_exactly(tmp_path: Path) -> None:
    """SM-29, N-02: the oldest go first, and each is in a counted gap."""
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST, Limits(max_readings=10))
    life.add(times=7)
    life.add(0, times=30)
    life.commit()
    life.add(0, 1, times=5)
    life.commit()
    assert cursor.waiting() == 10 + 10 + 7 * 3
    assert cursor.overdue() == 32 + 2

    seen = Seen()
    seen.drain(life, cursor)

    assert seen.readings == {"/s0": 10, "/s1": 10, "/s2": 7, "/s3": 7, "/s4": 7}
    assert seen.lost == {"/s0": 32, "/s1": 2}
    assert dict(seen.why) == {"bounds": 34}
    assert life.journal.store.dropped["bounds"] == 34


def test_files_go_when_every_stream_in_them_is_past_its_bound(tmp_path: Path) -> None:
    life = Life(tmp_path, settings=SMALL)
    cursor = life.journal.cursor("a", None, Start.OLDEST, Limits(max_readings=500))
    for _ in range(60):
        life.add(times=300)
        life.commit()

    assert len(list((tmp_path / "readings").glob("*.db"))) <= 3
    seen = Seen()
    seen.drain(life, cursor)
    assert set(seen.readings.values()) == {500}
    assert set(seen.lost.values()) == {60 * 300 - 500}


def test_a_bound_in_bytes_lets_the_oldest_file_go(tmp_path: Path) -> None:
    """U-04: MaxBytes; what went is told exactly, also after a restart."""
    settings = Settings(history_s=0, min_free=0, segment_bytes=150_000, max_bytes=500_000)
    life = Life(tmp_path, settings=settings)
    life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    for _ in range(60):
        life.add(times=300)
        life.commit()
    assert sum(p.stat().st_size for p in (tmp_path / "readings").glob("*.db")) < 700_000
    life.stop()

    life = Life(tmp_path, settings=settings)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    seen = Seen()
    seen.drain(life, cursor)

    assert set(seen.nexts.values()) == {18_000}
    assert sum(seen.lost.values()) > 1_000
    assert sum(seen.lost.values()) + sum(seen.readings.values()) == 5 * 18_000


def test_what_was_sent_while_its_file_went_is_no_gap(tmp_path: Path) -> None:
    """N-02: a batch in flight that is accepted was not lost."""
    settings = Settings(history_s=0, min_free=0, segment_bytes=150_000, max_bytes=300_000)
    life = Life(tmp_path, settings=settings)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    life.add(times=300)
    life.commit()
    seen = Seen()
    batch = life.read(cursor, 1_000)
    seen.take(batch)
    for _ in range(40):
        life.add(times=300)
        life.commit()
    assert cursor._journal.store.places["a"].position > batch.end

    result(cursor.ack(batch.end))
    seen.drain(life, cursor)

    assert set(seen.nexts.values()) == {41 * 300}
    assert sum(seen.lost.values()) + sum(seen.readings.values()) == 5 * 41 * 300


def test_older_readings_than_the_consumer_wants_are_left_out(tmp_path: Path) -> None:
    """SM-27 MaxAge: by their own time, and told."""
    life = Life(tmp_path, 1)
    cursor = life.journal.cursor("a", None, Start.OLDEST, Limits(max_age_s=60))
    life.add(times=3)
    life.commit()
    life.run.advance(100)
    life.add(times=2)
    life.commit()

    batch = life.read(cursor)

    assert [run.first_seq for run in batch.runs] == [3]
    assert [(g.from_seq, g.to_seq, g.count, g.why) for g in batch.gaps] == [(0, 2, 3, "age")]


def test_history_keeps_files_that_nobody_waits_for(tmp_path: Path) -> None:
    settings = Settings(history_s=1_000, min_free=0, segment_bytes=150_000)
    life = Life(tmp_path, settings=settings)
    for _ in range(40):
        life.add(times=300)
        life.commit()
    assert len(life.journal.store.segments) > 3
    stream = life.streams[0].uuid
    assert len(result(life.journal.read_range(stream, 0, 2**60, 100_000))[0]) == 12_000

    life.run.advance(2_000)

    assert len(life.journal.store.segments) == 1


def test_history_has_a_bound_in_bytes_and_gives_way_on_a_full_disk(tmp_path: Path) -> None:
    settings = Settings(history_s=1e6, min_free=100, segment_bytes=150_000, history_bytes=400_000)
    life = Life(tmp_path, settings=settings)
    for _ in range(40):
        life.add(times=300)
        life.commit()
    assert 2 <= len(life.journal.store.segments) <= 6
    assert sum(info.size for info in life.journal.store.segments) < 500_000

    life.journal.store.free_bytes = lambda path: 99
    life.run.advance(61)

    assert len(life.journal.store.segments) == 1


def test_a_full_disk_drops_the_oldest_exactly_and_goes_on_alone(tmp_path: Path) -> None:
    """SM-29, N-02: 16 MiB wait; what is beyond is a gap; no restart is needed."""
    settings = Settings(history_s=0, min_free=0, uncommitted_bytes=60_000)
    life = Life(tmp_path, settings=settings)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    life.add(times=200)
    life.commit()
    db = life.journal.store.writer().db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    for _ in range(60):
        life.add(times=300)
        life.commit()
    assert "full" in life.journal.error
    assert life.journal.lost_uncommitted > 0
    db.execute("PRAGMA max_page_count = 1000000").fetchall()
    life.run.advance(60)
    life.add()
    life.commit()
    life.run.advance(60)

    assert life.journal.error == ""
    seen = Seen()
    seen.drain(life, cursor)
    assert set(seen.nexts.values()) == {60 * 300 + 201}
    assert dict(seen.why) == {"disk": life.journal.lost_uncommitted}
    assert life.run.status.snapshot()["faults"] is not None


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs takes root")
def test_a_full_file_system_recovers_without_a_restart(tmp_path: Path) -> None:
    """SM-29: a real ENOSPC, on a tmpfs of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        settings = Settings(history_s=0, min_free=0, uncommitted_bytes=100_000)
        life = Life(disk, settings=settings)
        cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
        rounds = 0
        while not life.journal.lost_uncommitted and rounds < 400:
            life.add(times=1_000)
            life.commit()
            rounds += 1
        assert "full" in life.journal.error
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        for _ in range(20):
            life.run.advance(10)
        assert life.journal.error == ""
        seen = Seen()
        seen.drain(life, cursor)
        assert set(seen.nexts.values()) == {rounds * 1_000}
        assert set(seen.why) == {"disk"}
        life.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)

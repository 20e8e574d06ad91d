"""The event log's files: what they keep, when they go, and what a failing disk does."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from smapd.errors import BadRequest, Busy, DataDirUnusable
from smapd.runtime import PoolSize
from smapd.storage.events import POOL, EventSettings, rotation
from smapd.storage.events.gathering import LOOK_S, MOST_LOOKS
from smapd.storage.events.segments import EventSegment
from smapd.testing import FakeRuntime
from smapd.values import EventRecord, Start
from tests.storage.events_life import PAD, Life, event, result

SMALL = 128 * 1024


@pytest.fixture
def tmp_path(ram: Path) -> Iterator[Path]:
    """A directory in memory: what is tested here are thousands of commits, not the disk."""
    home = Path(tempfile.mkdtemp(dir=ram))
    yield home
    shutil.rmtree(home)


def errors(d: Deferred[Any]) -> list[str]:
    found: list[str] = []
    d.addErrback(lambda failure: found.append(str(failure.value)))
    return found


# --- segments


def test_files_follow_each_other_and_are_read_as_one(tmp_path: Path) -> None:
    life = Life(tmp_path, segment_bytes=SMALL)
    for n in range(2000):
        life.publish("a" if n % 3 else "b", pad=PAD)
    life.publish("c", 200, PAD)
    assert len(life.files()) > 4

    for _ in range(2):
        assert life.read_all("a", 77) == list(range(1333))
        assert life.read_all("b") == list(range(667))
        assert life.read_all("c", 10) == list(range(200))
        for start in (0, 1, 600, 1332):
            assert life.read("a", start, limit=3) == list(range(start, min(start + 3, 1333)))
        life = life.again(segment_bytes=SMALL)
    assert not (tmp_path / "quarantine").exists()
    assert max(path.stat().st_size for path in (tmp_path / "events").iterdir()) <= SMALL
    life.stop()


def test_an_asset_that_rested_for_many_files_goes_on(tmp_path: Path) -> None:
    life = Life(tmp_path, segment_bytes=SMALL, recent_bytes=0)
    life.publish("rests", 3)
    life.cursor("f", "rests").ack(2)
    for _ in range(1500):
        life.publish("busy", pad=PAD)
    life.publish("rests", 2)
    life = life.again(segment_bytes=SMALL, recent_bytes=0)

    assert life.read_all("rests", 2) == [0, 1, 2, 3, 4]
    assert life.read("rests", 3) == [3, 4]
    assert life.log.cursors() == [("f", "rests", 2)]
    assert life.log.next_offset("rests") == 5
    life.stop()


def test_a_file_that_a_killed_process_did_not_close_is_read(tmp_path: Path) -> None:
    life = Life(tmp_path, segment_bytes=SMALL)
    for _ in range(20):
        life.publish("a", pad=PAD)
    rotation.begin(life.store, 2)  # as far as a rotation had come
    life.publish("a", pad=PAD)
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "events", killed / "events")
    assert (killed / "events" / "0001.db-wal").exists()

    again = Life(killed)

    assert again.read_all("a") == list(range(21))
    assert again.files() == ["0001.db", "0002.db", "0002.db-wal"]
    assert not (killed / "quarantine").exists()
    again.stop()


def test_many_acks_without_events_do_not_make_the_file_grow(tmp_path: Path) -> None:
    life = Life(tmp_path, segment_bytes=SMALL)
    life.publish("a", 5_000)
    cursor = life.cursor("f", "a")
    files, size = life.files(), life.store.shelf.writer().size_bytes()

    for place in range(5_000):
        cursor.ack(place)
        life.run.advance(1)

    assert (life.files(), life.store.shelf.writer().size_bytes()) == (files, size)
    assert life.log.commits.count > 4_000
    life = life.again()
    assert life.log.cursors() == [("f", "a", 4_999)]
    life.stop()


def test_acks_alone_are_written_once_a_second(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a", 10)
    cursor = life.cursor("f", "a")
    before = life.log.commits.count

    for place in range(1, 10):
        cursor.ack(place)
    assert life.log.commits.count == before
    life.run.advance(1)

    assert life.log.commits.count == before + 1
    life.run.advance(100)
    assert life.log.commits.count == before + 1
    life.stop()


def test_a_file_with_all_cursors_may_be_larger_than_a_file_should(tmp_path: Path) -> None:
    """A segment that begins as large as it may become is not followed by another at once."""
    life = Life(tmp_path, segment_bytes=SMALL)
    making = [life.log.cursor(f"f{i}", f"a{i % 50}") for i in range(2_000)]
    life.publish("a", 1)
    for one in making:
        life.result(one)

    for _ in range(50):
        life.publish("a", 1)

    assert len(life.store.segments) < 10
    assert len(life.again().log.cursors()) == 2_000


# --- what goes


def test_without_a_bound_nothing_goes(tmp_path: Path) -> None:
    life = Life(tmp_path, segment_bytes=SMALL)
    for _ in range(1000):
        life.publish("a", pad=PAD)
    life.run.clock.step_wall(400 * 86_400)
    life.run.advance(120)

    assert life.read_all("a") == list(range(1000))
    life.stop()


@pytest.mark.parametrize("bound", [{"history_s": 3600.0}, {"max_bytes": 3 * SMALL}])
def test_old_files_go_by_age_or_size_and_offsets_stay(
    tmp_path: Path, bound: dict[str, Any]
) -> None:
    """EventHistory, EventMaxBytes: what goes is told to who had not read it."""
    life = Life(tmp_path, segment_bytes=SMALL, recent_bytes=0, **bound)
    life.cursor("late", "a")
    life.cursor("done", "a").ack(10**6)
    for _ in range(1500):
        life.publish("a", pad=PAD)
        life.run.advance(10)
    life.cursor("done", "a").ack(1500)
    kept = life.read_all("a")

    assert kept == list(range(kept[0], 1500))
    assert 200 < kept[0] < 1400
    assert life.store.gone >= kept[0]
    assert "late" in life.store.gone_note
    assert life.read("a", 0, limit=1) == [kept[0]]
    life = life.again(segment_bytes=SMALL, **bound)
    assert life.publish("a") == 1500
    assert life.log.cursors("late") == [("late", "a", 0)]
    life.stop()


def test_a_clock_that_is_set_makes_no_event_old(tmp_path: Path) -> None:
    """EventHistory: counted by the clock that nobody sets."""
    settings = {"segment_bytes": SMALL, "recent_bytes": 0, "history_s": 3600.0}
    life = Life(tmp_path, **settings)
    for _ in range(500):
        life.publish("a", pad=PAD)
    assert len(life.store.segments) > 2

    life.run.clock.step_wall(400 * 86_400)
    life.run.advance(120)
    for _ in range(500):
        life.publish("a", pad=PAD)

    assert life.read_all("a") == list(range(1000))
    life = life.again(**settings)  # which takes the times before the step for 400 days old
    assert life.read_all("a")[-1] == 999
    life.run.clock.step_wall(400 * 86_400)  # while the files are of an earlier run
    life.run.advance(120)
    kept = life.read_all("a")
    assert kept[-1] == 999
    assert kept[0] <= 500
    life.run.advance(3_600)
    assert len(life.store.segments) == 1  # the one that is written to
    life.stop()


def test_events_of_a_clock_that_was_not_set_count_from_the_start(tmp_path: Path) -> None:
    settings = {"segment_bytes": SMALL, "recent_bytes": 0, "history_s": 3600.0}
    run = FakeRuntime({POOL: PoolSize(1, 1, queue=1_000)}, start_ms=5_000)
    life = Life(tmp_path, run, **settings)
    for _ in range(500):
        life.publish("a", pad=PAD)
    life.stop()

    life = Life(tmp_path, **settings)  # its clock shows 2023
    life.run.advance(120)
    assert life.read_all("a") == list(range(500))
    life.run.advance(3_600)
    assert life.read_all("a")[0] > 0
    life.stop()


# --- dedupe ids


def test_ids_are_known_for_a_day_also_after_a_restart(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a", dedupe_id="old")
    life.run.clock.step_wall(43_200)
    life.run.advance(43_200)
    life = life.again()
    life.publish("a", dedupe_id="new")
    life = life.again()

    assert [life.publish("a", dedupe_id=one) for one in ("old", "new")] == [2, 1]
    life.run.advance(86_401)
    life.publish("b", dedupe_id="other")
    assert life.publish("a", dedupe_id="new") == 3
    life.stop()


def test_the_last_ids_are_known_however_many_come(tmp_path: Path) -> None:
    life = Life(tmp_path, ids=100)
    for n in range(300):
        life.publish("a", dedupe_id=str(n))

    for _ in range(2):
        assert life.publish("a", dedupe_id="299") == 299
        assert life.publish("a", dedupe_id="205") == 205
        life = life.again(ids=100)
    assert life.publish("a", dedupe_id="0") == 300
    life.stop()


def test_ids_of_a_clock_that_was_wrong_are_kept(tmp_path: Path) -> None:
    """A machine without a clock of its own starts in 1970, and is set right later."""
    life = Life(tmp_path)
    life.publish("a", dedupe_id="x")
    life.stop()
    again = Life(tmp_path)  # its clock is behind: START_MS
    again.run.clock.step_wall(10**9)

    assert again.publish("a", dedupe_id="x") == 0
    again.stop()


# --- reading


def test_who_follows_closely_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    life = Life(tmp_path, recent_bytes=200_000)
    for _ in range(200):
        life.publish("a", pad=PAD)
        life.publish("b", 3)

    assert life.read("a", 199) == [199]
    assert life.read("b", 590, limit=5) == [590, 591, 592, 593, 594]
    assert life.log.disk_reads == 0
    assert life.read("a", 0, limit=1) == [0]
    assert life.log.disk_reads == 1
    life.stop()


def test_a_burst_too_large_for_memory_leaves_no_hole(tmp_path: Path) -> None:
    life = Life(tmp_path, recent_bytes=20_000)
    life.publish("a", 5)
    life.publish("a", 100, PAD)
    life.publish("a", 5)

    for start in (0, 3, 5, 50, 104, 105, 109):
        assert life.read("a", start) == list(range(start, 110))
    life.stop()


def test_reads_wait_in_a_row_so_that_a_commit_waits_for_one_at_most(tmp_path: Path) -> None:
    life = Life(tmp_path, recent_bytes=0)
    life.publish("a", 10)
    life.run.threads.hold(POOL)
    reads = [life.log.read("a", n) for n in range(5)]
    publishing = life.log.append("a", [event(10)])
    reads[3].addErrback(lambda _: None)
    reads[3].cancel()

    assert life.run.threads.status()[POOL]["busy"] == 2
    assert life.log.status()["reads_waiting"] == 4
    life.run.threads.let_go(POOL)

    assert life.result(publishing) == 10
    assert [len(life.result(one)) for i, one in enumerate(reads) if i != 3] == [10, 10, 9, 7]
    life.stop()


def test_a_disk_that_cannot_be_read_is_told_and_the_next_read_goes_on(tmp_path: Path) -> None:
    life = Life(tmp_path, recent_bytes=0)
    life.publish("a", 3)
    read, left = life.store.read, [1]

    def failing(*a: Any) -> Any:
        if left.pop() if left else 0:
            raise OSError(errno.EIO, "the disk does not answer")
        return read(*a)

    life.store.read = failing  # type: ignore[method-assign]
    failed = errors(life.log.read("a", 0))

    assert "The event log cannot be read" in failed[0]
    assert life.read("a") == [0, 1, 2]
    life.stop()


# --- a disk that is full, or fails


def test_too_little_space_refuses_events_but_takes_acks(tmp_path: Path) -> None:
    """MinFree."""
    free = [2**40]
    life = Life(tmp_path, min_free=2**20)
    life.store.free_bytes = lambda path: free[0]
    life.publish("a", 2)
    cursor = life.cursor("f", "a")
    free[0] = 2**20 - 1
    life.run.advance(1)

    failed = errors(life.log.append("a", [event(2)]))
    cursor.ack(1)
    life.result(cursor.flush())
    life.result(life.log.drop("b"))
    dropping = life.log.drop("a")

    assert "less than MinFree = 1 MiB is free" in failed[0]
    assert life.log.error == failed[0]
    assert life.log.commits.refused == 1
    life.result(dropping)
    assert (life.log.base("a"), life.log.next_offset("a")) == (2, 2)
    free[0] = 2**20
    assert life.publish("a") == 2
    assert life.log.error == ""
    life.stop()


def test_events_that_pour_within_a_second_stop_at_min_free(tmp_path: Path) -> None:
    """MinFree: the disk is not filled to its end before it is looked at again."""
    life = Life(tmp_path, min_free=2**20)
    life.store.free_bytes = lambda path: 2**21 - life.store.written_bytes
    taken, refused = 0, []

    while taken < 100 and not refused:
        refused = errors(life.log.append("a", [event(taken, pad=os.urandom(50_000))]))
        life.run.advance(0)
        taken += not refused

    assert 15 <= taken < 100
    assert "less than MinFree = 1 MiB is free" in refused[0]
    assert life.store.free_bytes(tmp_path) > 2**20 - 100_000
    life.stop()


def test_a_full_disk_refuses_at_once_and_takes_the_next_when_there_is_space(
    tmp_path: Path,
) -> None:
    life = Life(tmp_path)
    life.publish("a", 3)
    cursor = life.cursor("f", "a")
    life.store.shelf.pragma = "PRAGMA max_page_count = 12"
    life.store.shelf.release()
    failed: list[str] = []
    for _ in range(3):
        failed += errors(life.log.append("a", [event(3, pad=bytes(range(256)) * 400)], "x"))
    cursor.ack(2)

    assert len(failed) == 3
    assert all("full" in text for text in failed)
    assert life.log.next_offset("a") == 3
    assert life.read_all("a") == [0, 1, 2]
    life.store.shelf.pragma = ""
    life.store.shelf.release()
    assert life.publish("a", dedupe_id="x") == 3
    assert life.log.error == ""
    life = life.again()
    assert life.read_all("a") == [0, 1, 2, 3]
    assert life.log.cursors() == [("f", "a", 2)]
    assert not (tmp_path / "quarantine").exists()
    life.stop()


def fail_commits(life: Life, times: int, after: bool) -> None:
    """Let commits fail as a disk does: before anything is written, or once all of it is."""
    commit = life.store.commit

    def failing(work: Any) -> bool:
        nonlocal times
        if times:
            times -= 1
            if after:
                numbers = life.store.commits, dict(life.store.assets)
                streams = {n: (a.next, a.base) for n, a in numbers[1].items()}
                cursors, names = dict(life.store.cursors), list(life.store.names)
                sums = life.store.events, life.store.total
                commit(work)
                life.store.commits, life.store.cursors = numbers[0], cursors
                life.store.events, life.store.total = sums
                life.store.assets = {n: numbers[1][n] for n in streams}
                life.store.names = names
                for n, (following, base) in streams.items():
                    life.store.assets[n].next, life.store.assets[n].base = following, base
                life.store.shelf.release()
            raise OSError(errno.EIO, "the disk does not answer")
        return commit(work)

    life.store.commit = failing  # type: ignore[method-assign]


@pytest.mark.parametrize("after", [False, True])
def test_a_commit_that_fails_leaves_nothing_behind(tmp_path: Path, after: bool) -> None:
    """Also one that reached the disk whole before it failed: its publishers were told so."""
    life = Life(tmp_path)
    life.publish("a", 2)
    cursor = life.cursor("f", "a")
    cursor.ack(1)
    fail_commits(life, 1, after)
    failed = errors(life.log.append("a", [event(77), event(78)], "x"))
    failed += errors(life.log.append("b", [event(0)]))

    assert [("answer" in text) for text in failed] == [True]
    assert life.read_all("a") == [0, 1]
    assert life.publish("a", 1, dedupe_id="x") == 2
    assert life.publish("b", 2) == 1
    life = life.again()
    assert life.read_all("a") == [0, 1, 2]
    assert life.read_all("b") == [0, 1, 2]
    assert life.log.cursors() == [("f", "a", 1)]
    assert not (tmp_path / "quarantine").exists()
    life.stop()


def test_acks_are_tried_again_until_the_disk_takes_them(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a", 5)
    cursor = life.cursor("f", "a")
    fail_commits(life, 3, after=False)
    cursor.ack(2)
    failed = errors(cursor.flush())
    cursor.ack(3)

    assert "answer" in failed[0]
    life.run.advance(10)
    assert life.log.error == ""
    life.store.close()
    assert Life(tmp_path).log.cursors() == [("f", "a", 3)]


def test_a_cursor_that_could_not_be_made_or_forgotten_is_as_before(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a", 2)
    old = life.cursor("old", "a", Start.NEWEST)
    fail_commits(life, 3, after=False)
    failed = errors(life.log.cursor("new", "a")) + errors(life.log.forget("old"))
    failed += errors(life.log.drop("a"))

    assert len(failed) == 3
    assert life.log.cursors() == [("old", "a", 2)]
    assert life.cursor("old", "a") is old
    assert life.log.base("a") == 0
    assert life.cursor("new", "a").place == 0
    life.stop()


def test_the_stop_commits_what_waits(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a", 3)
    cursor = life.cursor("f", "a")
    life.run.threads.hold(POOL)
    appends = [life.log.append("a", [event(n)]) for n in (3, 4, 5)]
    cursor.ack(2)
    stopping = life.log.stop()
    assert not stopping.called
    life.run.threads.let_go(POOL)

    assert [result(one) for one in appends] == [3, 4, 5]
    result(stopping)
    again = Life(tmp_path)
    assert again.read_all("a") == [0, 1, 2, 3, 4, 5]
    assert again.log.cursors() == [("f", "a", 2)]
    again.stop()


def test_a_stop_with_a_full_disk_ends(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a", 3)
    cursor = life.cursor("f", "a")
    fail_commits(life, 10**6, after=False)
    cursor.ack(2)
    life.run.threads.hold(POOL)
    failed = errors(life.log.append("a", [event(3)]))
    waiting = errors(life.log.append("a", [event(4)]))
    stopping = life.log.stop()
    life.run.threads.let_go(POOL)

    result(stopping)
    assert len(failed) == len(waiting) == 1


# --- the start


def test_a_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file")

    with pytest.raises(DataDirUnusable, match="event log in .* cannot be opened"):
        Life(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a")
    life.stop()
    from smapd.storage.rows import pack_small

    db = sqlite3.connect(tmp_path / "events" / "0001.db")
    db.execute("UPDATE about SET data = ?", (2 * pack_small(b"SMEB", [9, 0, 0, 0, 0]),))
    db.commit()
    db.close()

    with pytest.raises(DataDirUnusable, match="format 9"):
        Life(tmp_path)


def test_an_end_that_is_missing_is_told_and_its_offsets_are_not_used_again(tmp_path: Path) -> None:
    """The newest file lost; how far the log went stands beside it."""
    life = Life(tmp_path)
    life.publish("a", 3)
    life.publish("b", 2)
    rotation.rotate(life.store)
    life.publish("a", 4)
    life.stop()
    (tmp_path / "events" / "0002.db").unlink()

    life = Life(tmp_path)

    assert "the end of the event log is missing: 1 commits with 4 events" in life.store.notes[0]
    assert life.publish("a") == 7
    assert life.publish("b") == 6
    assert life.read_all("a") == [0, 1, 2, 7]
    life = life.again()
    assert life.store.notes == []
    assert life.read_all("b") == [0, 1, 6]
    life.stop()


def test_how_far_it_goes_is_written_down_once_a_minute_if_it_moved(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a", 3)
    beside = tmp_path / "events" / "HIGHEST"
    assert not beside.exists()
    life.run.advance(60)
    written = beside.stat().st_ino
    life.run.advance(600)

    assert beside.stat().st_ino == written
    life.stop()
    beside.write_bytes(b"nonsense")
    life = Life(tmp_path)
    assert life.read_all("a") == [0, 1, 2]
    life.stop()


# --- bounds


def test_what_waits_for_the_disk_is_bounded(tmp_path: Path) -> None:
    life = Life(tmp_path, uncommitted_bytes=100_000)
    life.run.threads.hold(POOL)
    kept: list[Any] = []
    while not (failed := errors(one := life.log.append("a", [event(0, pad=bytes(9_000))]))):
        kept.append(one)

    assert len(kept) == 10
    assert "wait for the disk" in failed[0]
    assert life.log.commits.busy == 1
    life.run.threads.let_go(POOL)
    assert [life.result(one) for one in kept] == list(range(10))
    assert life.log.status()["waiting_bytes"] == 0
    life.stop()


def test_a_pool_that_is_full_is_told_to_who_publishes(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.run.threads.full.add(POOL)

    with pytest.raises(Busy):
        life.publish("a")

    life.run.threads.full.clear()
    assert life.publish("a") == 0
    life.stop()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"version": -1}, "version"),
        ({"version": 2**32}, "version"),
        ({"name": "n" * 70_000}, "name is longer"),
        ({"source": 5}, "source is int"),
        ({"data": "text"}, "data are str"),
        ({"time_ms": 2**63}, "time_ms"),
        ({"systime_ms": 1.5}, "systime_ms"),
        ({"name": "\ud800"}, "UTF-8"),
    ],
)
def test_an_event_that_cannot_be_kept_is_refused_with_the_reason(
    tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    life = Life(tmp_path)
    given = EventRecord("E", 1, "s", 0, 0, "json", b"")._replace(**change)

    with pytest.raises(BadRequest, match=what):
        life.result(life.log.append("a", [given]))

    life.stop()


def test_the_status_counts(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.publish("a", 3, dedupe_id="x")
    life.publish("a", 3, dedupe_id="x")
    life.cursor("f", "a")
    life.read("a")
    shown = life.log.status()

    assert {
        key: shown[key]
        for key in ("assets", "cursors", "events", "appended", "repeated", "recent_reads", "error")
    } == {
        "assets": 1,
        "cursors": 1,
        "events": 3,
        "appended": 3,
        "repeated": 1,
        "recent_reads": 1,
        "error": "",
    }
    assert EventSettings().history_s is None
    life.stop()


# --- publishers that take turns


def test_publishers_that_were_told_share_the_next_commit(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.run.threads.hold(POOL)
    told: list[int] = []
    for n in range(4):
        life.log.append("a", [event(n)]).addCallback(told.append)
    life.run.threads.let_go(POOL)
    life.run.advance(LOOK_S)
    assert told == [0, 1, 2, 3]
    before = life.log.commits.count

    for n in range(4, 6):  # three of the second commit were told: two come again at once
        life.log.append("a", [event(n)]).addCallback(told.append)
    assert len(told) == 4
    life.log.append("a", [event(6)]).addCallback(told.append)

    assert told == list(range(7))
    assert life.log.commits.count == before + 1
    life.stop()


def test_who_comes_again_does_not_wait_long_for_the_others(tmp_path: Path) -> None:
    """IN-15: a millisecond without anybody, five in all."""
    life = Life(tmp_path)
    life.run.threads.hold(POOL)
    told: list[int] = []
    for n in range(10):
        life.log.append("a", [event(n)]).addCallback(told.append)
    life.run.threads.let_go(POOL)
    life.run.advance(LOOK_S)
    assert len(told) == 10

    life.log.append("a", [event(10)]).addCallback(told.append)
    assert len(told) == 10  # nine were told together, and one of them is here
    life.run.advance(LOOK_S)
    assert len(told) == 11

    life.run.threads.hold(POOL)
    for n in range(11, 31):
        life.log.append("a", [event(n)]).addCallback(told.append)
    life.run.threads.let_go(POOL)
    life.run.advance(LOOK_S)
    assert len(told) == 31
    life.log.append("a", [event(31)]).addCallback(told.append)
    for n in range(32, 32 + MOST_LOOKS):  # one a millisecond: they shall not wait for the last
        assert len(told) == 31
        life.run.advance(LOOK_S / 2)
        life.log.append("a", [event(n)]).addCallback(told.append)
        life.run.advance(LOOK_S / 2)
    assert len(told) == 32 + MOST_LOOKS
    life.stop()


# --- what is left behind the end of the log


def torn(home: Path) -> Path:
    """A log whose last commit, a large one, was cut off by SIGKILL."""
    life = Life(home / "live", recent_bytes=0)
    for _ in range(20):
        life.publish("a", pad=PAD)
    wal = home / "live" / "events" / "0001.db-wal"
    before = wal.stat().st_size
    life.publish("b", 200, pad=PAD)
    shutil.copytree(home / "live", home / "torn")
    os.truncate(home / "torn" / "events" / "0001.db-wal", wal.stat().st_size - 5_000)
    assert wal.stat().st_size - before > 20_000
    life.stop()
    return home / "torn"


def test_what_a_torn_commit_left_is_not_taken_for_damage_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N-02: not where the disk was too full at the start to work the log in."""
    home = torn(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(EventSegment, "begin_log", lambda _: False)
        life = Life(home, recent_bytes=0)
    for _ in range(3):
        life.publish("a", pad=PAD)
    shutil.copytree(home, tmp_path / "killed")
    life.stop()

    again = Life(tmp_path / "killed", recent_bytes=0)

    assert again.store.notes == []
    assert again.read_all("a") == list(range(23))
    again.stop()


def test_what_a_failed_commit_left_is_not_taken_for_damage_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N-02: not where the disk was still too full when the file was opened anew."""
    life = Life(torn(tmp_path), recent_bytes=0)
    log_begun = EventSegment.begin_log
    with monkeypatch.context() as patch:
        patch.setattr(EventSegment, "begin_log", lambda _: False)
        life.store.shelf.release()
        life.store.shelf.writer()
    begun: list[bool] = []

    def begin_log(segment: EventSegment) -> bool:
        begun.append(len(begun) == 2 and log_begun(segment))
        return begun[-1]

    monkeypatch.setattr(EventSegment, "begin_log", begin_log)
    for _ in range(6):
        life.publish("a", pad=PAD)

    assert begun == [False, False, True]  # with each commit, until the disk lets it
    life.stop()

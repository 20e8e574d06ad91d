"""The readings journal: what is appended is durable, in order, and each cursor gets all of it."""

import math
import os
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyClass

from smapd.errors import Busy, DataDirUnusable
from smapd.interfaces import ICursor, IReadings, ITreeListener
from smapd.runtime import PoolSize
from smapd.storage import store
from smapd.storage.cursors import Cursor
from smapd.storage.journal import POOL, Readings
from smapd.storage.rows import pack_small
from smapd.storage.segments import Segment
from smapd.testing import FakeRuntime
from smapd.values import Level, Limits, Position, Quality, bad, uncertain
from tests.storage.journals import EVERYTHING, Life, Seen, Settings, Start, result


def test_it_is_what_the_interfaces_say() -> None:
    assert verifyClass(IReadings, Readings)
    assert verifyClass(ITreeListener, Readings)
    assert verifyClass(ICursor, Cursor)


def test_a_reading_is_durable_after_the_commit_interval(tmp_path: Path) -> None:
    """SM-29: committed within CommitInterval, and not written one by one."""
    life = Life(tmp_path)
    life.add(times=3)
    assert life.journal.store.commits == 0

    life.commit()

    assert life.journal.store.commits == 1
    assert life.journal.committed == 15


def test_many_readings_do_not_wait_for_the_interval(tmp_path: Path) -> None:
    life = Life(tmp_path, settings=Settings(commit_readings=10, min_free=0))

    life.add(times=2)

    assert life.journal.committed == 10


def test_what_arrives_during_a_commit_joins_the_next_one(tmp_path: Path) -> None:
    """Never two commits at once, and one for all that came meanwhile."""
    life = Life(tmp_path, settings=Settings(commit_readings=5, min_free=0))
    life.run.threads.hold(POOL)
    life.add()
    life.add(times=7)
    assert life.journal.store.commits == 0

    life.run.threads.let_go(POOL)

    assert life.journal.committed == 40
    assert life.journal.store.commits == 2


def test_who_asks_for_durability_gets_a_commit_of_all_that_was_added(tmp_path: Path) -> None:
    """POST /readings answers with it: no wait for the interval, and one commit for all who ask."""
    life = Life(tmp_path)
    told: list[int] = []
    life.run.threads.hold(POOL)
    life.add()
    life.journal.durable().addCallback(lambda _: told.append(life.journal.committed))
    life.add(times=2)
    life.journal.durable().addCallback(lambda _: told.append(life.journal.committed))
    assert told == []

    life.run.threads.let_go(POOL)

    assert told == [5, 15]
    assert life.journal.store.commits == 2
    life.journal.durable().addCallback(lambda _: told.append(0))
    assert told == [5, 15, 0]


def test_nothing_new_means_no_write(tmp_path: Path) -> None:
    """U-10: no commit, and no byte of the files changes."""
    life = Life(tmp_path)
    life.add()
    life.commit()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "readings").iterdir()}

    life.run.advance(3_600)

    assert life.journal.store.commits == 1
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "readings").iterdir()} == before


def test_a_read_gives_the_same_until_it_is_acked(tmp_path: Path) -> None:
    """SM-30."""
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST)
    life.add(times=4)
    life.commit()

    first, again = life.read(cursor, 7), life.read(cursor, 7)
    result(cursor.ack(first.end))
    rest = life.read(cursor)

    assert first == again
    assert (first.count, rest.count) == (7, 13)
    assert rest.first == first.end
    assert cursor.waiting() == 13


def test_an_ack_of_all_there_is_goes_with_the_next_commit(tmp_path: Path) -> None:
    """U-10: one write for both; and it comes even if no reading does."""
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST)
    life.add()
    life.commit()
    acked = cursor.ack(life.read(cursor).end)
    commits = life.journal.store.commits
    life.add()
    assert not acked.called

    life.commit()

    assert acked.called
    assert life.journal.store.commits == commits + 1
    last = cursor.ack(life.read(cursor).end)
    life.commit()
    assert last.called


def test_an_acked_cursor_stands_there_after_a_restart(tmp_path: Path) -> None:
    """SM-30: the ack has fired, so it is durable."""
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST)
    life.add(times=4)
    life.commit()
    batch = life.read(cursor, 7)
    result(cursor.ack(batch.end))

    life.stop()
    again = Life(tmp_path)
    cursor = again.journal.cursor("a", None, Start.NEWEST)

    assert cursor.position == batch.end
    assert cursor.waiting() == 13
    assert again.read(cursor).count == 13


def test_seqs_go_on_after_a_restart(tmp_path: Path) -> None:
    """N-01: dense over restarts."""
    life = Life(tmp_path)
    life.add(times=3)
    life.add(2)
    life.stop()

    life = Life(tmp_path)
    assert [stream.next_seq for stream in life.streams] == [3, 3, 4, 3, 3]
    life.add(times=2)
    life.commit()

    seen = Seen()
    seen.drain(life, life.journal.cursor("a", None, Start.OLDEST))
    assert sorted(seen.nexts.values()) == [5, 5, 5, 5, 6]


def test_a_stop_commits_what_is_pending(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.add(times=3)

    life.stop()

    assert Life(tmp_path).journal.store.readings == 15


def test_every_kind_of_value_comes_back_as_it_was(tmp_path: Path) -> None:
    life = Life(tmp_path)
    doubles = life.tree.add_timeseries("/d", "d", "V", data_type="double")
    strings = life.tree.add_timeseries("/t", "t", "V", data_type="string")
    cursor = life.journal.cursor("a", None, Start.OLDEST)
    for value in (1.5, math.inf, -math.inf, 1e-300):
        doubles.add(value)
    doubles.add(1.0, quality=bad("no answer"))
    doubles.add(2.0, quality=uncertain("old"))
    doubles.add(1_600_000_000, 3.0, 77)
    life.streams[0].add(2**63 - 1)
    life.streams[0].add(-(2**63))
    life.streams[0].add(True)
    life.streams[1].add(True)
    strings.add("grün")
    strings.add("")
    life.tree.drain()
    life.commit()

    runs = {run.path: run for run in life.read(cursor).runs}

    double = runs["/d"]
    assert double.values == [1.5, math.inf, -math.inf, 1e-300, None, 2.0, 3.0]
    assert double.quality == [None] * 4 + [
        Quality(Level.BAD, "no answer"),
        Quality(Level.UNCERTAIN, "old"),
        None,
    ]
    assert double.seqnos == [None] * 6 + [77]
    assert double.ms[-1] == 1_600_000_000_000
    assert runs["/s0"].values == [2**63 - 1, -(2**63), True]
    assert runs["/s0"].values[2] is True
    assert runs["/s1"].values[0] is True
    assert runs["/t"].values == ["grün", ""]
    assert double.stream == doubles.uuid
    assert double.number == life.journal.number(doubles.uuid)


def test_blocks_and_single_readings_keep_their_order(tmp_path: Path) -> None:
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    stream = life.streams[0]
    stream.add(0)
    stream.add_many([1.0] * 50_000, list(range(1, 50_001)))
    stream.add(50_001)
    life.tree.drain()
    life.commit()

    seen = Seen()
    seen.drain(life, cursor, 999)

    assert seen.nexts == {"/s0": 50_002}


def test_a_hole_in_the_seqs_becomes_a_gap(tmp_path: Path) -> None:
    """N-02: what the tree had to turn away is told, with its numbers."""
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST)
    life.add(0, times=2)
    life.streams[0].next_seq += 5
    life.add(0)
    life.commit()

    batch = life.read(cursor)

    (gap,) = batch.gaps
    assert (gap.path, gap.from_seq, gap.to_seq, gap.count, gap.why) == ("/s0", 2, 6, 5, "queue")
    assert [run.first_seq for run in batch.runs] == [0, 7]


def test_a_cursor_gets_only_what_it_selects(tmp_path: Path) -> None:
    life = Life(tmp_path)
    wanted = {life.journal.number(life.streams[1].uuid)}
    cursor = life.journal.cursor("a", wanted.__contains__, Start.OLDEST)
    life.add(times=3)
    life.add(0, times=3)
    life.commit()

    batch = life.read(cursor)

    assert [(run.path, run.values) for run in batch.runs] == [("/s1", [0, 1, 2])]
    assert cursor.waiting() == 3


def test_a_cursor_passes_over_what_it_does_not_select_without_a_write(tmp_path: Path) -> None:
    """U-10."""
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", set().__contains__, Start.OLDEST)
    life.add(times=3)
    life.commit()
    commits = life.journal.store.commits

    batch = life.read(cursor)

    assert (batch.count, batch.end) == (0, batch.first)
    assert cursor.position == life.journal.newest
    assert life.journal.store.commits == commits


def test_a_changed_selection_counts_anew(tmp_path: Path) -> None:
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST)
    life.add(times=3)
    life.commit()
    assert cursor.waiting() == 15

    one = {life.journal.number(life.streams[3].uuid)}
    result(cursor.change(one.__contains__, Limits()))

    assert cursor.waiting() == 3
    assert {run.path for run in life.read(cursor).runs} == {"/s3"}


def test_who_waits_for_more_is_told_after_the_commit(tmp_path: Path) -> None:
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.NEWEST)
    told: list[None] = []
    cursor.when_more().addCallback(told.append)
    life.add()
    assert told == []

    life.commit()

    assert told == [None]


def test_a_read_ends_before_until(tmp_path: Path) -> None:
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST)
    for _ in range(3):
        life.add()
        life.commit()

    batch = life.read(cursor, until=Position(3, 2))

    assert (batch.count, batch.end) == (12, Position(3, 2))


@pytest.mark.parametrize(
    ("start", "first"),
    [(Start.OLDEST, 0), (Start.NEWEST, 5), (Position(3, 0), 2), (1_700_000_003_000, 3)],
)
def test_a_new_cursor_begins_where_it_is_told(tmp_path: Path, start: object, first: int) -> None:
    life = Life(tmp_path, 1)
    for _ in range(5):
        life.run.advance(-life.run.clock.seconds() % 1)
        life.add()
        life.commit()
    cursor = life.journal.cursor("a", None, start)  # type: ignore[arg-type]
    life.add()
    life.commit()

    (run,) = life.read(cursor).runs

    assert run.first_seq == first


def test_a_forgotten_cursor_is_gone(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.journal.cursor("a", None, Start.OLDEST)
    life.journal.cursor("b", None, Start.OLDEST)
    life.add()
    life.commit()

    result(life.journal.forget("a"))

    assert life.journal.cursors() == ["b"]
    life.stop()
    assert Life(tmp_path).journal.cursors() == ["b"]


def test_a_stream_keeps_its_number_wherever_it_moves(tmp_path: Path) -> None:
    life = Life(tmp_path, 2)
    life.add()
    number = life.journal.number(life.streams[1].uuid)
    uuid = life.streams[1].uuid
    life.stop()

    life = Life(tmp_path, 0)
    life.streams = [life.tree.add_timeseries("/elsewhere", uuid, "V")]
    life.add()
    life.commit()

    assert life.journal.number(uuid) == number
    cursor = life.journal.cursor("a", None, Start.OLDEST)
    assert {run.path for run in life.read(cursor).runs if run.number == number} == {"/elsewhere"}
    assert life.journal.number(UUID(int=5)) is None


def test_segments_follow_each_other(tmp_path: Path) -> None:
    """A row of files of bounded size, read across, also after a restart."""
    settings = Settings(segment_bytes=150_000, history_s=0, min_free=0)
    life = Life(tmp_path, settings=settings)
    life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    for _ in range(40):
        life.add(times=300)
        life.commit()
    files = list((tmp_path / "readings").glob("*.db"))
    assert len(files) > 3
    assert max(p.stat().st_size for p in files) <= 150_000

    life.stop()
    life = Life(tmp_path, settings=settings)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    assert cursor.waiting() == 40 * 300 * 5
    seen = Seen()
    seen.drain(life, cursor, 1_700)

    assert set(seen.nexts.values()) == {12_000}
    assert not seen.lost
    assert cursor.waiting() == 0
    assert len(list((tmp_path / "readings").glob("*.db"))) == 1  # nobody wants the others


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_mark_spares_a_start_the_heads_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_damaged: bool
) -> None:
    """A mark that is damaged costs time, and nothing else."""
    monkeypatch.setattr(store, "MARK_RUNS", 100)
    monkeypatch.setattr(store, "MARK_RUNS_A_STREAM", 1)
    life = Life(tmp_path)
    life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    for i in range(20):
        life.add(i % 5, times=3)
        life.commit()
    assert life.journal.store.segments[-1].last == 20
    life.stop()
    db = sqlite3.connect(tmp_path / "readings" / "0001.db")
    (mark,) = db.execute("SELECT data FROM about WHERE id = 3").fetchone()
    if is_damaged:
        db.execute("UPDATE about SET data = ? WHERE id = 3", (mark[:-1],))
    db.commit()
    db.close()

    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)

    assert [stream.next_seq for stream in life.streams] == [12] * 5
    assert (cursor.waiting(), life.journal.store.readings) == (60, 60)
    seen = Seen()
    seen.drain(life, cursor)
    assert set(seen.nexts.values()) == {12}


def test_a_file_of_many_short_rows_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a start and a repair look at is bounded too, not the bytes alone."""
    monkeypatch.setattr(store, "SEGMENT_ROWS", 10)
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    for _ in range(35):
        life.add()
        life.commit()

    assert [info.last for info in life.journal.store.segments] == [10, 20, 30, 35]
    seen = Seen()
    seen.drain(life, cursor)
    assert set(seen.nexts.values()) == {35}


def test_a_range_of_one_stream_by_time(tmp_path: Path) -> None:
    life = Life(tmp_path, settings=Settings(segment_bytes=100_000, min_free=0))
    stream = life.streams[2]
    for i in range(300):
        stream.add(1_600_000_000 + (i * 7) % 300, i)
        life.tree.drain()
        life.commit()
    start, end = 1_600_000_010_000, 1_600_000_020_000

    readings, gaps = result(life.journal.read_range(stream.uuid, start, end, 100))
    newest, _ = result(life.journal.read_range(stream.uuid, start, end, 3, True))

    assert [r.ms for r in readings] == [start + 1000 * i for i in range(10)]
    assert [r.ms for r in newest] == [start + 1000 * i for i in (9, 8, 7)]
    assert gaps == []
    assert all(r.value == r.seq for r in readings)


def test_status_tells_what_there_is(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.journal.cursor("a", None, Start.OLDEST)
    life.add()
    life.commit()

    shown = life.journal.status()

    assert (shown["taken"], shown["committed"], shown["uncommitted"]) == (5, 5, 0)
    assert shown["cursors"]["a"]["waiting"] == 5


def test_a_newer_journal_is_left_alone(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.add()
    life.stop()
    path = tmp_path / "readings" / "0001.db"
    db = sqlite3.connect(path)
    newer = pack_small(b"SMJA", [99, 1, 0])
    db.execute("UPDATE about SET data = ? WHERE id = 1", (newer,))
    db.commit()
    db.close()

    with pytest.raises(DataDirUnusable, match="written by a newer one"):
        Life(tmp_path)

    assert path.exists()
    assert not (tmp_path / "quarantine").exists()


def test_a_directory_that_cannot_be_used_stops_the_start_with_one_sentence(
    tmp_path: Path,
) -> None:
    (tmp_path / "readings").write_text("not a directory")

    with pytest.raises(DataDirUnusable, match="readings journal in .* cannot be opened"):
        Life(tmp_path)


def test_what_waits_for_who_takes_all_is_not_counted_stream_by_stream(tmp_path: Path) -> None:
    """P-12: a status of many reports and streams costs little."""
    life = Life(tmp_path)
    free = life.journal.cursor("free", None, Start.OLDEST, EVERYTHING)
    bound = life.journal.cursor("bound", None, Start.OLDEST, Limits(20))
    picky = life.journal.cursor("picky", lambda number: number < 3, Start.OLDEST, EVERYTHING)
    life.add(times=3)
    life.commit()
    assert picky.waiting() < 15
    for place in life.journal.store.places.values():
        place.base = Untouched(place.base or ())

    assert (free.waiting(), free.overdue()) == (15, 0)
    assert (bound.waiting(), bound.overdue()) == (15, 0)
    with pytest.raises(AssertionError, match="looked at"):
        picky.waiting()
    life.add(times=3)
    life.commit()
    assert (free.waiting(), free.overdue()) == (30, 0)
    with pytest.raises(AssertionError, match="looked at"):
        bound.waiting()
    life.stop()


class Untouched(Counter[int]):
    """A count by stream that is not to be looked at."""

    def __getitem__(self, number: int) -> int:
        raise AssertionError("looked at")


# --- how far it goes, written down elsewhere


def test_how_far_it_goes_is_recorded_from_the_reactors_thread(tmp_path: Path) -> None:
    """The disk's thread waits for no other, and writes to no file that another one writes to."""
    run = FakeRuntime({POOL: PoolSize(1, 1, queue=1_000), "other": PoolSize(1, 1, queue=10)})
    to_pool, on_disk = run.threads.to_pool, [0]

    def watched(name: str, f: Any, *a: Any) -> Deferred[Any]:
        def call() -> Any:
            on_disk[0] += name == POOL
            try:
                return f(*a)
            finally:
                on_disk[0] -= name == POOL

        return to_pool(name, call)

    run.threads.to_pool = watched  # type: ignore[method-assign]
    recorded: list[tuple[int, int]] = []

    def record(flush: int, readings: int) -> Deferred[None]:
        assert on_disk == [0]
        return run.threads.to_pool("other", lambda: recorded.append((flush, readings)))

    life = Life(tmp_path, 2, runtime=run, record=record)
    run.threads.hold("other")
    life.add(times=3)
    life.commit()
    run.advance(61)
    life.add(times=3)
    life.commit()
    assert (life.journal.committed, recorded) == (12, [])
    run.threads.let_go("other")
    assert recorded == [(1, 6)]
    run.advance(61)
    assert recorded == [(1, 6), (2, 12)]
    run.advance(300)
    assert len(recorded) == 2  # nothing new
    life.add()
    life.stop()
    assert recorded[2:] == [(3, 14)]


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), Busy("full")])
def test_a_record_that_fails_comes_again(tmp_path: Path, error: Exception) -> None:
    answers: list[Exception] = [error, error]
    recorded: list[tuple[int, int]] = []

    def record(flush: int, readings: int) -> None:
        if answers:
            raise answers.pop()
        recorded.append((flush, readings))

    life = Life(tmp_path, 2, record=record)
    life.add()
    life.commit()
    life.run.advance(121)
    assert recorded == []
    life.run.advance(60)
    assert recorded == [(1, 2)]
    answers.append(error)
    life.add()
    life.stop()
    assert recorded == [(1, 2)]


def test_what_a_torn_commit_left_is_not_taken_for_damage_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N-02: not where the disk was too full at the start to work the log in."""
    together = Settings(history_s=0, min_free=0, commit_readings=1_000_000)
    life = Life(tmp_path / "live", settings=together)
    for _ in range(20):
        life.add()
        life.commit()
    life.add(times=3_000)
    life.commit()
    shutil.copytree(tmp_path / "live", tmp_path / "torn")
    wal = tmp_path / "torn" / "readings" / "0001.db-wal"
    os.truncate(wal, wal.stat().st_size - 5_000)
    life.stop()
    with monkeypatch.context() as patch:
        patch.setattr(Segment, "begin_log", lambda _: False)
        life = Life(tmp_path / "torn")
    assert life.streams[0].next_seq == 20
    for _ in range(3):
        life.add()
        life.commit()
    shutil.copytree(tmp_path / "torn", tmp_path / "killed")
    life.stop()

    again = Life(tmp_path / "killed")

    assert again.journal.notes == []
    assert again.streams[0].next_seq == 23
    again.stop()

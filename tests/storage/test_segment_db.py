"""What every segment has from SQLite, whether readings or events lie in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from smapd.errors import DataDirUnusable
from smapd.storage.events.segments import About, EventSegment
from smapd.storage.events.segments import create as create_events
from smapd.storage.readers import Readers
from smapd.storage.rows import Damaged
from smapd.storage.segment_db import PAGE, SegmentDb
from smapd.storage.segments import Segment, create

KINDS: list[tuple[type[SegmentDb], Callable[[Path], SegmentDb]]] = [
    (Segment, lambda path: create(path, 1, 0, [], [], [])),
    (EventSegment, lambda path: create_events(path, About(0, 0, 0, 0), [], [])),
]


@pytest.fixture(params=KINDS, ids=["readings", "events"])
def kind(request: pytest.FixtureRequest) -> tuple[type[SegmentDb], Callable[[Path], SegmentDb]]:
    found: tuple[type[SegmentDb], Callable[[Path], SegmentDb]] = request.param
    return found


def pragma(segment: SegmentDb, name: str) -> object:
    return segment.db.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_one_is_synced_at_each_commit_and_held_alone(
    tmp_path: Path, kind: tuple[type[SegmentDb], Callable[[Path], SegmentDb]]
) -> None:
    cls, make = kind
    path = tmp_path / "0001.db"

    segment = make(path)

    assert pragma(segment, "journal_mode") == "wal"
    assert pragma(segment, "synchronous") == 2
    assert pragma(segment, "locking_mode") == "exclusive"
    assert pragma(segment, "page_size") == PAGE
    assert pragma(segment, "wal_autocheckpoint") == 2000
    assert pragma(segment, "cache_size") == -cls.CACHE_KIB
    assert segment.size_bytes() == path.stat().st_size
    assert not list(tmp_path.glob("*-shm"))
    segment.close()
    assert [p.name for p in tmp_path.iterdir()] == ["0001.db"]


def test_one_that_could_not_be_filled_leaves_no_file(
    tmp_path: Path, kind: tuple[type[SegmentDb], Callable[[Path], SegmentDb]]
) -> None:
    cls, _make = kind

    def fill(segment: SegmentDb) -> None:
        segment.say(1, b"x")
        raise sqlite3.OperationalError("database or disk is full")

    (tmp_path / "0001.db.new").write_bytes(b"of one before")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        cls.make(tmp_path / "0001.db", fill)

    assert list(tmp_path.iterdir()) == []


def test_the_other_kind_of_file_is_no_segment(
    tmp_path: Path, kind: tuple[type[SegmentDb], Callable[[Path], SegmentDb]]
) -> None:
    cls, make = kind
    path = tmp_path / "0001.db"
    make(path).close()
    (other,) = (one for one, _ in KINDS if one is not cls)

    cls.check_header(path)

    with pytest.raises(Damaged, match=r"0001\.db does not begin as a segment does"):
        other.check_header(path)


def test_a_newer_format_is_refused(
    tmp_path: Path, kind: tuple[type[SegmentDb], Callable[[Path], SegmentDb]]
) -> None:
    cls, make = kind
    segment = make(tmp_path / "0001.db")
    segment.check_form(cls.FORMAT)

    with pytest.raises(DataDirUnusable, match="has format 2, and this smapd knows 1") as refused:
        segment.check_form(2)

    assert "Run that newer smapd" in refused.value.hint
    segment.close()


def test_few_are_open_for_reading_at_once_and_the_one_longest_unused_goes(tmp_path: Path) -> None:
    opened: list[str] = []

    def connect(path: Path) -> Segment:
        opened.append(path.name)
        return Segment(path, writable=False)

    paths = [tmp_path / f"000{i}.db" for i in range(1, 4)]
    for path in paths:
        create(path, 1, 0, [], [], []).close()
    a, b, c = paths
    readers = Readers(connect, 2)
    first = readers.get(a)
    second = readers.get(b)

    assert readers.get(a) is first
    readers.get(c)

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        second.about()
    assert first.about() == (1, 0)
    readers.forget(a)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        first.about()
    readers.get(a)
    readers.close()
    assert opened == ["0001.db", "0002.db", "0003.db", "0001.db"]

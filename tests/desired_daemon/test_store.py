"""What is kept of the desired state survives damage, a full disk, and a stop at any moment."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from smapd.desired.store import Store, Writes
from smapd.errors import DataDirUnusable, NoSuchVersion


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made: list[Store] = []

    def make() -> Store:
        for old in made:
            old.close()
        one = Store(tmp_path, tmp_path / "quarantine")
        one.open()
        made.append(one)
        return one

    yield make
    for old in made:
        old.close()


def header(n: int) -> dict[str, Any]:
    return {"version": n, "made_ms": n, "note": "x" * 50, "files": {}, "handlers": {}, "code": []}


def action(seq: int, resource: str = "r") -> tuple[int, str, int, dict[str, Any]]:
    return seq, resource, seq * 1000, {"seq": seq, "resource": resource, "text": "y" * 200}


def fill(one: Store) -> None:
    for n in (1, 2, 3):
        one.add_version(header(n), [{"id": f"t::A[e,n={n}]"}])
    one.write(
        Writes(
            deploys={1: {"deploy": 1, "version": 2, "dry_run": False, "state": "done"}},
            results=[(1, i, {"status": "deployed", "i": i}) for i in range(50)],
            actions=[action(seq) for seq in range(1, 101)],
            facts=[("r", "watts", {"value": 3})],
        )
    )
    one.mark_deployed(1, 2)


def test_what_was_written_is_read_back(store: Any) -> None:
    fill(store())

    again = store()

    assert (again.newest, again.newest_deploy, again.newest_action) == (3, 1, 100)
    assert [one["version"] for one in again.versions()] == [1, 2, 3]
    assert again.version(2) == (header(2), [{"id": "t::A[e,n=2]"}])
    assert again.results(1)[49] == {"status": "deployed", "i": 49}
    assert [one["seq"] for one in again.actions("r", after=98)] == [100, 99]
    assert again.facts("r") == {"watts": {"value": 3}}
    assert again.notes == []
    with pytest.raises(NoSuchVersion, match="no version 4"):
        again.version(4)


def test_actions_are_found_by_number_and_time(store: Any) -> None:
    one = store()
    fill(one)

    def seqs(**asked: Any) -> list[int]:
        return [found["seq"] for found in one.actions("r", **asked)]

    assert seqs(after=2, before=5) == [4, 3]
    assert seqs(from_ms=4000, to_ms=6000, newest_first=False) == [4, 5]
    assert list(one.actions("other")) == []
    assert len(list(one.actions(None))) == 100


def test_old_and_many_actions_go(store: Any) -> None:
    one = store()
    fill(one)

    assert one.drop_actions(before_ms=11_000, most_bytes=10**9) == 10
    one.drop_actions(before_ms=0, most_bytes=5_000)

    left = [found["seq"] for found in one.actions(None)]
    assert left[0] == 100
    assert 5 <= len(left) <= 20


def test_old_versions_and_deploys_go(store: Any) -> None:
    one = store()
    fill(one)
    one.write(Writes(deploys={2: {"deploy": 2, "version": 3}}, results=[(2, 0, {})]))

    one.drop_version(2)
    assert one.drop_deploys(kept=0, spared=2) == 0

    assert list(one.deploys()) == [2]
    assert one.results(1) == {}
    assert [h["version"] for h in one.versions()] == [1, 3]
    with pytest.raises(NoSuchVersion):
        one.version(2)


@pytest.mark.parametrize("table", ["version", "deploy", "result", "action", "fact"])
def test_a_damaged_row_costs_itself(store: Any, tmp_path: Path, table: str) -> None:
    one = store()
    fill(one)
    one.close()
    with sqlite3.connect(tmp_path / "desired.db") as db:
        key = {"version": "n = 2", "result": "i = 7", "action": "seq = 7"}.get(table, "1")
        db.execute(f"UPDATE {table} SET data = zeroblob(80) WHERE {key}")
    db.close()

    again = store()

    assert [h["version"] for h in again.versions()] == [1, 2, 3]
    assert len(again.results(1)) == 50 - (table == "result")
    assert len(list(again.actions("r"))) == 100 - (table == "action")
    assert len(again.facts("r")) == 1 - (table == "fact")
    assert again.deploys()[1]["version"] == 2  # its row or, beside the versions, the mark


@pytest.mark.parametrize("at", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_file_costs_no_version(store: Any, tmp_path: Path, at: float) -> None:
    """The database is set aside; versions come from their files, the deploy is taken up again."""
    one = store()
    fill(one)
    one.close()
    path = tmp_path / "desired.db"
    data = bytearray(path.read_bytes())
    place = int(len(data) * at)
    data[place : place + 3000] = bytes(range(250)) * 12
    path.write_bytes(data)

    again = store()

    assert [h["version"] for h in again.versions()] == [1, 2, 3]
    assert again.version(3)[1] == [{"id": "t::A[e,n=3]"}]
    assert again.deploys()[1]["version"] == 2
    assert again.newest == 3
    again.add_version(header(4), [])
    if again.notes:
        assert "was damaged" in again.notes[0]
        assert list((tmp_path / "quarantine").iterdir())


def test_a_lost_database_costs_no_version(store: Any, tmp_path: Path) -> None:
    one = store()
    fill(one)
    one.close()
    for file in tmp_path.glob("desired.db*"):
        file.unlink()

    again = store()

    assert [h["version"] for h in again.versions()] == [1, 2, 3]
    assert again.deploys() == {1: {"deploy": 1, "version": 2, "dry_run": False, "state": "running"}}
    assert "was missing beside the files of versions" in again.notes[0]
    assert "deploy 1 of version 2 is taken up again" in again.notes[-1]


def test_a_damaged_version_says_so(store: Any, tmp_path: Path) -> None:
    one = store()
    fill(one)
    file = tmp_path / "blobs" / "versions" / "00000002"
    file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(NoSuchVersion, match="cannot be read any more"):
        one.version(2)


def test_a_full_disk_changes_nothing(store: Any) -> None:
    one = store()
    fill(one)
    db = one._open()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall()

    many = [action(seq) for seq in range(200, 400)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        one.write(Writes(actions=many, results=[(1, 60, {})]))

    assert 60 not in one.results(1)
    assert one.newest_action == 100
    db.execute("PRAGMA max_page_count = 1000000").fetchall()
    one.write(Writes(actions=many))
    assert one.newest_action == 399


def test_a_newer_format_is_left_alone(store: Any, tmp_path: Path) -> None:
    one = store()
    one.close()
    db = sqlite3.connect(tmp_path / "desired.db")
    db.execute("PRAGMA user_version = 2")
    db.close()

    with pytest.raises(DataDirUnusable, match="format 2, and this smapd knows 1"):
        store()


def test_a_version_half_written_is_none(store: Any, tmp_path: Path) -> None:
    """A crash between the file and its row: the number may be given again."""
    one = store()
    fill(one)
    one._open().execute("DELETE FROM version WHERE n = 3")
    one.close()
    (tmp_path / "blobs" / "versions" / ".new-00000004").write_bytes(b"half")

    again = store()

    assert again.newest == 3
    again.add_version(header(4), [])
    assert again.version(4)[0] == header(4)

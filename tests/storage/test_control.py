"""control.db: a definition is durable when put returns, and damage is mended from the copy."""

import errno
import os
import random
import shutil
from pathlib import Path

import pytest

from smapd.errors import DataDirUnusable
from smapd.storage import control_copy
from smapd.storage.control import Control


def opened(home: Path) -> Control:
    control = Control(home, home / "quarantine")
    control.open()
    return control


def test_what_was_put_is_there_after_a_restart_without_a_close(tmp_path: Path) -> None:
    control = opened(tmp_path)
    control.put("report", "a", {"x": 1})
    control.put("report", "b", {"x": 2})
    control.put("report", "a", {"x": 3})
    control.put("report", "c", {})
    control.delete("report", "c")

    assert opened(tmp_path).all("report") == {"a": {"x": 3}, "b": {"x": 2}}


def test_the_journals_end_is_kept(tmp_path: Path) -> None:
    control = opened(tmp_path)
    assert control.highest() == (0, 0)

    control.record(17, 40_000)

    assert opened(tmp_path).highest() == (17, 40_000)


def test_any_flipped_bit_is_mended_from_the_copy(ram: Path) -> None:
    """SM-29: the definitions survive damage of either file."""
    value = {f"key {i}": i for i in range(20)}
    made = opened(ram / "made")
    for i in range(20):
        made.put("report", str(i), value)
    made.close()
    for seed in range(100):
        home = ram / str(seed)
        shutil.copytree(ram / "made", home)
        rng = random.Random(seed)
        path = home / rng.choice(("control.db", "control.copy"))
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)

        again = opened(home)

        assert again.all("report") == {str(i): value for i in range(20)}, seed
        again.close()


def killed(home: Path) -> tuple[Path, dict[str, dict[str, int]]]:
    """A directory as SIGKILL leaves it, where a few changes are in the copy, and many behind it."""
    control = opened(home / "live")
    for i in range(5):
        control.put("report", f"old {i}", {"i": i})
    control.close()
    control = opened(home / "live")
    for i in range(30):
        control.put("report", str(i), {"i": i})
    control.put("report", "old 3", {"i": -3})
    control.delete("report", "old 1")
    control.delete("report", "17")
    found = control.all("report")
    shutil.copytree(home / "live", home / "killed")
    control.close()
    return home / "killed", found


def test_a_change_is_not_copied_with_all_others(tmp_path: Path) -> None:
    """SM-29: what a put writes does not grow with what there is."""
    control = opened(tmp_path)
    before = control.copy.path.stat().st_ino
    inodes = set()
    for i in range(2_000):
        control.put("asset", str(i), {"name": "x" * 100})
        inodes.add(control.copy.path.stat().st_ino)

    assert len(inodes - {before}) < 10
    assert control.copy.notes.stat().st_size <= control.copy.path.stat().st_size + 500
    control.close()
    assert control.copy.notes.stat().st_size == 0
    control.path.unlink()
    assert len(opened(tmp_path).all("asset")) == 2_000


def test_any_flipped_bit_costs_nothing_that_was_put_since_the_copy(ram: Path) -> None:
    """SM-29: not in the file, its log, the copy, nor the changes noted behind it."""
    made, found = killed(ram)
    assert len(found) == 33
    for seed in range(200):
        home = ram / "flipped"
        shutil.copytree(made, home)
        rng = random.Random(seed)
        names = ("control.db", "control.db-wal", "control.copy", "control.changes")
        path = home / rng.choice(names)
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)

        again = opened(home)

        assert again.all("report") == found, (seed, path.name)
        assert list(again.all("report")) == list(found), (seed, path.name)
        again.put("report", "more", {})  # and it goes on
        again.delete("report", "more")
        shutil.copytree(home, ram / "later")
        again.close()
        (ram / "later" / "control.db").write_bytes(b"nonsense" * 1_000)
        (ram / "later" / "control.db-wal").unlink()
        last = opened(ram / "later")
        assert last.all("report") == found, (seed, path.name)
        last.close()
        shutil.rmtree(ram / "later")
        shutil.rmtree(home)


@pytest.mark.parametrize("name", ["control.db", "control.copy", "control.changes"])
def test_any_of_the_files_may_be_gone(tmp_path: Path, name: str) -> None:
    made, found = killed(tmp_path)
    (made / name).unlink()
    if name == "control.db":
        (made / "control.db-wal").unlink()

    assert opened(made).all("report") == found


def test_notes_cut_anywhere_hold_all_before_the_cut(tmp_path: Path) -> None:
    made, found = killed(tmp_path)
    whole = (made / "control.changes").read_bytes()
    for size in range(0, len(whole), 61):
        (made / "control.changes").write_bytes(whole[:size] + bytes(size % 3 * 100))
        copy = control_copy.ControlCopy(made)

        rows = copy.rows()

        assert copy.is_whole
        assert control_copy.changes_of(rows) == 5 + sum(size >= end for end in ends_of_notes(whole))
    assert opened(made).all("report") == found


def ends_of_notes(whole: bytes) -> list[int]:
    ends, at = [], whole.find(b"SMJL", 1)
    while at > 0:
        ends.append(at)
        at = whole.find(b"SMJL", at + 1)
    return [*ends, len(whole)]


def test_without_room_for_its_note_a_change_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = opened(tmp_path)
    control.put("report", "a", 1)

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space"):
            control.put("report", "b", 2)

    assert control.all("report") == {"a": 1}
    control.put("report", "c", 3)
    assert opened(tmp_path).all("report") == {"a": 1, "c": 3}


def test_a_change_that_cannot_be_noted_is_copied_with_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = opened(tmp_path)
    control.put("report", "a", 1)

    def fail(*_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        control.put("report", "b", 2)
    control.put("report", "c", 3)

    shutil.copytree(tmp_path, tmp_path / "killed")
    for name in ("control.db", "control.db-wal"):
        (tmp_path / "killed" / name).unlink()
    assert opened(tmp_path / "killed").all("report") == {"a": 1, "b": 2, "c": 3}


def test_a_copy_that_fails_is_no_reason_to_refuse_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = opened(tmp_path)
    tries = []

    def fail(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(control_copy, "sync_file", fail)
        for i in range(600):
            control.put("report", str(i), {"name": "x" * 400})

    assert 0 < len(tries) < 5
    shutil.copytree(tmp_path, tmp_path / "killed")
    for name in ("control.db", "control.db-wal"):
        (tmp_path / "killed" / name).unlink()
    assert len(opened(tmp_path / "killed").all("report")) == 600


def test_the_copy_is_made_anew_once_a_day(tmp_path: Path) -> None:
    control = opened(tmp_path)
    control.put("report", "a", 1)
    assert control.copy.has_notes

    control.copy._made_ms -= 86_400_001
    control.record(1, 1)

    assert not control.copy.has_notes
    assert control.copy.rows()[0][:2] == ("report", "a")


def test_a_lost_file_comes_from_its_copy(tmp_path: Path) -> None:
    control = opened(tmp_path)
    control.put("report", "a", 1)
    control.close()
    control.path.unlink()

    assert opened(tmp_path).all("report") == {"a": 1}


def test_a_change_that_the_log_lost_comes_from_the_copy(tmp_path: Path) -> None:
    """SM-29: a frame at the log's end that is not sound looks like one that was never written."""
    control = opened(tmp_path / "live")
    control.put("report", "a", 1)
    before = (tmp_path / "live" / "control.db-wal").stat().st_size
    control.put("report", "b", 2)
    control.delete("report", "a")
    shutil.copytree(tmp_path / "live", tmp_path / "cut")
    control.close()
    os.truncate(tmp_path / "cut" / "control.db-wal", before)

    again = opened(tmp_path / "cut")

    assert again.all("report") == {"b": 2}
    assert again.notes == [f"{again.path} was damaged (its end is missing); it came from its copy"]


def test_a_change_that_was_not_copied_yet_is_copied_at_the_next_start(tmp_path: Path) -> None:
    control = opened(tmp_path)
    control.put("report", "a", 1)
    older = control.copy.path.read_bytes()
    control.put("report", "b", 2)
    control.close()
    control.copy.path.write_bytes(older)

    opened(tmp_path).close()
    control.path.unlink()

    assert opened(tmp_path).all("report") == {"a": 1, "b": 2}


def test_without_a_sound_copy_the_start_stops_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"nonsense" * 1000)
    (tmp_path / "control.copy").write_bytes(b"nonsense" * 1000)

    with pytest.raises(DataDirUnusable, match=r"control\.db is damaged .* no sound copy"):
        opened(tmp_path)

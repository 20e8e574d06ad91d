"""control.db: a definition is durable when put returns, and damage is mended from the copy."""

import os
import random
import shutil
from pathlib import Path

import pytest

from smapd.errors import DataDirUnusable
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


def test_any_flipped_bit_is_mended_from_the_copy(tmp_path: Path) -> None:
    """SM-29: the definitions survive damage of either file."""
    value = {f"key {i}": i for i in range(20)}
    made = opened(tmp_path / "made")
    for i in range(20):
        made.put("report", str(i), value)
    made.close()
    for seed in range(100):
        home = tmp_path / str(seed)
        shutil.copytree(tmp_path / "made", home)
        rng = random.Random(seed)
        path = home / rng.choice(("control.db", "control.copy"))
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)

        again = opened(home)

        assert again.all("report") == {str(i): value for i in range(20)}, seed
        again.close()


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
    older = control.copy.read_bytes()
    control.put("report", "b", 2)
    control.close()
    control.copy.write_bytes(older)

    opened(tmp_path).close()
    control.path.unlink()

    assert opened(tmp_path).all("report") == {"a": 1, "b": 2}


def test_without_a_sound_copy_the_start_stops_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"nonsense" * 1000)
    (tmp_path / "control.copy").write_bytes(b"nonsense" * 1000)

    with pytest.raises(DataDirUnusable, match=r"control\.db is damaged .* no sound copy"):
        opened(tmp_path)

"""Damage in a file that is only met when a cursor reads it, long after the start."""

import shutil
from pathlib import Path

import pytest

from smapd.storage.rows import FIXED, MAGIC
from tests.storage.journals import EVERYTHING, Life, Seen, Settings, Start


def test_damage_met_while_reading_is_mended_and_told(tmp_path: Path) -> None:
    """SM-29, N-02: no restart is needed; appending goes on."""
    settings = Settings(history_s=0, min_free=0, segment_bytes=200_000)
    life = Life(tmp_path, settings=settings)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    for _ in range(40):
        life.add(times=300)
        life.commit()
    path = tmp_path / "readings" / "0002.db"
    data = bytearray(path.read_bytes())
    at = data.rindex(MAGIC)
    data[at + FIXED.unpack_from(data, at)[3] + 5] ^= 1  # in the data behind that head
    path.write_bytes(data)

    seen = Seen()
    seen.drain(life, cursor, 1_000)

    assert set(seen.nexts.values()) == {12_000}
    assert dict(seen.why) == {"damage": 1_500}
    assert life.journal.store.dropped["damage"] == 1_500
    assert list((tmp_path / "quarantine").iterdir())
    life.add()
    life.commit()
    seen.drain(life, cursor)
    assert set(seen.nexts.values()) == {12_001}
    life.stop()
    shutil.rmtree(tmp_path / "quarantine")


def damage_last_row(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.rindex(MAGIC)
    data[at + FIXED.unpack_from(data, at)[3] + 5] ^= 1  # in the data behind that head
    path.write_bytes(data)


@pytest.mark.parametrize("behind", [0, 7])
def test_damage_of_the_file_that_is_written_to_is_mended_while_it_runs(
    tmp_path: Path, behind: int
) -> None:
    """SM-29, N-02: its rows end where they ended, and the numbers go on, also after a restart."""
    life = Life(tmp_path)
    cursor = life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    for _ in range(5):
        life.add(times=300)
        life.commit()
    life.journal.store.release()  # its pages are read from the disk again then
    damage_last_row(tmp_path / "readings" / "0001.db")
    life.add(times=behind)
    life.commit()

    seen = Seen()
    seen.drain(life, cursor, 1_000)
    life.add(times=3)
    life.commit()
    life.stop()
    life = Life(tmp_path)
    seen.drain(life, life.journal.cursor("a", None, Start.OLDEST, EVERYTHING))

    assert set(seen.nexts.values()) == {1_503 + behind}
    assert dict(seen.why) == {"damage": 1_500}
    assert not life.journal.notes
    life.stop()


def test_the_ten_thousandth_file_comes_after_the_one_before(tmp_path: Path) -> None:
    """Its name has a digit more, and sorts before."""
    settings = Settings(history_s=0, min_free=0, segment_bytes=200_000)
    Life(tmp_path, settings=settings).stop()
    readings = tmp_path / "readings"
    (readings / "0001.db").rename(readings / "9998.db")
    life = Life(tmp_path, settings=settings)
    life.journal.cursor("a", None, Start.OLDEST, EVERYTHING)
    for _ in range(70):
        life.add(times=300)
        life.commit()
    life.stop()
    for name in ("9999.db", "10000.db"):
        damage_last_row(readings / name)

    life = Life(tmp_path, settings=settings)
    seen = Seen()
    seen.drain(life, life.journal.cursor("a", None, Start.OLDEST, EVERYTHING))

    assert set(seen.nexts.values()) == {21_000}
    assert dict(seen.why) == {"damage": 3_000}
    assert {p.name for p in (tmp_path / "quarantine").iterdir()} == {
        "readings-9999-0.db",
        "readings-10000-0.db",
    }
    life.stop()

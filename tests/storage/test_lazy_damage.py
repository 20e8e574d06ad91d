"""Damage in a file that is only met when a cursor reads it, long after the start."""

import shutil
from pathlib import Path

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

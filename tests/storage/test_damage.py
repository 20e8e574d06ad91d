"""Any byte of the journal flipped, any file cut: the rest is delivered, the loss is counted."""

import os
import random
import shutil
from pathlib import Path
from time import perf_counter

import pytest

from tests.storage.journals import EVERYTHING, Life, Seen, Settings, Start

STREAMS = 5
SMALL = Settings(history_s=0, min_free=0, segment_bytes=200_000)


def fill(home: Path) -> Path:
    """A journal of several segments, as it lies there while its process runs."""
    life = Life(home / "live", STREAMS, settings=SMALL)
    rng = random.Random(7)
    cursor = life.journal.cursor("sink", None, Start.OLDEST, EVERYTHING)
    batch = life.read(cursor)
    for i in range(160):
        life.add(times=rng.choice((1, 3, 40, 800)))
        life.commit()
        if i == 3:
            batch = life.read(cursor, 7)
            cursor.ack(batch.end)
    copy = home / "copy"
    shutil.copytree(home / "live", copy)
    life.stop()
    return copy


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("damage"))


def whole(filled: Path, home: Path) -> dict[str, int]:
    shutil.copytree(filled, home)
    life = Life(home, STREAMS, settings=SMALL)
    seen = Seen()
    seen.drain(life, life.journal.cursor("all", None, Start.OLDEST, EVERYTHING))
    life.stop()
    assert not seen.lost
    return dict(seen.nexts)


def reopened(home: Path) -> tuple[Seen, Life, float]:
    began = perf_counter()
    life = Life(home, STREAMS, settings=SMALL)
    took_s = perf_counter() - began
    seen = Seen()
    seen.drain(life, life.journal.cursor("all", None, Start.OLDEST, EVERYTHING))
    return seen, life, took_s


def flip(filled: Path, home: Path, expected: dict[str, int], seed: int) -> int:
    """Flip one bit; the readings lost."""
    rng = random.Random(seed)
    shutil.copytree(filled, home)
    files = sorted(p for p in (home / "readings").iterdir() if p.stat().st_size)
    path = rng.choices(files, [p.stat().st_size for p in files])[0]
    at = rng.randrange(path.stat().st_size)
    with path.open("r+b") as f:
        f.seek(at)
        (byte,) = f.read(1)
        f.seek(at)
        f.write(bytes([byte ^ 1 << rng.randrange(8)]))
    where = f"seed {seed}: byte {at} of {path.name}"

    seen, life, took_s = reopened(home)

    assert took_s < 5, where
    assert seen.nexts == expected, where
    lost = sum(seen.lost.values())
    assert lost <= 800 * STREAMS, where  # one row at most
    assert set(seen.why) <= {"damage"}, where
    if lost:
        assert list((home / "quarantine").iterdir()), where
    # The consumer that was there before repeats, and never skips.
    theirs = Seen()
    cursor = life.journal.cursor("sink", None, Start.NEWEST, EVERYTHING)
    batch = life.read(cursor, 10**9)
    assert batch.first <= (2, 2), (where, batch.first)
    for run in batch.runs:
        theirs.nexts.setdefault(run.path, run.first_seq)
    for gap in batch.gaps:
        theirs.nexts[gap.path] = min(gap.from_seq or 0, theirs.nexts.get(gap.path, 10**9))
    life.stop()
    return lost


def flips(filled: Path, tmp_path: Path, seeds: range) -> int:
    expected = whole(filled, tmp_path / "whole")
    lossy = 0
    for seed in seeds:
        home = tmp_path / "flipped"
        lossy += bool(flip(filled, home, expected, seed))
        shutil.rmtree(home)
    return lossy


def test_a_log_cut_anywhere_leaves_an_exact_prefix(filled: Path, tmp_path: Path) -> None:
    """SM-29: 100 crash points: what the log had before the cut is all there, nothing is wrong."""
    whole(filled, tmp_path / "whole")
    rng = random.Random(3)
    sizes = []
    for i in range(100):
        home = tmp_path / "cut"
        shutil.copytree(filled, home)
        (wal,) = (home / "readings").glob("*-wal")
        size = rng.randrange(wal.stat().st_size)
        os.truncate(wal, size)

        seen, life, took_s = reopened(home)

        assert took_s < 5
        assert not seen.lost, (i, size)
        assert len(set(seen.nexts.values())) == 1, (i, size)  # a commit is there whole, or not
        sizes.append((size, seen.nexts["/s0"]))
        life.stop()
        shutil.rmtree(home)
    sizes.sort()
    assert [n for _, n in sizes] == sorted(n for _, n in sizes)
    assert sizes[-1][1] > sizes[0][1]


def test_a_closed_file_cut_anywhere_is_a_counted_gap(filled: Path, tmp_path: Path) -> None:
    """SM-29, N-02."""
    expected = whole(filled, tmp_path / "whole")
    rng = random.Random(4)
    for i in range(20):
        home = tmp_path / "cut"
        shutil.copytree(filled, home)
        path = home / "readings" / "0002.db"
        os.truncate(path, rng.randrange(path.stat().st_size))

        seen, life, _ = reopened(home)

        assert seen.nexts == expected, i
        assert set(seen.why) == {"damage"}
        life.stop()
        shutil.rmtree(home)


@pytest.mark.parametrize("name", ["0001.db", "0002.db"])
def test_a_file_that_is_gone_is_a_counted_gap(filled: Path, tmp_path: Path, name: str) -> None:
    expected = whole(filled, tmp_path / "whole")
    home = tmp_path / "gone"
    shutil.copytree(filled, home)
    (home / "readings" / name).unlink()

    life = Life(home, STREAMS, settings=SMALL)
    seen = Seen()
    cursor = life.journal.cursor("all", None, Start.OLDEST, EVERYTHING)
    if name == "0001.db":  # the oldest may have gone for a bound: what is left is dense
        seen.nexts = {run.path: run.first_seq for run in reversed(life.read(cursor).runs)}
    seen.drain(life, cursor)

    assert seen.nexts == expected
    assert bool(seen.lost) == (name == "0002.db")


def test_an_end_that_is_missing_is_told_and_its_numbers_are_not_used_again(
    filled: Path, tmp_path: Path
) -> None:
    """SM-29: the newest file lost, the highest row known from elsewhere."""
    shutil.copytree(filled, tmp_path / "whole")
    life = Life(tmp_path / "whole", STREAMS, settings=SMALL)
    highest = (life.journal.newest.flush - 1, life.journal.store.readings)
    before = life.streams[0].next_seq
    life.stop()
    home = tmp_path / "short"
    shutil.copytree(filled, home)
    newest = max((home / "readings").glob("*.db"))
    for path in (home / "readings").glob(f"{newest.name}*"):
        path.unlink()

    life = Life(home, STREAMS, settings=SMALL, highest=lambda: highest)
    cursor = life.journal.cursor("all", None, Start.OLDEST, EVERYTHING)
    seen = Seen()
    seen.drain(life, cursor)

    assert any("end of the journal is missing" in note for note in life.journal.notes)
    assert life.streams[0].next_seq >= before
    assert life.journal.newest.flush == highest[0] + 1
    assert dict(seen.why) == {"tail": 0}


def test_a_flipped_bit_costs_one_row_at_most_and_is_counted(filled: Path, tmp_path: Path) -> None:
    """SM-29, N-02: 200 bits anywhere in the journal; both sides of the damage are delivered."""
    lossy = flips(filled, tmp_path, range(200))

    assert lossy > 20  # the flips do hit


@pytest.mark.soak
def test_ten_thousand_flipped_bits(filled: Path, tmp_path: Path) -> None:
    """SM-29: the full count."""
    flips(filled, tmp_path, range(10_000, 20_000))

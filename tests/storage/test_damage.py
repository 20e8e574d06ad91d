"""Any bit of the data directory flipped, any file cut: the rest is delivered, the loss counted."""

import random
from pathlib import Path

import pytest

from smapd.values import Start
from tests.storage.images import REPORTS, ROW, STREAMS, Home, Image, fill, opened, read_all
from tests.storage.journals import EVERYTHING, Seen

START_S = 5.0


@pytest.fixture(scope="module")
def image(ram: Path) -> Image:
    return fill(ram / "fill")


@pytest.fixture(scope="module")
def expected(image: Image, ram: Path) -> dict[str, int]:
    """Readings by stream."""
    return whole(image, ram / "whole")


@pytest.fixture(scope="module")
def short(image: Image, ram: Path) -> dict[str, int]:
    """Readings by stream without the last commit."""
    log = image.files[image.wal][: image.commits[-2]]
    return whole(image, ram / "whole", **{image.wal: log})


def whole(image: Image, home: Path, **changed: bytes) -> dict[str, int]:
    image.lay(home, changed)
    life = Home(home)
    seen = read_all(life)
    life.stop()
    assert not seen.lost
    return dict(seen.nexts)


def flip(
    image: Image, home: Path, expected: dict[str, int], short: dict[str, int], seed: int
) -> int:
    """Flip one bit; the readings lost."""
    rng = random.Random(seed)
    name, at, bit = image.any_bit(rng)
    image.lay(home, {name: image.flipped(name, at, bit)})
    where = f"seed {seed}: bit {bit} of byte {at} of {name}"

    life, took_s = opened(home)
    seen = read_all(life, rng.choice((300, 10_000)))

    assert took_s < START_S, where
    if name == image.wal and at >= image.commits[-2] and seen.nexts != expected:
        # A last commit that is not sound may as well be one that was never complete.
        assert (seen.nexts, dict(seen.lost)) == (short, {}), where
        life.stop()
        return 0
    assert seen.nexts == expected, where
    lost = sum(seen.lost.values())
    assert lost <= ROW * STREAMS, where  # one row at most
    assert set(seen.why) <= {"damage"}, where
    if lost:
        assert list((home / "quarantine").iterdir()), where
    assert life.control.all("report") == REPORTS, where
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


def flips(
    image: Image, home: Path, expected: dict[str, int], short: dict[str, int], seeds: range
) -> int:
    return sum(bool(flip(image, home, expected, short, seed)) for seed in seeds)


def test_a_closed_file_cut_anywhere_is_a_counted_gap(
    image: Image, ram: Path, expected: dict[str, int]
) -> None:
    """SM-29, N-02."""
    rng = random.Random(4)
    name = "readings/0002.db"
    for i in range(20):
        image.lay(ram / "cut", {name: image.files[name][: rng.randrange(len(image.files[name]))]})

        life, _ = opened(ram / "cut")
        seen = read_all(life)

        assert seen.nexts == expected, i
        assert set(seen.why) == {"damage"}
        life.stop()


@pytest.mark.parametrize("name", ["0001.db", "0002.db"])
def test_a_file_that_is_gone_is_a_counted_gap(
    image: Image, ram: Path, expected: dict[str, int], name: str
) -> None:
    image.lay(ram / "gone", {f"readings/{name}": None})

    life = Home(ram / "gone")
    seen = Seen()
    cursor = life.journal.cursor("all", None, Start.OLDEST, EVERYTHING)
    if name == "0001.db":  # the oldest may have gone for a bound: what is left is dense
        seen.nexts = {run.path: run.first_seq for run in reversed(life.read(cursor).runs)}
    seen.drain(life, cursor)

    assert seen.nexts == expected
    assert bool(seen.lost) == (name == "0002.db")
    life.stop()


def test_an_end_that_is_missing_is_told_and_its_numbers_are_not_used_again(
    image: Image, ram: Path
) -> None:
    """SM-29: the newest file lost, the highest row known from control.db."""
    image.lay(ram / "whole")
    life = Home(ram / "whole")
    highest, before = life.journal.newest.flush - 1, life.streams[0].next_seq
    life.stop()
    max((ram / "whole" / "readings").glob("*.db")).unlink()

    life = Home(ram / "whole")
    seen = read_all(life)

    assert any("end of the journal is missing" in note for note in life.journal.notes)
    assert life.streams[0].next_seq >= before
    assert life.journal.newest.flush == highest + 1
    assert dict(seen.why) == {"tail": 0}
    life.stop()


def test_damage_of_the_definitions_log_is_mended_from_the_copy(image: Image, ram: Path) -> None:
    """SM-29: SQLite alone would drop all changes behind the damage, and say nothing."""
    name = "control.db-wal"
    image.lay(ram / "flipped", {name: image.flipped(name, 5_000, 3)})

    life = Home(ram / "flipped")

    assert life.control.all("report") == REPORTS
    assert "its log breaks off in the middle" in life.control.notes[0]
    assert (ram / "flipped" / "quarantine" / "control-0.db-wal").read_bytes() == image.flipped(
        name, 5_000, 3
    )
    life.stop()


def test_two_hundred_flipped_bits_cost_one_row_each_at_most(
    image: Image, ram: Path, expected: dict[str, int], short: dict[str, int]
) -> None:
    """SM-29, N-02: anywhere in the data directory; both sides of the damage are delivered."""
    lossy = flips(image, ram / "flipped", expected, short, range(200))

    assert lossy > 20  # the flips do hit


@pytest.mark.soak
def test_ten_thousand_flipped_bits(
    image: Image, ram: Path, expected: dict[str, int], short: dict[str, int]
) -> None:
    """SM-29: the full count."""
    flips(image, ram / "flipped", expected, short, range(10_000, 20_000))

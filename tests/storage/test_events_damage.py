"""Any bit of the event log flipped, any file cut: the rest is read, the loss counted."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from time import perf_counter

import pytest

from smapd.runtime import PoolSize
from smapd.storage.events import POOL
from smapd.storage.segment_db import PAGE
from smapd.testing import FakeRuntime
from tests.storage.events_life import Life
from tests.storage.images import Image

FRAME = 24 + PAGE
BURST = 40
START_S = 5.0
SMALL = {"segment_bytes": 60_000, "recent_bytes": 0}
IDS_ASSET = "ids"


class Log:
    """What a whole log has, and its files as SIGKILL would leave them."""

    def __init__(self, home: Path) -> None:
        rng = random.Random(5)
        life = Life(home, **SMALL)
        for i in range(150):
            asset = rng.choice(("a", "b", "c"))
            life.publish(asset, rng.choice((1, 1, 2, BURST)), b"y" * rng.choice((0, 50, 700)))
            if i == 20:
                for name in ("f", "g"):
                    for one in "ab":
                        life.cursor(name, one).ack(3)
            if i == 60:
                life.result(life.log.drop("c"))
            if i == 80:
                life.cursor("f", "a").ack(7)
                life.result(life.log.forget("g", "b"))
            life.publish(IDS_ASSET, dedupe_id=f"id {i}")
        life.cursor("f", "b").ack(9)
        life.publish("a")
        self.image = Image(home)
        self.nexts = {asset: life.log.next_offset(asset) for asset in life.log.assets()}
        self.bases = {asset: life.log.base(asset) for asset in self.nexts}
        self.cursors = life.log.cursors()
        self.now_ms = life.run.clock.wall_ms()
        life.stop()
        shutil.rmtree(home)
        assert len([name for name in self.image.files if name.endswith(".db")]) >= 3

    @property
    def wal(self) -> str:
        (name,) = (name for name in self.image.files if name.endswith("-wal"))
        return name

    def commits(self) -> list[int]:
        """Where in the log each commit ends."""
        data = self.image.files[self.wal]
        ends = range(32 + FRAME, len(data) + 1, FRAME)
        return [end for end in ends if any(data[end - FRAME + 4 : end - FRAME + 8])]

    def opened(self, home: Path, where: str) -> Life:
        began_s = perf_counter()
        run = FakeRuntime({POOL: PoolSize(1, 1, queue=1_000)}, start_ms=self.now_ms)
        life = Life(home, run, **SMALL)
        assert perf_counter() - began_s < START_S, where
        return life

    def check(self, life: Life, where: str, limit: int = 1000) -> int:
        """Nothing is wrong, and what is missing is counted; how many events are."""
        missing = 0
        for asset, following in self.nexts.items():
            found = life.read_all(asset, limit)
            assert found == sorted(set(found)), where
            assert not found or self.bases[asset] <= found[0] <= found[-1] < following, where
            missing += following - self.bases[asset] - len(found)
            assert life.log.next_offset(asset) == following, (where, asset)
            assert life.log.base(asset) == self.bases[asset], (where, asset)
        assert missing <= life.store.lost, where
        assert bool(life.store.lost) <= bool(life.store.notes), where
        if life.store.notes:
            assert list((life.home / "quarantine").iterdir()), where
        for (name, asset, place), known in zip(life.log.cursors(), self.cursors, strict=True):
            assert (name, asset) == known[:2], where
            assert place <= known[2], where  # it may repeat, and never skips
        return missing


@pytest.fixture(scope="module")
def whole(ram: Path) -> Log:
    return Log(ram / "fill")


def flip(whole: Log, home: Path, seed: int) -> int:
    """Flip one bit; the events lost."""
    rng = random.Random(seed)
    name, at, bit = whole.image.any_bit(rng)
    whole.image.lay(home, {name: whole.image.flipped(name, at, bit)})
    where = f"seed {seed}: bit {bit} of byte {at} of {name}"

    life = whole.opened(home, where)
    missing = whole.check(life, where, rng.choice((3, 1000)))

    assert missing <= BURST, where  # one row at most
    assert life.store.lost <= 2 * BURST, where
    offset = life.publish(IDS_ASSET, dedupe_id="id 149")
    assert offset in (149, 150), where
    life = life.again(**SMALL)
    assert life.store.notes == [], where
    assert life.publish("a") == whole.nexts["a"], where
    life.stop()
    return missing


def test_nothing_is_wrong_with_the_log_as_it_is(whole: Log, ram: Path) -> None:
    whole.image.lay(ram / "whole")

    life = whole.opened(ram / "whole", "")

    assert whole.check(life, "") == 0
    assert life.log.cursors() == whole.cursors
    assert [life.publish(IDS_ASSET, dedupe_id=f"id {i}") for i in (0, 70, 149)] == [0, 70, 149]
    assert life.store.notes == []
    life.stop()


def test_a_flipped_bit_costs_one_row_at_most(whole: Log, ram: Path) -> None:
    """FO-23: of each file's any bit."""
    lost = [flip(whole, ram / "flip", seed) for seed in range(100)]

    assert 0 < sum(map(bool, lost)) < 70


@pytest.mark.soak
def test_ten_thousand_flips(whole: Log, ram: Path) -> None:
    for seed in range(10_000, 20_000):
        flip(whole, ram / "flip", seed)


def cut(whole: Log, home: Path, size: int) -> None:
    """Cut the log of the newest file: what is left is what the whole commits before it said."""
    wal = whole.wal
    whole.image.lay(home, {wal: whole.image.files[wal][:size]})
    where = f"cut at {size}"

    life = whole.opened(home, where)

    for asset in whole.nexts:
        following, base = life.log.next_offset(asset), life.log.base(asset)
        assert life.read_all(asset) == list(range(base, following)), where
    assert life.store.notes == [], where
    assert life.store.commits == commits_at(whole, size), where
    assert life.publish("a") == life.log.next_offset("a") - 1
    life.stop()


def commits_at(whole: Log, size: int) -> int:
    """How many commits a log cut there has."""
    all_of_them = len(whole.commits())
    missing = all_of_them - sum(end <= size for end in whole.commits())
    return int(TOTAL[0]) - missing


TOTAL = [0.0]


def test_a_log_cut_at_any_byte_is_an_exact_prefix(whole: Log, ram: Path) -> None:
    """Some hundreds of places: around each frame's ends, and anywhere."""
    whole.image.lay(ram / "cut")
    life = whole.opened(ram / "cut", "")
    TOTAL[0] = life.store.commits
    life.stop()
    size = len(whole.image.files[whole.wal])
    rng = random.Random(3)
    ends = rng.sample(whole.commits(), min(60, len(whole.commits())))
    places = {end + step for end in ends for step in (-1, 0, 1)} | {0, 31, 32, size - 1}
    places |= {rng.randrange(size) for _ in range(60)}

    for place in sorted(place for place in places if place <= size):
        cut(whole, ram / "cut", place)


@pytest.mark.soak
def test_a_log_cut_at_very_many_bytes(whole: Log, ram: Path) -> None:
    test_a_log_cut_at_any_byte_is_an_exact_prefix(whole, ram)
    for place in range(0, len(whole.image.files[whole.wal]), 97):
        cut(whole, ram / "cut", place)


def named(whole: Log, number: int) -> str:
    return sorted(name for name in whole.image.files if name.endswith(".db"))[number]


def test_a_closed_file_cut_anywhere_is_mended_from_its_neighbours(whole: Log, ram: Path) -> None:
    rng = random.Random(8)
    name = named(whole, 1)
    data = whole.image.files[name]
    for _ in range(25):
        at = rng.randrange(len(data))
        whole.image.lay(ram / "cut", {name: data[:at]})

        life = whole.opened(ram / "cut", f"cut at {at}")
        whole.check(life, f"cut at {at}")

        assert life.store.notes
        life.stop()


@pytest.mark.parametrize("number", [0, 1])
def test_a_file_that_is_gone_is_a_counted_hole(whole: Log, ram: Path, number: int) -> None:
    name = named(whole, number)
    whole.image.lay(ram / "gone", {name: None})

    life = whole.opened(ram / "gone", name)

    if number:
        assert life.store.lost > 0
        assert any("a file is missing before" in note for note in life.store.notes)
    for asset, following in whole.nexts.items():
        found = life.read_all(asset)
        assert found[-1] == following - 1
        assert life.log.next_offset(asset) == following
    assert life.publish("a") == whole.nexts["a"]
    life.stop()


def test_a_file_overwritten_with_nonsense_is_set_aside(whole: Log, ram: Path) -> None:
    for number in (0, 1):
        name = named(whole, number)
        noise = random.Random(number).randbytes(len(whole.image.files[name]))
        whole.image.lay(ram / "noise", {name: noise})

        life = whole.opened(ram / "noise", name)
        whole.check(life, name)

        assert life.store.lost > 0
        assert [p.read_bytes() for p in (ram / "noise" / "quarantine").iterdir()] == [noise]
        life.stop()


def test_damage_that_comes_while_it_runs_is_mended_too(whole: Log, ram: Path) -> None:
    whole.image.lay(ram / "live")
    life = whole.opened(ram / "live", "live")
    path = ram / "live" / named(whole, 1)
    data = bytearray(path.read_bytes())
    for at in range(2 * PAGE, len(data), 3 * PAGE):
        data[at : at + 900] = bytes(900)
    path.write_bytes(data)

    missing = whole.check(life, "live")

    assert 0 < missing <= life.store.lost
    assert life.log.status()["lost"] == life.store.lost
    assert "of its events are lost" in str(life.run.faults.status())
    life.stop()


def test_a_newest_file_damaged_while_it_runs_is_mended_with_what_is_known(
    whole: Log, ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole.image.lay(ram / "live")
    life = whole.opened(ram / "live", "live")
    db = life.store.shelf.writer().db
    (asset, seq) = db.execute("SELECT asset, seq FROM event ORDER BY n DESC LIMIT 1").fetchone()
    db.execute("UPDATE event SET data = ? WHERE asset = ? AND seq = ?", (b"broken", asset, seq))

    missing = whole.check(life, "live")

    assert 0 < missing == life.store.lost <= BURST
    assert life.publish("a") == whole.nexts["a"]
    life.cursor("f", "a").ack(20)
    life = life.again(**SMALL)
    assert life.store.notes == []
    assert ("f", "a", 20) in life.log.cursors()
    life.stop()


def test_a_reader_behind_a_hole_of_lost_events_goes_on(whole: Log, ram: Path) -> None:
    """A row whose every event is lost gives what comes behind it."""
    life = Life(ram / "hole", **SMALL)
    for _ in range(10):
        life.publish("a", 2)
    db = life.store.shelf.writer().db
    db.execute("UPDATE event SET data = ? WHERE seq IN (4, 18)", (b"broken",))

    assert life.read("a", 4) == [*range(6, 18)]
    assert life.read("a", 18) == []
    assert life.log.next_offset("a") == 20
    assert life.store.lost == 4
    assert life.result(life.log.offset_at("a", 0)) == 0
    life.publish("a")
    assert life.read("a", 18) == [20]
    life.stop()

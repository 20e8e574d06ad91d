"""Every state that the files ever had: after a kill at any moment, and when the power went."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.storage.disk import Disk, Op, lay, read_log
from tests.storage.images import FRAME, Home, Image, fill, opened, read_all
from tests.storage.journals import EVERYTHING, Seen, Start

CHILD = Path(__file__).with_name("disk_child.py")
ROOT = Path(__file__).parents[2]
START_S = 5.0


class Mark(NamedTuple):
    """What was durable at one moment; by path, the next seq there, and the next not acked."""

    nexts: dict[str, int]
    acked: dict[str, int]
    reports: dict[str, int]


NOTHING = Mark(dict.fromkeys(("/s0", "/s1", "/s2", "/s3", "/s4"), 0), {}, {})


class Story(NamedTuple):
    """What a process did, and after which of its changes each mark held."""

    ops: list[Op]
    marks: list[tuple[int, Mark]]

    def around(self, at: int) -> tuple[Mark, Mark]:
        """What was durable after so many changes, and what was about to be."""
        before = NOTHING
        for after_op, mark in self.marks:
            if after_op > at:
                return before, mark
            before = mark
        return before, before


def story(home: Path, shim: Path, seed: int, steps: int) -> Story:
    """Let a process live below ``home``, and read what it did."""
    live = home / "live"
    live.mkdir(parents=True)
    log = home / "log"
    env = {"LD_PRELOAD": str(shim), "SHIM_ROOT": str(live), "SHIM_LOG": str(log)}
    subprocess.run(
        [sys.executable, str(CHILD), str(live), str(seed), str(steps)],
        env=os.environ | env | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    ops, marks = [], []
    for op in read_log(log):
        if op.path == "marks":
            if op.kind == "w":
                marks.append((len(ops), Mark(*json.loads(op.data))))
        else:
            ops.append(op)
    return Story(ops, marks)


def points(
    story: Story, home: Path, count: int, seed: int, power: bool
) -> Iterator[tuple[str, Home, Mark, Mark]]:
    """(where, a life on what was left, what was durable, what was about to be)."""
    rng = random.Random(seed)
    chosen = set(rng.sample(range(len(story.ops)), min(count, len(story.ops))))
    disk = Disk()
    for at, op in enumerate(story.ops):
        if at in chosen:
            torn = op if op.kind == "w" and op.path in disk.names and rng.random() < 0.5 else None
            if power:
                files = disk.without_power(rng)
            else:
                files = disk.killed(torn, rng)
            lay(home, files, "data/")
            where = f"seed {seed}: before change {at}, a {op.kind} of {op.path}"
            life, took_s = opened(home)
            assert took_s < START_S, where
            yield (where, life, *story.around(at))
        disk.do(op)


def check(where: str, life: Home, before: Mark, after: Mark) -> None:
    """All that was durable is there, and what was about to be is there whole, or not."""
    nexts = {stream.path: stream.next_seq for stream in life.streams}
    assert nexts in (before.nexts, after.nexts), where
    assert life.control.all("report") in (before.reports, after.reports), where
    seen = Seen()
    cursor = life.journal.cursor("sink", None, Start.OLDEST, EVERYTHING)
    first = life.read(cursor)
    for run in reversed(first.runs):
        seen.nexts[run.path] = run.first_seq
    begun = dict(seen.nexts)
    seen.drain(life, cursor)
    assert not seen.lost, where
    ends = {path: seen.nexts.get(path, nexts[path]) for path in nexts}
    assert ends == nexts, where
    acked = {path: begun.get(path, nexts[path]) for path in nexts}
    wanted = [{path: mark.acked.get(path, 0) for path in nexts} for mark in (before, after)]
    # What is acked last may wait for the next commit, and then comes again: never less.
    assert acked in wanted, (where, acked, wanted)


def try_kills(story: Story, home: Path, count: int, seed: int) -> int:
    """Kill it at so many moments; how many were tried."""
    tried = 0
    for where, life, before, after in points(story, home, count, seed, power=False):
        check(where, life, before, after)
        assert not (home / "quarantine").exists(), (where, life.journal.notes)
        # A second life, killed too: what the first one left behind the log's end is no damage.
        if tried % 4 == 0:
            life.add(times=2)
            life.commit()
            nexts = {stream.path: stream.next_seq for stream in life.streams}
            image = Image(home)
            life.stop()
            image.lay(home)
            life = Home(home)
            assert {stream.path: stream.next_seq for stream in life.streams} == nexts, where
            assert not (home / "quarantine").exists(), where
        life.stop()
        tried += 1
    return tried


def try_power(story: Story, home: Path, count: int, seed: int) -> int:
    """Take the power away at so many moments; how many were tried."""
    tried = 0
    for where, life, before, after in points(story, home, count, seed, power=True):
        check(where, life, before, after)
        life.stop()
        tried += 1
    return tried


@pytest.mark.real
def test_a_kill_at_any_moment_leaves_all_that_was_committed(ram: Path, shim: Path) -> None:
    """SM-29, SM-30, N-01: 1,500 moments, in half of the writes a part of it done."""
    told = story(ram / "kills", shim, 1, 330)

    assert try_kills(told, ram / "killed", 1_500, 1) == 1_500


@pytest.mark.real
def test_the_powers_end_at_any_moment_leaves_all_that_was_committed(ram: Path, shim: Path) -> None:
    """SM-29, SM-30, N-01: 1,000 moments; of what was not synced some is there, some is not."""
    told = story(ram / "power", shim, 2, 260)

    assert try_power(told, ram / "dark", 1_000, 2) == 1_000


@pytest.mark.real
@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 20))
def test_kills_and_the_powers_end_at_every_moment(ram: Path, shim: Path, seed: int) -> None:
    """SM-29, SM-30: ten lives, every moment of each."""
    told = story(ram / f"all {seed}", shim, seed, 400)

    try_kills(told, ram / "killed", 10**9, seed)
    try_power(told, ram / "dark", 10**9, seed)


def test_a_log_cut_anywhere_leaves_an_exact_prefix(ram: Path) -> None:
    """SM-29: 500 lengths of the log: what it had before the cut is all there, nothing is wrong."""
    image = fill(ram / "fill")
    log = image.files[image.wal]
    rng = random.Random(3)
    sizes = []
    for size in sorted({0, 1, 31, 32, 33, *image.commits, *rng.choices(range(len(log)), k=500)}):
        image.lay(ram / "cut", {image.wal: log[:size]})
        life, took_s = opened(ram / "cut")
        seen = read_all(life)
        life.stop()

        assert took_s < START_S
        assert not seen.lost, size
        assert len(set(seen.nexts.values())) == 1, size  # a commit is there whole, or not
        sizes.append(seen.nexts["/s0"])
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(image.commits) + 1


def test_what_a_commit_left_that_was_never_complete_is_no_damage_later(ram: Path) -> None:
    """SM-29: SQLite goes on in the same log, before frames that bear the log's own marks."""
    life = Home(ram / "live")
    life.add()
    life.commit()
    life.add(times=400)
    life.commit()
    image = Image(ram / "live")
    life.stop()
    log = image.files[image.wal]
    before, end = image.commits
    for cut in range(before, end, FRAME):
        image.lay(ram / "torn", {image.wal: log[:cut]})
        life = Home(ram / "torn")
        life.add()
        life.commit()
        again = Image(ram / "torn")
        life.stop()
        again.lay(ram / "torn")

        life = Home(ram / "torn")

        assert life.journal.notes == [], cut
        assert [stream.next_seq for stream in life.streams] == [2] * 5
        life.stop()

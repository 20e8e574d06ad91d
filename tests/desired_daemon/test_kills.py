"""SIGKILL of a process that deploys: what was finished is not redone, nothing begins too early."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("deploy_child.py")
LAMPS = 60


def requires(n: int) -> list[str]:
    """As the child has it."""
    rng = random.Random(n)
    return [f"l{other}" for other in sorted(rng.sample(range(n), min(n, rng.randrange(3))))]


def live(home: Path, versions: int, die_after_s: float | None) -> list[list[str]]:
    """One life of the child, killed after so long if it is still there; the lines it wrote."""
    output = home / "output"
    with output.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(home), str(versions)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            ends = time.monotonic() + 30
            while not output.read_bytes() and child.poll() is None and time.monotonic() < ends:
                time.sleep(0.01)
            if die_after_s is None:
                child.wait(120)
            else:
                time.sleep(die_after_s)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(10)
    return [line.split() for line in output.read_text().splitlines(True) if line.endswith("\n")]


class Observer:
    """What was seen over all lives."""

    def __init__(self) -> None:
        self.done: set[tuple[str, str]] = set()
        self.durable: set[tuple[str, str]] = set()
        self.ended: set[str] = set()
        self.redone = 0
        self.is_over = False

    def see(self, lines: list[list[str]]) -> None:
        for words in lines:
            kind = words[0]
            assert kind in ("B", "D", "R", "V", "N", "END"), " ".join(words)
            if kind == "B":
                name, version = words[1:3]
                assert (name, version) not in self.durable, f"{name} of {version} again"
                assert version not in self.ended
                for other in requires(int(name[1:])):
                    assert (other, version) in self.done, f"{name} of {version} before {other}"
                self.redone += (name, version) in self.done
            elif kind == "D":
                self.done.add((words[1], words[2]))
            elif kind == "R":
                assert words[3] == "deployed", " ".join(words)
                self.durable.add((words[1], words[2]))
            elif kind == "V":
                self.ended.add(words[1])
            else:
                self.is_over |= kind == "END"


def kill_often(home: Path, kills: int, versions: int, seed: int) -> Observer:
    rng, observer = random.Random(seed), Observer()
    for _ in range(kills):
        observer.see(live(home, versions, rng.uniform(0.0, 0.25)))
        assert not observer.is_over, "it ended before it was killed often enough"
    observer.see(live(home, versions, None))
    assert observer.is_over
    last = str(versions)
    assert {name for name, version in observer.done if version == last} == {
        f"l{n}" for n in range(LAMPS)
    }
    levels = {file.read_text() for file in (home / "world").glob("l*")}
    assert len(levels) == 1
    return observer


@pytest.mark.real
def test_ten_kills_during_deploys(tmp_path: Path) -> None:
    """IM-32: resumed behind each kill without redoing what was finished."""
    observer = kill_often(tmp_path, kills=10, versions=25, seed=7)

    assert len(observer.durable) > 100
    assert observer.redone  # else no kill came in the middle


@pytest.mark.real
@pytest.mark.soak
def test_a_hundred_kills_during_deploys(tmp_path: Path) -> None:
    """IM-32: as above, often."""
    kill_often(tmp_path, kills=100, versions=200, seed=11)

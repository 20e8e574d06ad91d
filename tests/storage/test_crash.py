"""SIGKILL of a real process that fills and delivers: nothing that was durable is lost."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("journal_child.py")
STARTED_S = 60
WINDOW_S = 0.1 + 1.0  # CommitInterval of the child, and the commit under way on a busy machine


def live_and_die(home: Path, seed: int) -> list[list[str]]:
    """Start the child, kill it at a moment that the seed gives; the lines it wrote."""
    after_s = random.Random(seed).uniform(0.02, 0.8)
    output = home / "output"
    with output.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(home), str(seed)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            ends = time.monotonic() + STARTED_S
            while b"\nA " not in output.read_bytes() and time.monotonic() < ends:
                assert child.poll() is None, output.read_text()
                time.sleep(0.01)
            time.sleep(after_s)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(10)
    lines = output.read_text().splitlines(keepends=True)
    return [line.split() for line in lines if line.endswith("\n")]


class Ledger:
    """What a consumer has seen over all lives of the process."""

    def __init__(self) -> None:
        self.nexts: dict[str, int] = {}
        self.acked = (1, 0)
        self.sent_end = (1, 0)
        self.repeats = 0

    def check(self, lines: list[list[str]]) -> None:
        is_first = True
        for words in lines:
            kind = words[0]
            assert kind in "ACDKR", " ".join(words)  # no gap, no traceback
            if kind == "D":
                numbers = list(map(int, words[1:5]))
                first, end = tuple(numbers[:2]), tuple(numbers[2:])
                is_repeat = is_first and first < self.sent_end
                if is_repeat:
                    self.repeats += 1
                    assert first >= self.acked, "what was acked came again"
                else:
                    assert first == self.sent_end
                is_first = False
                runs = iter(words[5:])
                for path, seq, count in zip(runs, runs, runs, strict=True):
                    known = self.nexts.get(path, 0)
                    assert int(seq) == known or (is_repeat and int(seq) < known), (path, seq)
                    self.nexts[path] = max(known, int(seq) + int(count))
                self.sent_end = max(self.sent_end, end)  # type: ignore[assignment]
            elif kind == "K":
                self.acked = tuple(map(int, words[1:3]))  # type: ignore[assignment]


def run_lives(home: Path, seeds: range) -> Ledger:
    ledger = Ledger()
    nexts: list[int] = []
    for seed in seeds:
        lines = live_and_die(home, seed)
        strange = [words for words in lines if not words or words[0] not in "ACDKR"]
        assert not strange, (seed, (home / "output").read_text())
        begun = [list(map(int, words[1:])) for words in lines if words[0] == "R"]
        assert begun, f"seed {seed}: it did not start within {STARTED_S} s"
        began = begun[0]
        if nexts:
            # What was added before the window is in the journal: its seqs are taken.
            assert began[0] >= nexts[0], (seed, began[0], nexts[0])
            durable = sum(began)
            assert durable >= nexts[1], (seed, durable, nexts[1])
        ledger.check(lines)
        added = [(int(words[1]), int(words[2])) for words in lines if words[0] == "A"]
        committed = [int(words[1]) for words in lines if words[0] == "C"]
        safe_ms = added[-1][0] - WINDOW_S * 1000
        old = [seq for ms, seq in added if ms <= safe_ms]
        nexts = [max([began[0], *old]), sum(began) + committed[-1]]
    assert not list((home / "quarantine").glob("*")) if (home / "quarantine").exists() else True
    return ledger


@pytest.mark.real
def test_kill_loses_nothing_committed_and_repeats_at_most_one_batch(tmp_path: Path) -> None:
    """SM-29, SM-30, N-01: 20 lives of one journal, each ended by SIGKILL."""
    ledger = run_lives(tmp_path, range(20))

    assert sum(ledger.nexts.values()) > 10_000


@pytest.mark.real
@pytest.mark.soak
def test_two_hundred_kills(tmp_path: Path) -> None:
    """SM-29, SM-30: the full count."""
    run_lives(tmp_path, range(1000, 1200))

"""A process that uses a data directory, and notes what was durable when.

    python disk_child.py DIRECTORY SEED STEPS

The directory is DIRECTORY/data. After each step a line of JSON goes to DIRECTORY/marks: the next
seq of each stream, the next one that the consumer of each has not acked, and the reports.
"""

import json
import os
import random
import sys
from pathlib import Path

from tests.storage.images import Home
from tests.storage.journals import EVERYTHING, Start


def main(home: Path, seed: int, steps: int) -> None:
    rng = random.Random(seed)
    marks = os.open(home / "marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    reports: dict[str, int] = {}
    acked = {"/s0": 0, "/s1": 0, "/s2": 0, "/s3": 0, "/s4": 0}
    life, cursor = begin(home)
    for step in range(steps):
        what = rng.random()
        if what < 0.05:
            key = f"report {rng.randrange(4)}"
            if key in reports:
                life.control.delete("report", key)
                del reports[key]
            else:
                life.control.put("report", key, step)
                reports[key] = step
        elif what < 0.35:
            batch = life.read(cursor, rng.choice((3, 50, 1_000)))
            done = cursor.ack(batch.end)
            life.commit()
            assert done.called
            for run in batch.runs:
                acked[run.path] = run.first_seq + len(run.ms)
        elif what < 0.36:
            life.run.advance(61)
        elif what < 0.37:
            life.stop()
            life, cursor = begin(home)
        else:
            life.add(*rng.sample(range(5), rng.randint(1, 5)), times=rng.choice((1, 1, 3, 30, 200)))
            life.commit()
        nexts = {stream.path: stream.next_seq for stream in life.streams}
        os.write(marks, json.dumps([nexts, acked, reports]).encode() + b"\n")
    os._exit(0)  # as a kill would


def begin(home: Path) -> tuple[Home, object]:
    life = Home(home / "data")
    return life, life.journal.cursor("sink", None, Start.OLDEST, EVERYTHING)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

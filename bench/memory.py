"""What a stream costs in memory, and in the time of a full garbage collection.

    python bench/memory.py [streams] [runs]

Each run is a process of its own: a tree of so many double streams in collections of 100, each with
path, key, uuid, every look-up, metadata that its rack shares, and one reading that came through the
queue. Goal: <= 1.0 KB a stream at 100,000, and a full collection in <= 40 ms per 100,000 (frozen by
gc.freeze after loading, as the daemon does, and without). The resident set is taken from the
kernel: what malloc cannot give back counts.
"""

import gc
import json
import statistics
import subprocess
import sys
import time

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
GOAL_BYTES, GOAL_MS = 1024, 40


def resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


def collection_ms():
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        gc.collect()
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def one_run(streams):
    """The figures of one process."""
    from smapd.core import SmapInstance

    gc.collect()
    bare_ms = collection_ms()
    before = resident()
    begun = time.perf_counter()
    tree = SmapInstance(ROOT)
    for i in range(streams):
        path = f"/site/rack{i // 100}/sensor{i}"
        stream = tree.add_timeseries(path, f"sensor{i}", "V", data_type="double")
        tree.set_metadata(path, {"Instrument/Manufacturer": "ACME", "Location/Rack": f"{i // 100}"})
        stream.add(1_700_000_000 + i, i * 1.5)
    took = time.perf_counter() - begun
    gc.collect()
    bytes_each = (resident() - before) / streams
    plain_ms = collection_ms() - bare_ms
    gc.freeze()
    frozen_ms = collection_ms()
    assert tree.taken == streams
    return {
        "bytes": bytes_each,
        "us": took / streams * 1e6,
        "gc": plain_ms / streams * 100_000,
        "frozen": frozen_ms,
    }


def main():
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    command = [sys.executable, __file__, "--one", str(streams)]
    seen = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(runs)
    ]
    median = {key: statistics.median(run[key] for run in seen) for key in seen[0]}
    print(f"{streams} streams with metadata, last reading and look-ups; medians of {runs}")
    print(f"{'bytes a stream':40}{median['bytes']:10.0f}{'goal':>8}{GOAL_BYTES:8}")
    print(f"{'us to make one, with metadata, reading':40}{median['us']:10.2f}")
    print(f"{'full collection, ms per 100,000':40}{median['gc']:10.1f}{'goal':>8}{GOAL_MS:8}")
    print(f"{'the same after gc.freeze, ms':40}{median['frozen']:10.1f}{'goal':>8}{GOAL_MS:8}")
    print(f"{'ratio of bytes to the goal':40}{median['bytes'] / GOAL_BYTES:10.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one_run(int(sys.argv[2]))))
    else:
        main()

"""smapd with a driver that feeds it, for `pipeline.py`: a whole daemon, as `smapd run` makes it.

Its own program only so that the feed can be told what to do, and asked what became of it, without a
request. Arguments: the config file, the data directory, the number of series, and how it feeds.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # `python _feeding_daemon.py` must be no second copy of the driver's
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != here]
    sys.path.insert(0, str(here.parent))
    sys.path.append(str(here))

from smapd.driver import SmapDriver
from smapd.util import periodicCallInThread

AHEAD = 200_000
"""At full speed so many readings may be under way."""

BLOCK = 10

ORDER = ["rest"]
SERIES = [1_000]
KIND = ["hz"]
DAEMON: list[Any] = []


class Feed(SmapDriver):
    """Adds a reading of each series each second, or as it is told.

    ``KIND``: hz, a series after the other once a second; spread, a hundredth of them each 10 ms;
    rush, as many as it can; both, hz and rush as ordered.
    """

    def setup(self, opts: Any) -> None:
        self.paths = [f"/hall/rack{i % 20}/s{i}" for i in range(SERIES[0])]
        for path in self.paths:
            self.add_timeseries(path, path, "V", data_type="double")
        self.turn = 0

    def start(self) -> None:
        if KIND[0] in ("hz", "both"):
            periodicCallInThread(self.tick).start(1.0)
        if KIND[0] == "spread":
            periodicCallInThread(self.spread).start(0.01)
        if KIND[0] in ("rush", "both"):
            threading.Thread(target=self.rush, daemon=True).start()

    def tick(self) -> None:
        if ORDER[0] == "hz":
            value = float(self.turn)
            self.turn += 1
            for path in self.paths:
                self.add(path, value + 0.5)

    def spread(self) -> None:
        if ORDER[0] == "hz":
            self.turn += 1
            for path in self.paths[self.turn % 100 :: 100]:
                self.add(path, self.turn + 0.5)

    def rush(self) -> None:
        while True:
            order = ORDER[0]
            if order not in ("full", "blocks", "into"):
                time.sleep(0.05)
            elif under_way(order) > AHEAD:
                time.sleep(0.001)
            elif order == "blocks":
                self.put_blocks()
            else:
                at = self.turn * 1_000 % len(self.paths)
                self.turn += 1
                for path in self.paths[at : at + 1_000]:
                    self.add(path, self.turn + 0.5)

    def put_blocks(self) -> None:
        """Ten readings of each of a hundred series, a millisecond apart."""
        at = self.turn * 100 % len(self.paths)
        self.turn += 1
        now_s = time.time()
        times = [now_s + i / 1000 for i in range(BLOCK)]
        values = [self.turn + i + 0.5 for i in range(BLOCK)]
        for path in self.paths[at : at + 100]:
            self.add_many(path, times, values)


def under_way(order: str) -> int:
    """Readings added that are not where they are to go: on the disk, or delivered."""
    daemon = DAEMON[0]
    added: int = daemon.inst.taken + daemon.inst.queued
    if order == "into":
        return added - int(daemon.readings.committed)
    return added - delivered()


def delivered() -> int:
    """By the first report that is not paused."""
    for one in DAEMON[0].reports.subscriptions():
        if one.delivery is not None and not one.delivery.is_paused:
            return int(one.delivery.counters.readings)
    return 0


def pause_last() -> None:
    daemon = DAEMON[0]
    uuid = daemon.reports.uuids()[-1]
    daemon.run.clock.background(daemon.reports.set_paused(uuid, True), "pausing")


def stats() -> dict[str, Any]:
    """Little to reckon: it is asked for while CPU is measured."""
    daemon = DAEMON[0]
    return {
        "taken": daemon.inst.taken,
        "kept": daemon.readings.committed,
        "delivered": delivered(),
    }


def waiting() -> dict[str, Any]:
    daemon = DAEMON[0]
    ours = daemon.reports.subscriptions()
    return {
        "waiting": [one.cursor.waiting() for one in ours],
        "dropped": daemon.inst.dropped + sum(sum(one.gaps.values()) for one in ours),
    }


def main(config: str, data_dir: str, series: str, kind: str) -> int:
    from twisted.internet import stdio
    from twisted.protocols.basic import LineOnlyReceiver

    from smapd.assembly import TABLES
    from smapd.config import load_plan
    from smapd.server import run_plan

    SERIES[0], KIND[0] = int(series), kind

    def on_daemon(daemon: Any, end: Any) -> None:
        DAEMON.append(daemon)

        class Orders(LineOnlyReceiver):
            delimiter = b"\n"

            def lineReceived(self, line: bytes) -> None:
                word = line.decode()
                if word == "waiting":
                    self.tell(waiting())
                    return
                if word == "pause":
                    pause_last()
                elif word != "stats":
                    ORDER[0] = word
                self.tell(stats())

            def tell(self, what: dict[str, Any]) -> None:
                self.transport.write(json.dumps(what).encode() + b"\n")

            def connectionLost(self, reason: Any = None) -> None:
                end(0)

        def announced(text: str) -> None:
            if text.startswith("smapd"):
                print(json.dumps({"url": daemon.urls[0]}), file=sys.__stdout__, flush=True)
                stdio.StandardIO(Orders())

        object.__setattr__(daemon._settings, "announce", announced)

    return run_plan(
        load_plan(config, tables=TABLES), port=0, data_dir=data_dir, on_daemon=on_daemon
    )


if __name__ == "__main__":
    import _feeding_daemon

    sys.exit(_feeding_daemon.main(*sys.argv[1:5]))

"""The whole way of a reading, from a driver's add to the consumer's 200: smapd beside the floor.

    python bench/pipeline.py [--rounds 3] [--seconds 6] [rate full outage more formats start late]

The floor is `floor_pipeline.py`; smapd is a whole daemon with a driver that feeds it from a poll
thread (`_feeding_daemon.py`); both post to the same consumer in a process of its own, and each is
measured by its own CPU time. What is compared works side by side, or at full speed in turns: the
machine's other work meets all alike. What is done in turns is shown by its medians.

rate     a reading of each series each second: CPU per million delivered, at 1,000 and 20,000
full     as many as it takes: add, add_many in blocks of ten, and into the journal, the sink down
outage   1 M waiting and 20,000/s coming in: how fast it drains, how long a GET takes meanwhile
more     CPU with a second report, and with one that is paused
formats  CPU of the whole daemon by format, at a reading a stream and body
start    with 10 M readings waiting beside an empty start; memory
late     from add until the consumer has it
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from _rig import DAEMON, FLOOR, Child, Sink, measured, side_by_side

CONFIG = """
[/]
uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92
Properties/Timezone = UTC
[/d]
type = _feeding_daemon.Feed
[server]
LogLevel = error
"""
REPORT = """
[report {n}]
ReportDeliveryLocation = {url}
ReportResource = /+
Format = {form}
Keep = 14d
"""
SETTLE_S = 2.0
WAITING = 10_000_000
OUTAGE = 1_000_000


@dataclass
class Table:
    """Goals and figures, printed as they come and once more at the end."""

    rows: list[str] = field(default_factory=list)

    def row(self, what: str, goal: str, figure: str, holds: bool) -> None:
        line = f"{what:52}{goal:>22}  {figure:28}{'' if holds else 'MISSED'}".rstrip()
        self.rows.append(line)
        print(line, flush=True)


@contextmanager
def floor(sink: Sink, series: int) -> Iterator[Child]:
    home = tempfile.mkdtemp(prefix="bench-")
    child = Child("-W", "ignore", str(FLOOR), "run", home, sink.url, str(series))
    try:
        yield child
    finally:
        child.end()
        shutil.rmtree(home)


@contextmanager
def smapd(
    sink: Sink, series: int, kind: str, formats: Sequence[str] = ("json",), home: str = ""
) -> Iterator[Child]:
    folder = home or tempfile.mkdtemp(prefix="bench-")
    config = Path(folder) / "bench.ini"
    reports = [REPORT.format(n=n, url=sink.url, form=form) for n, form in enumerate(formats)]
    config.write_text(CONFIG + "".join(reports))
    child = Child(str(DAEMON), str(config), folder + "/data", str(series), kind)
    try:
        yield child
    finally:
        child.end()
        if not home:
            shutil.rmtree(folder)


def in_turns(
    work: dict[str, tuple[Child, str]], rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Each in turn, so often: medians of rate, into, and CPU seconds per million of both."""
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in work}
    for turn in range(rounds + 1):  # the first is to warm up: metadata, caches, files
        for name, (child, order) in work.items():
            got = measured(child, seconds, SETTLE_S, order)
            wait_until_idle(child)
            if turn:
                out, kept = max(1, got["delivered"]), max(1, got["kept"])
                seen[name].append(
                    {
                        "rate": out / got["wall"],
                        "into": kept / got["wall"],
                        "cpu": got["cpu"] / out * 1e6,
                        "cpu_into": got["cpu"] / kept * 1e6,
                    }
                )
    return {
        name: {key: statistics.median([one[key] for one in all_]) for key in all_[0]}
        for name, all_ in seen.items()
    }


def wait_until_idle(child: Child) -> None:
    """What is still under way must not be paid for by the next one in turn."""
    before = -1
    while (now := child.ask("stats")["delivered"]) != before:
        before = now
        time.sleep(1.0)


# --- the cases


def rate(table: Table, sink: Sink, rounds: int, seconds: float) -> None:
    for series in (1_000, 20_000):
        with floor(sink, series) as bare, smapd(sink, series, "hz") as ours:
            got = side_by_side({"floor": bare, "smapd": ours}, rounds, 2 * seconds)
        a, b = got["smapd"], got["floor"]
        what = f"{series:,} series at 1 Hz, CPU s per M readings"
        table.row(what, "<= 1.5 x floor", f"{a:.2f} / {b:.2f} = {a / b:.2f} x", a <= 1.5 * b)


def full(table: Table, sink: Sink, rounds: int, seconds: float) -> None:
    away = Sink()
    with (
        floor(sink, 1_000) as bare,
        smapd(sink, 1_000, "rush") as ours,
        smapd(sink, 1_000, "rush") as blocks,
        smapd(away, 1_000, "rush") as alone,
    ):
        away.ask("down")
        got = in_turns(
            {
                "floor": (bare, "full"),
                "add": (ours, "full"),
                "add_many": (blocks, "blocks"),
                "down": (alone, "into"),
            },
            rounds,
            seconds,
        )
    away.end()
    base = got["floor"]["rate"]
    for name, key, goal, what in (
        ("add", "rate", 0.3, "full speed, add"),
        ("add_many", "rate", 0.4, "full speed, add_many, blocks of 10"),
        ("down", "into", 0.3, "into the journal, the sink down"),
    ):
        found = got[name][key]
        figure = f"{found:,.0f}/s = {found / base:.2f} x {base:,.0f}"
        table.row(what, f">= {goal} x floor", figure, found >= goal * base)


def outage(table: Table, sink: Sink, rounds: int, seconds: float) -> None:
    rates, worst = [], []
    for _ in range(rounds):
        with smapd(sink, 20_000, "both") as ours:
            sink.ask("down")
            ours.ask("into")
            while ours.ask("stats")["taken"] < OUTAGE:
                time.sleep(0.1)
            ours.ask("hz")
            time.sleep(3.0)
            idle = Getting(ours.first["url"])
            time.sleep(3.0)
            quiet = idle.end()
            before = ours.ask("stats")
            sink.ask("up")
            while ours.ask("stats")["delivered"] == before["delivered"]:
                time.sleep(0.05)  # its pause after the last failure
            began, before = time.perf_counter(), ours.ask("stats")
            getting = Getting(ours.first["url"])
            while (left := ours.ask("waiting"))["waiting"][0] > 25_000:
                time.sleep(0.05)
            now = ours.ask("stats")
            took = time.perf_counter() - began
            busy = getting.end()
        rates.append((now["delivered"] - before["delivered"]) / took)
        worst.append(busy)
        assert not left["dropped"], left
    drained, p99 = statistics.median(rates), statistics.median(worst)
    table.row(
        "1 M waiting, drained beside 20,000/s",
        ">= 5 x 20,000/s",
        f"{drained:,.0f}/s",
        drained >= 1e5,
    )
    figure = f"{p99:.0f} ms (before: {quiet:.0f})"
    table.row("GET p99 meanwhile", "<= 50 ms", figure, p99 <= 50)


class Getting:
    """One GET after the other, a hundred a second; the 99th percentile in ms at the end."""

    def __init__(self, url: str) -> None:
        self._host = url.split("/")[2]
        self._took: list[float] = []
        self._goes_on = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._host)
        while self._goes_on:
            began = time.perf_counter()
            connection.request("GET", "/data/d/hall/rack7/s7")
            connection.getresponse().read()
            self._took.append((time.perf_counter() - began) * 1000)
            time.sleep(0.01)
        connection.close()

    def end(self) -> float:
        self._goes_on = False
        self._thread.join()
        return sorted(self._took)[int(len(self._took) * 0.99)]


def more(table: Table, sink: Sink, rounds: int, seconds: float) -> None:
    with (
        smapd(sink, 20_000, "hz") as one,
        smapd(sink, 20_000, "hz") as equal,
        smapd(sink, 20_000, "hz", ("json", "json")) as two,
        smapd(sink, 20_000, "hz", ("json", "json")) as paused,
    ):
        paused.ask("pause")
        work = {"one": one, "equal": equal, "two": two, "paused": paused}
        got = side_by_side(work, rounds, 2 * seconds)
    base = got["one"]
    change = {name: 100 * (cpu / base - 1) for name, cpu in got.items()}
    figure = f"{change['two']:+.0f} %"
    table.row("a second report", "<= +35 %", figure, change["two"] <= 35)
    spread = abs(change["equal"])
    figure = f"{change['paused']:+.1f} % (two equal: {change['equal']:+.1f})"
    holds = change["paused"] <= max(2.0, spread)
    table.row("a paused report", "<= +2 % or the spread", figure, holds)


def formats(table: Table, sink: Sink, rounds: int, seconds: float) -> None:
    goals = {"gzip-json": 1.5, "avro": 2.0, "csv": 2.0, "gzip-avro": 2.5}
    with (
        smapd(sink, 20_000, "hz") as plain,
        smapd(sink, 20_000, "hz", ("gzip-json",)) as gzip,
        smapd(sink, 20_000, "hz", ("avro",)) as avro,
        smapd(sink, 20_000, "hz", ("csv",)) as csv,
        smapd(sink, 20_000, "hz", ("gzip-avro",)) as gzip_avro,
    ):
        work = {"json": plain, "gzip-json": gzip, "avro": avro, "csv": csv, "gzip-avro": gzip_avro}
        got = side_by_side(work, rounds, 2 * seconds)
    base = got["json"]
    for name, goal in goals.items():
        figure = f"{got[name]:.2f} / {base:.2f} = {got[name] / base:.2f} x"
        table.row(
            f"{name}, the whole daemon", f"<= {goal} x json", figure, got[name] <= goal * base
        )


def start(table: Table, sink: Sink, rounds: int, seconds: float) -> None:
    away = Sink()
    home = tempfile.mkdtemp(prefix="bench-")
    with smapd(away, 1_000, "rush", home=home) as ours:
        away.ask("down")
        ours.ask("into")
        while ours.ask("stats")["kept"] < WAITING:
            time.sleep(0.2)
        ours.ask("rest")
        time.sleep(1.0)
    size = sum(file.stat().st_size for file in Path(home, "data", "readings").iterdir())
    empty, loaded, memory = [], [], []
    for _ in range(rounds):
        began = time.perf_counter()
        with smapd(away, 1_000, "rush"):
            empty.append(time.perf_counter() - began)
        began = time.perf_counter()
        with smapd(away, 1_000, "rush", home=home) as ours:
            loaded.append(time.perf_counter() - began)
            waiting = ours.ask("waiting")["waiting"][0]
            time.sleep(3.0)  # it reads the first body, and tries to send it
            memory.append(ours.peak_mb())
    away.end()
    shutil.rmtree(home)
    assert waiting >= WAITING, waiting
    a, b = statistics.median(loaded), statistics.median(empty)
    figure = f"{a:.2f} s, empty {b:.2f} s"
    goal = "<= 1.5 x empty + 0.5 s"
    table.row(f"start with {waiting / 1e6:.1f} M waiting", goal, figure, a <= 1.5 * b + 0.5)
    peak = statistics.median(memory)
    figure = f"{peak:.0f} MB ({size / waiting:.0f} B a reading on disk)"
    table.row("memory after it, at most", "<= 150 MB", figure, peak <= 150)


def late(table: Table, sink: Sink, rounds: int, seconds: float) -> None:
    found = []
    with smapd(sink, 1_000, "spread") as ours:
        ours.ask("hz")
        time.sleep(4.0)
        for _ in range(rounds):
            sink.ask("look")
            time.sleep(max(10.0, seconds))
            ages = sink.ask("ages")
            found.append(ages[int(len(ages) * 0.99)])
    p99 = statistics.median(found)
    table.row("add until it arrives, p99", "<= CommitInterval + 50", f"{p99:.0f} ms", p99 <= 1050)


CASES = {one.__name__: one for one in (rate, full, outage, more, formats, start, late)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("cases", nargs="*", help=f"some of {', '.join(CASES)}; all without")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=6.0)
    given = options.parse_args()
    table, sink = Table(), Sink()
    try:
        for name in given.cases or CASES:
            CASES[name](table, sink, given.rounds, given.seconds)
    finally:
        sink.end()
    print("\n" + "\n".join(table.rows))


if __name__ == "__main__":
    main()

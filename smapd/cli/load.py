"""Loads readings of the past from the devices of a config file, by each driver's load.

Beside a running daemon they go to that one; where none runs on the config's data directory, one
runs for the time of the import, without polls. Devices are asked from this process. The time is cut
in steps; how far each driver is stands in CONFIG.progress, so after a break the same command goes
on, and a later END continues.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from smapd.errors import BadRequest, DriverFailed, SmapError
from smapd.interfaces import INode, ITreeListener
from smapd.options import duration
from smapd.values import GOOD, Batch

from . import daemon_for_import, exits
from .bar import Bar, counted
from .causes import cause_of
from .csv_times import zone
from .importer import Importer
from .known import Item
from .marks import Marks

if TYPE_CHECKING:
    from smapd.config import Plan
    from smapd.core import SmapInstance

BATCH: Final = 5_000
MOST: Final = 100_000
"""Readings that are kept before they are sent, in the midst of a step."""
STEP: Final = "1d"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``load``."""
    parser.add_argument("config", metavar="CONFIG", help="the config file of the daemon")
    parser.add_argument(
        "start", metavar="START", help="like 2026-11-01 or 2026-11-01T06:00:00Z; from then on"
    )
    parser.add_argument("end", metavar="END", help="up to then, and without it")
    parser.add_argument("section", nargs="*", metavar="SECTION", help="load these drivers alone")
    parser.add_argument("--zone", default="UTC", help="of START and END that name none; else UTC")
    parser.add_argument(
        "--step", default=STEP, metavar="TIME", help=f"asked of a driver at once, default {STEP}"
    )
    parser.add_argument("--progress", metavar="P", help="how far it is; default CONFIG.progress")
    parser.add_argument("--again", action="store_true", help="begin anew, whatever was loaded")
    daemon_for_import.arguments(parser, config=False)


def run(args: argparse.Namespace) -> int:
    """Load them; 1 if a driver failed.

    :raises ConfigError: if the file has errors.
    :raises SmapError: if nothing can be loaded, or the daemon does not take it.
    """
    start, end, step = _span(args)
    from smapd import loader

    wanted = [_path(section) for section in args.section]
    inst = loader.load(args.config, wanted)
    hosts = _hosts(inst, wanted)
    with Marks(args.progress or args.config + ".progress", anew=args.again) as marks:
        with daemon_for_import.daemon(args) as daemon:
            bar = Bar(len(hosts) * max(1, (end - start) // _MS))
            importer = daemon_for_import.importer(args, daemon, bar.say)
            load = _Load(inst, importer, marks, bar)
            try:
                for number, (path, host) in enumerate(hosts.items()):
                    load.one(path, host, start, end, step, number)
            except KeyboardInterrupt:
                bar.say("The same command goes on from here.")
                raise
            finally:
                bar.end()
        return load.told(len(hosts))


class _Collected:
    """What a driver adds while it loads. ``error``: why some of it could not be sent."""

    def __init__(self) -> None:
        self.batch: dict[str, list[Item]] = {}
        self.count = 0
        self.outside = 0
        self.span = (0, 0)
        self.error: SmapError | None = None

    def take(self) -> dict[str, list[Item]]:
        """What there is, and begin anew."""
        batch, self.batch, self.count = self.batch, {}, 0
        return batch


@implementer(ITreeListener)
class _Listener:
    """Keeps what is added, and has it sent when it is much."""

    def __init__(self, collected: _Collected, send: Callable[[], None]) -> None:
        self._collected, self._send = collected, send

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """The daemon has them too."""

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """As above."""

    def metadata_changed(self, node: INode) -> None:
        """As above."""

    def readings_added(self, batch: Batch) -> None:
        """Keep those of the time that was asked for."""
        found = self._collected
        low, high = found.span
        for stream, reading in batch:
            if not low <= reading.ms < high:
                found.outside += 1
                continue
            quality = None if reading.quality == GOOD else reading.quality
            item = Item(reading.ms, reading.value, quality, reading.seqno)
            found.batch.setdefault(stream.path, []).append(item)
            found.count += 1
        if found.count >= MOST and found.error is None:
            try:
                self._send()
            except SmapError as error:  # the tree would only log it; the step raises it
                found.error = error


class _Load:
    """One run over the drivers of a tree."""

    def __init__(self, inst: SmapInstance, importer: Importer, marks: Marks, bar: Bar) -> None:
        self._inst, self._importer, self._marks, self._bar = inst, importer, marks, bar
        self._found = _Collected()
        self._ready: dict[str, list[Item]] = {}  # of whole steps
        self._failed = 0
        last = marks.last or {}
        if last and last.get("import") != "drivers":
            raise SmapError(f"{marks.path} is of an import of another kind. Name another file.")
        self._done: dict[str, list[list[int]]] = last.get("done", {})
        inst.attach(_Listener(self._found, self._send))

    def one(
        self, path: str, host: Any, start: datetime, end: datetime, step: timedelta, number: int
    ) -> None:
        """Load one driver, from where it is."""
        width = (end - start) // _MS
        for low, high in _left(self._done.get(path, []), _ms(start), _ms(end)):
            done = low
            for first, last in _steps(low, high, step // _MS):
                try:
                    self._step(path, host, first, last)
                except DriverFailed as error:
                    self._found.take()  # the step comes again, as a whole
                    self._note(path, low, done)
                    self._bar.end()
                    sys.stderr.write(cause_of(error))
                    print(f"smapd: {error.message}", file=sys.stderr)
                    self._failed += 1
                    return
                done = last
                if sum(map(len, self._ready.values())) >= BATCH or last == high:
                    self._note(path, low, done)
                at = number * width + last - _ms(start)
                self._bar.at(at, f"{path} {_date(last)}, {self._importer.added} added")

    def told(self, drivers: int) -> int:
        """Say what was done; the exit status."""
        self._bar.end()
        added, there = self._importer.added, self._importer.there
        known = f", {there} were there" if there else ""
        print(f"{counted(drivers, 'driver')}, {counted(added, 'reading')} added{known}.")
        if self._found.outside:
            left_out = counted(self._found.outside, "reading")
            print(f"{left_out} outside of the time asked for: left out.", file=sys.stderr)
        for path, refusal in self._inst.refusals().items():
            values = counted(int(refusal["count"]), "value")
            text = f"{path}: {values} left out; the last: {refusal['last']}."
            print(text, file=sys.stderr)
        return exits.FAILED if self._failed else exits.OK

    def _step(self, path: str, host: Any, low: int, high: int) -> None:
        """Have the driver load one step; what it adds is ready to be sent."""
        self._found.span = (low, high)
        _call(path, host.driver, _at(low), _at(high))
        self._inst.drain()
        if self._found.error is not None:
            raise self._found.error
        self._gather()

    def _gather(self) -> None:
        for path, items in self._found.take().items():
            self._ready.setdefault(path, []).extend(items)

    def _send(self) -> None:
        self._gather()
        ready, self._ready = self._ready, {}
        for piece in _pieces(ready):
            self._importer.send(piece)

    def _note(self, path: str, low: int, high: int) -> None:
        """The daemon has all up to here."""
        self._send()
        if low < high:
            self._done[path] = _joined([*self._done.get(path, []), [low, high]])
            self._marks.note({"import": "drivers", "done": self._done})


def _call(path: str, driver: Any, start: datetime, end: datetime) -> None:
    """One ``load``; of an AsyncDriver on a loop of its own.

    :raises DriverFailed: with what it raised.
    """
    try:
        result = driver.load(start, end)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
    except SmapError as error:
        raise DriverFailed(path, "load", error) from error
    except (Exception, SystemExit) as error:
        raise DriverFailed(path, "load", error) from error
    if hasattr(result, "addErrback"):
        result.addErrback(lambda _: None)
        raise DriverFailed(
            path, "load", "it returned a Deferred; load may block, and is waited for"
        )


async def _awaited(result: Any) -> Any:
    return await result


def _hosts(inst: SmapInstance, wanted: Sequence[str]) -> dict[str, Any]:
    """The drivers that have something to load, by path.

    :raises SmapError: if one that is wanted has not, or could not be set up, or none has.
    """
    from smapd.driver import SmapDriver

    plan: Plan | None = inst.plan
    assert plan is not None
    hosts = getattr(plan, "hosts", {})
    found = {}
    for section in plan.sections:
        if section.kind != "driver" or (wanted and section.path not in wanted):
            continue
        host = hosts.get(section.path)
        if host is None:
            node = inst.get_collection(section.path)
            raise SmapError(node.error() if node is not None else f"[{section.path}] failed.")
        load = getattr(type(host.driver), "load", None)
        if load is None or load is SmapDriver.load:
            if wanted:
                raise SmapError(f"[{section.path}] {section.driver_name} has nothing to load.")
            continue
        found[section.path] = host
    missing = [path for path in wanted if path not in found]
    if missing:
        raise SmapError(f"[{missing[0]}] is no driver of this config.")
    if not found:
        raise SmapError(
            "no driver of this config has something to load.",
            hint="A driver that can has a method load(start, end).",
        )
    return found


def _span(args: argparse.Namespace) -> tuple[datetime, datetime, timedelta]:
    try:
        step = timedelta(seconds=duration(args.step))
        where = zone(args.zone)
    except ValueError as e:
        which = "--zone" if "zone" in str(e) else "--step"
        raise BadRequest(f"{which}: {e}") from None
    if step < timedelta(seconds=1):
        raise BadRequest(f"--step {args.step}: less than a second.")
    times = []
    for text in (args.start, args.end):
        try:
            when = datetime.fromisoformat(text)
            times.append((when if when.tzinfo else when.replace(tzinfo=where)).astimezone(UTC))
        except (ValueError, OverflowError):
            raise BadRequest(f"{text}: not a time. Write one like 2026-11-01T06:00:00Z.") from None
    if times[0] >= times[1]:
        raise BadRequest(f"{args.end} is not behind {args.start}: there is nothing to load.")
    return times[0], times[1], step


def _path(text: str) -> str:
    return "/" + "/".join(filter(None, text.strip("[]").split("/")))


def _steps(low: int, high: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut at multiples of a step, so that two runs cut alike."""
    while low < high:
        end = min(high, (low // step + 1) * step)
        yield low, end
        low = end


def _left(done: Sequence[Sequence[int]], low: int, high: int) -> Iterator[tuple[int, int]]:
    """What of this span is not done, in order."""
    for first, last in sorted((a, b) for a, b in done):
        if last <= low or first >= high:
            continue
        if first > low:
            yield low, first
        low = last
    if low < high:
        yield low, high


def _joined(spans: Sequence[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for first, last in sorted(map(tuple, spans)):
        if joined and first <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined


def _pieces(batch: dict[str, list[Item]]) -> Iterator[dict[str, list[Item]]]:
    """Batches of bounded size, in the order of time over all streams."""
    rows = sorted(
        ((item, path) for path, items in batch.items() for item in items),
        key=lambda row: row[0].ms,
    )
    for at in range(0, len(rows), BATCH):
        piece: dict[str, list[Item]] = {}
        for item, path in rows[at : at + BATCH]:
            piece.setdefault(path, []).append(item)
        yield piece


def _ms(when: datetime) -> int:
    return (when - _EPOCH) // _MS


def _at(ms: int) -> datetime:
    return _EPOCH + ms * _MS


def _date(ms: int) -> str:
    return _at(ms).isoformat(" ", "minutes")[:16]

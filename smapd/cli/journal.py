"""Looks into the readings journal of a data directory on which no daemon runs; changes nothing."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import IO, Any, Final
from uuid import UUID

from smapd.errors import BadRequest, SmapError
from smapd.values import Quality, Value

from . import exits
from .add import time_ms
from .bar import Bar, counted
from .csv_lines import cell, csv_value, seconds
from .directories import directory
from .importer import as_json
from .journal_files import Journal, Row, SegmentFile
from .known import Item
from .peer import printable
from .subcommands import subcommands

_SHOWN: Final = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``journal``."""

    def common(one: argparse.ArgumentParser) -> None:
        one.add_argument("directory", type=directory, metavar="DIR", help="the data directory")

    add = subcommands(parser, common)
    inspect = add("inspect", "what is in it: files, streams, and who waits for what")
    inspect.add_argument("--json", action="store_true", help="as JSON")
    add("verify", "read all of it, and check every record; 1 if one is not sound")
    export = add("export", "its readings: a line each, or a report's body a line")
    export.add_argument("-o", "--output", metavar="FILE", help="else to stdout")
    export.add_argument(
        "--format", choices=("csv", "json"), default="csv", help="csv: uuid,path,seconds,value"
    )
    export.add_argument(
        "--stream", action="append", metavar="S", help="a path, /path/+ or a uuid; else all"
    )
    for name, text in (("--from", "from then on"), ("--to", "up to then, and without it")):
        help_ = f"{text}; seconds since 1970, or a date and time with zone"
        export.add_argument(name, metavar="T", dest=name[2:] + "_", help=help_)


def run(args: argparse.Namespace) -> int:
    """Do it.

    :raises SmapError: if a daemon runs there, or there is no journal.
    """
    with Journal(args.directory) as journal:
        if args.what == "inspect":
            return _inspect(journal, as_json=args.json)
        if args.what == "verify":
            return _verify(journal)
        return _export(journal, args)


# --- inspect


def _inspect(journal: Journal, *, as_json: bool) -> int:
    told = _about(journal)
    if as_json:
        print(json.dumps(told, indent=2))
        return exits.OK
    print(
        f"{journal.directory}: {counted(told['readings'], 'reading')} of "
        f"{counted(len(told['streams']), 'stream')}"
    )
    print("\nsegments")
    for one in told["segments"]:
        state = one["trouble"] or ("closed" if one["closed"] else "newest")
        span = f"{_date(one['from_ms'])} to {_date(one['to_ms'])}" if one["readings"] else "empty"
        rows = f"rows {one['first']} to {one['last']}"
        print(f"  {one['file']}  {one['bytes']} bytes  {rows}  {one['readings']} readings", end="")
        print(f"  {span}  {state}")
    print("\ncursors")
    for one in told["cursors"]:
        name, at = printable(one["name"]), one["position"]
        print(f"  {name}  at row {at[0]}, reading {at[1]}  {one['waiting']} readings behind that")
    print("\nstreams")
    for one in told["streams"]:
        print(f"  {one['uuid']}  {printable(one['path'])}  {one['readings']} readings")
    if told["gaps"]:
        print("\ngaps")
        for why, count in told["gaps"].items():
            print(f"  {count} readings: {why}")
    for name in told["quarantine"]:
        print(f"\nin quarantine: {printable(name)}")
    return exits.OK


def _about(journal: Journal) -> dict[str, Any]:
    counts: dict[int, int] = {}
    gaps: dict[str, int] = {}
    waiting = dict.fromkeys(journal.cursors, 0)
    segments = []
    for one in journal.segments:
        readings, low, high = 0, 2**63, -(2**63)
        for row in one.rows():
            if row.head is None:
                continue
            readings += row.head.count
            if row.head.count:
                low, high = min(low, row.head.t_first), max(high, row.head.t_last)
            for number, _seq, n in row.head.runs():
                counts[number] = counts.get(number, 0) + n
            for gap in row.head.gaps():
                gaps[gap.why] = gaps.get(gap.why, 0) + gap.count
            for name, (at, _limits) in journal.cursors.items():
                if row.flush >= at.flush:
                    past = at.offset if row.flush == at.flush else 0
                    waiting[name] += max(0, row.head.count - past)
        segments.append(
            {
                "file": one.path.name,
                "bytes": one.size,
                "first": one.first,
                "last": one.last,
                "readings": readings,
                "from_ms": low if readings else None,
                "to_ms": high if readings else None,
                "closed": one.is_closed,
                "trouble": one.trouble,
            }
        )
    return {
        "readings": sum(counts.values()),
        "segments": segments,
        "cursors": [
            {"name": name, "position": list(at), "waiting": waiting[name]}
            for name, (at, _limits) in sorted(journal.cursors.items())
        ],
        "streams": [
            {"number": number, "uuid": uuid, "path": path, "readings": counts.get(number, 0)}
            for number, (uuid, path) in sorted(journal.streams.items(), key=lambda s: s[1][1])
        ],
        "gaps": gaps,
        "quarantine": journal.quarantine,
    }


# --- verify


def _verify(journal: Journal) -> int:
    troubles = 0
    rows = readings = 0
    bar = Bar(sum(one.size for one in journal.segments))
    behind = 0
    nexts: dict[int, int] = {}

    def tell(sentence: str) -> None:
        nonlocal troubles
        troubles += 1
        if troubles <= _SHOWN:
            bar.say(sentence)

    for before, after in pairwise(journal.segments):
        if after.first != before.last + 1:
            name = after.path.name
            tell(f"{name}: it begins with row {after.first}, and {before.last} is before it")
    for one in journal.segments:
        expected = one.first
        for row in one.rows():
            rows += 1
            for sentence in _wrong(one, row, expected, nexts):
                tell(sentence)
            expected = row.flush + 1
            readings += row.head.count if row.head is not None and row.data is not None else 0
            bar.at(behind, f"{one.path.name}, row {row.flush}")
        if one.trouble:
            tell(f"{one.path.name}: {one.trouble}")
        behind += one.size
    bar.end()
    if troubles > _SHOWN:
        print(f"and {troubles - _SHOWN} more", file=sys.stderr)
    print(f"{journal.directory}: {counted(rows, 'row')}, {counted(readings, 'reading')}, ", end="")
    if not troubles:
        print("all sound.")
        return exits.OK
    print(f"{troubles} not sound.")
    hint = "The next start of a daemon mends it: what is lost becomes a gap, and is told."
    print(hint, file=sys.stderr)
    return exits.FAILED


def _wrong(one: SegmentFile, row: Row, expected: int, nexts: dict[int, int]) -> Iterator[str]:
    """What is wrong with a row: its checksum, its number, or the numbers of its readings."""
    where = f"{one.path.name}: row {row.flush}"
    if row.flush != expected:
        yield f"{one.path.name}: row {row.flush} follows {expected - 1}"
    if row.trouble:
        yield f"{where}: {row.trouble}"
    if row.head is None:
        nexts.clear()  # what it held is not known
        return
    for gap in row.head.gaps():
        if gap.to_seq is not None:
            nexts[gap.number] = max(nexts.get(gap.number, 0), gap.to_seq + 1)
    for number, seq, count in row.head.runs():
        known = nexts.get(number)
        if known is not None and seq != known:
            yield f"{where}: stream {number} goes on with reading {seq}, and not with {known}"
        nexts[number] = seq + count


# --- export


def _export(journal: Journal, args: argparse.Namespace) -> int:
    low = -(2**63) if args.from_ is None else _time("--from", args.from_)
    high = 2**63 if args.to_ is None else _time("--to", args.to_)
    streams = journal.streams
    wanted = {number for number, named in streams.items() if _is_wanted(args.stream, *named)}
    if args.stream and not wanted:
        raise SmapError(f"there is no stream {' or '.join(args.stream)}.")
    write = _put_csv if args.format == "csv" else _put_json
    bar = Bar(sum(one.size for one in journal.segments))
    behind = count = lost = 0
    with _output(args.output) as out:
        for one in journal.segments:
            for row in one.rows():
                if row.head is None or row.data is None:
                    lost += row.head.count if row.head is not None else 0
                    continue
                if row.head.count and row.head.t_last >= low and row.head.t_first < high:
                    count += write(out, row, streams, wanted, low, high)
                bar.at(behind, f"{count} readings")
            behind += one.size
    bar.end()
    text = f"{counted(count, 'reading')} of {counted(len(wanted), 'stream')}"
    print(f"{text}; {lost} are damaged." if lost else f"{text}.", file=sys.stderr)
    return exits.FAILED if lost else exits.OK


Kept = dict[int, list[Item]]


def _items(row: Row, wanted: set[int], low: int, high: int) -> Kept:
    """The readings of a row that are asked for, by stream."""
    assert row.head is not None
    assert row.data is not None
    notes = row.data.notes()
    ms, values = row.data.ms, row.data.values
    kept: Kept = {}
    at = 0
    for number, _seq, count in row.head.runs():
        start, at = at, at + count
        if number not in wanted:
            continue
        for i in range(start, at):
            if low <= ms[i] < high:
                quality: Quality | None = notes[0][i] if notes is not None else None
                seqno = notes[1][i] if notes is not None else None
                value: Value = values[i]
                kept.setdefault(number, []).append(Item(ms[i], value, quality, seqno))
    return kept


def _put_csv(
    out: IO[str],
    row: Row,
    streams: dict[int, tuple[str, str]],
    wanted: set[int],
    low: int,
    high: int,
) -> int:
    count = 0
    for number, items in _items(row, wanted, low, high).items():
        uuid, path = streams[number]
        head = f"{uuid},{cell(path)},"
        for item in items:
            if item.value is not None:
                out.write(f"{head}{seconds(item.ms)},{csv_value(item.value)}\n")
                count += 1
    return count


def _put_json(
    out: IO[str],
    row: Row,
    streams: dict[int, tuple[str, str]],
    wanted: set[int],
    low: int,
    high: int,
) -> int:
    kept = _items(row, wanted, low, high)
    if not kept:
        return 0
    body = {streams[n][1]: {"uuid": streams[n][0], **as_json(items)} for n, items in kept.items()}
    out.write(json.dumps(body, separators=(",", ":")) + "\n")
    return sum(map(len, kept.values()))


@contextlib.contextmanager
def _output(file: str | None) -> Iterator[IO[str]]:
    if file is None:
        yield sys.stdout
        return
    try:
        with open(file, "x", encoding="utf-8", errors="replace", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
    except FileExistsError:
        raise SmapError(f"{file} is there already; name another file.") from None
    except OSError as e:
        raise SmapError(f"{file}: {e.strerror or e}.") from e


def _is_wanted(asked: list[str] | None, uuid: str, path: str) -> bool:
    if not asked:
        return True
    for one in asked:
        above = one.removesuffix("+").rstrip("/")
        if one.endswith("/+") and (path == above or path.startswith(above + "/")):
            return True
        if "/" + one.strip("/") == path or (_is_uuid(one) and UUID(one) == UUID(uuid)):
            return True
    return False


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _time(option: str, text: str) -> int:
    try:
        return time_ms(text)
    except BadRequest as e:
        raise BadRequest(e.message.replace("--time", option)) from None


def _date(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return str(ms)

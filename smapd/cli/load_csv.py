"""Loads a CSV file of readings of the past into a daemon's timeseries.

A mapping file says which columns are what; without one the file is as reports in CSV are written:
uuid,path,seconds,value. What cannot be read is kept apart, in FILE.rejects; how far it is stands in
FILE.progress, so after a break the same command goes on, and after the end it loads what was added.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from smapd.errors import SmapError

from . import daemon_for_import, exits
from .bar import Bar, counted
from .csv_mapping import REPORT, Mapping_, load_mapping
from .csv_source import Source
from .csv_values import Targets, Values
from .importer import Importer
from .known import Item
from .marks import Marks
from .peer import Peer
from .rejects import Rejects

BATCH: Final = 5_000
SKEPTICAL: Final = 1_000
"""So many bad rows before the first good one: then it is the mapping that is wrong."""
_SHOWN: Final = 5
_LOOKS_BACK: Final = timedelta(hours=6)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``load-csv``."""
    parser.add_argument("file", metavar="FILE", help="CSV, plain or gzip; - for stdin")
    parser.add_argument("--mapping", metavar="MAP", help="says which columns are what")
    parser.add_argument("--progress", metavar="P", help="how far it is; default FILE.progress")
    parser.add_argument("--rejects", metavar="R", help="rows left out; default FILE.rejects")
    parser.add_argument(
        "--growing",
        action="store_true",
        help="the file is still written: leave a last line without an end for the next time",
    )
    parser.add_argument("--again", action="store_true", help="begin anew, whatever was loaded")
    parser.add_argument("--dry-run", action="store_true", help="read it, and add nothing")
    daemon_for_import.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Load it; 1 if rows were rejected.

    :raises SmapError: if it cannot be read to its end, or the daemon does not take it.
    """
    mapping = REPORT if args.mapping is None else load_mapping(args.mapping)
    name = "stdin" if args.file == "-" else args.file
    progress, rejects = args.progress or name + ".progress", args.rejects or name + ".rejects"
    with Source(args.file, mapping, growing=args.growing) as source:
        if args.dry_run:
            with daemon_for_import.daemon(args) as daemon:
                return _dry_run(source, mapping, daemon)
        with Marks(progress, anew=args.again) as marks, daemon_for_import.daemon(args) as daemon:
            bar = Bar(source.size)
            try:
                importer = daemon_for_import.importer(args, daemon, bar.say)
                load = _Load(source, mapping, daemon, importer, marks, rejects, bar)
                load.run()
            except KeyboardInterrupt:
                bar.say("The same command goes on from here.")
                raise
            finally:
                bar.end()
        return load.told()


class _Load:
    """One run over one file."""

    def __init__(
        self,
        source: Source,
        mapping: Mapping_,
        daemon: Peer,
        importer: Importer,
        marks: Marks,
        rejects: str,
        bar: Bar,
    ) -> None:
        self._source, self._mapping, self._importer = source, mapping, importer
        self._marks, self._bar = marks, bar
        self._what = _what(mapping)
        source.begin()
        self._values = Values(mapping, source.header, Targets(daemon), source.name)
        last = marks.last or {}
        if last:
            self._go_on(last)
        self._rejects = Rejects(
            rejects, source.head, mapping.comment, int(last.get("rejects_bytes", 0))
        )
        self._rows = self._good = 0
        self._first: list[str] = []

    def run(self) -> None:
        """Load all there is."""
        batch: dict[str, list[Item]] = {}
        size = 0
        try:
            for row in self._source:
                self._rows += 1
                why = row.error
                for found in () if why else self._values.read(row.cells):
                    if isinstance(found, str):
                        why = f"{why}; {found}" if why else found
                    else:
                        target, item = found
                        batch.setdefault(target.path, []).append(item)
                        size += 1
                if why:
                    self._reject(row.line, why, row.raw)
                else:
                    self._good += 1
                if size >= BATCH or self._rows % (10 * BATCH) == 0:
                    self._send(batch)
                    batch, size = {}, 0
            self._send(batch)
        finally:
            self._rejects.close()
        if self._source.breaks_off:
            raise SmapError(
                f"{self._source.name}: {self._source.breaks_off}, behind line "
                f"{self._source.line}. What stands before that is loaded."
            )

    def told(self) -> int:
        """Say what was done; the exit status."""
        self._bar.end()
        added, there = self._importer.added, self._importer.there
        known = f", {there} were there" if there else ""
        rows = counted(self._rows, "row")
        print(f"{self._source.name}: {rows}, {counted(added, 'reading')} added{known}.")
        if not self._rejects.count:
            return exits.OK
        for sentence in self._first:
            print(sentence, file=sys.stderr)
        left_out = counted(self._rejects.count, "row")
        print(f"smapd: {left_out} left out; see {self._rejects.path}.", file=sys.stderr)
        return exits.FAILED

    def _go_on(self, last: dict[str, Any]) -> None:
        hint = f"That stands in {self._marks.path}; with --again it begins anew."
        if last.get("import") != "csv" or last.get("what") != self._what:
            raise SmapError("The mapping is not the one that the import was begun with.", hint=hint)
        there = self._source.skip_to(int(last["bytes"]), int(last["line"]), str(last["sha256"]))
        if not there:
            raise SmapError(
                f"{self._source.name} is not the file that the import was begun with.", hint=hint
            )
        self._values.remember(last.get("before", {}))

    def _reject(self, line: int, why: str, raw: bytes) -> None:
        self._rejects.add(line, why, raw)
        if len(self._first) < _SHOWN:
            self._first.append(f"{self._source.name}:{line}: {why}")
        if self._rejects.count >= SKEPTICAL and not self._good and self._marks.last is None:
            raise SmapError(
                f"none of the first {self._rejects.count} rows can be read; the first: "
                f"{self._first[0]}.",
                hint="Is the mapping right?",
            )

    def _send(self, batch: dict[str, list[Item]]) -> None:
        self._importer.send(batch)
        source = self._source
        if self._marks.last is None or source.offset != self._marks.last.get("bytes"):
            self._rejects.sync()
            self._marks.note(
                {
                    "import": "csv",
                    "what": self._what,
                    "file": source.name,
                    "line": source.line,
                    "bytes": source.offset,
                    "sha256": source.digest,
                    "rejects_bytes": self._rejects.size,
                    "before": _near_a_step(self._values.before, self._mapping.time.zone),
                }
            )
        text = f"line {source.line}, {self._importer.added} added"
        if self._rejects.count:
            text += f", {self._rejects.count} rejected"
        self._bar.at(source.read_bytes(), text)


def _dry_run(source: Source, mapping: Mapping_, daemon: Peer) -> int:
    """Read it all and say what would be added, and the first rows that are bad."""
    source.begin()
    values = Values(mapping, source.header, Targets(daemon), source.name)
    rows = good = bad = 0
    for row in source:
        rows += 1
        why = [row.error] if row.error else []
        for found in () if why else values.read(row.cells):
            if isinstance(found, str):
                why.append(found)
            else:
                good += 1
        if why:
            bad += 1
            if bad <= _SHOWN:
                print(f"{source.name}:{row.line}: {'; '.join(why)}", file=sys.stderr)
    print(
        f"{source.name}: {counted(rows, 'row')}, {counted(good, 'reading')}, "
        f"{counted(bad, 'row')} with something wrong."
    )
    return exits.FAILED if bad or source.breaks_off else exits.OK


def _what(mapping: Mapping_) -> str:
    """The mapping in short: what it says, not how it is written."""
    shown = repr(mapping).replace(repr(mapping.missing), repr(sorted(mapping.missing)))
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def _near_a_step(before: dict[str, int], zone: tzinfo | None) -> dict[str, int]:
    """Those times of last rows that say how to read the next one: where the clock steps back."""
    if zone is None:
        return {}
    return {key: ms for key, ms in before.items() if _is_near(ms, zone)}


def _is_near(ms: int, zone: tzinfo) -> bool:
    try:
        when = datetime.fromtimestamp(ms / 1000, zone)
        return (when - _LOOKS_BACK).utcoffset() != (when + _LOOKS_BACK).utcoffset()
    except (OverflowError, ValueError, OSError):
        return False

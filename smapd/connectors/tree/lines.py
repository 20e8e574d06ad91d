"""Notifications as JSON: what a remote peer is told, one object each.

``{"path", "uuid", "Readings": [[ms, value], …]}``
    readings of one stream, oldest first; with a number of the driver's own ``[ms, value, seqno]``
``"NonFinite": [[i, "NaN"], …]``
    beside it: reading i is not null, but "NaN", "Infinity" or "-Infinity"
``"First": seq``
    with ``Sequence = yes``: the number of the first one; each after it counts one more
``"Quality": [[level, reason], …]``
    with ``Quality = yes``: one a reading; level is "good", "uncertain" or "bad"
``"Gaps": [{"From": [seq, ms], "To": [seq, ms], "Count": n, "Why": word}, …]``
    with ``Gaps = yes``: what is missing, in a notification of its own with empty Readings
``{"asset", "offset", "name", "version", "source", "time", "systime", "data"}``
    one event; times in ms

A bad reading has no value: it is null with Sequence or Quality, and else left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import orjson

from smapd.values import GOOD, Gap, Json, Level, OneEach, Run

MOST_READINGS: Final = 1_000
"""Readings that one notification holds; servers bound the size of a message."""

MOST_TEXT: Final = 256 * 1024
"""Letters that the texts in one notification may have, unless a single one has more."""

_LABELS: Final = {level: level.label for level in Level}


def lines_of(
    runs: Sequence[Run], *, sequence: bool = False, quality: bool = False
) -> Iterator[bytes]:
    """The notifications of these runs: of each stream in its order, one if it may hold all."""
    if isinstance(runs, OneEach) and not sequence and not quality:
        lines = _each(runs)
        if lines is not None:
            yield from lines
            return
    for run in _joined(runs, dense=sequence):
        for part in _parts(run):
            line = _line(part, sequence, quality)
            if line is not None:
                yield line


def gap_lines(gaps: Sequence[Gap]) -> Iterator[bytes]:
    """The notifications of gaps, one a stream."""
    by_stream: dict[tuple[str, str], list[Json]] = {}
    for gap in gaps:
        told = {
            "From": [gap.from_seq, gap.from_ms],
            "To": [gap.to_seq, gap.to_ms],
            "Count": gap.count,
            "Why": gap.why,
        }
        by_stream.setdefault((gap.path, str(gap.stream)), []).append(told)
    for (path, uuid), told_of in by_stream.items():
        yield encode({"path": path, "uuid": uuid, "Readings": [], "Gaps": told_of})


def event_line(asset: str, event: Mapping[str, Json]) -> bytes:
    """The notification of an event as ``ITwin.events`` gives it."""
    return encode({"asset": asset, **event})


def encode(value: Json) -> bytes:
    """JSON on one line; half a character becomes a question mark, what is not finite null."""
    try:
        return orjson.dumps(value)
    except TypeError:  # a whole number beyond 64 bits, half a character, a key that is no text
        return json.dumps(_plain(value), allow_nan=False, separators=(",", ":")).encode("ascii")


def _each(each: OneEach) -> list[bytes] | None:
    """Column by column; None if one of the values is no finite number."""
    try:
        values = orjson.dumps(each.values)
        paths = orjson.dumps(each.paths)[2:-2].decode()
        streams = orjson.dumps(each.streams)[2:-2].decode()
    except TypeError:
        return None
    if b'"' in values or b"null" in values:
        return None
    # A quote inside a path stands behind a backslash, so three characters part two paths.
    columns = paths.split('","'), streams.split('","'), each.ms, values[1:-1].decode().split(",")
    return [
        f'{{"path":"{path}","uuid":"{stream}","Readings":[[{ms},{value}]]}}'.encode()
        for path, stream, ms, value in zip(*columns, strict=True)
    ]


def _joined(runs: Sequence[Run], *, dense: bool) -> Iterator[Run]:
    """Runs of one stream as one; ``dense``: only as far as their numbers go on."""
    by_stream: dict[tuple[int, str], list[Run]] = {}
    for run in runs:
        by_stream.setdefault((run.number, run.path), []).append(run)
    for of_stream in by_stream.values():
        same: list[Run] = []
        for run in of_stream:
            if dense and same and run.first_seq != same[-1].first_seq + len(same[-1].ms):
                yield _one(same)
                same = []
            same.append(run)
        yield _one(same)


def _one(runs: list[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]
    quality = seqnos = None
    if any(run.quality is not None for run in runs):
        quality = [one for run in runs for one in run.quality or [None] * len(run.ms)]
    if any(run.seqnos is not None for run in runs):
        seqnos = [one for run in runs for one in run.seqnos or [None] * len(run.ms)]
    return runs[0]._replace(
        ms=[ms for run in runs for ms in run.ms],
        values=[value for run in runs for value in run.values],
        quality=quality,
        seqnos=seqnos,
    )


def _parts(run: Run) -> Iterator[Run]:
    """A run in pieces that a notification may hold."""
    count = len(run.ms)
    most = MOST_READINGS
    if any(isinstance(value, str) for value in run.values):
        longest = max(len(value) for value in run.values if isinstance(value, str))
        most = max(1, min(most, MOST_TEXT // max(longest, 1)))
    if count <= most:
        yield run
        return
    for i in range(0, count, most):
        j = min(i + most, count)
        yield run._replace(
            first_seq=run.first_seq + i,
            ms=run.ms[i:j],
            values=run.values[i:j],
            quality=None if run.quality is None else run.quality[i:j],
            seqnos=None if run.seqnos is None else run.seqnos[i:j],
        )


def _line(run: Run, sequence: bool, quality: bool) -> bytes | None:
    readings: list[list[Json]] = []
    unsaid: list[list[Json]] = []
    told: list[list[Json]] = []
    for i, (ms, value) in enumerate(zip(run.ms, run.values, strict=True)):
        if value is None and not (sequence or quality):
            continue
        if value.__class__ is float and value - value != 0.0:
            unsaid.append([len(readings), _word(value)])
            value = None
        seqno = run.seqnos[i] if run.seqnos is not None else None
        readings.append([ms, value, seqno] if seqno else [ms, value])
        if quality:
            level, reason = (run.quality[i] if run.quality is not None else None) or GOOD
            told.append([_LABELS[level], reason])
    if not readings:
        return None
    line: dict[str, Json] = {"path": run.path, "uuid": str(run.stream), "Readings": readings}
    if unsaid:
        line["NonFinite"] = unsaid
    if sequence:
        line["First"] = run.first_seq
    if quality:
        line["Quality"] = told
    return encode(line)


def _word(value: float) -> str:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _plain(value: Json) -> Json:
    """What the slow encoder takes."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, int | float):
        return value
    return str(value)

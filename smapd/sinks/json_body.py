"""A report as JSON, the way sMAP has it: ``{path: object}``.

A collection is ``{"Contents": [name, …], "Metadata": {…}}``. A stream is ``{"uuid": text,
"Readings": [[ms, value], …]}``, with Properties, Metadata, Description and Actuator where it goes
out whole; a reading with a number of the driver's own is ``[ms, value, seqno]``. Beside Readings,
where there is something to say:

``"NonFinite": [[i, "NaN"], …]``
    reading i is not null, but "NaN", "Infinity" or "-Infinity", which JSON cannot hold.
``"First": seq``
    with ``Sequence = yes``: the seq of the first reading; each one after it counts one more. A
    bad reading then stands in its place, as ``[ms, null]`` without an entry in NonFinite.
``"Jumps": [[i, seq], …]``
    with ``Sequence = yes``: from reading i on, count from this seq.
``"Quality": [[level, reason, seq], …]``
    with quality: one a reading; level is "good", "uncertain" or "bad".
``"Gaps": [{"From": [seq, ms], "To": [seq, ms], "Count": n, "Why": word}, …]``
    with ``Gaps = yes``: what is missing. A seq that is not known is null, Count then 0 or exact.

A bad reading has no value: without First and Quality it is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from smapd.values import GOOD, Gap, Json, Level, OneByPath, OneEach, ReportBody, Run

_LABELS: Final = {level: level.label for level in Level}


def encode_json(body: ReportBody) -> bytes:
    """The body as UTF-8 text. Raises nothing for what readings and metadata may hold."""
    if body.sequence or body.quality or body.gaps:
        return _encode_told(body)
    if isinstance(body.runs, OneByPath) and not body.nodes:
        text = _encode_each(body.runs.each)
        if text is not None:
            return text
    answer: dict[str, Json] = {}
    for path, runs in body.runs.items():
        stream, _, _, ms, values, quality, seqnos, _ = runs[0]
        if len(runs) > 1 or quality is not None or seqnos is not None:
            shown = _stream(runs, body)
            if shown["Readings"] or path in body.nodes:
                answer[path] = shown
        elif len(ms) == 1:  # most reports: a quarter cheaper than by zip
            answer[path] = {"uuid": stream, "Readings": [(ms[0], values[0])]}
        else:
            answer[path] = {"uuid": stream, "Readings": list(zip(ms, values, strict=True))}
    _put_nodes(answer, body)
    try:
        text = orjson.dumps(answer)
    except TypeError:
        return _encode_told(body)
    # orjson writes NaN as null. To search the text costs a hundredth of looking at each value.
    return _encode_told(body) if b"null" in text else text


def _encode_each(each: OneEach) -> bytes | None:
    """One reading each, column by column; None if one is no finite number.

    The same bytes as by way of an object each, and nothing on the way that a garbage collector
    would look at.
    """
    try:
        values = orjson.dumps(each.values)
        paths = orjson.dumps(each.paths)[2:-2].decode()
        streams = orjson.dumps(each.streams)[2:-2].decode()
    except TypeError:  # half a character, a whole number beyond 64 bits
        return None
    if b'"' in values or b"null" in values:
        return None
    # A quote inside a path stands behind a backslash, so three characters part two paths.
    columns = paths.split('","'), streams.split('","'), each.ms, values[1:-1].decode().split(",")
    nodes = [
        f'{path}":{{"uuid":"{stream}","Readings":[[{ms},{value}]]}}'
        for path, stream, ms, value in zip(*columns, strict=True)
    ]
    return ('{"' + ',"'.join(nodes) + "}").encode()


def _encode_told(body: ReportBody) -> bytes:
    """With everything that stands beside Readings."""
    gaps: dict[str, list[Gap]] = {}
    for gap in body.gaps:
        gaps.setdefault(gap.path, []).append(gap)
    answer: dict[str, Json] = {}
    for path, runs in body.runs.items():
        shown = _stream(runs, body)
        if shown["Readings"] or path in body.nodes or path in gaps:
            answer[path] = shown
    _put_nodes(answer, body)
    for path, missing in gaps.items():
        shown = answer.setdefault(path, {"uuid": missing[0].stream, "Readings": []})
        shown["Gaps"] = [_gap(gap) for gap in missing]
    try:
        return orjson.dumps(answer)
    except TypeError:  # a whole number beyond 64 bits, half a character, a key that is no text
        return json.dumps(_plain(answer), allow_nan=False, separators=(",", ":")).encode("ascii")


def _put_nodes(answer: dict[str, Json], body: ReportBody) -> None:
    for path, node in body.nodes.items():
        if node.uuid is None:
            answer[path] = dict(node.fields)
        else:
            readings = answer.get(path) or {"uuid": node.uuid, "Readings": []}
            answer[path] = {**node.fields, **readings}


def _stream(runs: Sequence[Run], body: ReportBody) -> dict[str, Json]:
    keep_bad = body.sequence or body.quality
    readings: list[list[Json]] = []
    unsaid: list[list[Json]] = []
    told: list[list[Json]] = []
    jumps: list[list[int]] = []
    expected = runs[0].first_seq
    for run in runs:
        if run.first_seq != expected:
            jumps.append([len(readings), run.first_seq])
        expected = run.first_seq + len(run.ms)
        for i, (ms, value) in enumerate(zip(run.ms, run.values, strict=True)):
            if value is None and not keep_bad:
                continue
            if value.__class__ is float and value - value != 0.0:
                unsaid.append([len(readings), _word(value)])
                value = None
            seqno = run.seqnos[i] if run.seqnos is not None else None
            readings.append([ms, value, seqno] if seqno else [ms, value])
            if body.quality:
                level, reason = (run.quality[i] if run.quality is not None else None) or GOOD
                told.append([_LABELS[level], reason, run.first_seq + i])
    answer: dict[str, Json] = {"uuid": runs[0].stream, "Readings": readings}
    if unsaid:
        answer["NonFinite"] = unsaid
    if body.sequence and readings:
        answer["First"] = runs[0].first_seq
        if jumps:
            answer["Jumps"] = jumps
    if body.quality:
        answer["Quality"] = told
    return answer


def _gap(gap: Gap) -> dict[str, Json]:
    return {
        "From": [gap.from_seq, gap.from_ms],
        "To": [gap.to_seq, gap.to_ms],
        "Count": gap.count,
        "Why": gap.why,
    }


def _word(value: float) -> str:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _plain(value: Json) -> Json:
    """What the slow encoder takes: keys of text, nothing that JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # half a character has no UTF-8
    if value is None or isinstance(value, int | float):
        return value
    return str(value)

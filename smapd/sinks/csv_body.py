"""A report as CSV: a line ``uuid,path,seconds,value`` for each reading, and a newline after each.

Seconds since 1970 are whole numbers, with three decimals only where there are milliseconds. Texts
are quoted where they hold a comma, a quote or a line end. Not finite: nan, inf, -inf; true and
false are 1 and 0. Bad readings and what goes out whole have no place in it.
"""

from __future__ import annotations

import orjson

from smapd.values import OneByPath, OneEach, ReportBody, Run, Value

_TO_QUOTE = frozenset(',"\r\n')


def encode_csv(body: ReportBody) -> bytes:
    """The lines as UTF-8, a stream's in order; empty without readings."""
    if not body.runs:
        return b""
    if isinstance(body.runs, OneByPath):
        return _encode_each(body.runs.each)
    # All uuids at once: to write one by itself costs as much as the rest of its line.
    uuids = orjson.dumps([runs[0].stream for runs in body.runs.values()])[2:-2].decode()
    lines: list[str] = []
    for uuid, (path, runs) in zip(uuids.split('","'), body.runs.items(), strict=True):
        head = f"{uuid},{_quoted(path)},"
        for run in runs:
            _put_lines(lines, head, run)
    return "".join(lines).encode("utf-8", "replace")


def _encode_each(each: OneEach) -> bytes:
    """One reading each, column by column."""
    paths = each.paths
    if not _TO_QUOTE.isdisjoint("".join(paths)):
        paths = [_quoted(path) for path in paths]
    uuids = orjson.dumps(each.streams)[2:-2].decode().split('","')
    columns = uuids, paths, _times(each.ms), _numbers(each.values)
    lines = [
        f"{uuid},{path},{seconds},{value}\n"
        for uuid, path, seconds, value in zip(*columns, strict=True)
    ]
    return "".join(lines).encode("utf-8", "replace")


def _put_lines(lines: list[str], head: str, run: Run) -> None:
    if len(run.ms) == 1 or run.quality is not None:
        for ms, value in zip(run.ms, run.values, strict=True):
            if value is not None:
                lines.append(f"{head}{_seconds(ms)},{_text(value)}\n")
        return
    lines += [
        f"{head}{seconds},{text}\n"
        for seconds, text in zip(_times(run.ms), _numbers(run.values), strict=True)
    ]


def _times(column: list[int]) -> list[str]:
    """The times as text, cut where the thousandths begin rather than reckoned."""
    if min(column) < 1000:
        return [_seconds(ms) for ms in column]
    return [
        f"{text[:-3]}.{text[-3:]}" if text[-3:] != "000" else text[:-3] for text in map(str, column)
    ]


def _numbers(values: list[Value]) -> list[str]:
    """The values as text, where all are finite numbers at a fifth of what repr costs."""
    try:
        text = orjson.dumps(values)
    except TypeError:  # a text with half a character
        return [_text(value) for value in values]
    if b'"' in text or b"null" in text or b"e" in text:
        # texts, what is not finite, true and false, and exponents
        return [_text(value) for value in values]
    return text[1:-1].decode().split(",")


def _seconds(ms: int) -> str:
    whole, rest = divmod(ms, 1000)
    if not rest:
        return str(whole)
    if whole < 0:  # counted down from zero, as the sign is written
        whole, rest = divmod(-ms, 1000)
        return f"-{whole}.{rest:03}"
    return f"{whole}.{rest:03}"


def _text(value: Value) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    if _TO_QUOTE.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'

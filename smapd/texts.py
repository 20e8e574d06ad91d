"""Texts for people: what was found, what was meant; and files that are no devices."""

from __future__ import annotations

import difflib
import errno
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_SHOWN = 60


def edit_distance(a: str, b: str, limit: int = 2) -> int:
    """How many letters to insert, drop, change or swap to get from a to b; limit + 1 if more."""
    if abs(len(a) - len(b)) > limit or max(len(a), len(b)) > 128:
        return limit + 1 if a != b else 0
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return min(last[-1], limit + 1)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant, else None."""
    folded = {k.lower(): k for k in known}
    low = name.lower()[:128]
    if low in folded:
        return folded[low]
    limit = 1 if len(low) < 4 else 2
    ranked = sorted((edit_distance(low, k, limit), k) for k in folded)
    if ranked and ranked[0][0] <= limit:
        return folded[ranked[0][1]]
    close = difflib.get_close_matches(low, folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def read_regular(file: str | Path, most: int) -> bytes:
    """What a file holds, or its first ``most`` + 1 bytes if it is larger; blocks on its disk alone.

    :raises IsADirectoryError: if it is a directory.
    :raises OSError: if it cannot be read, or is a pipe, a device or a socket: reading one may wait
        for ever, and no signal would end that.
    """

    def opened(name: str, flags: int) -> int:
        # looked at first, for opening alone starts some devices; and again, as it may be another
        _refuse_irregular(os.stat(name).st_mode, name)
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)

    with open(file, "rb", opener=opened) as f:
        _refuse_irregular(os.fstat(f.fileno()).st_mode, str(file))
        return f.read(most + 1)


def show(found: Any) -> str:
    """What was found, as one short printable line."""
    if isinstance(found, Mapping):
        return "[[…]]"
    text = found if isinstance(found, str) else ", ".join(map(str, found))
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _refuse_irregular(mode: int, name: str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", name)

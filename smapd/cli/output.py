"""The standard output of a command: what keeps it from being written is one sentence, no traceback.

Python tells a full disk as an OSError like any other, and only once its buffer is flushed; that it
was closed before we started, not at all.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class OutputLost(Exception):
    """What a command prints cannot be written; the text says why. End it."""


@contextmanager
def checked_output() -> Iterator[None]:
    """Meanwhile, printing raises OutputLost, or BrokenPipeError where the reader went away.

    All that was printed is out when it ends, or one of them is raised. Something else than the
    process's own output in ``sys.stdout`` is left alone.
    """
    _fill_gaps()
    before = sys.stdout
    if before is not sys.__stdout__:
        yield
        sys.stdout.flush()
        return
    out = _Missing() if before is None else _Out(before.fileno(), "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(out),
        encoding=getattr(before, "encoding", "utf-8"),
        errors="backslashreplace" if getattr(before, "errors", "") == "strict" else None,
        line_buffering=getattr(before, "line_buffering", False),
    )
    ours = sys.stdout
    try:
        yield
        ours.flush()
    finally:
        if sys.stdout is ours:
            sys.stdout = before
        with suppress(OutputLost, BrokenPipeError):
            ours.flush()
        out.given_up = True  # what still waits in its buffer is tried once more when it goes


def say(line: str) -> None:
    """Print a line on stderr; nothing if there is none, or it takes no more."""
    if sys.stderr is not None:  # else print() would take stdout
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


class _Out(io.FileIO):
    """A file whose errors are told apart from those of all other files."""

    given_up = False

    def write(self, data: ReadableBuffer, /) -> int:
        if self.given_up:
            return len(memoryview(data))
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as e:
            raise OutputLost(e.strerror or str(e)) from None


class _Missing(io.RawIOBase):
    """Stands for an output that was closed before we were started."""

    given_up = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        if self.given_up:
            return len(memoryview(data))
        raise OutputLost("it is closed")


def _fill_gaps() -> None:
    """Open what is closed of 0, 1 and 2: else the next file opened would be one of these."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free

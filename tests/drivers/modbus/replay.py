"""A device that is a text: a ``Link`` which checks what is sent and answers what was recorded.

A line is ``> HEX``, what must be sent; ``< HEX``, what comes then, or unasked; or a word:
``connects`` and ``refuses`` for an attempt to connect, ``silent`` for a wait that ends without a
byte, ``hangs up``. ``---`` stands between two polls, # begins a comment.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable
from pathlib import Path

WORDS = ("connects", "refuses", "silent", "hangs up")


def polls(text: str) -> list[list[str]]:
    """The lines of each poll, without comments."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line == "---":
            found.append([])
        elif line:
            assert line in WORDS or line[:2] in ("> ", "< "), line
            found[-1].append(line)
    return found


def map_file(rows: str) -> tempfile.TemporaryDirectory[str]:
    """A new directory with a map m.csv of these rows: path, table, address, type, unit."""
    folder = tempfile.TemporaryDirectory(prefix="smapd-test-")
    Path(folder.name, "m.csv").write_text("path,table,address,type,unit\n" + rows)
    return folder


class ReplayLink:
    """Plays lines; whatever does not fit them is an AssertionError, which no driver catches."""

    def __init__(self, lines: Iterable[str] = (), name: str = "device:502") -> None:
        self.name = name
        self.is_open = False
        self.lines = deque(lines)
        self.closed = 0
        self.stopped = False
        self.waited: list[float] = []
        """The timeouts of waits before anything was sent: the pauses."""

    def play(self, lines: Iterable[str]) -> None:
        """What comes next; what came before must be used up."""
        assert not self.lines, f"never happened: {list(self.lines)}"
        self.lines.extend(lines)

    def open(self, timeout_s: float) -> None:
        assert not self.is_open
        if self._take("refuses"):
            raise ConnectionRefusedError(111, "Connection refused")
        assert self._take("connects"), f"a connection, but next is {self._next()}"
        self.is_open = True

    def send(self, data: bytes, timeout_s: float) -> None:
        assert self.is_open
        line = self._next()
        assert line.startswith("> "), f"sent {data.hex(' ')}, but next is {line}"
        assert data == bytes.fromhex(line[2:]), f"sent {data.hex(' ')}, not {line}"
        self.lines.popleft()

    def receive(self, timeout_s: float) -> bytes:
        assert self.is_open
        if self._take("hangs up"):
            raise ConnectionResetError("the device closed the connection")
        if self._next().startswith("< "):
            return bytes.fromhex(self.lines.popleft()[2:])
        if timeout_s > 0 and self._take("silent"):
            raise TimeoutError
        self.waited.append(timeout_s)
        assert self._next() in ("", "silent") or self._next().startswith("> "), self._next()
        raise TimeoutError

    def close(self) -> None:
        self.closed += self.is_open
        self.is_open = False

    def stop(self) -> None:
        self.stopped = True

    def _next(self) -> str:
        return self.lines[0] if self.lines else ""

    def _take(self, line: str) -> bool:
        if self._next() != line:
            return False
        self.lines.popleft()
        return True

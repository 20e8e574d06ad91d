"""How far a long command is: one line on stderr that is written over, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TextIO

from smapd.values import wall_ms

_WIDTH: Final = 30
_EVERY_MS: Final = 200
_CLEAR: Final = "\r\x1b[K"


class Bar:
    """A progress bar. ``total``: what ``at`` counts up to; None: not known, and no bar is drawn."""

    def __init__(
        self,
        total: int | None,
        out: TextIO | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._total, self._out, self._now_ms = total, out or sys.stderr, now_ms
        self._shows = self._out.isatty()
        self._drawn_ms = 0
        self._is_drawn = False

    def at(self, done: int, text: str) -> None:
        """So much is done; drawn at most five times a second."""
        if not self._shows:
            return
        now_ms = self._now_ms()
        if 0 <= now_ms - self._drawn_ms < _EVERY_MS:
            return
        self._drawn_ms, self._is_drawn = now_ms, True
        self._out.write(_CLEAR + self._line(done, text))
        self._out.flush()

    def say(self, sentence: str) -> None:
        """A line that stays, above the bar."""
        self.end()
        self._out.write(sentence + "\n")
        self._out.flush()

    def end(self) -> None:
        """Take the bar away."""
        if self._is_drawn:
            self._out.write(_CLEAR)
            self._out.flush()
        self._is_drawn, self._drawn_ms = False, 0

    def _line(self, done: int, text: str) -> str:
        if not self._total:
            return text
        part = min(1.0, max(0.0, done / self._total))
        filled = int(part * _WIDTH)
        return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {part:4.0%} {text}"


def counted(count: int, what: str) -> str:
    """A number of things: 1 row, 2 rows."""
    return f"{count} {what}{'s' * (count != 1)}"

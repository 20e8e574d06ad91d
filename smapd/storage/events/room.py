"""Whether the disk has room for events: asked once a second, and sooner if they pour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FULL_SHARE: Final = 4
"""The disk is looked at anew when a quarter of what may still be written was written."""


class Room:
    """``free_bytes``: what may still be written there. ``least``: so much is to stay free."""

    def __init__(self, free_bytes: Callable[[], int], least: int) -> None:
        self._free_bytes, self._least = free_bytes, least
        self._free = self._at_ms = 0  # free bytes of the disk, and when they were looked at
        self._written = 0  # what had been written then

    def is_enough(self, written_bytes: int, now_ms: int) -> bool:
        """Whether events may be taken. ``written_bytes``: of the log until now."""
        written, spare = written_bytes - self._written, self._free - self._least
        if not 0 <= now_ms - self._at_ms < 1000 or FULL_SHARE * written > spare:
            self._free = self._free_bytes()
            self._at_ms, self._written = now_ms, written_bytes
        if self._free < self._least:
            self._at_ms = 0  # ask again at the next one
            return False
        return True

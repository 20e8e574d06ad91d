"""Closed segments that are open for reading: few at once, the one longest not asked for goes first.

All on the disk's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from .segment_db import SegmentDb

S = TypeVar("S", bound=SegmentDb)


class Readers(Generic[S]):
    """``connect``: opens one; what it raises comes through. ``most``: so many are open at once."""

    def __init__(self, connect: Callable[[Path], S], most: int) -> None:
        self._connect, self._most = connect, most
        self._open: dict[Path, S] = {}  # by when they were asked for

    def get(self, path: Path) -> S:
        """That one, opened if it is not."""
        reader = self._open.pop(path, None)
        if reader is None:
            while len(self._open) >= self._most:
                self._open.pop(next(iter(self._open))).close()
            reader = self._connect(path)
        self._open[path] = reader
        return reader

    def forget(self, path: Path) -> None:
        """Close that one, if it is open: its file goes."""
        reader = self._open.pop(path, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Close all."""
        for reader in self._open.values():
            reader.close()
        self._open.clear()

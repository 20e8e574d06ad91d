"""What to say where a file of ours cannot be opened: what SQLite says of a full disk varies."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from smapd.errors import DataDirUnusable

from .datadir import FULL_HINT
from .recovery import is_disk

_ROOM: Final = 256 * 1024


def cannot_open(what: Path | str, directory: Path, error: BaseException) -> DataDirUnusable:
    """The error to raise: ``what`` in ``directory`` cannot be opened; any thread."""
    if is_disk(error) and is_full(directory):
        return DataDirUnusable(f"{what} cannot be opened: the disk is full.", hint=FULL_HINT)
    return DataDirUnusable(f"{what} cannot be opened: {error}.")


def is_full(directory: Path) -> bool:
    with contextlib.suppress(OSError):
        found = os.statvfs(directory)
        return bool(found.f_bavail * found.f_frsize < _ROOM)
    return False

"""``HIGHEST``: how far the event log goes, beside its segments.

SQLite drops the end of a damaged log in silence, and a file may be lost. So how many commits and
events there were is written down once a minute, and at the stop: a log that ends before that is
told, and no offset is used twice.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..rows import Damaged, pack_small, small
from ..segment_db import sync_file

FILE: Final = "HIGHEST"
_MAGIC: Final = b"SMEH"


def read(directory: Path) -> tuple[int, int]:
    """(commits, events) as they were last written down; zeros if that is missing or damaged."""
    try:
        commits, events = small(_MAGIC, (directory / FILE).read_bytes())
    except (Damaged, OSError):
        return 0, 0
    return commits, events


def write(directory: Path, commits: int, events: int) -> None:
    """Write that down, durably.

    :raises OSError: if the disk does not take it.
    """
    new = directory / (FILE + ".new")
    new.write_bytes(pack_small(_MAGIC, [commits, events]))
    sync_file(new)
    os.replace(new, directory / FILE)
    sync_file(directory)

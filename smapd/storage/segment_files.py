"""The files of a log of segments: which there are, and how a damaged one is set aside.

``kind``: readings or events; its file in quarantine begins so.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .segments import NAME, sync_file


def files(directory: Path, quarantine: Path, kind: str = "readings") -> list[Path]:
    """The segments of a log, oldest first; what an interrupted step left is cleared away."""
    found: dict[int, list[tuple[int, Path]]] = {}
    for path in directory.iterdir():
        if ".db.new" in path.name:
            with contextlib.suppress(OSError):
                os.unlink(path)
        elif (match := NAME.fullmatch(path.name)) is not None:
            found.setdefault(int(match[1]), []).append((int(match[2] or 0), path))
    chosen = []
    for _number, versions in sorted(found.items()):
        versions.sort()
        for _mend, old in versions[:-1]:  # its mended copy was complete
            set_aside(old, quarantine, kind)
        chosen.append(versions[-1][1])
    return chosen


def set_aside(path: Path, quarantine: Path, kind: str = "readings") -> None:
    """Move a segment and its log to quarantine, under a name of its kind that is free."""
    quarantine.mkdir(mode=0o700, exist_ok=True)
    taken = 0
    while (target := quarantine / f"{kind}-{path.stem}-{taken}.db").exists():
        taken += 1
    # The log first: alone it means nothing, and without it the file is what it was at checkpoint.
    for tail in ("-wal", ""):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{tail}", f"{target}{tail}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    sync_file(quarantine)
    sync_file(path.parent)

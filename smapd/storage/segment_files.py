"""The files of a log of segments: names, sizes, and which there are."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .quarantine import set_aside
from .segments import NAME


def mended_name(path: Path) -> Path:
    """What the file is called that takes the place of this one once it is mended."""
    match = NAME.fullmatch(path.name)
    assert match is not None
    return path.with_name(f"{match[1]}-{int(match[2] or 0) + 1}.db")


def size_of(path: Path) -> int:
    """Bytes of a file; 0 without one."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def free_space(path: Path) -> int:
    """Bytes that we may still write there."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def files(directory: Path, quarantine: Path, kind: str = "readings") -> list[Path]:
    """The segments of a log, oldest first; what an interrupted step left is cleared away.

    ``kind``: readings or events; what goes to quarantine begins so.
    """
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
            set_aside(old, quarantine, f"{kind}-{old.stem}")
        chosen.append(versions[-1][1])
    return chosen

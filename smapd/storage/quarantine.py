"""How much lies in ``quarantine/``: what was found damaged, and is never deleted by us."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from smapd.values import Json


@dataclass(frozen=True, slots=True)
class Quarantined:
    """``size_bytes``: of all files together."""

    files: int
    size_bytes: int

    def status(self) -> dict[str, Json]:
        """What ``/status`` shows."""
        return {"files": self.files, "bytes": self.size_bytes}


def quarantined_in(quarantine: Path) -> Quarantined:
    """What lies there; nothing, where there is no such directory. Does I/O: on a disk's thread.

    :raises OSError: if it cannot be read.
    """
    files = size = 0
    try:
        with os.scandir(quarantine) as found:
            for one in found:
                try:
                    status = one.stat(follow_symlinks=False)
                except FileNotFoundError:  # somebody took it away meanwhile
                    continue
                files, size = files + 1, size + status.st_size
    except FileNotFoundError:
        return Quarantined(0, 0)
    return Quarantined(files, size)

"""``quarantine/``: what was found damaged is set aside there, and kept within a bound.

One set is a file with its log, or a blob::

    readings-0007-0.db   readings-0007-0.db-wal   events-0012-1-0.db   control-0.db   desired-0.db
    blob-SHA256

Nothing but people looks into it, so the oldest may go. What has another name is not ours: it
neither counts nor goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from smapd.values import Json

from .segment_db import sync_file

_OURS: Final = re.compile(
    r"((?:(?:readings|events)-\d{4,}(?:-\d+)?-\d+|(?:control|desired)-\d+)\.db)"
    r"(-wal|-shm|-journal)?|(blob-[0-9a-f]{64})"
)
_NAMED: Final = 5
_MIB: Final = 2**20


def set_aside(path: Path, quarantine: Path, name: str) -> Path:
    """Move a database and its log to quarantine, as ``NAME-N.db`` with the first N that is free.

    Where it is now.

    :raises OSError: if it cannot be moved.
    """
    quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken = 0
    while (target := quarantine / f"{name}-{taken}.db").exists():
        taken += 1
    # The log first: alone it means nothing, and without it the file is what it was at checkpoint.
    for tail in ("-wal", ""):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{tail}", f"{target}{tail}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    sync_file(quarantine)
    sync_file(path.parent)
    return target


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What one look found. ``size_bytes``: of all files together, others' too.

    ``gone``, ``gone_bytes``: sets that went for the bound since the start. ``note``: what to say of
    this look in the log; "" for nothing.
    """

    files: int
    size_bytes: int
    gone: int = 0
    gone_bytes: int = 0
    note: str = ""

    def status(self) -> dict[str, Json]:
        """What ``/status`` shows."""
        return {
            "files": self.files,
            "bytes": self.size_bytes,
            "gone": self.gone,
            "gone_bytes": self.gone_bytes,
        }


@dataclass(slots=True)
class _Set:
    """``seen``: the look that found it first."""

    name: str
    seen: int
    changed_ns: int
    files: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def age(self) -> tuple[int, int, str]:
        """Oldest first. A rename sets the time of change, but the wall clock may have been wrong:
        what came while we looked is newer than what was there before."""
        return self.seen, self.changed_ns, self.name


class Quarantine:
    """The directory, looked at now and then. ``most_bytes``: of all sets together.

    Every method does I/O: on a disk's thread, one at a time.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self.directory, self.most_bytes = directory, most_bytes
        self.gone = self.gone_bytes = 0
        self._looks = 0
        self._seen: dict[str, tuple[int, int]] = {}  # changed_ns, the look that found it first
        self._error = ""

    def look(self) -> Quarantined:
        """What lies there; the oldest sets go while there is more than ``most_bytes``.

        A set goes at the second look that finds it, or at the first of a process: who has just set
        a file aside may still take out of it what is sound.

        :raises OSError: if the directory cannot be read.
        """
        files, size, sets = self._list()
        held = left = sum(one.size for one in sets)
        gone: list[_Set] = []
        error = ""
        for one in sorted(sets, key=lambda one: one.age):
            if left <= self.most_bytes:
                break
            if one.seen == self._looks and self._looks:
                continue
            why = self._remove(one)
            if why:
                error = error or why
                continue
            gone.append(one)
            left -= one.size
        went = {one.name for one in gone}
        self._seen = {one.name: (one.changed_ns, one.seen) for one in sets if one.name not in went}
        self._looks += 1
        self.gone += len(gone)
        self.gone_bytes += held - left
        note = self._say(held, gone, error)
        self._error = error
        files, size = files - sum(len(one.files) for one in gone), size - (held - left)
        return Quarantined(files, size, self.gone, self.gone_bytes, note)

    def _list(self) -> tuple[int, int, list[_Set]]:
        """(files, bytes) of all there, and the sets among them."""
        files = size = 0
        sets: dict[str, _Set] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.directory) as found:
            for entry in found:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # somebody took it away meanwhile
                    continue
                files, size = files + 1, size + status.st_size
                match = _OURS.fullmatch(entry.name)
                if match is None or not stat.S_ISREG(status.st_mode):
                    continue
                name = match[1] or match[3]
                one = sets.setdefault(name, _Set(name, self._looks, status.st_ctime_ns))
                one.files.append(entry.name)
                one.size += status.st_size
                one.changed_ns = min(one.changed_ns, status.st_ctime_ns)
        for one in sets.values():
            changed_ns, seen = self._seen.get(one.name, (0, 0))
            if changed_ns == one.changed_ns:  # not another one that took its name
                one.seen = seen
        return files, size, list(sets.values())

    def _remove(self, one: _Set) -> str:
        """Let it go; why it did not, "" if it did."""
        try:
            # The file last: until then its name is taken, and no other gets this one's log.
            for name in sorted(one.files, reverse=True):
                (self.directory / name).unlink(missing_ok=True)
        except OSError as error:
            return f"{error.filename or one.name}: {error.strerror or error}"
        return ""

    def _say(self, held: int, gone: list[_Set], error: str) -> str:
        said = []
        if gone:
            names = ", ".join(one.name for one in gone[:_NAMED]) + ", …" * (len(gone) > _NAMED)
            mib = sum(one.size for one in gone) / _MIB
            said.append(f"the oldest went, {mib:.1f} MiB in {len(gone)}: {names}")
        if error and error != self._error:
            said.append(f"what should go stays: {error}")
        if not said:
            return ""
        return (
            f"{self.directory} held {held / _MIB:.1f} MiB, and QuarantineBytes is "
            f"{self.most_bytes / _MIB:.1f} MiB: {'; '.join(said)}"
        )

"""Files by the sha256 of their bytes: ``blobs/ab/abcdef…``, whole before they have their name.

What is read is checked against its name. A file that does not pass is set aside, and is then
missing: whoever has it may send it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from smapd.errors import BadRequest, NoSuchBlob

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NEW: Final = ".new-"


def is_sha256(text: object) -> bool:
    """Whether this is the name of a blob: 64 hexadecimal digits in lower case."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


class Blobs:
    """The blobs below ``directory``. Every method does I/O: on a disk's thread, one at a time.

    They raise OSError if the disk is full or fails.
    """

    def __init__(self, directory: Path, quarantine: Path) -> None:
        self.directory, self.quarantine = directory, quarantine
        self.damaged = 0
        """How many did not pass their checksum since the start."""

    def open(self) -> None:
        """Make the directory, and clear away what a crash left half written."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in self.directory.glob(f"??/{_NEW}*"):
            file.unlink(missing_ok=True)

    def put(self, sha256: str, data: bytes) -> bool:
        """Keep these bytes; durable when it returns. Whether they were new.

        :raises BadRequest: if that is no sha256, or not theirs.
        """
        path = self._path(sha256)
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise BadRequest(
                f"The bytes have the sha256 {found}, not {sha256}.",
                hint="Was the body cut short, or changed on its way?",
            )
        if self._is_sound(path, sha256):
            return False
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self.directory)
        write_whole(path, data)
        return True

    def get(self, sha256: str) -> bytes:
        """The bytes of that name.

        :raises BadRequest: if that is no sha256.
        :raises NoSuchBlob: if there is none, or it is damaged.
        """
        path = self._path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise NoSuchBlob(f"There is no blob {sha256}.") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            self._set_aside(path)
            raise NoSuchBlob(f"The blob {sha256} was damaged; it is set aside.")
        return data

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of these that are not here, in their order."""
        return [name for name in dict.fromkeys(names) if not self._path(name).is_file()]

    def sweep(self, kept: Collection[str], before_s: float) -> int:
        """Remove what is not in ``kept`` and was written before that time; how many that were."""
        gone = 0
        for path in list(self._all()):
            if path.name in kept:
                continue
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before_s:
                    path.unlink()
                    gone += 1
        return gone

    def _all(self) -> Iterator[Path]:
        for folder in self.directory.glob("??"):
            for path in folder.iterdir():
                if is_sha256(path.name):
                    yield path

    def _path(self, sha256: str) -> Path:
        if not is_sha256(sha256):
            raise BadRequest(
                f"{str(sha256)[:80]!r} is no name of a blob.",
                hint="It is the sha256 of its bytes: 64 hexadecimal digits in lower case.",
            )
        return self.directory / sha256[:2] / sha256

    def _is_sound(self, path: Path, sha256: str) -> bool:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        except FileNotFoundError:
            return False

    def _set_aside(self, path: Path) -> None:
        self.damaged += 1
        self.quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(path, self.quarantine / f"blob-{path.name}")


def write_whole(path: Path, data: bytes) -> None:
    """Have ``path`` hold exactly this, or what it held before; durable when it returns."""
    new = path.with_name(f"{_NEW}{path.name}")
    try:
        with open(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
        ) as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Have the disk hold the names in this directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

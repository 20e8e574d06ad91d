"""The files of versions: ``blobs/versions/N`` with header and resources, ``deployed`` beside them.

A file is "SMDV", the size of what follows, its crc32, and that: zlib of the JSON
``{"header", "resources"}``. It never changes. ``deployed`` names the newest deploy.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from smapd.storage.rows import Damaged, unpack_small
from smapd.values import Json

from .blobs import write_whole
from .tables import MAGIC, packed

_HEAD: Final = struct.Struct("<4sQI")
_MAGIC: Final = b"SMDV"


class VersionFiles:
    """The files in one directory. Every method does I/O; what is written is durable then."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def file(self, n: int) -> Path:
        """Where version ``n`` stands."""
        return self.directory / f"{n:08d}"

    def write(self, n: int, header: Mapping[str, Json], resources: Sequence[Json]) -> None:
        """Keep a version."""
        body = zlib.compress(orjson.dumps({"header": header, "resources": resources}), 1)
        write_whole(self.file(n), _HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body)

    def read(self, file: Path) -> tuple[Json, list[Json]]:
        """Header and resources.

        :raises Damaged: if the file does not pass its checksum.
        :raises OSError: if it cannot be read.
        """
        data = file.read_bytes()
        if len(data) >= _HEAD.size:
            magic, size, crc = _HEAD.unpack_from(data)
            body = data[_HEAD.size :]
            if magic == _MAGIC and len(body) == size and zlib.crc32(body) == crc:
                found = orjson.loads(zlib.decompress(body))
                return found["header"], found["resources"]
        raise Damaged(f"{file} does not pass its checksum")

    def drop(self, n: int) -> None:
        """Forget a version."""
        self.file(n).unlink(missing_ok=True)

    def all(self) -> Iterator[tuple[int, Path]]:
        """Each version that has a file, damaged or not, with its number; oldest first."""
        for file in sorted(self.directory.iterdir()):
            if file.name.isdigit():
                yield int(file.name), file

    def mark_deployed(self, d: int, version: int) -> None:
        """Name the newest deploy."""
        write_whole(self.directory / "deployed", packed("m", d, version))

    def deployed(self) -> tuple[int, int] | None:
        """The newest deploy and its version; None if that is not known."""
        try:
            _, d, version = unpack_small(MAGIC, (self.directory / "deployed").read_bytes())
        except (FileNotFoundError, Damaged):
            return None
        return d, version

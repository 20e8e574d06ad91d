"""Rows that could not be read, kept apart: each as it stood, below a comment that says why.

So the file can be mended and loaded by the same mapping. It begins with the header of the original.
"""

from __future__ import annotations

import os
from typing import Final

from smapd.errors import SmapError


class Rejects:
    """One file of rejects; it is made with the first of them.

    ``comment``: what begins a line that ``load-csv`` passes over; without one, none is written.
    """

    def __init__(self, path: str, header: bytes, comment: str, size: int = 0) -> None:
        """``size``: what an earlier run had noted; what it wrote after that comes again."""
        self.path: Final = path
        self.count = 0
        self._header, self._comment = header, comment.encode()
        self._size = size
        self._file: int | None = None
        if size:
            self._open()

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._size

    def add(self, line: int, why: str, raw: bytes) -> None:
        """Keep one row. :raises SmapError: if it cannot be written."""
        self.count += 1
        if self._file is None:
            self._open()
        text = b"" if self._size else self._header
        if self._comment:
            text += b"%b line %d: %b\n" % (self._comment, line, _one_line(why).encode())
        text += raw if raw.endswith(b"\n") else raw + b"\n"
        assert self._file is not None
        try:
            while text:
                written = os.write(self._file, text)
                self._size += written
                text = text[written:]
        except OSError as e:
            raise SmapError(f"rejects file {self.path}: {e.strerror or e}.") from e

    def sync(self) -> None:
        """Have the disk hold it. :raises SmapError: if that fails."""
        if self._file is not None:
            try:
                os.fdatasync(self._file)
            except OSError as e:
                raise SmapError(f"rejects file {self.path}: {e.strerror or e}.") from e

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._size = min(self._size, os.fstat(self._file).st_size)
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
        except OSError as e:
            raise SmapError(
                f"rejects file {self.path}: {e.strerror or e}.", hint="Name another with --rejects."
            ) from None


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

"""How far an import is, in a file that outlives the process.

A line of JSON is added, and synced, after each batch that the daemon has taken; the last whole
line counts. So a kill at any moment leaves at most one batch in doubt, and what became of that the
daemon is asked. The file is locked while it is written: two imports of one file would get in each
other's way.
"""

from __future__ import annotations

import fcntl
import json
import os
from types import TracebackType
from typing import Any, Final, Self

from smapd.errors import SmapError

_MOST_BYTES: Final = 256 * 2**20


class Marks:
    """One progress file, open and locked; ``last``: what was noted last, None at the beginning."""

    def __init__(self, path: str, *, anew: bool = False) -> None:
        """``anew``: forget what it says.

        :raises SmapError: if another import has it, or it cannot be written, or is something else.
        """
        self.path: Final = path
        self.last: dict[str, Any] | None = None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as e:
            raise SmapError(
                f"progress file {path}: {e.strerror or e}.", hint="Name another with --progress."
            ) from None
        try:
            self._lock()
            if anew:
                os.ftruncate(self._file, 0)
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    def note(self, mark: dict[str, Any]) -> None:
        """Everything up to here is done; durable when it returns.

        :raises SmapError: if it cannot be written.
        """
        line = json.dumps(mark, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._file, line)
            if written == len(line):
                os.fdatasync(self._file)
        except OSError as e:
            raise SmapError(f"progress file {self.path}: {e.strerror or e}.") from e
        if written != len(line):
            raise SmapError(f"progress file {self.path}: the disk is full.")
        self.last = mark

    def close(self) -> None:
        """Let go of it; the file stays."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SmapError(
                f"{self.path} is in use: another import of the same is under way."
            ) from None
        except OSError:
            pass  # NFS cannot; then nobody is kept out

    def _read(self) -> None:
        """Find the last line; what a crash left behind it is cut off."""
        size = os.fstat(self._file).st_size
        if size > _MOST_BYTES:
            raise self._foreign()
        data = os.pread(self._file, size, 0)
        whole = data.rfind(b"\n") + 1
        if whole:
            try:
                found = json.loads(data[data.rfind(b"\n", 0, whole - 1) + 1 : whole])
            except ValueError:
                found = None
            if not isinstance(found, dict) or "import" not in found:
                raise self._foreign()
            self.last = found
        elif data and not data.startswith(b"{"):
            raise self._foreign()
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)

    def _foreign(self) -> SmapError:
        return SmapError(
            f"{self.path} is no progress file of an import.", hint="Name another with --progress."
        )

"""``daemon.json`` in the data directory: how the commands find the daemon that runs on it.

::

    {"pid": 4711, "url": "http://127.0.0.1:8080", "version": "0.1.0"}

The daemon keeps the file open under an flock of its own. A file that anybody can lock was left by a
daemon that is gone. (LOCK is not used for that: a look at it could refuse a start.)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from smapd.errors import NotRunning

DAEMON_FILE: Final = "daemon.json"
_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon.

    ``url``: its first listener, without a slash at the end; "" without one, and while it starts.
    """

    pid: int
    url: str
    version: str


class DaemonFile:
    """The open and locked ``daemon.json`` of this process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def write(cls, directory: Path, daemon: Daemon) -> DaemonFile:
        """Write it, in place of one that may be there.

        :raises OSError: if it cannot be written.
        """
        path, new = directory / DAEMON_FILE, directory / (DAEMON_FILE + ".new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Locked before it gets its name, so that nobody sees it without.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, json.dumps(asdict(daemon)).encode() + b"\n")
            os.rename(new, path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def release(self) -> None:
        """Let go of the lock; the file stays, for one that has replaced it."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Remove the file and let go of the lock. Never raises.

        Not where another has its name now: the directory may have been moved away meanwhile.
        """
        with contextlib.suppress(OSError):
            if is_still(self._path, self._descriptor):
                os.unlink(self._path)
        self.release()


def is_still(path: Path, descriptor: int) -> bool:
    """Whether the file of that name is the one that is open."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _at_once(path: str, flags: int) -> int:
    """What is no file, a named pipe for one, has nothing to read and must not be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_daemon(directory: str | os.PathLike[str]) -> Daemon:
    """The daemon that runs on this data directory; any thread.

    :raises NotRunning: if none does, or the directory cannot be read.
    """
    path = Path(directory) / DAEMON_FILE
    try:
        with open(path, "rb", opener=_at_once) as f:
            try:
                fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found = json.loads(f.read(_MOST_BYTES))
                return Daemon(int(found["pid"]), str(found["url"]), str(found["version"]))
    except PermissionError:
        raise NotRunning(
            f"{path} cannot be read by this user.",
            hint="Run this as the user that smapd runs as, or name the daemon with --url.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise NotRunning(f"no daemon runs on the data directory {directory}.")

"""The data directory: whose it is, which format it has, and that one daemon alone writes it.

::

    .             flock while a daemon runs, where the file system can lock directories
    LOCK          flock while a daemon runs; holds its pid, which is for people only
    VERSION       "smapd data N": the format of the directory as a whole
    daemon.json   where the running daemon answers (daemon.py)

The flock decides, never the content of LOCK: the kernel frees it when the process ends, however it
ends. The one on the directory itself holds even where somebody removed LOCK to get a start through.
VERSION keeps an older smapd off newer data. Without it the names in the directory decide whether it
is one of ours, so that a file lost by a file system check does not stop a plant.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from pathlib import Path
from typing import Final

from smapd import __version__
from smapd.errors import DataDirInUse, DataDirUnusable, SmapError

from .daemon import DAEMON_FILE, Daemon, DaemonFile

FORMAT: Final = 1
"""The newest format of a data directory that this smapd reads, and the one it writes."""

LOCK_FILE: Final = "LOCK"
VERSION_FILE: Final = "VERSION"

_VERSION = re.compile(rb"smapd data (\d{1,9})\s*")
_OURS = re.compile(
    r"(LOCK|VERSION|daemon\.json|(history|control)\.db(-wal|-shm|-journal)?|control\.copy"
    r"|readings|events|audit|log|blobs|backups|quarantine)(\.new)?"
)
_IGNORED = frozenset({"lost+found", ".snapshot"})  # what a fresh mount may hold


class DataDir:
    """One daemon's directory. ``open`` takes it, ``close`` gives it back.

    Does file I/O in the calling thread, a few milliseconds; call it before the reactor runs or on a
    disk thread. ``path`` is absolute. May be opened again after ``close``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path).absolute()
        self._lock: int | None = None
        self._directory: int | None = None
        self._daemon: DaemonFile | None = None

    def __repr__(self) -> str:
        return f"<DataDir {self.path}{'' if self.is_open else ' closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether this process holds the directory."""
        return self._lock is not None

    def open(self) -> None:
        """Take the directory: make it (mode 0700) if it is missing, lock it, check its format.

        Opening what is open does nothing.

        :raises DataDirInUse: naming the pid of the daemon that has it.
        :raises DataDirUnusable: if it cannot be made or written, holds other people's files, or was
            written by a newer smapd.
        """
        if self._lock is not None:
            return
        try:
            made = self._make()
            # A directory that holds other things gets no file of ours, not even LOCK.
            version = self._read_version()
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._lock_directory(self._directory)
            self._lock = self._take_lock()
            if version is None:
                if not made:
                    with contextlib.suppress(PermissionError):  # writable, but somebody else's
                        os.chmod(self.path, 0o700)
                self._write_version()
            # A lock that was there already does not say that anything can be written here.
            self.write_daemon(Daemon(os.getpid(), "", __version__))
        except OSError as e:
            self.close()
            raise self._unusable(_reason(e)) from e
        except SmapError:
            self.close()
            raise

    def close(self) -> None:
        """Give the directory back; nothing of ours may write there after it. Never raises."""
        if self._daemon is not None:
            self._daemon.remove()
            self._daemon = None
        if self._lock is not None:
            lock, self._lock = self._lock, None
            with contextlib.suppress(OSError):  # the disk may be full or gone; the lock ends anyway
                os.ftruncate(lock, 0)
            os.close(lock)
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    def write_daemon(self, daemon: Daemon) -> None:
        """Say in ``daemon.json`` where this daemon answers; ``open`` says that it does not yet.

        The file is removed by ``close``.

        :raises DataDirUnusable: if it cannot be written. The daemon runs well without it.
        """
        if self._lock is None:
            raise SmapError(f"{self.path} is not open, so no daemon can be named in it.")
        try:
            written = DaemonFile.write(self.path, daemon)
        except OSError as e:
            raise self._unusable(f"{DAEMON_FILE}: {_reason(e)}") from e
        if self._daemon is not None:
            self._daemon.release()
        self._daemon = written

    # --- steps of open

    def _make(self) -> bool:
        """Make the directory; True if it was not there."""
        try:
            os.makedirs(self.path, 0o700)
        except FileExistsError:
            if not self.path.is_dir():
                raise self._unusable("it is not a directory") from None
            return False
        return True

    def _read_version(self) -> int | None:
        """The format it has, None if it has none yet but may get one."""
        found = b""
        with contextlib.suppress(FileNotFoundError):
            with open(self.path / VERSION_FILE, "rb") as f:
                found = f.read(64)
        match = _VERSION.fullmatch(found)
        if match is None:
            foreign = sorted(
                name
                for name in os.listdir(self.path)
                if name not in _IGNORED and not _OURS.fullmatch(name)
            )
            if foreign:
                raise self._unusable(f"it holds other files ({foreign[0]}) and no VERSION of ours")
            return None
        version = int(match[1])
        if version > FORMAT:
            raise DataDirUnusable(
                f"data directory {self.path}: it has format {version}, and this smapd knows "
                f"{FORMAT}; it was written by a newer one.",
                hint="Run that newer smapd, or name another directory with --data-dir.",
            )
        return version

    def _lock_directory(self, directory: int) -> None:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use() from None
        except OSError:
            pass  # NFS cannot; LOCK does without it

    def _take_lock(self) -> int:
        """The descriptor that holds the flock; children of this process do not inherit it."""
        path = self.path / LOCK_FILE
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(lock).st_mode):
                    raise self._unusable(f"{LOCK_FILE} is not a file")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as e:
                    if e.errno in (errno.EWOULDBLOCK, errno.EACCES):
                        raise self._in_use() from None
                    raise
                if _is_still(path, lock):
                    os.ftruncate(lock, 0)
                    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)  # somebody replaced the file between open and flock: take the new one

    def _in_use(self) -> DataDirInUse:
        text = b""
        with contextlib.suppress(OSError):
            with open(self.path / LOCK_FILE, "rb") as f:
                text = f.read(32).strip()
        who = f"the smapd with pid {int(text)}" if text.isdigit() else "another smapd"
        return DataDirInUse(f"data directory {self.path} is in use by {who}.")

    def _write_version(self) -> None:
        new = self.path / (VERSION_FILE + ".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(new, flags, 0o600), "wb") as f:
            f.write(b"smapd data %d\n" % FORMAT)
            f.flush()
            os.fsync(f.fileno())
        os.rename(new, self.path / VERSION_FILE)
        assert self._directory is not None
        os.fsync(self._directory)

    def _unusable(self, why: str) -> DataDirUnusable:
        return DataDirUnusable(f"data directory {self.path}: {why}.")


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the file of that name is the one that is open."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _reason(e: OSError) -> str:
    """The operator's words for it, beginning in lower case as it stands after a colon."""
    if e.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
        return "its file system has no locks"
    text = (e.strerror or str(e)).rstrip(".")
    return text[:1].lower() + text[1:]

"""The data directory: whose it is, which format it has, and that one daemon alone writes it.

::

    .             flock while a daemon runs, where the file system can lock directories
    LOCK          flock while a daemon runs; holds its pid, which is for people only
    VERSION       "smapd data N": the format of the directory as a whole
    daemon.json   where the running daemon answers (daemon.py)

The flock decides, never the content of LOCK: the kernel frees it when the process ends, however it
ends. The one on the directory itself holds even where somebody removed LOCK to get a start through.
VERSION keeps an older smapd off newer data. Without it the names in the directory decide whether it
is one of ours, so that a file lost by a file system check does not stop a plant. One that is there
and says something else is somebody else's, or damaged: a damaged one is written again only where
the files beside it show their format, or where a single bit is wrong.
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

from .daemon import DAEMON_FILE, Daemon, DaemonFile, is_still

FORMAT: Final = 1
"""The newest format of a data directory that this smapd reads, and the one it writes.

The one after 1 is 2: a number that one flipped bit makes of an older one (3, 5, 9) is never used.
"""

FULL_HINT: Final = "Make room there, or name a directory on another disk with --data-dir."

LOCK_FILE: Final = "LOCK"
VERSION_FILE: Final = "VERSION"

_CONTENT: Final = b"smapd data %d\n"
_VERSION = re.compile(rb"smapd data (\d{1,9})\s*")
_OURS = re.compile(
    r"(LOCK|VERSION|daemon\.json|(history|control|desired)\.db(-wal|-shm|-journal)?"
    r"|control\.(copy|changes)|readings|events|audit|log|blobs|backups|quarantine)(\.new)?"
)
_DEFINITIONS = re.compile(r"control\.(db|db-wal|copy)")
_SEGMENT = re.compile(rb"SMJ([1-9])")
_SEGMENT_AT: Final = 68  # SQLite's application id, as a segment of the readings has it
_TABLE: Final = b"CREATE TABLE def(kind TEXT, key TEXT"
_MOST_LOOKED_AT: Final = 64 * 1024
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
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
        self._identity: tuple[int, int] | None = None
        self.notes: list[str] = []
        """Sentences for the log about what ``open`` mended."""

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
        :raises DataDirUnusable: if it cannot be made or written, holds other people's files, was
            written by a newer smapd, or has a damaged VERSION and no files that show the format.
        """
        if self._lock is not None:
            return
        self.notes = []
        try:
            made = self._make()
            # A directory that holds other things gets no file of ours, not even LOCK.
            version = self._read_version()
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._lock_directory(self._directory)
            self._lock = self._take_lock()
            opened = os.fstat(self._directory)
            self._identity = (opened.st_dev, opened.st_ino)
            if version is None:
                if not made and not self.notes:
                    with contextlib.suppress(PermissionError):  # writable, but somebody else's
                        os.chmod(self.path, 0o700)
                self._write_version()
            # A lock that was there already does not say that anything can be written here.
            self.write_daemon(Daemon(os.getpid(), "", __version__))
        except OSError as e:
            self.close()
            raise self._unusable(_reason(e), e) from e
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

    def lost(self) -> str:
        """Why its path is no longer the directory that is locked, in a sentence; "" while it is.

        Does file I/O; any thread. What was written since it was lost is gone with the process.
        """
        identity = self._identity
        if self._lock is None or identity is None:
            return ""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return f"data directory {self.path} was removed or moved away while smapd runs on it."
        except OSError as e:
            return f"data directory {self.path} cannot be reached: {_reason(e)}."
        if (there.st_dev, there.st_ino) != identity:
            return f"data directory {self.path} was replaced by another while smapd runs on it."
        return ""

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
            raise self._unusable(f"{DAEMON_FILE}: {_reason(e)}", e) from e
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
        """The format it has, None if VERSION is to be written; ``notes`` says if it had one."""
        found = self._read(VERSION_FILE, 64)
        match = None if _is_one_bit_off(found) else _VERSION.fullmatch(found or b"")
        if match is None:
            foreign = sorted(
                name
                for name in os.listdir(self.path)
                if name not in _IGNORED and not _OURS.fullmatch(name)
            )
            if foreign:
                raise self._unusable(f"it holds other files ({foreign[0]}) and no VERSION of ours")
            self._mend_version(found)
            return None
        version = int(match[1])
        if version > FORMAT:
            raise self._too_new(version)
        return version

    def _mend_version(self, found: bytes | None) -> None:
        """Whether VERSION may be written where it is missing (None) or says something else."""
        if found is not None and not _is_damage(found):
            text = found.decode("ascii").strip()
            raise self._unusable(f"its {VERSION_FILE} says {text!r}, which is not of an smapd")
        shown = self._shown_format()
        if shown is not None and shown > FORMAT:
            raise self._too_new(shown)
        what = "was missing" if found is None else "was damaged"
        if shown is not None:
            self.notes.append(
                f"data directory {self.path}: {VERSION_FILE} {what} and is written again; the "
                f"files beside it have format {shown}."
            )
        elif _is_one_bit_off(found):
            self.notes.append(
                f"data directory {self.path}: {VERSION_FILE} {what}, by one bit, and is written "
                "again."
            )
        elif found is not None:
            raise DataDirUnusable(
                f"data directory {self.path}: its {VERSION_FILE} {what}, and no file in it shows "
                "which format it has.",
                hint=f"If it holds nothing of worth, remove {VERSION_FILE}; else restore the "
                "directory from a backup, or name another with --data-dir.",
            )

    def _shown_format(self) -> int | None:
        """The newest format that a file of ours shows by itself; None if none shows any."""
        shown = []
        for name in os.listdir(self.path):
            if name == "readings" and (self.path / name).is_dir():
                for segment in os.listdir(self.path / name):
                    if segment.endswith(".db"):
                        head = self._read(f"{name}/{segment}", _SEGMENT_AT + 4) or b""
                        match = _SEGMENT.fullmatch(head[_SEGMENT_AT:])
                        shown += [int(match[1])] if match else []
            elif _DEFINITIONS.fullmatch(name):
                shown += [1] if _TABLE in (self._read(name, _MOST_LOOKED_AT) or b"") else []
        return max(shown, default=None)

    def _read(self, name: str, most: int) -> bytes | None:
        """The begin of a file in it; None without one. What is no file is refused, not waited for.

        :raises OSError: if it cannot be read.
        """
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path / name, flags)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as f:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._unusable(f"{name} is not a file")
            return f.read(most)

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
                if is_still(path, lock):
                    os.ftruncate(lock, 0)
                    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)  # somebody replaced the file between open and flock: take the new one

    def _in_use(self) -> DataDirInUse:
        text = b""
        with contextlib.suppress(OSError, DataDirUnusable):
            text = (self._read(LOCK_FILE, 32) or b"").strip()
        who = f"the smapd with pid {int(text)}" if text.isdigit() else "another smapd"
        return DataDirInUse(f"data directory {self.path} is in use by {who}.")

    def _write_version(self) -> None:
        new = self.path / (VERSION_FILE + ".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(new, flags, 0o600), "wb") as f:
            f.write(_CONTENT % FORMAT)
            f.flush()
            os.fsync(f.fileno())
        os.rename(new, self.path / VERSION_FILE)
        assert self._directory is not None
        os.fsync(self._directory)

    def _too_new(self, version: int) -> DataDirUnusable:
        return DataDirUnusable(
            f"data directory {self.path}: it has format {version}, and this smapd knows "
            f"{FORMAT}; it was written by a newer one.",
            hint="Run that newer smapd, or name another directory with --data-dir.",
        )

    def _unusable(self, why: str, error: OSError | None = None) -> DataDirUnusable:
        hint = FULL_HINT if error is not None and error.errno in _FULL else ""
        return DataDirUnusable(f"data directory {self.path}: {why}.", hint=hint)


def _is_one_bit_off(found: bytes | None) -> bool:
    """Whether a flipped bit alone makes it differ from what is written here."""
    ours = _CONTENT % FORMAT
    if found is None or len(found) != len(ours):
        return False
    return sum((a ^ b).bit_count() for a, b in zip(found, ours, strict=True)) == 1


def _is_damage(found: bytes) -> bool:
    """Whether this was ours once: what others write in such a file is a line of plain text."""
    text = found.strip()
    if not text or text.startswith(b"smapd") or _is_one_bit_off(found):
        return True
    return not text.isascii() or not _is_plain(text)


def _is_plain(text: bytes) -> bool:
    return all(32 <= c < 127 or c in b"\t\r\n" for c in text)


def _reason(e: OSError) -> str:
    """The operator's words for it, beginning in lower case as it stands after a colon."""
    if e.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
        return "its file system has no locks"
    text = (e.strerror or str(e)).rstrip(".")
    return text[:1].lower() + text[1:]

"""Regular files, looked at and changed in one piece; nothing here follows a symbolic link.

A file is written beside its place, synced, and renamed: whoever reads it sees the old one or the
new one, also after a power cut. All of it blocks.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from smapd.values import wall_ms

from .notdone import NotDone

_CHUNK: Final = 1024 * 1024
_NEW: Final = ".smapd-new-"
_STALE_MS: Final = 3_600_000
"""A half-written file of that age belongs to nobody any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file as it is. ``mode``: the permission bits."""

    uid: int
    gid: int
    mode: int
    size: int
    modified_ms: int


def look(path: str) -> Found | None:
    """What is there; None for nothing.

    :raises NotDone: if it is no regular file, or cannot be looked at.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failed(path, "cannot be looked at", error) from error
    _check_regular(path, found)
    return Found(
        found.st_uid,
        found.st_gid,
        stat.S_IMODE(found.st_mode),
        found.st_size,
        found.st_mtime_ns // 1_000_000,
    )


def digests(path: str, *names: str) -> list[str]:
    """The hashes of its bytes, by these algorithms, in hexadecimal digits.

    :raises NotDone: if it cannot be read.
    """
    hashes = [hashlib.new(name, usedforsecurity=False) for name in names]
    # a pipe that has taken the file's place meanwhile must not hold us up
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(path, flags), "rb", buffering=0) as file:
            _check_regular(path, os.fstat(file.fileno()))
            while chunk := file.read(_CHUNK):
                for one in hashes:
                    one.update(chunk)
    except OSError as error:
        raise failed(path, "cannot be read", error) from error
    return [one.hexdigest() for one in hashes]


def write(path: str, data: bytes, mode: int, uid: int, gid: int) -> None:
    """Put a file with these bytes there, in place of what is; durable when it returns.

    ``uid`` and ``gid``: -1 for those of this process.

    :raises NotDone: if that fails; what was there is there still.
    """
    directory, name = os.path.split(path)
    mark = f"{_NEW}{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}-"
    new = os.path.join(directory, f"{mark}{secrets.token_hex(8)}")
    try:
        _clear_away(directory, mark)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(new, flags, 0o600)
        try:
            with open(fd, "wb", buffering=0) as file:
                _write_all(fd, data)
                made = os.fstat(fd)
                if (uid not in (-1, made.st_uid)) or (gid not in (-1, made.st_gid)):
                    os.fchown(fd, uid, gid)
                os.fchmod(fd, mode)  # behind fchown, which takes the set-id bits away
                os.fsync(file.fileno())
            os.rename(new, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        _sync(directory)
    except OSError as error:
        raise failed(path, "cannot be written", error) from error


def mend(path: str, mode: int | None, uid: int, gid: int) -> None:
    """Set the mode of a file, None for as it is, and whose it is, -1 for as it is.

    :raises NotDone: if that fails.
    """
    try:
        with _held(path) as (fd, found):
            # the descriptor's own name: it cannot come to mean another file
            where = f"/proc/self/fd/{fd}"
            if (uid not in (-1, found.st_uid)) or (gid not in (-1, found.st_gid)):
                os.chown(where, uid, gid)
                if mode is None:
                    mode = stat.S_IMODE(found.st_mode)  # what chown has taken away
            if mode is not None:
                os.chmod(where, mode)
    except OSError as error:
        raise failed(path, "cannot be changed", error) from error


def remove(path: str) -> None:
    """Take a file away; durable when it returns.

    :raises NotDone: if that fails.
    """
    try:
        os.unlink(path)
        _sync(os.path.dirname(path))
    except OSError as error:
        raise failed(path, "cannot be removed", error) from error


def user_id(name: str) -> int:
    """The number of a user; a number stands for itself.

    :raises NotDone: if there is no such user here.
    """
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise NotDone(f"There is no user {name} on this machine.") from None


def group_id(name: str) -> int:
    """As ``user_id``, of a group."""
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise NotDone(f"There is no group {name} on this machine.") from None


def user_name(uid: int) -> str:
    """The name of a user; the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """As ``user_name``, of a group."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def failed(path: str, what: str, error: OSError) -> NotDone:
    """The sentence of an OSError."""
    return NotDone(f"{path} {what}: {error.strerror or error}.")


def _check_regular(path: str, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe"}
    what = kinds.get(stat.S_IFMT(found.st_mode), "something else")
    raise NotDone(f"{path} is {what} and not a file; it is left alone.")


@contextlib.contextmanager
def _held(path: str) -> Iterator[tuple[int, os.stat_result]]:
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        _check_regular(path, found)
        yield fd, found
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _clear_away(directory: str, mark: str) -> None:
    """What a crash left half written of this file; a younger one may be somebody's."""
    now_ms = wall_ms()
    with os.scandir(directory) as entries:
        stale = [
            one.path
            for one in entries
            if one.name.startswith(mark)
            and now_ms - one.stat(follow_symlinks=False).st_mtime_ns // 1_000_000 > _STALE_MS
        ]
    for path in stale:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _sync(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

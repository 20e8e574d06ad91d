"""A disk that remembers: from what a process did to its files, every state they ever had.

``shim.c`` writes down each write, truncate, sync, create, rename and unlink of a process. Replayed
up to any of them, that is what SIGKILL at that moment leaves. What the power's end leaves is less:
of what was not synced, any part may be missing.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from random import Random
from typing import NamedTuple

_HEAD = struct.Struct("=cQIQ")


class Op(NamedTuple):
    """One change. ``kind``: as in shim.c."""

    kind: str
    path: str
    offset: int
    data: bytes


def read_log(path: Path) -> list[Op]:
    """What the shim wrote down."""
    log = path.read_bytes()
    found = []
    at = 0
    while at < len(log):
        kind, offset, length, size = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        name = log[at : at + length].decode()
        at += length
        found.append(Op(kind.decode(), name, offset, log[at : at + size]))
        at += size
    return found


class File:
    """One file, whatever its name: what is in it, and what of that the disk has for sure."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.synced = b""
        self.pending: list[Op] = []

    def do(self, op: Op) -> None:
        change(self.content, op)
        self.pending.append(op)

    def sync(self) -> None:
        self.synced = bytes(self.content)
        self.pending.clear()


def change(content: bytearray, op: Op) -> None:
    """Make a write or a truncate."""
    if op.kind == "w":
        end = op.offset + len(op.data)
        content.extend(bytes(max(end - len(content), 0)))
        content[op.offset : end] = op.data
    else:
        content.extend(bytes(max(op.offset - len(content), 0)))
        del content[op.offset :]


class Disk:
    """The files below the directory that the shim watched, as they were after some of its notes."""

    def __init__(self) -> None:
        self.names: dict[str, File] = {}
        self._synced: dict[str, File] = {}
        self._pending: list[tuple[Op, File]] = []

    def do(self, op: Op) -> None:
        """Go on by one change."""
        if op.kind in "wt":
            self.names[op.path].do(op)
        elif op.kind in "cru":
            file = File() if op.kind == "c" else self.names[op.path]
            name(self.names, op, file)
            self._pending.append((op, file))
        elif op.kind == "s" and op.path in self.names:
            self.names[op.path].sync()
        elif op.kind == "s":
            self._pending = [one for one in self._pending if parent(one[0].path) != op.path]
            other = {path: f for path, f in self._synced.items() if parent(path) != op.path}
            self._synced = other | {p: f for p, f in self.names.items() if parent(p) == op.path}

    def killed(self, last: Op | None = None, rng: Random | None = None) -> dict[str, bytes]:
        """What a process that is killed leaves. ``last``: a write of which a part was done."""
        found = {path: bytes(file.content) for path, file in self.names.items()}
        if last is not None and rng is not None:
            content = bytearray(found[last.path])
            change(content, last._replace(data=last.data[: rng.randrange(len(last.data))]))
            found[last.path] = bytes(content)
        return found

    def without_power(self, rng: Random) -> dict[str, bytes]:
        """What may be left when the power goes: of what is not synced, some.

        Names are kept in order, as journaling file systems do; writes of one file are not.
        """
        names = dict(self._synced)
        for op, file in self._pending[: rng.randint(0, len(self._pending))]:
            name(names, op, file)
        found = {}
        for path, file in names.items():
            content = bytearray(file.synced)
            share = rng.choice((0.0, 0.5, 0.9, 1.0))
            for op in file.pending:
                if rng.random() < share:
                    change(content, op)
            found[path] = bytes(content)
        return found


def name(names: dict[str, File], op: Op, file: File) -> None:
    """Make a create, a rename or an unlink of that file."""
    if op.kind != "c":
        names.pop(op.path, None)
    if op.kind == "c":
        names[op.path] = file
    elif op.kind == "r":
        names[op.data.decode()] = file


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def lay(home: Path, files: dict[str, bytes], below: str) -> None:
    """Write what lies below a directory to ``home``, in place of what is there."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for name, data in files.items():
        if name.startswith(below):
            path = home / name.removeprefix(below)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)

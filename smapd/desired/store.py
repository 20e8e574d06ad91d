"""What is kept of the desired state: versions, deploys, results, actions and facts.

A version stands in a file of its own too (``version_files.py``), header and resources, so that no
damage of the database (``tables.py``) costs one. Beside those files ``deployed`` names the newest
deploy. A database that is damaged is set aside; what can be read of it goes to a new one, and what
is missing of the versions comes from their files.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from smapd.errors import NoSuchVersion, ShutdownRequested
from smapd.storage.quarantine import set_aside
from smapd.storage.recovery import BROKEN, is_disk
from smapd.storage.rows import Damaged
from smapd.values import Json

from .tables import COLUMNS, as_row, connect, packed, salvage, value_of, whole
from .version_files import VersionFiles

POOL: Final = "disk-desired"
"""The pool whose one thread calls all of this."""


@dataclass(slots=True)
class Writes:
    """What one transaction writes.

    ``deploys``: {number: deploy}. ``results``: (deploy, index of the resource, result).
    ``actions``: (seq, resource, ms, action). ``facts``: (resource, name, fact).
    """

    deploys: dict[int, Json] = field(default_factory=dict)
    results: list[tuple[int, int, Json]] = field(default_factory=list)
    actions: list[tuple[int, str, int, Json]] = field(default_factory=list)
    facts: list[tuple[str, str, Json]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.deploys or self.results or self.actions or self.facts)

    def __len__(self) -> int:
        return len(self.deploys) + len(self.results) + len(self.actions) + len(self.facts)


class Store:
    """What is kept of the desired state. Every method does I/O: on a disk's thread.

    ``directory``: the data directory; the files of versions stand in its ``blobs/versions``.
    Each change is durable when its method returns. They raise OSError or sqlite3.Error if the
    disk is full or fails, and then nothing has changed.
    """

    def __init__(self, directory: Path, quarantine: Path) -> None:
        self.path = directory / "desired.db"
        self.files = VersionFiles(directory / "blobs" / "versions")
        self.quarantine = quarantine
        self.notes: list[str] = []
        """Sentences for the log about what was mended."""
        self.damaged = 0
        """Rows that did not pass their checksum since the start."""
        self.newest = 0
        """The number of the newest version; 0 without one."""
        self.newest_deploy = 0
        self.newest_action = 0
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open it, or begin; what is damaged is mended as far as it goes.

        :raises DataDirUnusable: if it was written by a newer smapd.
        :raises sqlite3.OperationalError, OSError: if the disk is full or fails.
        """
        self.notes = []
        self.files.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not self.path.exists()
        try:
            self._db = connect(self.path)
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Damaged(str(found).replace("\n", " "))
            self._check_small()
        except BROKEN as error:
            if is_disk(error):
                raise
            self._replace(error)
        self._adopt_files()
        self._restore_mark()
        if is_new and self.notes:
            self.notes.insert(0, f"{self.path} was missing beside the files of versions")
        self._read_newest()

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    # --- versions

    def add_version(self, header: Mapping[str, Json], resources: Sequence[Json]) -> None:
        """Keep version ``header["version"]``, which must be the one after the newest."""
        n = int(header["version"])
        if n != self.newest + 1:
            raise ValueError(f"version {n} does not follow version {self.newest}")
        self.files.write(n, header, resources)
        self._open().execute("INSERT OR REPLACE INTO version VALUES(?, ?)", as_row("v", n, header))
        self.newest = n

    def versions(self) -> list[Json]:
        """The header of every version, oldest first."""
        rows = self._open().execute("SELECT n, data FROM version ORDER BY n")
        return [value for *_, value in self._sound("version", rows)]

    def version(self, n: int) -> tuple[Json, list[Json]]:
        """Header and resources of a version.

        :raises NoSuchVersion: if there is none, or its file is damaged.
        """
        try:
            return self.files.read(self.files.file(n))
        except FileNotFoundError:
            raise NoSuchVersion(f"There is no version {n}.") from None
        except Damaged as error:
            raise NoSuchVersion(f"Version {n} cannot be read any more: {error.message}.") from None

    def drop_version(self, n: int) -> None:
        """Forget a version with its deploys and their results; not the newest."""
        db = self._open()
        gone = [d for d, deploy in self.deploys().items() if deploy.get("version") == n]
        with whole(db):
            for d in gone:
                db.execute("DELETE FROM result WHERE d = ?", (d,))
                db.execute("DELETE FROM deploy WHERE d = ?", (d,))
            db.execute("DELETE FROM version WHERE n = ?", (n,))
        self.files.drop(n)

    # --- what was done

    def write(self, writes: Writes) -> None:
        """All of it, in one transaction."""
        db = self._open()
        with whole(db):
            db.executemany(
                "INSERT OR REPLACE INTO deploy VALUES(?, ?)",
                [as_row("d", d, deploy) for d, deploy in writes.deploys.items()],
            )
            db.executemany(
                "INSERT OR REPLACE INTO result VALUES(?, ?, ?)",
                [as_row("r", d, i, result) for d, i, result in writes.results],
            )
            db.executemany(
                "INSERT OR REPLACE INTO action VALUES(?, ?, ?, ?)",
                [
                    (seq, resource, ms, packed("a", seq, action))
                    for seq, resource, ms, action in writes.actions
                ],
            )
            db.executemany(
                "INSERT OR REPLACE INTO fact VALUES(?, ?, ?)",
                [as_row("f", resource, name, fact) for resource, name, fact in writes.facts],
            )
        for d in writes.deploys:
            self.newest_deploy = max(self.newest_deploy, d)
        for seq, *_ in writes.actions:
            self.newest_action = max(self.newest_action, seq)

    def mark_deployed(self, d: int, version: int) -> None:
        """Name the newest deploy beside the versions: it outlives the database."""
        self.files.mark_deployed(d, version)

    def deploys(self) -> dict[int, Json]:
        """Every deploy, oldest first."""
        rows = self._open().execute("SELECT d, data FROM deploy ORDER BY d")
        return {row[0]: row[-1] for row in self._sound("deploy", rows)}

    def results(self, d: int) -> dict[int, Json]:
        """The results of a deploy, by index of the resource in its version."""
        rows = self._open().execute("SELECT d, i, data FROM result WHERE d = ? ORDER BY i", (d,))
        return {row[1]: row[-1] for row in self._sound("result", rows)}

    def actions(
        self,
        resource: str | None,
        *,
        after: int = 0,
        before: int | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        newest_first: bool = True,
    ) -> Iterator[Json]:
        """The actions with ``after < seq < before`` and ``from_ms <= ms < to_ms``; drawn lazily."""
        where, given = ["seq > ?"], [after]
        for clause, value in (("seq < ?", before), ("ms >= ?", from_ms), ("ms < ?", to_ms)):
            if value is not None:
                where.append(clause)
                given.append(value)
        named: list[Any] = list(given)
        if resource is not None:
            where.append("resource = ?")
            named.append(resource)
        rows = self._open().execute(
            f"SELECT seq, resource, ms, data FROM action WHERE {' AND '.join(where)} "
            f"ORDER BY seq {'DESC' if newest_first else 'ASC'}",
            named,
        )
        for *_, value in self._sound("action", rows):
            yield value

    def facts(self, resource: str) -> dict[str, Json]:
        """The facts of a resource, by name."""
        rows = self._open().execute(
            "SELECT resource, name, data FROM fact WHERE resource = ? ORDER BY name", (resource,)
        )
        return {row[1]: row[-1] for row in self._sound("fact", rows)}

    # --- bounds

    def drop_actions(self, before_ms: int, most_bytes: int) -> int:
        """Forget actions older than that, then the oldest until so many bytes are left."""
        db = self._open()
        gone = db.execute("DELETE FROM action WHERE ms < ?", (before_ms,)).rowcount
        (size,) = db.execute("SELECT coalesce(sum(length(data) + 80), 0) FROM action").fetchone()
        while size > most_bytes:
            rows = db.execute(
                "SELECT seq, length(data) + 80 FROM action ORDER BY seq LIMIT 1000"
            ).fetchall()
            last = 0
            for seq, length in rows:
                last, size, gone = seq, size - length, gone + 1
                if size <= most_bytes:
                    break
            db.execute("DELETE FROM action WHERE seq <= ?", (last,))
        if gone:
            db.execute("PRAGMA incremental_vacuum(2000)").fetchall()
        return int(gone)

    def drop_deploys(self, kept: int, spared: int) -> int:
        """Forget the oldest deploys, with their results, until so many are left, but never one."""
        db = self._open()
        old = [d for (d,) in db.execute("SELECT d FROM deploy ORDER BY d DESC")][kept:]
        old = [d for d in old if d != spared]
        with whole(db):
            for d in old:
                db.execute("DELETE FROM result WHERE d = ?", (d,))
                db.execute("DELETE FROM deploy WHERE d = ?", (d,))
        return len(old)

    def size_bytes(self) -> int:
        """What the database takes of the disk."""
        size = 0
        for tail in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                size += os.stat(f"{self.path}{tail}").st_size
        return size

    # --- private

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            raise ShutdownRequested(f"{self.path} is closed")
        return self._db

    def _sound(self, table: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Each row that passes its checksum, with the value in place of the bytes."""
        for row in rows:
            value = value_of(table, row)
            if value is None:
                self.damaged += 1
            else:
                yield (*row[:-1], value[-1])

    def _check_small(self) -> None:
        """Take damaged rows of the two small tables out; versions come again from their files."""
        db = self._open()
        for table, key in (("version", "n"), ("deploy", "d")):
            rows = db.execute(f"SELECT {COLUMNS[table]} FROM {table}").fetchall()
            for row in rows:
                if value_of(table, row) is None:
                    db.execute(f"DELETE FROM {table} WHERE {key} IS ?", (row[0],))
                    if table == "deploy":
                        self.notes.append(f"{self.path}: the row of deploy {row[0]} was damaged")

    def _read_newest(self) -> None:
        db = self._open()
        self.newest, self.newest_deploy, self.newest_action = (
            int(db.execute(f"SELECT coalesce(max({key}), 0) FROM {table}").fetchone()[0])
            for table, key in (("version", "n"), ("deploy", "d"), ("action", "seq"))
        )

    def _replace(self, cause: Exception) -> None:
        """The file is damaged: set it aside, and take what can be read into a new one."""
        self.close()
        target = set_aside(self.path, self.quarantine, "desired")
        self._db = connect(self.path)
        saved = salvage(target, self._db)
        self.notes.append(
            f"{self.path} was damaged ({cause}); it was set aside, and {saved} rows of it are kept"
        )

    def _restore_mark(self) -> None:
        """If the newest deploy was lost, with its row or the database, go on with it."""
        marked = self.files.deployed()
        if marked is None:
            return
        d, version = marked
        if d not in self.deploys():
            deploy = {"deploy": d, "version": version, "dry_run": False, "state": "running"}
            self.write(Writes(deploys={d: deploy}))
            self.notes.append(f"{self.path}: deploy {d} of version {version} is taken up again")

    def _adopt_files(self) -> None:
        """Versions whose row is missing come from their files."""
        db = self._open()
        known = {n for (n,) in db.execute("SELECT n FROM version")}
        for number, file in self.files.all():
            if number in known:
                continue
            try:
                header, _ = self.files.read(file)
            except Damaged:
                self.notes.append(f"{file} is damaged")
                continue
            n = int(header["version"])
            db.execute("INSERT OR REPLACE INTO version VALUES(?, ?)", as_row("v", n, header))
            self.notes.append(f"{self.path}: version {n} came from its file")

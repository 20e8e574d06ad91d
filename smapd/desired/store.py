"""``desired.db``: versions, deploys, results, actions and facts, each row with a checksum.

::

    version(n, data)                  "SMD1" ["v", n, header]     as Version.header gives it
    deploy(d, data)                   "SMD1" ["d", d, deploy]
    result(d, i, data)                "SMD1" ["r", d, i, result]  i: which resource of its version
    action(seq, resource, ms, data)   "SMD1" ["a", seq, action]
    fact(resource, name, data)        "SMD1" ["f", resource, name, fact]

A version's resources stand in a file of their own, ``blobs/versions/N``: immutable, with the
header once more, so that no damage of the database costs a version. Beside them ``deployed`` names
the newest deploy. A database that is damaged is set aside; what can be read of it goes to a new
one, and what is missing of the versions comes from their files.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from smapd.errors import DataDirUnusable, NoSuchVersion, ShutdownRequested
from smapd.storage.recovery import BROKEN, is_disk
from smapd.storage.rows import Damaged, pack_small, unpack_small
from smapd.values import Json

from .blobs import sync_directory, write_whole

POOL: Final = "disk-desired"
"""The pool whose one thread calls all of this."""

_MAGIC: Final = b"SMD1"
_FILE: Final = struct.Struct("<4sQI")
_FILE_MAGIC: Final = b"SMDV"
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS version(n INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS deploy(d INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS result(d INTEGER, i INTEGER, data BLOB NOT NULL, "
    "PRIMARY KEY(d, i)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS action(seq INTEGER PRIMARY KEY, resource TEXT NOT NULL, "
    "ms INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS action_of ON action(resource, seq)",
    "CREATE TABLE IF NOT EXISTS fact(resource TEXT, name TEXT, data BLOB NOT NULL, "
    "PRIMARY KEY(resource, name)) WITHOUT ROWID",
)
_COLUMNS: Final[Mapping[str, str]] = {
    "version": "n, data",
    "deploy": "d, data",
    "result": "d, i, data",
    "action": "seq, resource, ms, data",
    "fact": "resource, name, data",
}
_KIND: Final[Mapping[str, str]] = {
    "version": "v",
    "deploy": "d",
    "result": "r",
    "action": "a",
    "fact": "f",
}


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
        self.files = directory / "blobs" / "versions"
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
        self.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not self.path.exists()
        try:
            self._db = self._connect(self.path)
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
        body = zlib.compress(orjson.dumps({"header": header, "resources": resources}), 1)
        write_whole(self._file(n), _FILE.pack(_FILE_MAGIC, len(body), zlib.crc32(body)) + body)
        self._open().execute("INSERT OR REPLACE INTO version VALUES(?, ?)", _row("v", n, header))
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
            return self._read_file(self._file(n))
        except FileNotFoundError:
            raise NoSuchVersion(f"There is no version {n}.") from None
        except Damaged as error:
            raise NoSuchVersion(f"Version {n} cannot be read any more: {error.message}.") from None

    def drop_version(self, n: int) -> None:
        """Forget a version with its deploys and their results; not the newest."""
        db = self._open()
        gone = [d for d, deploy in self.deploys().items() if deploy.get("version") == n]
        db.execute("BEGIN IMMEDIATE")
        with self._whole(db):
            for d in gone:
                db.execute("DELETE FROM result WHERE d = ?", (d,))
                db.execute("DELETE FROM deploy WHERE d = ?", (d,))
            db.execute("DELETE FROM version WHERE n = ?", (n,))
        self._file(n).unlink(missing_ok=True)

    # --- what was done

    def write(self, writes: Writes) -> None:
        """All of it, in one transaction."""
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        with self._whole(db):
            db.executemany(
                "INSERT OR REPLACE INTO deploy VALUES(?, ?)",
                [_row("d", d, deploy) for d, deploy in writes.deploys.items()],
            )
            db.executemany(
                "INSERT OR REPLACE INTO result VALUES(?, ?, ?)",
                [_row("r", d, i, result) for d, i, result in writes.results],
            )
            db.executemany(
                "INSERT OR REPLACE INTO action VALUES(?, ?, ?, ?)",
                [
                    (seq, resource, ms, _pack("a", seq, action))
                    for seq, resource, ms, action in writes.actions
                ],
            )
            db.executemany(
                "INSERT OR REPLACE INTO fact VALUES(?, ?, ?)",
                [_row("f", resource, name, fact) for resource, name, fact in writes.facts],
            )
        for d in writes.deploys:
            self.newest_deploy = max(self.newest_deploy, d)
        for seq, *_ in writes.actions:
            self.newest_action = max(self.newest_action, seq)

    def mark_deployed(self, d: int, version: int) -> None:
        """Name the newest deploy beside the versions: it outlives the database."""
        write_whole(self.files / "deployed", pack_small(_MAGIC, ["m", d, version]))

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
        db.execute("BEGIN IMMEDIATE")
        with self._whole(db):
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

    def _connect(self, path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (
                "auto_vacuum = INCREMENTAL",
                "locking_mode = EXCLUSIVE",
                "journal_mode = WAL",
                "synchronous = FULL",
                "journal_size_limit = 67108864",
            ):
                db.execute(f"PRAGMA {pragma}").fetchall()
            (made_by,) = db.execute("PRAGMA user_version").fetchone()
            if made_by > 1:
                raise DataDirUnusable(
                    f"{path} has format {made_by}, and this smapd knows 1; it was written by a "
                    "newer one.",
                    hint="Run that newer smapd, or name another directory with --data-dir.",
                )
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute("PRAGMA user_version = 1")
        except BaseException:
            db.close()
            raise
        return db

    @contextlib.contextmanager
    def _whole(self, db: sqlite3.Connection) -> Iterator[None]:
        """Inside BEGIN: commits, or undoes all of it."""
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def _sound(self, table: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Each row that passes its checksum, with the value in place of the bytes."""
        for row in rows:
            value = _value_of(table, row)
            if value is None:
                self.damaged += 1
            else:
                yield (*row[:-1], value[-1])

    def _check_small(self) -> None:
        """Take damaged rows of the two small tables out; versions come again from their files."""
        db = self._open()
        for table, key in (("version", "n"), ("deploy", "d")):
            rows = db.execute(f"SELECT {_COLUMNS[table]} FROM {table}").fetchall()
            for row in rows:
                if _value_of(table, row) is None:
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
        self.quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = 0
        while (target := self.quarantine / f"desired-{taken}.db").exists():
            taken += 1
        for tail in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.path}{tail}", f"{target}{tail}")
        self._db = self._connect(self.path)
        saved = self._salvage(target)
        self.notes.append(
            f"{self.path} was damaged ({cause}); it was set aside, and {saved} rows of it are kept"
        )

    def _salvage(self, damaged: Path) -> int:
        """Take every row that can still be read and passes its checksum."""
        db, saved = self._open(), 0
        with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as old:
            for table, columns in _COLUMNS.items():
                marks = ", ".join("?" * (columns.count(",") + 1))
                db.execute("BEGIN IMMEDIATE")
                with self._whole(db):
                    for row in _readable(old, f"SELECT {columns} FROM {table}"):
                        if _value_of(table, row) is not None:
                            db.execute(f"INSERT OR REPLACE INTO {table} VALUES({marks})", row)
                            saved += 1
        return saved

    def _restore_mark(self) -> None:
        """If the newest deploy was lost, with its row or the database, go on with it."""
        try:
            _, d, version = unpack_small(_MAGIC, (self.files / "deployed").read_bytes())
        except (FileNotFoundError, Damaged):
            return
        if d not in self.deploys():
            deploy = {"deploy": d, "version": version, "dry_run": False, "state": "running"}
            self.write(Writes(deploys={d: deploy}))
            self.notes.append(f"{self.path}: deploy {d} of version {version} is taken up again")

    def _adopt_files(self) -> None:
        """Versions whose row is missing come from their files."""
        db = self._open()
        known = {n for (n,) in db.execute("SELECT n FROM version")}
        for file in sorted(self.files.iterdir()):
            if not file.name.isdigit() or int(file.name) in known:
                continue
            try:
                header, _ = self._read_file(file)
            except Damaged:
                self.notes.append(f"{file} is damaged")
                continue
            n = int(header["version"])
            db.execute("INSERT OR REPLACE INTO version VALUES(?, ?)", _row("v", n, header))
            self.notes.append(f"{self.path}: version {n} came from its file")

    def _file(self, n: int) -> Path:
        return self.files / f"{n:08d}"

    def _read_file(self, file: Path) -> tuple[Json, list[Json]]:
        data = file.read_bytes()
        if len(data) >= _FILE.size:
            magic, size, crc = _FILE.unpack_from(data)
            body = data[_FILE.size :]
            if magic == _FILE_MAGIC and len(body) == size and zlib.crc32(body) == crc:
                found = orjson.loads(zlib.decompress(body))
                return found["header"], found["resources"]
        raise Damaged(f"{file} does not pass its checksum")


def _pack(kind: str, *what: Any) -> bytes:
    return pack_small(_MAGIC, [kind, *what])


def _row(kind: str, *what: Any) -> tuple[Any, ...]:
    return (*what[:-1], _pack(kind, *what))


def _value_of(table: str, row: Sequence[Any]) -> list[Any] | None:
    """What a row holds, if it passes its checksum and stands where it was written."""
    data = row[-1]
    try:
        found = unpack_small(_MAGIC, data) if isinstance(data, bytes) else None
    except Damaged:
        return None
    keys = row[:1] if table == "action" else row[:-1]
    if not isinstance(found, list) or found[0] != _KIND[table] or found[1:-1] != list(keys):
        return None
    return found


def _readable(db: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a damaged database, as far as they come."""
    try:
        yield from db.execute(query)
    except sqlite3.DatabaseError:
        return


__all__ = ["POOL", "Store", "Writes", "sync_directory"]

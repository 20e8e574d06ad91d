"""What is kept of each source of each connector, so that its places outlive a config's mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from twisted.internet.defer import Deferred

from smapd.interfaces import IDefinitions
from smapd.values import Json, Limits

KIND: Final = "connector"
"""The kind of our rows among the definitions."""

KEPT_S: Final = 7 * 86_400.0
"""How long the places of a source are kept that the config file no longer has; as of a report."""


def cursor_name(connector: str, source: str) -> str:
    """Under which a source's places are kept in the journal and in the event log."""
    return f"connector:{connector}:{source}"


@dataclass(frozen=True, slots=True)
class Record:
    """One source. ``began_ms``: when it was first seen. ``secret``: shows the server, after a
    restart too, that it is still the same connector. ``removed_ms``: when it was missed.
    """

    connector: str
    source: str
    began_ms: int
    secret: str
    limits: Limits
    removed_ms: int | None = None

    @property
    def key(self) -> str:
        """Of the row; also the name of its cursors."""
        return cursor_name(self.connector, self.source)

    @property
    def kept_until_ms(self) -> int | None:
        """When its places go; None while the config file has it."""
        return None if self.removed_ms is None else self.removed_ms + round(KEPT_S * 1000)

    def as_json(self) -> dict[str, Json]:
        """For the database."""
        limits = self.limits
        return {
            "connector": self.connector,
            "source": self.source,
            "began_ms": self.began_ms,
            "secret": self.secret,
            "limits": [limits.max_readings, limits.max_bytes, limits.max_age_s, limits.keep_s],
            "removed_ms": self.removed_ms,
        }


def read_record(row: Any) -> Record:
    """What ``as_json`` gave.

    :raises KeyError, TypeError, ValueError: if it is none.
    """
    removed_ms = row["removed_ms"]
    return Record(
        str(row["connector"]),
        str(row["source"]),
        int(row["began_ms"]),
        str(row["secret"]),
        Limits(*row["limits"]),
        None if removed_ms is None else int(removed_ms),
    )


class Records:
    """All of them; on the reactor's thread. ``new_secret``: makes one."""

    def __init__(
        self,
        definitions: IDefinitions,
        wall_ms: Callable[[], int],
        new_secret: Callable[[], str],
    ) -> None:
        self.damaged = 0
        self._definitions, self._wall_ms, self._new_secret = definitions, wall_ms, new_secret
        self._records: dict[str, Record] = {}

    async def load(self) -> None:
        """Read what was kept; what cannot be read is left alone, and counted."""
        for row in await self._definitions.load(KIND):
            try:
                record = read_record(row)
            except (KeyError, TypeError, ValueError):
                self.damaged += 1
                continue
            self._records[record.key] = record

    def removed(self) -> list[Record]:
        """Those that the config file does not have."""
        return [one for one in self._records.values() if one.removed_ms is not None]

    def all(self) -> Mapping[str, Record]:
        """All, by key."""
        return dict(self._records)

    async def take(self, connector: str, source: str, limits: Limits) -> Record:
        """The record of a source that the config file has; durable, and new if there was none."""
        before = self._records.get(cursor_name(connector, source))
        if before is None:
            record = Record(connector, source, self._wall_ms(), self._new_secret(), limits)
        else:
            record = replace(before, limits=limits, removed_ms=None)
        if record != before:
            await self._put(record)
        return record

    async def miss(self, record: Record) -> None:
        """The config file does not have it any more."""
        if record.removed_ms is None:
            await self._put(replace(record, removed_ms=self._wall_ms()))

    def forget(self, record: Record) -> Deferred[None]:
        """It is gone for good."""
        self._records.pop(record.key, None)
        return self._definitions.delete(KIND, record.key)

    async def _put(self, record: Record) -> None:
        await self._definitions.put(KIND, record.key, record.as_json())
        self._records[record.key] = record

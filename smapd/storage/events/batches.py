"""Events that wait for one commit: what of each asset, and who is to be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred

from smapd.errors import BadRequest, TooLarge
from smapd.values import EventRecord

from .cursors import Change
from .ids import Key
from .rows import pack_event
from .state import Work

OVERHEAD: Final = 512
"""Bytes of memory that an event costs beside its own, in what waits and in what is recent."""

MOST_NAME: Final = 200
"""Letters of an asset's id, and of a cursor's name."""


class Batch:
    """Events of one asset that wait for one commit, or are in it.

    ``dropped_at``: how many of them are of the life before ``drop``; ``droppers``: who waits for
    that.
    """

    __slots__ = (
        "appends",
        "dropped_at",
        "droppers",
        "events",
        "ids",
        "records",
        "size",
    )

    def __init__(self) -> None:
        self.records: list[EventRecord] = []
        self.events: list[bytes] = []
        self.ids: list[tuple[int, str]] = []
        self.appends: list[tuple[int, list[Deferred[int]]]] = []
        self.size = 0
        self.dropped_at: int | None = None
        self.droppers: list[Deferred[None]] = []

    def add(
        self,
        records: Sequence[EventRecord],
        events: list[bytes],
        size: int,
        told: list[Deferred[int]],
        dedupe_id: str | None,
    ) -> None:
        """Take in one append."""
        at = len(self.records)
        self.appends.append((at, told))
        if dedupe_id is not None:
            self.ids.append((at, dedupe_id))
        self.records += records
        self.events += events
        self.size += size


class Commit:
    """What is under way. ``flushed``: who waits for the acks in it."""

    __slots__ = ("batches", "changes", "flushed", "work")

    def __init__(self, batches: dict[str, Batch], changes: dict[Key, Change]) -> None:
        self.work = Work()
        self.batches, self.changes = batches, changes
        self.flushed: list[Deferred[None]] = []

    def publishers(self) -> int:
        """How many appends it has."""
        return sum(len(batch.appends) for batch in self.batches.values())


def packed(asset: str, records: Sequence[EventRecord], most_bytes: int) -> tuple[list[bytes], int]:
    """The events as a row has them, and what they cost.

    :raises BadRequest: naming what cannot be kept.
    :raises TooLarge: if they are more than one append may be.
    """
    check_name(asset, "an asset's id")
    if not records:
        raise BadRequest("There is no event to keep.")
    events = [pack_event(record) for record in records]
    size = sum(map(len, events)) + OVERHEAD * len(events)
    if size > most_bytes:
        raise TooLarge(
            f"{len(events)} events with {size} bytes are more than may be published at once.",
            hint=f"{most_bytes} bytes is the limit, {OVERHEAD} of them for each event.",
        )
    return events, size


def check_name(name: str, what: str) -> None:
    """:raises BadRequest: if it is empty or too long."""
    if not 0 < len(name) <= MOST_NAME:
        raise BadRequest(f"{name[:50]!r} is not {what}: it has 1 to {MOST_NAME} letters.")

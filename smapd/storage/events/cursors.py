"""Who has read how far: the cursors, and what of them is to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from smapd.errors import SmapError
from smapd.interfaces import IEventCursor
from smapd.values import Start

from .ids import Key
from .teller import Teller

if TYPE_CHECKING:
    from .log import EventLog

ACKS_A_COMMIT: Final = 1_000
"""Acks that a commit of events takes along: its publishers wait for it."""


@implementer(IEventCursor)
class EventCursor:
    """A cursor of ``EventLog``; made by ``EventLog.cursor``. On the reactor's thread."""

    __slots__ = ("_log", "asset", "is_gone", "name", "place")

    def __init__(self, log: EventLog, name: str, asset: str, place: int) -> None:
        self._log = log
        self.name, self.asset, self.place = name, asset, place
        self.is_gone = False
        """Whether it is being forgotten, or was."""

    def __repr__(self) -> str:
        return f"<EventCursor {self.name} of {self.asset} at {self.place}>"

    @property
    def key(self) -> Key:
        """Name and asset."""
        return self.name, self.asset

    def ack(self, place: int) -> None:
        """All before ``place`` are done with; see ``IEventCursor``."""
        if self.is_gone:
            return
        place = min(place, self._log.next_offset(self.asset))
        if place > self.place:
            self.place = place
            self._log.acked(self)

    def flush(self) -> Deferred[None]:
        """Fires once all acks made until now are durable."""
        return self._log.flush(self)


class Change:
    """What is to be written of one cursor: its place, or that it is gone.

    ``start``: of one to be made: where it begins, and how many events of its asset were waiting
    then. ``makers``, ``removers``: who waits for that.
    """

    __slots__ = ("cursor", "is_removal", "makers", "removers", "start")

    def __init__(self, cursor: EventCursor) -> None:
        self.cursor = cursor
        self.is_removal = False
        self.start: tuple[Start | int, int] | None = None
        self.makers: list[Deferred[IEventCursor]] = []
        self.removers: list[Deferred[None]] = []

    @property
    def is_ack(self) -> bool:
        """Whether it only says where the cursor is: nobody waits for that."""
        return not self.is_removal and self.start is None

    def place(self, following: int, base: int) -> int | None:
        """What to write, with the asset's next offset and base; None: it is gone."""
        if self.is_removal:
            return None
        if self.start is None:
            return self.cursor.place
        start, waiting = self.start
        if start is Start.OLDEST:
            return base
        newest = following + waiting
        return max(newest if start is Start.NEWEST else min(start, newest), base)


class Cursors:
    """All cursors, and the changes of them that no commit has taken yet."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._by_asset: dict[str, dict[str, EventCursor]] = {}
        self._changes: dict[Key, Change] = {}
        self._urgent = 0

    def __len__(self) -> int:
        return sum(map(len, self._by_asset.values()))

    def __iter__(self) -> Iterator[EventCursor]:
        for cursors in self._by_asset.values():
            yield from cursors.values()

    # --- looking

    def get(self, key: Key) -> EventCursor | None:
        """The cursor of that name and asset, also while it is being made or forgotten."""
        return self._by_asset.get(key[1], {}).get(key[0])

    def of(self, asset: str) -> list[EventCursor]:
        """All of one asset."""
        return list(self._by_asset.get(asset, {}).values())

    def change(self, key: Key) -> Change | None:
        """What waits to be written of that one."""
        return self._changes.get(key)

    @property
    def is_changed(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._changes)

    @property
    def is_urgent(self) -> bool:
        """Whether somebody waits for that."""
        return self._urgent > 0

    # --- changing

    def add(self, cursor: EventCursor) -> None:
        """Take in one that is durable."""
        self._by_asset.setdefault(cursor.asset, {})[cursor.name] = cursor

    def make(self, cursor: EventCursor, start: Start | int, waiting: int) -> Change:
        """Begin a new one, in the place of one that may be going."""
        change = Change(cursor)
        change.start = (start, waiting)
        before = self._changes.get(cursor.key)
        if before is not None:
            change.removers = before.removers
        self.add(cursor)
        self._put(change)
        return change

    def remove(self, cursor: EventCursor) -> Change:
        """Forget one."""
        cursor.is_gone = True
        change, before = Change(cursor), self._changes.get(cursor.key)
        change.is_removal = True
        if before is not None:
            change.start = before.start
            change.makers, change.removers = before.makers, before.removers
        self._put(change)
        return change

    def acked(self, cursor: EventCursor) -> None:
        """Its place moved."""
        if cursor.key not in self._changes:
            self._put(Change(cursor))

    def _put(self, change: Change) -> None:
        before = self._changes.get(change.cursor.key)
        self._urgent -= before is not None and not before.is_ack
        self._urgent += not change.is_ack
        self._changes[change.cursor.key] = change

    # --- commits

    def take(self, all_of_them: bool) -> dict[Key, Change]:
        """What a commit writes: all but the acks that are too many."""
        changes = self._changes
        self._urgent = 0
        if all_of_them or len(changes) <= ACKS_A_COMMIT:
            self._changes = {}
            return changes
        due: dict[Key, Change] = {}
        later: dict[Key, Change] = {}
        for key, change in changes.items():
            (later if change.is_ack and len(due) >= ACKS_A_COMMIT else due)[key] = change
        self._changes = later
        return due

    def written(self, change: Change, place: int | None, next_offset: Callable[[str], int]) -> None:
        """It is durable."""
        cursor = change.cursor
        if place is None:
            self._drop(cursor)
        elif change.start is not None:
            cursor.place = min(place, next_offset(cursor.asset))
        self._teller.add(change.makers, cursor)
        self._teller.add(change.removers, None)
        change.makers = []

    def failed(self, change: Change, error: SmapError) -> None:
        """It did not become durable: an ack is tried again, all else is as before."""
        cursor, newer = change.cursor, self._changes.get(change.cursor.key)
        if change.start is not None:  # it never was
            self._drop(cursor)
            cursor.is_gone = True
        elif change.is_removal:
            if newer is None and self.get(cursor.key) is cursor:
                cursor.is_gone = False
        elif newer is None:
            self._changes[cursor.key] = change
        self._teller.add([*change.makers, *change.removers], error)
        change.makers, change.removers = [], []

    def stop(self, error: SmapError) -> None:
        """Whoever waits is told that; nothing is written any more."""
        for change in self._changes.values():
            self._teller.add([*change.makers, *change.removers], error)
        self._changes, self._urgent = {}, 0

    def _drop(self, cursor: EventCursor) -> None:
        if self.get(cursor.key) is cursor:
            cursors = self._by_asset[cursor.asset]
            del cursors[cursor.name]
            if not cursors:
                del self._by_asset[cursor.asset]

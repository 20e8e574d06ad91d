"""The versions: numbered as they come, kept on the disk, the last few at hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred

from smapd.errors import BadRequest, VersionConflict
from smapd.interfaces import IClock

from .blobs import Blobs
from .store import Store
from .versions import Version, copy_of, new_version, stored_version

MOST_AT_HAND: Final = 4
"""Versions in memory beside the one that is deployed."""

T = TypeVar("T")


class OnDisk(Protocol):
    """Calls ``f(*a)`` on the disk's thread."""

    def __call__(self, f: Callable[..., T], *a: Any) -> Deferred[T]:
        """Fires with what it returns."""


class Shelf:
    """On the reactor's thread."""

    def __init__(self, store: Store, blobs: Blobs, on_disk: OnDisk, clock: IClock) -> None:
        self._store, self._blobs, self._on_disk, self._clock = store, blobs, on_disk, clock
        self._at_hand: OrderedDict[int, Version] = OrderedDict()
        self._turns: list[Deferred[None]] = []
        self._is_adding = False

    def at_hand(self) -> list[Version]:
        """Those in memory."""
        return list(self._at_hand.values())

    async def load(self, n: int) -> Version:
        """One version.

        :raises NoSuchVersion: if there is none.
        """
        found = self._at_hand.get(n)
        if found is None:
            found = await self._on_disk(self._read, n)
            self._put(found)
        return found

    async def add(
        self, body: Any, deployed: Version | None, check: Callable[[Version], None]
    ) -> Version:
        """Keep what was posted as the next version; durable when this ends.

        ``check`` may raise, and nothing is kept then. One at a time: each number follows the last.

        :raises BadRequest: if it is no version.
        :raises VersionConflict: if it does not fit, or a file of it is not here.
        """
        if self._is_adding:
            turn: Deferred[None] = Deferred()
            self._turns.append(turn)
            await turn
        self._is_adding = True
        try:
            made = await self._make(body, deployed)
            check(made)
            missing = await self._on_disk(self._blobs.missing, list(made.blobs()))
            if missing:
                more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
                raise VersionConflict(
                    f"The blob {missing[0]}{more} is not here.",
                    hint="Send each file with PUT /desired/blobs/SHA256 before its version.",
                )
            await self._on_disk(self._store.add_version, made.header(), made.resources)
        finally:
            self._is_adding = False
            if self._turns:
                self._is_adding = True  # for the one that goes on now
                self._turns.pop(0).callback(None)
        self._put(made)
        return made

    async def _make(self, body: Any, deployed: Version | None) -> Version:
        number, now_ms = self._store.newest + 1, self._clock.wall_ms()
        if not isinstance(body, dict) or "from" not in body:
            # checking 10,000 resources takes a tenth of a second: not on the reactor
            return await self._on_disk(new_version, body, number, now_ms, deployed)
        if set(body) != {"from"} or type(body["from"]) is not int:
            raise BadRequest('To copy a version, send {"from": N} alone.')
        return copy_of(await self.load(body["from"]), number, now_ms, deployed)

    def _read(self, n: int) -> Version:
        return stored_version(*self._store.version(n))

    def _put(self, version: Version) -> None:
        self._at_hand[version.number] = version
        self._at_hand.move_to_end(version.number)
        while len(self._at_hand) > MOST_AT_HAND:
            self._at_hand.popitem(last=False)

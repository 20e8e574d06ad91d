"""Where each asset's events begin and end, as far as they are durable; and who waits for more."""

from __future__ import annotations

import contextlib

from twisted.internet.defer import Deferred, succeed

from smapd.errors import SmapError

from .teller import Teller


class _Stream:
    __slots__ = ("base", "next")

    def __init__(self, following: int = 0, base: int = 0) -> None:
        self.next, self.base = following, base


class Streams:
    """All assets there ever were an event or a cursor of."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._streams: dict[str, _Stream] = {}
        self._waiters: dict[str, list[tuple[int, Deferred[None]]]] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, asset: str) -> bool:
        return asset in self._streams

    def names(self) -> list[str]:
        """Sorted."""
        return sorted(self._streams)

    def next_offset(self, asset: str) -> int:
        """The offset behind the newest durable event; 0 for an asset never seen."""
        stream = self._streams.get(asset)
        return 0 if stream is None else stream.next

    def base(self, asset: str) -> int:
        """The first offset of its present life."""
        stream = self._streams.get(asset)
        return 0 if stream is None else stream.base

    def add(self, asset: str, following: int = 0, base: int = 0) -> None:
        """Take in one that is durable; nothing happens if it is there."""
        if asset not in self._streams:
            self._streams[asset] = _Stream(following, base)

    def moved(self, asset: str, following: int) -> None:
        """Its events are durable up to there."""
        self.add(asset)
        self._streams[asset].next = following
        waiters = self._waiters.pop(asset, None)
        if waiters:
            self._teller.add([one for offset, one in waiters if offset < following], None)
            left = [pair for pair in waiters if pair[0] >= following]
            if left:
                self._waiters[asset] = left

    def dropped(self, asset: str, base: int) -> None:
        """Its life begins anew there."""
        self.add(asset)
        stream = self._streams[asset]
        stream.base = min(base, stream.next)

    def when_more(self, asset: str, offset: int) -> Deferred[None]:
        """Fires when the event of that offset is durable, at once if it is; may be cancelled."""
        if self.next_offset(asset) > offset:
            return succeed(None)

        def cancelled(d: Deferred[None]) -> None:
            waiters = self._waiters.get(asset, [])
            with contextlib.suppress(ValueError):
                waiters.remove((offset, d))
            if not waiters:
                self._waiters.pop(asset, None)

        more: Deferred[None] = Deferred(cancelled)
        self._waiters.setdefault(asset, []).append((offset, more))
        return more

    def stop(self, error: SmapError) -> None:
        """Whoever waits is told that."""
        waiters, self._waiters = self._waiters, {}
        self._teller.add([one for some in waiters.values() for _, one in some], error)

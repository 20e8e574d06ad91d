"""The streams of the assets whose events go out, and which of them have more to send."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smapd.interfaces import IEventCursor, IEventLog


@dataclass(eq=False, slots=True)
class AssetStream:
    """One asset's. ``life``: the base offset of the life it is in."""

    asset: str
    life: int
    cursor: IEventCursor
    more: Deferred[None] | None = None
    is_queued: bool = False


class AssetStreams:
    """All of one source; on the reactor's thread. ``came``: is called when one has more."""

    def __init__(self, log: IEventLog, came: Callable[[], None]) -> None:
        self._log, self._came = log, came
        self._streams: dict[str, AssetStream] = {}
        self._ready: deque[AssetStream] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, asset: str) -> bool:
        return asset in self._streams

    def __iter__(self) -> Iterator[AssetStream]:
        return iter(list(self._streams.values()))

    @property
    def ready(self) -> int:
        """How many have something to send."""
        return len(self._ready)

    @property
    def behind(self) -> int:
        """How many events are still to be sent."""
        next_offset = self._log.next_offset
        return sum(
            max(0, next_offset(stream.asset) - stream.cursor.place)
            for stream in self._streams.values()
        )

    def take(self, asset: str, cursor: IEventCursor) -> None:
        """An asset that is there, with its place."""
        if not self._is_closed:
            stream = self._streams[asset] = AssetStream(asset, self._log.base(asset), cursor)
            self.follow(stream)

    def leave(self, stream: AssetStream) -> None:
        """Its asset is gone."""
        self._streams.pop(stream.asset, None)
        more, stream.more = stream.more, None
        if more is not None:
            more.cancel()

    def close(self) -> None:
        """Follow none of them any more."""
        self._is_closed = True
        for stream in self:
            self.leave(stream)

    def next(self) -> AssetStream | None:
        """The one whose turn it is; None if it is gone meanwhile."""
        stream = self._ready.popleft()
        stream.is_queued = False
        return stream if self._is_there(stream) else None

    def follow(self, stream: AssetStream) -> None:
        """Queue it as soon as there is something behind its place."""
        if not self._is_there(stream):
            return
        if self._log.next_offset(stream.asset) > stream.cursor.place:
            self.queue(stream)
        elif stream.more is None:
            stream.more = self._log.when_more(stream.asset, stream.cursor.place)
            stream.more.addCallbacks(self._has_more, _ended, callbackArgs=(stream,))

    def queue(self, stream: AssetStream, first: bool = False) -> None:
        """It has something; ``first``: before all others."""
        if not stream.is_queued and self._is_there(stream):
            stream.is_queued = True
            (self._ready.appendleft if first else self._ready.append)(stream)

    def _has_more(self, _: None, stream: AssetStream) -> None:
        stream.more = None
        if self._is_there(stream):
            self.queue(stream)
            self._came()

    def _is_there(self, stream: AssetStream) -> bool:
        return self._streams.get(stream.asset) is stream


def _ended(failure: Failure) -> None:
    """By a stop, or because the asset is gone."""

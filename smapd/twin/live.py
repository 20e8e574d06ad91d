"""A live look at one asset's events: what there is, then what comes, as fast as it is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from smapd.interfaces import IFollowing
from smapd.values import EventRecord

from .streams import PAGE_BYTES, Streams, Tail, Turns

AT_ONCE = 100
"""Events given between two looks at whether there is to be a pause."""


@implementer(IFollowing)
class Following:
    """One look; on the reactor's thread. Acknowledges nothing, and has no durable place."""

    def __init__(
        self,
        streams: Streams,
        asset: str,
        place: int,
        give: Callable[[EventRecord], None],
        over: Callable[[str], None],
        ended: Callable[[Following], None],
    ) -> None:
        self.asset = asset
        self._give, self._over, self._ended = give, over, ended
        self._streams = streams
        self._life = streams.log.base(asset)
        self._is_paused = self._is_over = False
        self._tail = Tail(streams, Turns(1), asset, place, self._room, self._take, self._moved)

    def start(self) -> None:
        """Begin to give."""
        self._tail.kick()

    def pause(self) -> None:
        """Give no more until ``resume``; at most a page that was being read still comes."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on."""
        self._is_paused = False
        self._tail.kick()

    def stop(self) -> None:
        """Give no more; may be repeated."""
        if not self._is_over:
            self._is_over = True
            self._tail.close()
            self._ended(self)

    def end(self, why: str) -> None:
        """There is no more to give: say why."""
        if not self._is_over:
            self.stop()
            self._over(why)

    def _room(self) -> tuple[int, int]:
        return (0 if self._is_paused else AT_ONCE), PAGE_BYTES

    def _take(self, records: Sequence[EventRecord]) -> None:
        for record in records:
            if self._is_over or self._streams.log.base(self.asset) != self._life:
                return  # of the asset's next life
            self._give(record)

    def _moved(self) -> None:
        """Nothing is kept of how far it is."""

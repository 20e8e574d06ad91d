"""Followers that stand still: events wait, and none of those they have is acknowledged.

One whose callback raises at every event, or hangs, is given no more once ``MaxUnacked`` events of
an asset, or 4 MiB of all, are open. Nothing else fails then, so it is said here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from smapd.interfaces import IClock, IFaults, ITimer
from smapd.values import Json

from .history import Asset

LOOK_S: Final = 20.0
STILL_S: Final = 60.0
"""How long nothing may be acknowledged while events wait."""
MOST_TOLD: Final = 20
"""Assets of one follower that are named."""
Key: TypeAlias = tuple[Hashable, ...]
_MEND: Final = (
    "Its own log says whether a callback raises or hangs, or leaves out ack_event. Mend that and "
    "start it again: what is not acknowledged comes again."
)


class Held(Protocol):
    """Events of one asset for one follower, which may have no more of them now."""

    asset: Asset
    name: str
    """The follower, as in ``follower archive``."""

    @property
    def is_over(self) -> bool:
        """Whether nobody is given these any more."""

    @property
    def held_by(self) -> tuple[str, int] | None:
        """What keeps the next ones back, with how often that has moved; None: nothing does.

        ``MaxUnacked``: too many of this asset are open. ``bytes``: too large a part of all.
        """

    @property
    def open(self) -> int:
        """How many are given and not acknowledged."""

    @property
    def waiting(self) -> int:
        """How many are not given."""


@dataclass(slots=True)
class _Watched:
    held_by: tuple[str, int] | None
    since_s: float
    is_still: bool = False


class Standing:
    """Looks at the feeds that have no room, as long as there are any; on the reactor's thread."""

    def __init__(self, clock: IClock, faults: IFaults) -> None:
        self._clock, self._faults = clock, faults
        self._held: dict[Held, _Watched] = {}
        self._told: dict[Key, tuple[str, Held, float]] = {}
        self._timer: ITimer | None = None
        self._is_closed = False

    def held(self, feed: Held) -> None:
        """It may have no more; it is looked at until it may."""
        if feed in self._held or self._is_closed:
            return
        self._held[feed] = _Watched(feed.held_by, self._clock.seconds())
        if self._timer is None:
            self._timer = self._clock.later(LOOK_S, self._look)

    def still_s(self, feed: Held) -> float | None:
        """For how many seconds it stands still; None if it does not."""
        watched = self._held.get(feed)
        if watched is None or not watched.is_still or feed.held_by != watched.held_by:
            return None
        return self._clock.seconds() - watched.since_s

    def status(self, feed: Held) -> dict[str, Json] | None:
        """What ``/status`` shows of one that stands still; None if it does not."""
        still_s = self.still_s(feed)
        if still_s is None:
            return None
        return {
            "asset": feed.asset.id,
            "unacked": feed.open,
            "waiting": feed.waiting,
            "for_s": round(still_s, 1),
        }

    def close(self) -> None:
        """Look no more: what is not acknowledged now comes with the next start."""
        self._is_closed = True
        self._held.clear()
        if self._timer is not None:
            self._timer.discard()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        for feed, watched in list(self._held.items()):
            by = feed.held_by
            if feed.is_over or by is None:
                del self._held[feed]
            elif by != watched.held_by:
                self._held[feed] = _Watched(by, now_s)
            else:
                watched.is_still = now_s - watched.since_s >= STILL_S and feed.waiting > 0
        self._tell([feed for feed, watched in self._held.items() if watched.is_still])
        if self._held:
            self._timer = self._clock.later(LOOK_S, self._look)

    def _tell(self, still: list[Held]) -> None:
        faults = _faults(still)
        for key in [key for key in self._told if key not in faults]:
            where, feed, since_s = self._told.pop(key)
            end = "is not connected any more, or the asset is gone" if feed.is_over else "goes on"
            text = "{where} {end}; it had stood still for {still_s:.0f} s"
            still_s = self._clock.seconds() - since_s
            self._faults.cleared(key, text, where=where, end=end, still_s=still_s)
        for key, (where, feed, text) in faults.items():
            if key not in self._told:
                self._told[key] = where, feed, self._held[feed].since_s
            # the numbers in the text change: it is the same fault for all that
            self._faults.fault(key, text, same="still")


def _faults(still: list[Held]) -> dict[Key, tuple[str, Held, str]]:
    """What to say, by key: where, one of those that it is of, and the sentence."""
    faults: dict[Key, tuple[str, Held, str]] = {}
    named: Counter[str] = Counter()
    further: dict[str, Held] = {}
    by_bytes: dict[str, list[Held]] = {}
    for feed in still:
        name = feed.name
        if feed.held_by is not None and feed.held_by[0] == "bytes":
            by_bytes.setdefault(name, []).append(feed)
            continue
        named[name] += 1
        if named[name] > MOST_TOLD:
            further[name] = feed
        else:
            faults["standing", name, feed.asset.id] = (
                f"{name}, asset {feed.asset.id},",
                feed,
                f"{name} stands still at asset {feed.asset.id}: it has {feed.open} events, all "
                f"that its MaxUnacked allows, none of which it acknowledged for {STILL_S:g} s, "
                f"and {feed.waiting} more wait. {_MEND}",
            )
    for name, feed in further.items():
        faults["standing", name] = (
            f"{name}, at more than {MOST_TOLD} assets,",
            feed,
            f"{name} stands still at {named[name] - MOST_TOLD} assets beside those named.",
        )
    for name, feeds in by_bytes.items():
        assets = ", ".join(feed.asset.id for feed in feeds[:MOST_TOLD])
        more = f" and {len(feeds) - MOST_TOLD} others" if len(feeds) > MOST_TOLD else ""
        faults["standing bytes", name] = (
            name,
            feeds[0],
            f"{name} stands still: it has 4 MiB of events, all that a session may have, none of "
            f"which it acknowledged for {STILL_S:g} s, and {sum(feed.waiting for feed in feeds)} "
            f"more of {assets}{more} wait. {_MEND}",
        )
    return faults

"""Finding the one record that a sink cannot take, without ever losing what a dead sink refuses.

When a body is refused it is halved, and halved again. What is refused alone is a suspect; it is set
aside only if the same place accepted a neighbour from the same body within the last minute, and
not more often than ten times an hour. Else the sink counts as down, and everything is kept.

The first record of a body has no neighbour that could have been accepted before it. So suspects
are passed over for a moment: what comes right behind them is sent, with their gaps in the same
body. If that is accepted, they are proved guilty; if not, nothing has happened.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from smapd.interfaces import ICursor
from smapd.values import Position

from .delivering import Piece
from .slices import gaps_of, without

NEIGHBOUR_S: Final = 60.0
"""How long ago a neighbour may have been accepted to count as a witness."""

MOST_AN_HOUR: Final = 10
HOUR_S: Final = 3600.0

MOST_TRIES: Final = 60
"""Requests that one hunt may take: 14 halve 10,000 readings, the rest are for a few suspects."""

REST_S: Final = 600.0
"""After a hunt that found the sink down, so long until the next one; one try a pause meanwhile."""

BEHIND_SUSPECTS: Final = 16
"""Readings sent behind a suspect at first: few, so that they hold no other one."""


class Budget:
    """How many records may still be set aside this hour."""

    def __init__(self) -> None:
        self._at_s: deque[float] = deque()

    def left(self, now_s: float) -> int:
        """How many more may be set aside now."""
        while self._at_s and now_s - self._at_s[0] >= HOUR_S:
            self._at_s.popleft()
        return MOST_AN_HOUR - len(self._at_s)

    def spend(self, count: int, now_s: float) -> None:
        """So many were set aside."""
        self._at_s.extend([now_s] * count)


class Hunt:
    """One search in one refused body. ``end``: where that body ended.

    ``limit``: how many readings to send next. ``suspects``: how many readings at the cursor's
    position were refused one by one, and are passed over. ``is_proved``: they are guilty, a
    neighbour was accepted before them.
    """

    def __init__(self, end: Position, count: int) -> None:
        self.end = end
        self.limit = max(1, count // 2)
        self.suspects = 0
        self.is_proved = False
        self._tries = 0
        self._accepted: dict[int, float] = {}

    def accepted(self, place: int, now_s: float) -> None:
        """A piece went through at that place of the ring; suspects before it are dealt with."""
        self._accepted[place] = now_s
        self.suspects = 0
        self.is_proved = False
        self.limit *= 2

    def refused(self, count: int, place: int, now_s: float, budget: int, *, is_sure: bool) -> bool:
        """A piece of so many readings was refused: whether the hunt goes on.

        ``is_sure``: the sink said that it was the body. An answer 500 may as well be the sink that
        goes down just now: then only a neighbour accepted behind it is a proof.
        """
        self._tries += 1
        if self._tries > MOST_TRIES:
            return False
        if count > 1:
            self.limit = count // 2
            return True
        if self.suspects >= budget:
            return False
        self.suspects += 1
        seen_s = self._accepted.get(place)
        self.is_proved = is_sure and seen_s is not None and now_s - seen_s <= NEIGHBOUR_S
        self.limit = BEHIND_SUSPECTS
        return True

    def abandon_suspects(self) -> None:
        """They are innocent for now: the place did not answer at all, or another one is asked."""
        self.suspects = 0
        self.is_proved = False
        self.limit = max(1, self.limit)


class Repeats:
    """How often in a row what stands at one place was refused."""

    def __init__(self) -> None:
        self._at: Position | None = None
        self._count = 0

    def again(self, at: Position | None) -> int:
        """It was refused; how often now. ``at``: None for what is no reading."""
        self._count = self._count + 1 if self._at == at else 1
        self._at = at
        return self._count

    def end(self) -> None:
        """Something was accepted, or is let go."""
        self._at, self._count = None, 0


async def behind_suspects(
    cursor: ICursor, hunt: Hunt, limit: int, limit_bytes: int
) -> Piece | None:
    """What comes right behind the suspects, with their gaps; None: there is no proof."""
    passed = await cursor.read(hunt.suspects, limit_bytes)
    batch = await cursor.read(passed.count + limit, limit_bytes)
    count = batch.count - passed.count
    if count <= 0 and not hunt.is_proved:
        return None
    gaps = [*batch.gaps, *gaps_of(passed, "refused")]
    end = batch.end if count > 0 else passed.end
    return Piece(without(batch, passed), gaps, max(count, 0), end, suspects=passed.count)

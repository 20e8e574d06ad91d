"""Fresh readings first: two cursors that look like one.

After an outage the main cursor has far to go. From then on a second one, which began behind all
that was there, takes what is new; it goes first, and the main one works through the old as fast as
``CatchUpRate`` allows, up to where the second began. Then the two are one again. The second
cursor's name says where it began, so a restart finds both.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smapd.interfaces import IClock, ICursor, IReadings
from smapd.values import JournalBatch, Limits, Position

from .selects import Selects

FAR_BEHIND: Final = 50_000
"""So many readings behind, fresh ones go first: more than a few bodies hold."""

FAR_BEHIND_S: Final = 5.0
"""With a rate: so many seconds' worth of it."""

_MARK: Final = "@fresh:"


def fresh_names(readings: IReadings, name: str) -> list[str]:
    """The names of second cursors that there are for this one."""
    return [one for one in readings.cursors() if one.startswith(name + _MARK)]


@implementer(ICursor)
class FreshFirst:
    """The cursor ``name``, and while it is far behind a second one; on the reactor's thread.

    ``may_part``: else it is the plain cursor, but for a second one left from before. ``rate``: old
    readings per second while both run; None: no limit. Both may be changed at any time.
    Its ``position`` is that of whichever was read last.
    """

    def __init__(
        self,
        readings: IReadings,
        main: ICursor,
        selects: Selects,
        *,
        clock: IClock,
        may_part: bool = True,
        rate: float | None = None,
    ) -> None:
        self.name, self.may_part, self.rate = main.name, may_part, rate
        self._readings, self._main, self._selects = readings, main, selects
        self._clock = clock
        self._fresh: ICursor | None = None
        self._from: Position | None = None
        self._old_next = False
        self._lane: ICursor = main
        self._held: int | None = None
        self._old_due_s = 0.0
        for name in fresh_names(readings, self.name):
            flush, _, offset = name.removeprefix(self.name + _MARK).partition("+")
            began = Position(int(flush), int(offset))
            if self._fresh is None and began >= main.position:
                self._open(name, began)
            else:  # the two had become one, and the end came before it was forgotten
                clock.background(readings.forget(name), f"forgetting {name}")

    @property
    def position(self) -> Position:
        """Of the cursor that was read last."""
        return self._lane.position

    @property
    def limits(self) -> Limits:
        """As given."""
        return self._main.limits

    @property
    def is_apart(self) -> bool:
        """Whether there are two now."""
        return self._fresh is not None

    def read(
        self, limit_readings: int = 10_000, limit_bytes: int = 2**22, until: Position | None = None
    ) -> Deferred[JournalBatch]:
        """What comes next, fresh before old; the same again until it is acked."""
        return Deferred.fromCoroutine(self._read(limit_readings, limit_bytes))

    async def _read(self, most: int, most_bytes: int) -> JournalBatch:
        if self._held is None:
            self._part()
        fresh = self._fresh
        if fresh is None:
            self._lane = self._main
            return await self._main.read(most, most_bytes)
        if self._held is not None and self._lane is self._main:
            return await self._main.read(most, most_bytes, self._from)
        batch = await fresh.read(most, most_bytes)
        if batch.runs or batch.gaps or batch.end > batch.first:
            return self._of(fresh, batch)
        if self._clock.seconds() < self._old_due_s:
            return self._of(fresh, batch, held=False)
        old = await self._main.read(most, most_bytes, self._from)
        if old.runs or old.gaps or old.end > old.first:
            return self._of(self._main, old)
        await self._join(fresh)
        return self._of(
            self._main, JournalBatch([], [], 0, self._main.position, self._main.position)
        )

    def ack(self, position: Position) -> Deferred[None]:
        """What was read last is done with."""
        lane, count, self._held = self._lane, self._held, None
        if lane is self._main and self._fresh is not None and self.rate and count:
            self._old_due_s = self._clock.seconds() + count / self.rate
        return lane.ack(position)

    def waiting(self) -> int:
        """How many readings either still has to read."""
        if self._fresh is None:
            return self._main.waiting()
        return max(self._main.waiting(), self._fresh.waiting())

    def when_more(self) -> Deferred[None]:
        """Fires when either has more, or when the time of the old ones has come."""
        fresh = self._fresh
        if fresh is None:
            return self._main.when_more()
        wait_s = self._old_due_s - self._clock.seconds()
        if wait_s <= 0:
            return succeed(None)
        more: Deferred[None] = Deferred()

        def heard(_: object) -> None:
            timer.discard()
            if not more.called:
                more.callback(None)

        timer = self._clock.later(wait_s, heard, None)
        fresh.when_more().addBoth(heard)
        return more

    def change(self, selects: Selects, limits: Limits) -> Deferred[None]:
        """From now on these streams and limits."""
        self._selects = selects
        changed = self._main.change(selects, limits)
        fresh = self._fresh
        if fresh is not None:
            changed.addCallback(lambda _: fresh.change(selects, limits))
        return changed

    # --- two of one, one of two

    def _part(self) -> None:
        if not self.may_part:
            return
        newest = self._readings.newest
        far = FAR_BEHIND if self.rate is None else max(1, round(self.rate * FAR_BEHIND_S))
        if self._fresh is None and self._main.waiting() > far and newest > self._main.position:
            self._open(f"{self.name}{_MARK}{newest.flush}+{newest.offset}", newest)

    def _open(self, name: str, began: Position) -> None:
        self._from = began
        self._fresh = self._readings.cursor(name, self._selects, began, self._main.limits)

    async def _join(self, fresh: ICursor) -> None:
        await self._main.ack(max(self._main.position, fresh.position))
        self._fresh = self._from = None
        await self._readings.forget(fresh.name)

    def _of(self, lane: ICursor, batch: JournalBatch, held: bool = True) -> JournalBatch:
        self._lane = lane
        self._held = batch.count if held else None
        return batch

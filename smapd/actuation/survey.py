"""Asks many actuators for one answer, which waits for none of them longer than it must.

They are asked by driver, a few of each at once, so that one whose devices hang does not keep those
of another from being asked. What is not known when the time is up is shown as it was last known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred, succeed

from smapd.core import DriverCalls, Timeseries
from smapd.errors import SmapError
from smapd.interfaces import IClock, ITimer
from smapd.values import Reading

from .point import Point

SURVEY_S: Final = 12.0
"""How long all actuators below a place may take together."""

Told: TypeAlias = "tuple[Reading | None, str]"
Row: TypeAlias = "Iterator[tuple[str, Timeseries]]"


class Survey:
    """One answer about many actuators; on the reactor's thread."""

    def __init__(self, clock: IClock, get: Callable[[str], Deferred[Reading]], each: int) -> None:
        """``get``: asks one by its path. ``each``: how many of one driver are asked at once."""
        self._clock, self._get, self._each = clock, get, each
        self._told: dict[str, Told] = {}
        self._done: Deferred[Mapping[str, Told]] = Deferred()
        self._left = 0
        self._timer: ITimer | None = None

    def ask(self, found: Sequence[tuple[str, Timeseries]]) -> Deferred[Mapping[str, Told]]:
        """Ask these: fires with what each said, or else with its last value and why; never fails.

        To be called once.
        """
        drivers: dict[DriverCalls, list[tuple[str, Timeseries]]] = {}
        for where, stream in found:
            if stream.actuator is not None:
                self._told[where] = (last_known(stream), "It was not asked: others took too long.")
                drivers.setdefault(stream.actuator.calls, []).append((where, stream))
        if not drivers:
            return succeed(self._told)
        self._timer = self._clock.later(SURVEY_S, self._finish)
        self._left = len(drivers) * self._each
        for row in [iter(own) for own in drivers.values()]:
            for _ in range(self._each):
                work = Deferred.fromCoroutine(self._ask_row(row))
                self._clock.background(work, "asking the actuators below a place")
                work.addBoth(self._row_ended)
        return self._done

    async def _ask_row(self, row: Row) -> None:
        for where, stream in row:
            if self._done.called:
                return
            try:
                self._told[where] = (await self._get(stream.path), "")
            except SmapError as error:
                self._told[where] = (last_known(stream), error.message)

    def _row_ended(self, _: object) -> None:
        self._left -= 1
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.discard()
        if not self._done.called:
            self._done.callback(dict(self._told))  # what is under way may still add to ours


def last_known(stream: Timeseries) -> Reading | None:
    """The newest of what the device said last and what was added to the stream."""
    point = stream.actuator.point if stream.actuator is not None else None
    known = point.last if isinstance(point, Point) else None
    added = stream.last()
    if known is None or (added is not None and added.ms > known.ms):
        return added
    return known

"""When what is deployed is looked at again, and what such a look finds."""

from __future__ import annotations

from collections.abc import Callable

from smapd.interfaces import IClock
from smapd.values import Json

from .due import Due
from .jobs import Drift, IAgent, Job
from .rows import differences


class Repair:
    """Of each resource the next look, and the drift found so far; on the reactor's thread."""

    def __init__(
        self,
        clock: IClock,
        again: Callable[[list[str]], bool],
        looked: Callable[[str, int, str, int], None],
        drifted: Callable[[Drift], None],
    ) -> None:
        """``again(names)``: look at these again; False if that has to wait.

        ``looked(resource, ms, status, differences)`` after each look, ``drifted`` if it differed.
        """
        self._due = Due(clock, again)
        self._looked, self._drifted = looked, drifted
        self.drifts = 0
        """How many looks found something other than desired."""

    def schedule(self, name: str, agent: IAgent | None) -> None:
        """It was done just now; ``agent``: who takes its jobs."""
        if agent is None or agent.repair_s <= 0:
            self._due.forget(name)
        else:
            self._due.put(name, agent.repair_s)

    def clear(self) -> None:
        """Nothing is looked at any more."""
        self._due.clear()

    def found(self, job: Job, row: Json) -> None:
        """What came of a look."""
        differs = differences(row)
        self._looked(job.name, row["ms"], row["status"], differs)
        if differs:
            self.drifts += 1
            number = job.version.number
            self._drifted(
                Drift(job.name, number, row["ms"], row["status"], row["change"], row["changes"])
            )

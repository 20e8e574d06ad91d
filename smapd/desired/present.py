"""The agents that are there, and how long a deploy waits for those that are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from smapd.interfaces import IClock, ITimer
from smapd.values import Json

from .ids import Id
from .jobs import IAgent

GRACE_S: Final = 20.0
"""How long a deploy waits for an agent that is not there, before its resources are unavailable."""


class Present:
    """Agents come and go; on the reactor's thread. ``over``: called when patience has ended."""

    def __init__(self, clock: IClock, over: Callable[[], None]) -> None:
        self.agents: dict[str, IAgent] = {}
        self.is_patient = True
        """Whether those that are not there are still waited for."""
        self._clock, self._over = clock, over
        self._grace: ITimer | None = None
        self._is_closed = False

    def __iter__(self) -> Iterator[IAgent]:
        """Those that are there; they may come and go meanwhile."""
        return iter(list(self.agents.values()))

    def serving(self, name: str) -> IAgent | None:
        """Who takes the jobs of that agent name, None if nobody does now."""
        for agent in self.agents.values():
            if name in agent.names:
                return agent
        return None

    def absent(self, names: Iterable[str]) -> list[str]:
        """Those of these agent names whose jobs nobody takes now."""
        served: set[str] = set().union(*(agent.names for agent in self.agents.values()))
        return [name for name in names if name not in served]

    def device_of(self, resource: Mapping[str, Json]) -> str:
        """The device that a resource sits on, "" for none."""
        agent = self.serving(Id.parse_id(resource["id"]).agent_name)
        value = resource.get(agent.device) if agent is not None and agent.device else None
        return "" if value is None else str(value)

    def wait(self) -> None:
        """Be patient, from now on for so long."""
        self.is_patient = True
        if self._grace is not None:
            self._grace.discard()
        self._grace = None if self._is_closed else self._clock.later(GRACE_S, self._end)

    def close(self) -> None:
        """Nobody is waited for any more."""
        self._is_closed = True
        if self._grace is not None:
            self._grace.discard()
            self._grace = None

    def _end(self) -> None:
        self._grace = None
        self.is_patient = False
        self._over()

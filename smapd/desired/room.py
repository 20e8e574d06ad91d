"""The room in one piece, as the daemon takes it in: the files, the orchestrator and the agents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from smapd.errors import ConfigError
from smapd.runtime import PoolSize, Runtime
from smapd.values import Json

from .actions import AgentLogs
from .agents import EmbeddedAgent
from .blobs import Blobs
from .drift import DriftSeries, ITreeOfDrift
from .jobs import Drift
from .options import agent_from, limits_from, problems_of
from .orchestrator import Orchestrator
from .store import POOL, Store

QUEUE: Final = 100_000


class DesiredRoom:
    """Versions, deploys and agents of one daemon; on the reactor's thread.

    ``home``: the data directory. ``server``: the checked values of [server]. ``agents``: name and
    checked values of each ``[agent NAME]``. ``tree``: where the drift is shown as timeseries, None
    for nowhere. ``services``: what handlers may reach of the daemon, by name. ``drifted``: told of
    each drift that repair finds.

    :raises ConfigError: if two agents are to serve one name, or one has a name that is none.
    """

    def __init__(
        self,
        home: Path,
        run: Runtime,
        server: Mapping[str, Any],
        agents: Iterable[tuple[str, Mapping[str, Any]]] = (),
        *,
        tree: ITreeOfDrift | None = None,
        services: Mapping[str, Any] | None = None,
        drifted: Callable[[Drift], None] = lambda drift: None,
    ) -> None:
        settings = [agent_from(name, values) for name, values in agents]
        problems = problems_of(settings)
        if problems:
            raise ConfigError(problems)
        run.threads.add_pool(POOL, PoolSize(kept=1, most=1, queue=QUEUE))
        blobs = Blobs(home / "blobs", home / "quarantine")
        series = None if tree is None else DriftSeries(tree, run.faults)
        self.orchestrator = Orchestrator(
            Store(home, home / "quarantine"),
            blobs,
            AgentLogs(home / "log"),
            run.threads,
            run.clock,
            run.backoff(),
            run.faults,
            limits_from(server),
            looked=(lambda *a: None) if series is None else series.looked,
            drifted=drifted,
        )
        self.agents = [
            EmbeddedAgent(one, run.threads, run.clock, run.faults, blobs.get, services)
            for one in settings
        ]
        self._clock = run.clock

    async def start(self) -> None:
        """Open the files, import the handlers, and go on with what was under way.

        A module of handlers that takes long to import holds up its agent alone.

        :raises DataDirUnusable: if the files cannot be opened.
        """
        for agent in self.agents:
            self.orchestrator.add_agent(agent)
            ready = agent.start().addCallback(lambda _: self.orchestrator.dispatcher.pump())
            self._clock.background(ready, f"starting agent {agent.name}")
        await self.orchestrator.start()

    async def stop(self) -> None:
        """Begin nothing more, and wait for what is under way; give a limit of some seconds."""
        await self.orchestrator.stop()
        for agent in self.agents:
            await agent.stop()

    async def close(self) -> None:
        """Let go of the files; after ``stop``, whether that came to its end or not."""
        await self.orchestrator.close()

    def status(self) -> dict[str, Json]:
        """What /status shows."""
        return self.orchestrator.status()

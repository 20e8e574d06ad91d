"""Assets, their events, and the integrators and followers that run in the daemon."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from twisted.logger import Logger

from smapd.config import Plan, resolve
from smapd.core import SmapInstance
from smapd.runtime import Durations, PoolSize, Runtime
from smapd.storage import EVENTS_POOL, EventLog, event_settings_from
from smapd.twin import EmbeddedThings, EventTypes, ThingSection, Twin

from .keeping import Keeping


class Twins:
    """The event log, the twin on it, and the things; on the reactor's thread."""

    log = Logger()

    def __init__(
        self,
        inst: SmapInstance,
        plan: Plan | None,
        run: Runtime,
        keeping: Keeping,
        server: Mapping[str, Any],
    ) -> None:
        """:raises ConfigError: if a module of events cannot be imported."""
        self.plan, self.run = plan, run
        self.commits = Durations()
        run.threads.add_pool(EVENTS_POOL, PoolSize(kept=1, most=1, queue=10_000))
        home = keeping.data_dir.path
        self.events = EventLog(
            home / "events",
            home / "quarantine",
            run.clock,
            run.threads,
            run.backoff(),
            run.faults,
            event_settings_from(server),
            took=self.commits.add,
        )
        self.types = EventTypes(server["EventModules"])
        self.twin = Twin(
            inst,
            self.events,
            keeping.definitions,
            self.types,
            run.clock,
            run.faults,
            run.backoff(),
            any_events=server["AnyEvents"],
        )
        self.things = EmbeddedThings(self.twin.hub, run, self.types)
        for other in plan.others if plan is not None else ():
            if other.kind in ("integrator", "follower", "thing"):
                section = ThingSection(other.kind, other.name, partial(resolve, other))
                self.things.add(section)

    async def open(self, ready: Collection[str] = ()) -> None:
        """Learn which assets there are; once the config's nodes are in the tree.

        ``ready``: paths of the drivers that are set up already.
        """
        sections = self.plan.sections if self.plan is not None else ()
        await self.twin.open(
            {section.asset: section.path for section in sections if section.asset is not None},
            [section.path for section in sections if section.kind == "driver"],
            ready,
        )

    def start(self) -> None:
        """Run the things."""
        self.things.start()

    async def stop(self) -> None:
        """Stop the things; requests under way fail with SHUTDOWN first, while all can be told."""
        self.twin.end_answers()
        for name in await self.things.stop():
            self.log.warn("{thread} does not end; it is abandoned", thread=name)

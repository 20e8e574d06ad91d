"""A daemon: one tree with all that serves it, started and stopped in order."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from typing import Any, Final, cast

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

import smapd
from smapd import actuation, http
from smapd.access import Access
from smapd.config import NodeSection, Plan
from smapd.core import Intake, SmapInstance
from smapd.desired.store import POOL as DESIRED_POOL
from smapd.driver.lifecycle import DriverSection
from smapd.interfaces import IFrames
from smapd.runtime import (
    Child,
    ClockWatch,
    DiskWrites,
    Notifier,
    OrderedService,
    PoolSize,
    ReactorLag,
    Runtime,
    Watchdog,
    watchdog_interval_s,
)
from smapd.storage import EVENTS_POOL, READINGS_POOL
from smapd.twin import wire
from smapd.values import Json

from .connecting import Connecting
from .desiring import desired_room
from .keeping import CONTROL_POOL, Keeping
from .planting import Planting
from .serving import Serving
from .settings import LoadedPlan, Settings, defaults
from .subscribing import Subscribing
from .twins import Twins

LOOK_S: Final = 10.0
"""How often the disk threads are looked at where no supervisor says."""


class Daemon:
    """One tree with all that serves it; every method on the reactor's thread."""

    log = Logger()

    def __init__(
        self,
        inst: SmapInstance,
        plan: Plan | None,
        run: Runtime,
        reactor: Any,
        settings: Settings,
    ) -> None:
        self.inst, self.plan, self.run = inst, plan, run
        self._settings = settings
        server = dict(plan.server) if plan is not None else defaults()
        self._started_ms = run.clock.wall_ms()
        at_once = server["WorkThreads"]
        run.threads.add_pool(
            actuation.POOL, PoolSize(kept=0, most=at_once + actuation.MOST_HUNG, queue=1_000)
        )
        self.actuators = actuation.Actuators(
            inst,
            run.threads,
            run.clock,
            run.faults,
            user_loop=run.threads.to_user_loop,
            at_once=at_once,
        )
        self.jobs = actuation.Jobs(self.actuators, run.clock)
        self.clock_watch = ClockWatch(run.clock, run.scheduler.clock_stepped)
        self.reactor_lag = ReactorLag(run.clock)
        self.disk_writes = DiskWrites(run.clock, budget=server["WriteBudget"], faults=run.faults)
        self.notifier = Notifier(settings.environ.get("NOTIFY_SOCKET"))
        self.keeping = Keeping(run, settings.data_dir or server["DataDir"], server)
        self.readings = self.keeping.readings
        self.planting = Planting(inst, plan, run, self.clock_watch)
        self.subscribing = Subscribing(
            inst, plan, run, reactor, self.keeping, server, self.planting.late
        )
        self.reports = self.subscribing.reports
        self.twins = Twins(inst, plan, run, self.keeping, server)
        self.planting.told = self.twins.twin
        self.desired = desired_room(
            inst,
            plan,
            run,
            self.keeping,
            server,
            self.actuators,
            self.reports,
            self.twins.twin,
            self.twins.types,
        )
        self.connecting = Connecting(
            inst, plan, run, self.keeping, self.twins, self.actuators, self.subscribing.known
        )
        self.serving = Serving(
            plan, run, reactor, self.keeping.data_dir, server, settings.port, self._parts
        )
        self.watchdog = Watchdog(
            run.clock,
            run.threads,
            self.notifier,
            watchdog_interval_s(settings.environ, os.getpid()) or LOOK_S,
            [CONTROL_POOL, READINGS_POOL, EVENTS_POOL, DESIRED_POOL],
            consumers=lambda: self.reports.standing_still(),
        )
        keeping, subscribing, twins = self.keeping, self.subscribing, self.twins
        children = [
            Child("data directory", keeping.open_data_dir, keeping.data_dir.close, None),
            Child("threads", run.threads.start, self._stop_threads, 1.5),
            Child("definitions", keeping.open_control, keeping.close_control, None),
            Child("journal", self.readings.start, self.readings.stop, None),
            Child("desired files", _nothing, self.desired.close, None),
            Child("events", twins.events.start, twins.events.stop, None),
            Child("tree", self._plant, self.planting.uproot, 1.0),
            Child("reports", subscribing.start, subscribing.stop, 2.0),
            Child("twin", _nothing, twins.twin.close, 1.0),
        ]
        if settings.serve_http:
            children.append(Child("http", self.serving.open, self.serving.close, 1.0))
        children.append(Child("drivers", self.planting.begin, self.planting.end, 4.0))
        children.append(Child("actuation", self.actuators.open, self._end_actuation, 1.0))
        # behind actuation: a deploy that goes on may set actuators at once
        children.append(Child("others' code", self._begin_others, self._end_others, 3.0))
        children.append(Child("watch", self._watch, self._unwatch, 0.5))
        self.service = OrderedService(run.clock, children)
        self._show_status()

    @property
    def urls(self) -> list[str]:
        """Where it answers."""
        return self.serving.urls

    @property
    def sections(self) -> Mapping[str, DriverSection]:
        """The drivers, by the paths of their sections."""
        return self.planting.sections

    async def attach(self, section: NodeSection) -> None:
        """Attach one section to the running daemon; a driver is set up and started.

        A driver that hangs in that is not waited for; see ``Planting.attach``.

        :raises SmapError: if its place or uuid is taken.
        """
        await self.planting.attach(section)

    async def detach(self, path: str) -> None:
        """Stop the driver of a section, if it has one, and take it out of the tree."""
        await self.planting.detach(path)

    def start(self) -> Deferred[None]:
        """Start everything in order; fails with the first cause after undoing what had started."""
        started = self.service.start()
        return started.addCallback(lambda _: self._ready())

    def stop(self) -> Deferred[list[str]]:
        """Stop everything in reverse, each part under its time limit."""
        self.notifier.stopping()
        return self.service.stop()

    # --- parts

    async def _plant(self) -> None:
        await self.planting.plant(self._keep)

    async def _keep(self) -> None:
        """From now on readings are kept and go to the reports, and assets are known."""
        self.inst.attach(self.readings)
        await self.subscribing.open()
        ready = self.plan.hosts if isinstance(self.plan, LoadedPlan) else ()
        await self.twins.open(ready)
        await self.connecting.open()

    async def _begin_others(self) -> None:
        await self.desired.start()  # the one that may fail
        self.twins.start()
        self.connecting.start()

    async def _end_others(self) -> None:
        """Side by side: each of them may hang for its whole time."""
        ends = (self.connecting.stop(), self.desired.stop(), self.twins.stop())
        ended = [Deferred.fromCoroutine(end) for end in ends]
        for fine, failure in await DeferredList(ended, consumeErrors=True):
            if not fine:
                self.log.failure("a part of others' code: its stop failed", failure)

    def _parts(self) -> http.HttpParts:
        return http.HttpParts(
            tree=self.inst,
            intake=Intake(self.inst),
            access=Access(None, True),
            status=self.run.status,
            ready=self._why_not_ready,
            healthy=self._why_unhealthy,
            version=smapd.__version__,
            readings=self.readings,
            reports=self.reports,
            actuators=self.actuators,
            jobs=self.jobs,
            twin=self.twins.twin,
            desired=self.desired.orchestrator,
            frames=cast(IFrames, wire),
        )

    def _end_actuation(self) -> Deferred[None]:
        self.jobs.close()
        return self.actuators.close()

    def _watch(self) -> None:
        self.watchdog.start()
        self.keeping.watch()
        self.reactor_lag.start()
        self.disk_writes.start()

    def _unwatch(self) -> None:
        self.watchdog.stop()
        self.keeping.unwatch()
        self.reactor_lag.stop()
        self.disk_writes.stop()

    async def _stop_threads(self) -> None:
        for name in await self.run.threads.stop(1.0):
            self.log.warn("{call} is still under way; it is abandoned", call=name)

    def _why_not_ready(self) -> str:
        if self.service.starting:
            return f"Starting: {self.service.starting}."
        return "" if "drivers" in self.service.started else "Stopping."

    def _why_unhealthy(self) -> str:
        stuck = self.watchdog.stuck
        return f"{', '.join(stuck)} does not move." if stuck else self.keeping.lost

    def _ready(self) -> None:
        gc.freeze()  # the tree stays: a full collection need not walk it again
        for line in self._announcement():
            self._settings.announce(line)
        self.notifier.ready()

    def _announcement(self) -> list[str]:
        lines = [f"smapd {smapd.__version__} is ready."]
        for url in self.urls:
            lines.append(f"  open       {url}data/+")
        lines.append(f"  data in    {self.keeping.data_dir.path}")
        lines.append(f"  stop with  Ctrl-C, or: kill {os.getpid()}")
        return lines

    def _show_status(self) -> None:
        show = self.run.status.section
        show("daemon", self._about)
        show("tree", self._about_tree)
        show("drivers", lambda: [driver.status() for driver in self.sections.values()])
        show("actuation", self.actuators.status)
        show("jobs", self.jobs.status)
        show("late", lambda: dict(self.planting.late))
        show("clock", self.clock_watch.status)
        show("journal", self.readings.status)
        show("commits", self.keeping.commits.status)
        show("quarantine", self.keeping.about_quarantine)
        show("disk writes", self.disk_writes.status)
        show("reactor", self.reactor_lag.status)
        show("reports", self.reports.status)
        show("assets", self.twins.twin.status)
        show("things", self.twins.things.status)
        show("events", self.twins.events.status)
        show("connectors", self.connecting.connectors.status)
        show("desired", self.desired.status)

    def _about(self) -> Json:
        now_ms = self.run.clock.wall_ms()
        return {
            "version": smapd.__version__,
            "pid": os.getpid(),
            "config": self.plan.file if self.plan is not None else None,
            "data_dir": str(self.keeping.data_dir.path),
            "urls": self.urls,
            "started_ms": self._started_ms,
            "now_ms": now_ms,
            "not_ready": self._why_not_ready(),
        }

    def _about_tree(self) -> Json:
        inst = self.inst
        return {
            "nodes": len(inst),
            "revision": inst.revision,
            "readings": inst.taken,
            "refused": inst.refused,
            "dropped": inst.dropped,
            "queued": inst.queued,
            "refusals": inst.refusals(),
        }


def _nothing() -> None:
    """It starts further on."""


def build(plan: Plan, run: Runtime, reactor: Any, settings: Settings) -> Daemon:
    """A daemon for a checked plan; nothing is started yet."""
    inst = SmapInstance(plan.root_uuid, now=run.clock.wall_ms)
    if plan.default_timezone is not None:
        inst.set_default_timezone(plan.default_timezone)
    inst.plan = plan
    return Daemon(inst, plan, run, reactor, settings)


def embed(inst: SmapInstance, run: Runtime, reactor: Any, settings: Settings) -> Daemon:
    """A daemon around a tree that a program made or loaded; nothing is started yet."""
    return Daemon(inst, inst.plan, run, reactor, settings)

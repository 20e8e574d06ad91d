"""The plan of the house: makes every part once, and hands each its neighbours.

``build`` turns a checked plan into a ``Daemon``, which starts and stops in order. Sections are
attached and detached one at a time.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

import smapd
from smapd import actuation, http, reports, runtime, storage
from smapd.access import Access
from smapd.config import (
    NodeSection,
    OtherSection,
    Plan,
    attach_section,
    finish_driver_section,
    namespace,
    resolve,
    with_driver,
)
from smapd.core import Collection, Intake, SmapInstance
from smapd.driver.host import DriverHost
from smapd.driver.lifecycle import DriverSection, Place
from smapd.errors import DataDirUnusable, DriverFailed, SmapError
from smapd.options import merge
from smapd.reporting import Reporting
from smapd.reports import Definition, KnownStreams, Neighbours, Reports
from smapd.reports.composer import IFormat
from smapd.runtime import (
    Backoff,
    CallOwner,
    Child,
    ClockWatch,
    DiskWrites,
    Durations,
    Notifier,
    OrderedService,
    PoolSize,
    ReactorLag,
    Repeating,
    Runtime,
    Watchdog,
    periodic,
    watchdog_interval_s,
)
from smapd.storage import (
    READINGS_POOL,
    Control,
    DataDir,
    Definitions,
    Readings,
    settings_from,
)
from smapd.storage import Daemon as Address
from smapd.values import Json

if TYPE_CHECKING:
    from smapd import sinks

TABLES: Final = (*http.TABLES, *reports.TABLES, *runtime.TABLES, *storage.TABLES)

PATIENCE_S: Final = 4.0
"""How long the start waits, in all, for the drivers to be set up."""

PATIENCE_ALONE_S: Final = 1.0
"""How long for one of them."""

ANSWERS_END_S: Final = 0.8
"""How long open answers may take to finish at a stop."""

CONTROL_POOL: Final = "disk-control"
LOOK_AT_POLLS_S: Final = 2.0
"""How often the tree is told what is wrong with the drivers' polls."""
LOOK_AT_DATA_DIR_S: Final = 10.0
"""How often it is looked whether the data directory is still the one that is locked."""
LOOK_S: Final = 10.0
"""How often the disk threads are looked at where no supervisor says."""


@dataclass(frozen=True)
class LoadedPlan(Plan):
    """The plan of a tree that ``loader.load`` made. ``hosts``: its drivers that are set up."""

    hosts: Mapping[str, DriverHost] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line overrules, and who is told that the daemon is ready."""

    port: int | None = None
    data_dir: str | Path | None = None
    serve_http: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
    announce: Callable[[str], None] = field(default=lambda text: None)


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
        self.sections: dict[str, DriverSection] = {}
        self.urls: list[str] = []
        self._reactor, self._settings = reactor, settings
        self._server = dict(plan.server) if plan is not None else _defaults()
        self._data_dir = DataDir(settings.data_dir or self._server["DataDir"])
        self._data_dir_lost = ""
        self._looks_at_data_dir: Repeating | None = None
        self._sites: list[tuple[http.Site, IListeningPort]] = []
        self._late: dict[str, str] = {}
        self._looks: Repeating | None = None
        self._behind: dict[str, list[NodeSection]] = {}
        for section in plan.sections if plan is not None else ():
            if section.behind is not None:
                self._behind.setdefault(section.behind, []).append(section)
        self._started_ms = run.clock.wall_ms()
        at_once = self._server["WorkThreads"]
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
        self.disk_writes = DiskWrites(run.clock)
        self.commits = Durations()
        self.notifier = Notifier(settings.environ.get("NOTIFY_SOCKET"))
        self.watchdog = Watchdog(
            run.clock,
            run.threads,
            self.notifier,
            watchdog_interval_s(settings.environ, os.getpid()) or LOOK_S,
            [CONTROL_POOL, READINGS_POOL],
            consumers=lambda: self.reports.standing_still(),
        )
        run.threads.add_pool(CONTROL_POOL, PoolSize(kept=1, most=1, queue=1_000))
        run.threads.add_pool(READINGS_POOL, PoolSize(kept=1, most=1, queue=10_000))
        home = self._data_dir.path
        self.control = Control(home, home / "quarantine")
        self.readings = Readings(
            home / "readings",
            home / "quarantine",
            run.clock,
            run.threads,
            run.backoff(),
            run.faults,
            settings_from(self._server),
            highest=self.control.highest,
            record=self.control.record,
            took=self.commits.add,
        )
        self.reports = Reports(
            Neighbours(
                tree=inst,
                readings=self.readings,
                known=KnownStreams(self.readings.number),
                formats=_Formats(),
                make_sink=self._make_sink,
                clock=run.clock,
                backoff=run.backoff,
                faults=run.faults,
                loopback_only=self._is_loopback_only(),
                refusal=self._refusal,
            ),
            Definitions(self.control, run.threads, CONTROL_POOL),
            inst.uuid_root,
        )
        children = [
            Child("data directory", self._open_data_dir, self._data_dir.close, None),
            Child("threads", run.threads.start, self._stop_threads, 1.5),
            Child("definitions", self._open_control, self._close_control, None),
            Child("journal", self.readings.start, self.readings.stop, None),
            Child("tree", self._plant, self._uproot, 1.0),
            Child("reports", self._start_reports, self._stop_reports, 2.0),
        ]
        if settings.serve_http:
            children.append(Child("http", self._listen, self._close, 1.0))
        children.append(Child("drivers", self._begin, self._end, 4.0))
        children.append(Child("actuation", self.actuators.open, self._end_actuation, 1.0))
        children.append(Child("watch", self._watch, self._unwatch, 0.5))
        self.service = OrderedService(run.clock, children)
        self._show_status()

    def start(self) -> Deferred[None]:
        """Start everything in order; fails with the first cause after undoing what had started."""
        started = self.service.start()
        return started.addCallback(lambda _: self._ready())

    def stop(self) -> Deferred[list[str]]:
        """Stop everything in reverse, each part under its time limit."""
        self.notifier.stopping()
        return self.service.stop()

    # --- what is kept

    def _open_data_dir(self) -> None:
        self._data_dir.open()
        for note in self._data_dir.notes:
            self.log.warn("{note}", note=note)

    async def _open_control(self) -> None:
        try:
            await self.run.threads.to_pool(CONTROL_POOL, self.control.open)
        except (sqlite3.Error, OSError) as error:
            raise DataDirUnusable(
                f"The definitions in {self._data_dir.path} cannot be opened: {error}."
            ) from error
        for note in self.control.notes:
            self.log.warn("{note}", note=note)

    def _close_control(self) -> Deferred[None]:
        return self.run.threads.to_pool(CONTROL_POOL, self.control.close)

    # --- reports

    async def _open_reports(self) -> None:
        """A section whose secret cannot be read stands alone; what was pending of it is kept."""
        sections, late = [], []
        for other in self.plan.others if self.plan is not None else ():
            if other.kind == "report":
                options = await self._resolved(other)
                if options is None:
                    late.append(other)
                else:
                    sections.append((other.name, options))
        await self.reports.open(sections)
        self.inst.attach(self.reports)
        for other in late:
            again = self._open_report_late(other, self.run.backoff())
            self.run.clock.background(again, f"opening {other.name}")

    async def _resolved(self, other: OtherSection) -> dict[str, Any] | None:
        """Its options with their secrets; None, and told, if one cannot be read."""
        try:
            options = await self.run.threads.to_pool(CONTROL_POOL, resolve, other)
        except SmapError as error:
            self._late[other.name] = error.message
            text = f"[{other.name}] {error.message}"
            self.run.faults.fault(("section", other.name), text, section=other.name)
            return None
        if self._late.pop(other.name, None) is not None:
            text = "[{section}] its secrets can be read now, after {for_s} s"
            self.run.faults.cleared(("section", other.name), text, section=other.name)
        return options

    async def _open_report_late(self, other: OtherSection, backoff: Backoff) -> None:
        options = None
        while options is None:
            await self.run.clock.sleep(backoff.next())
            options = await self._resolved(other)
        await self.reports.open_late(other.name, options)

    def _start_reports(self) -> None:
        self.reports.start()
        if self.inst.reports is None:
            self.inst.reports = Reporting()
        self.inst.reports.connect(self.reports, self.run.threads.to_reactor)

    async def _stop_reports(self) -> None:
        self.inst.reports.disconnect()
        await self.reports.close()

    def _make_sink(self, definition: Definition, local: bool) -> sinks.HttpSink:
        from smapd import sinks

        targets = None
        if not definition.anywhere:
            targets = sinks.Targets(self._server["AllowTargets"], local=local)
        files = sinks.TlsFiles(definition.client_cert, definition.key, definition.ca)
        return sinks.HttpSink(self._reactor, self.run.clock, targets=targets, tls=files)

    def _refusal(self, url: str, local: bool) -> str:
        """What can be said before a name is looked up: of an address, and of localhost."""
        from smapd import sinks

        host = urlsplit(url).hostname or ""
        if host.rstrip(".").lower() == "localhost":
            host = "127.0.0.1"
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return ""
        return sinks.Targets(self._server["AllowTargets"], local=local).refusal(host)

    def _is_loopback_only(self) -> bool:
        listeners = self.plan.listeners if self.plan is not None else ()
        return all(
            http.Listener(interface=values["Interface"]).is_loopback
            for values in (self._server, *listeners)
        )

    # --- the tree and its drivers

    async def attach(self, section: NodeSection) -> None:
        """Attach one section to the running daemon; a driver is set up and started.

        :raises SmapError: if its place or uuid is taken.
        """
        driver = self._place(section)
        if driver is not None:
            await driver.set_up()
            await driver.start()

    async def detach(self, path: str) -> None:
        """Stop the driver of a section, if it has one, and take it out of the tree."""
        driver = self.sections.pop(path, None)
        if driver is not None:
            await driver.stop()
        if self.inst.get(path) is not None:
            self.inst.remove(path)

    async def _plant(self) -> None:
        threads = self.run.threads
        self.clock_watch.start()
        self.inst.settle(threads.to_reactor, self._fault)
        self.inst.stamp_note = self.clock_watch.note
        if self.plan is None:
            await self._keep()
            return
        for problem in self.plan.warnings:
            self.log.warn("{problem}", problem=str(problem))
        if not isinstance(self.plan, LoadedPlan):
            with _no_collection():
                sections = [section for section in self.plan.sections if not section.behind]
                placed = [self._place(section) for section in sections]
            drivers = [driver for driver in placed if driver is not None]
            await self._keep()  # told of all nodes at once, and before a driver adds a reading
        else:  # the tree stands already, and some of its drivers are set up
            await self._keep()
            hosts = self.plan.hosts
            drivers = [
                self._host(section, hosts.get(section.path))
                for section in self.plan.sections
                if section.kind == "driver" and (section.path in hosts or not section.behind)
            ]
        await self._set_up(drivers)

    async def _keep(self) -> None:
        """From now on readings are kept, and go to the reports."""
        self.inst.attach(self.readings)
        await self._open_reports()

    def _place(self, section: NodeSection) -> DriverSection | None:
        attach_section(self.inst, section)
        return self._host(section) if section.kind == "driver" else None

    def _host(self, section: NodeSection, loaded: DriverHost | None = None) -> DriverSection:
        plan, run, path = self.plan, self.run, section.path
        assert plan is not None

        def owner(cls: type[Any]) -> CallOwner:
            on_reactor = bool(getattr(cls, "ON_REACTOR", False))
            return CallOwner(section.driver_name, path, run.scheduler, on_reactor=on_reactor)

        def make() -> tuple[DriverHost, CallOwner]:
            found = section if section.driver is not None else with_driver(section)
            if found.driver is None:
                raise DriverFailed(path, "import", found.fault)
            scope, whose = self.inst.scope(path, namespace(plan, found)), owner(found.driver)
            return DriverHost(found.driver, scope, resolve(found), whose), whose

        place = Place(
            make=make,
            finish=lambda: self._finish(section),
            clear=lambda: self._clear(path),
            show=lambda text: self._show_error(path, text),
        )
        driver = DriverSection(
            path,
            section.driver_name,
            place,
            clock=run.clock,
            threads=run.threads,
            faults=run.faults,
            backoff=run.backoff(),
            ready=None if loaded is None else loaded.owned_by(owner(loaded.cls)),
        )
        self.sections[path] = driver
        return driver

    def _show_error(self, path: str, text: str) -> None:
        if self.inst.get(path) is not None:  # below another driver, which may have removed it
            self.inst.set_error(path, text)

    async def _set_up(self, drivers: list[DriverSection]) -> None:
        """In file order, one after another; one that does not return is not waited for.

        When the patience with all but ends, the rest is set up side by side.
        """
        clock = self.run.clock
        patience_ends = clock.seconds() + PATIENCE_S - PATIENCE_ALONE_S
        for n, driver in enumerate(drivers):
            left_s = patience_ends - clock.seconds()
            if left_s <= 0 and n:
                rest = [self._set_up_beside(late) for late in drivers[n:]]
                if not await self._within(DeferredList(rest), PATIENCE_ALONE_S):
                    text = "the start goes on; {count} more drivers are still being set up"
                    self.log.info(text, count=sum(not done.called for done in rest))
                return
            done = self._set_up_beside(driver)
            in_time = await self._within(done, min(left_s, PATIENCE_ALONE_S))
            if not in_time and left_s >= PATIENCE_ALONE_S:
                self.log.warn(
                    "{driver}: setup has not returned yet; the start goes on without it",
                    driver=driver.path,
                )

    def _set_up_beside(self, driver: DriverSection) -> Deferred[None]:
        done = Deferred.fromCoroutine(driver.set_up())
        self.run.clock.background(done, f"set-up of {driver.path}")
        return done

    async def _within(self, done: Deferred[Any], limit_s: float) -> bool:
        """Whether it was done in time; it goes on in any case."""
        first: Deferred[bool] = Deferred()

        def settle(in_time: bool) -> None:
            if not first.called:
                first.callback(in_time)

        timer = self.run.clock.later(max(limit_s, 0.0), settle, False)
        done.addBoth(lambda _: settle(True))
        in_time = await first
        timer.discard()
        return in_time

    def _finish(self, section: NodeSection) -> None:
        """The section's metadata over the driver's, then the sections below it."""
        finish_driver_section(self.inst, section)
        for below in self._behind.get(section.path, ()):
            try:
                driver = self._place(below)
            except SmapError as error:
                self._late[below.path] = error.message
                self.run.faults.fault(("section", below.path), error.message, section=below.path)
                continue
            self._late.pop(below.path, None)
            if driver is not None:
                self.run.clock.background(
                    Deferred.fromCoroutine(self._set_up_late(driver)), f"set-up of {below.path}"
                )

    async def _set_up_late(self, driver: DriverSection) -> None:
        await driver.set_up()
        if "drivers" in self.service.started:
            await driver.start()

    def _clear(self, path: str) -> None:
        """Everything below a driver's place; its sections there come again with its set-up."""
        node = self.inst.get_collection(path)
        if isinstance(node, Collection):
            for name in list(node.children):
                self.inst.remove(f"{path.rstrip('/')}/{name}")

    async def _begin(self) -> None:
        periodic.adopt(self.run.scheduler)
        self._looks = self.run.clock.every(LOOK_AT_POLLS_S, self._look_at_polls)
        for driver in list(self.sections.values()):
            self.run.clock.background(
                Deferred.fromCoroutine(driver.start()), f"starting {driver.path}"
            )

    def _look_at_polls(self) -> None:
        for driver in list(self.sections.values()):
            driver.look()

    async def _end(self) -> None:
        periodic.release()
        if self._looks is not None:
            self._looks.stop()
        ends = [
            (path, Deferred.fromCoroutine(driver.stop())) for path, driver in self.sections.items()
        ]
        for path, end in ends:
            for name in await end:
                text = "{call} is still under way; it is abandoned"
                self.log.warn(text, call=name, driver=path)

    def _end_actuation(self) -> Deferred[None]:
        self.jobs.close()
        return self.actuators.close()

    async def _uproot(self) -> None:
        self.inst.drain()
        self.clock_watch.stop()

    def _watch(self) -> None:
        self.watchdog.start()
        self._looks_at_data_dir = self.run.clock.every(LOOK_AT_DATA_DIR_S, self._look_at_data_dir)
        self.reactor_lag.start()
        self.disk_writes.start()

    def _unwatch(self) -> None:
        self.watchdog.stop()
        if self._looks_at_data_dir is not None:
            self._looks_at_data_dir.stop()

    def _look_at_data_dir(self) -> Deferred[None]:
        # on a disk thread: a file system that is gone may hang
        lost = self.run.threads.to_pool(CONTROL_POOL, self._data_dir.lost)
        return lost.addCallback(self._data_dir_is)

    def _data_dir_is(self, lost: str) -> None:
        before, self._data_dir_lost = self._data_dir_lost, lost
        if lost and lost != before:
            self.log.error("{lost} What is kept from now on is lost. Restart smapd.", lost=lost)
        elif before and not lost:
            self.log.warn("data directory {path} is back", path=str(self._data_dir.path))
        self.reactor_lag.stop()
        self.disk_writes.stop()

    async def _stop_threads(self) -> None:
        for name in await self.run.threads.stop(1.0):
            self.log.warn("{call} is still under way; it is abandoned", call=name)

    # --- HTTP

    async def _listen(self) -> None:
        plan_listeners = self.plan.listeners if self.plan is not None else ()
        parts = http.HttpParts(
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
        )
        wanted = [(self._server, self._settings.port), *((v, None) for v in plan_listeners)]
        try:
            for values, port in wanted:
                await self._open(parts, http.listener_from(values, port))
        except SmapError:
            await self._close()
            raise
        url = self.urls[0].rstrip("/")
        try:
            self._data_dir.write_daemon(Address(os.getpid(), url, smapd.__version__))
        except (OSError, SmapError) as error:  # the commands need --url then; all else works
            self.log.warn("{error}", error=str(error))

    async def _open(self, parts: http.HttpParts, listener: http.Listener) -> None:
        access = Access(listener.token, listener.is_loopback)
        name = f"http {len(self._sites) + 1}" if self._sites else "http"
        site = http.make_site(replace(parts, access=access), listener, self.run.clock, name)
        port = await http.listen(self._reactor, site, listener)
        self._sites.append((site, port))
        address: Any = port.getHost()
        self.urls.append(listener.url(address.port))

    async def _close(self) -> None:
        sites, self._sites = self._sites, []
        for _site, port in sites:
            await maybeDeferred(port.stopListening)
        for closing in [site.close(ANSWERS_END_S) for site, _port in sites]:
            await closing

    def _why_not_ready(self) -> str:
        if self.service.starting:
            return f"Starting: {self.service.starting}."
        return "" if "drivers" in self.service.started else "Stopping."

    def _why_unhealthy(self) -> str:
        stuck = self.watchdog.stuck
        return f"{', '.join(stuck)} does not move." if stuck else self._data_dir_lost

    # --- what it says of itself

    def _ready(self) -> None:
        gc.freeze()  # the tree stays: a full collection need not walk it again
        for line in self._announcement():
            self._settings.announce(line)
        self.notifier.ready()

    def _announcement(self) -> list[str]:
        lines = [f"smapd {smapd.__version__} is ready."]
        for url in self.urls:
            lines.append(f"  open       {url}data/+")
        lines.append(f"  data in    {self._data_dir.path}")
        lines.append(f"  stop with  Ctrl-C, or: kill {os.getpid()}")
        return lines

    def _fault(self, text: str, error: BaseException | None) -> None:
        if error is None:
            self.log.warn("{text}", text=text)
        else:
            self.log.failure("{text}", Failure(error), LogLevel.error, text=text)  # type: ignore[no-untyped-call]

    def _show_status(self) -> None:
        show = self.run.status.section
        show("daemon", self._about)
        show("tree", self._about_tree)
        show("drivers", lambda: [driver.status() for driver in self.sections.values()])
        show("actuation", self.actuators.status)
        show("jobs", self.jobs.status)
        show("late", lambda: dict(self._late))
        show("clock", self.clock_watch.status)
        show("journal", self.readings.status)
        show("commits", self.commits.status)
        show("disk writes", self.disk_writes.status)
        show("reactor", self.reactor_lag.status)
        show("reports", self.reports.status)

    def _about(self) -> Json:
        now_ms = self.run.clock.wall_ms()
        return {
            "version": smapd.__version__,
            "pid": os.getpid(),
            "config": self.plan.file if self.plan is not None else None,
            "data_dir": str(self._data_dir.path),
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


class _Formats(Mapping[str, IFormat]):
    """The formats of reports, imported with the first one that is asked for: they take 0.1 s."""

    def __getitem__(self, name: str) -> IFormat:
        from smapd import sinks

        return sinks.FORMATS[name]

    def __iter__(self) -> Iterator[str]:
        return iter(reports.FORMATS)

    def __len__(self) -> int:
        return len(reports.FORMATS)


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


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing made here is garbage: looking for some would cost a tenth of a large start."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _defaults() -> dict[str, Any]:
    values, _problems = merge(TABLES)["server"].parse({})
    return values

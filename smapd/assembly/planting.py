"""The tree of a plan: its nodes, its drivers, and what becomes of each section."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from smapd.config import (
    NodeSection,
    Plan,
    attach_section,
    finish_driver_section,
    namespace,
    resolve,
    with_driver,
)
from smapd.core import Collection, SmapInstance
from smapd.driver.host import DriverHost
from smapd.driver.lifecycle import DriverSection, Place, SettingUp
from smapd.errors import DriverFailed, SmapError
from smapd.runtime import CallOwner, ClockWatch, Repeating, Runtime, periodic

from .settings import LoadedPlan

PATIENCE_S: Final = 4.0
"""How long the start waits, in all, for the drivers to be set up."""

PATIENCE_ALONE_S: Final = 1.0
"""How long for one of them."""

LOOK_S: Final = 2.0
"""How often the tree is told what is wrong with the drivers' polls."""


class ISections(Protocol):
    """Who is told what becomes of the sections; on the reactor's thread."""

    def driver_ready(self, path: str) -> None:
        """The driver at this place is set up."""

    def section_added(self, path: str, asset: str | None, is_driver: bool) -> None:
        """A section is about to be attached to the running daemon."""

    def section_gone(self, path: str) -> None:
        """A section was detached from the running daemon."""


class Planting:
    """The sections of a plan in the tree; every method on the reactor's thread."""

    log = Logger()

    def __init__(
        self, inst: SmapInstance, plan: Plan | None, run: Runtime, clock_watch: ClockWatch
    ) -> None:
        self.inst, self.plan, self.run = inst, plan, run
        self.clock_watch = clock_watch
        self.sections: dict[str, DriverSection] = {}
        self.late: dict[str, str] = {}
        """Sections that are not what the config says yet, and why."""
        self.is_polling = False
        self.told: ISections | None = None
        """Who is told of sections and drivers."""
        self._looks: Repeating | None = None
        self._behind: dict[str, list[NodeSection]] = {}
        self._setting_up: set[DriverSection] = set()
        self._left: dict[str, DriverSection] = {}
        """By path: drivers that were detached while their set-up hung; nothing else is there."""
        for section in plan.sections if plan is not None else ():
            if section.behind is not None:
                self._behind.setdefault(section.behind, []).append(section)

    # --- one section

    async def attach(self, section: NodeSection) -> None:
        """Attach one section to the running daemon; a driver is set up and started.

        One that hangs there is waited for as long as at the start of the daemon, and then goes on
        by itself; the log names it, and its state tells how far it is.

        :raises SmapError: if its place or uuid is taken.
        """
        if self.told is not None:
            self.told.section_added(section.path, section.asset, section.kind == "driver")
        driver = self._place(section)
        if driver is None:
            return
        begun = Deferred.fromCoroutine(self._set_up_and_start(driver))
        self.run.clock.background(begun, f"attaching {section.path}")
        if not await self._within(begun, PATIENCE_ALONE_S):
            step = "setup" if isinstance(driver.state, SettingUp) else "start"
            self.log.warn(
                "[{section}] is attached, but its {step} has not returned yet; all else goes on",
                section=section.path,
                step=step,
            )

    async def detach(self, path: str) -> None:
        """Stop the driver of a section, if it has one, and take it out of the tree."""
        driver = self.sections.pop(path, None)
        if driver is not None:
            if driver in self._setting_up:
                self._left[path] = driver
            await driver.stop()
        self._take_out(path)
        if self.told is not None:
            self.told.section_gone(path)

    # --- all of them

    async def plant(self, keep: Callable[[], Awaitable[None]]) -> None:
        """Put all sections into the tree; ``keep`` is awaited once the nodes are there."""
        threads = self.run.threads
        self.clock_watch.start()
        self.inst.settle(threads.to_reactor, self._fault)
        self.inst.stamp_note = self.clock_watch.note
        if self.plan is None:
            await keep()
            return
        for problem in self.plan.warnings:
            self.log.warn("{problem}", problem=str(problem))
        if not isinstance(self.plan, LoadedPlan):
            with _no_collection():
                sections = [section for section in self.plan.sections if not section.behind]
                placed = [self._place(section) for section in sections]
            drivers = [driver for driver in placed if driver is not None]
            await keep()  # told of all nodes at once, and before a driver adds a reading
        else:  # the tree stands already, and some of its drivers are set up
            await keep()
            hosts = self.plan.hosts
            drivers = [
                self._host(section, hosts.get(section.path))
                for section in self.plan.sections
                if section.kind == "driver" and (section.path in hosts or not section.behind)
            ]
        await self._set_up(drivers)

    async def begin(self) -> None:
        """Let the drivers read."""
        self.is_polling = True
        periodic.adopt(self.run.scheduler)
        self._looks = self.run.clock.every(LOOK_S, self._look_at_polls)
        for driver in list(self.sections.values()):
            self.run.clock.background(
                Deferred.fromCoroutine(driver.start()), f"starting {driver.path}"
            )

    def _look_at_polls(self) -> None:
        for driver in list(self.sections.values()):
            driver.look()

    async def end(self) -> None:
        """Stop the drivers, each within its time limit."""
        self.is_polling = False
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

    async def uproot(self) -> None:
        """Take in what is queued still."""
        self.inst.drain()
        self.clock_watch.stop()

    # --- private

    def _place(self, section: NodeSection) -> DriverSection | None:
        attach_section(self.inst, section)
        self._left.pop(section.path, None)
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
        done = Deferred.fromCoroutine(self._set_up_one(driver))
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
                self.late[below.path] = error.message
                self.run.faults.fault(("section", below.path), error.message, section=below.path)
                continue
            self.late.pop(below.path, None)
            if driver is not None:
                self.run.clock.background(
                    Deferred.fromCoroutine(self._set_up_late(driver)), f"set-up of {below.path}"
                )
        if self.told is not None:
            self.told.driver_ready(section.path)

    async def _set_up_late(self, driver: DriverSection) -> None:
        await self._set_up_one(driver)
        if self.is_polling:
            await driver.start()

    async def _set_up_and_start(self, driver: DriverSection) -> None:
        await self._set_up_one(driver)
        await driver.start()

    async def _set_up_one(self, driver: DriverSection) -> None:
        self._setting_up.add(driver)
        try:
            await driver.set_up()
        finally:
            self._setting_up.discard(driver)
        if self._left.get(driver.path) is driver:  # what it made meanwhile goes too
            del self._left[driver.path]
            self._take_out(driver.path)

    def _take_out(self, path: str) -> None:
        if self.inst.get(path) is not None:
            self.inst.remove(path)

    def _clear(self, path: str) -> None:
        """Everything below a driver's place; its sections there come again with its set-up."""
        node = self.inst.get_collection(path)
        if isinstance(node, Collection):
            for name in list(node.children):
                self.inst.remove(f"{path.rstrip('/')}/{name}")

    def _fault(self, text: str, error: BaseException | None) -> None:
        if error is None:
            self.log.warn("{text}", text=text)
        else:
            self.log.failure("{text}", Failure(error), LogLevel.error, text=text)  # type: ignore[no-untyped-call]


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

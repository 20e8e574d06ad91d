"""One driver section on fake time, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from smapd.core import SmapInstance
from smapd.driver.host import DriverHost
from smapd.driver.lifecycle import DriverSection, Place
from smapd.runtime import CallOwner
from smapd.testing import FakeRuntime, MemoryReadings

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class Section:
    """A section at /meter, its tree and runtime; ``hosts`` are those that were made, in order."""

    def __init__(self, cls: type[Any], opts: dict[str, Any] | None = None) -> None:
        self.run = FakeRuntime()
        self.inst = SmapInstance(ROOT, now=self.run.clock.wall_ms, home=self.run.threads.to_reactor)
        self.journal = MemoryReadings()
        self.inst.attach(self.journal)
        self.inst.add_collection("/meter")
        self.hosts: list[DriverHost] = []
        on_reactor = bool(getattr(cls, "ON_REACTOR", False))

        def make() -> tuple[DriverHost, CallOwner]:
            owner = CallOwner(cls.__name__, "/meter", self.run.scheduler, on_reactor=on_reactor)
            scope = self.inst.scope("/meter", self.inst.uuid("/meter"))
            self.hosts.append(DriverHost(cls, scope, opts or {}, owner))
            return self.hosts[-1], owner

        def clear() -> None:
            for child in list(self.inst.get_collection("/meter").nodes()):  # type: ignore[union-attr]
                self.inst.remove(child.path)

        place = Place(make, lambda: None, clear, lambda text: self.inst.set_error("/meter", text))
        self.section = DriverSection(
            "/meter",
            cls.__name__,
            place,
            clock=self.run.clock,
            threads=self.run.threads,
            faults=self.run.faults,
            backoff=self.run.backoff(),
        )

    def error(self) -> str:
        """What the tree shows at the driver's place."""
        return str(self.inst.get("/meter").as_json().get("Error", ""))  # type: ignore[union-attr]

    def values(self, path: str) -> list[Any]:
        """The values of a stream so far."""
        self.inst.drain()
        return [value for _, value in self.journal.readings(path)]

"""The frame of a driver's tests: a tree, a runtime on fake time, and the driver in its place."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smapd.core import Scope, SmapInstance
from smapd.driver import DriverHost
from smapd.errors import ConfigError
from smapd.options import OptionTable, Where, resolve
from smapd.runtime import CallOwner
from smapd.values import Severity, Value

from .readings import MemoryReadings
from .runtime import FakeRuntime

ROOT_UUID = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class DriverCase(SynchronousTestCase):
    """A test of one driver, without threads and without waiting.

    .. code-block:: python

        class Counts(DriverCase):
            def test_one_reading_a_second(self) -> None:
                self.load(MyDriver, Rate="1s")

                self.advance(2)

                self.assertEqual([v for _, v in self.readings("/count")], [0, 1, 2])

    ``inst`` is the tree, ``scope`` the driver's view of it, ``driver`` the driver, ``runtime``
    the ``FakeRuntime``, ``journal`` every reading of the tree. Paths are the driver's own.
    """

    path = "/driver"
    """Where in the tree the driver is; a subclass may say otherwise."""

    def setUp(self) -> None:
        """Make an empty tree."""
        self.runtime = FakeRuntime()
        self.inst = SmapInstance(
            ROOT_UUID, now=self.runtime.clock.wall_ms, home=self.runtime.threads.to_reactor
        )
        self.journal = MemoryReadings()
        self.inst.attach(self.journal)
        if self.inst.get(self.path) is None:
            self.inst.add_collection(self.path)
        self.scope: Scope = self.inst.scope(self.path, self.inst.uuid(self.path))
        self.driver: Any = None
        self._host: DriverHost | None = None
        self._owner: CallOwner | None = None

    def tearDown(self) -> None:
        """Stop the driver, if the test did not."""
        self.unload()
        self.runtime.clock.stop()

    def load(self, cls: type[Any], **opts: Any) -> Any:
        """Set the driver up with the keys of its section, start it, begin its polls; the driver.

        ``opts`` are as in a config file, text or lists; numbers may be given as such.

        :raises ConfigError: for options that its table refuses.
        :raises DriverFailed: for what its setup or start raises.
        """
        self.unload()
        on_reactor = bool(getattr(cls, "ON_REACTOR", False))
        self._owner = CallOwner(self.path, self.path, self.runtime.scheduler, on_reactor=on_reactor)
        self._host = DriverHost(cls, self.scope, parse(cls, opts, self.path), self._owner)
        self._host.setup()
        self.driver = self._host.driver
        self._host.start()
        self._owner.begin()
        self.advance(0)
        return self.driver

    def unload(self) -> None:
        """Stop the driver as at the end of the daemon: no further beat, then its ``stop``."""
        host, self._host = self._host, None
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.stop()
        if host is not None and host.driver is not None:
            host.stop()

    def advance(self, seconds: float) -> None:
        """Let time pass; each beat on the way comes at its moment."""
        self.runtime.advance(seconds)
        self.inst.drain()

    def readings(self, path: str) -> list[tuple[int, Value]]:
        """(ms, value) of every reading of that stream so far, oldest first."""
        return self.journal.readings(self.path.rstrip("/") + path)


def parse(cls: type[Any], opts: dict[str, Any], section: str) -> dict[str, Any]:
    """The options as the driver's ``setup`` is given them."""
    texts = {
        key: str(value) if isinstance(value, (int, float)) else value for key, value in opts.items()
    }
    declared = getattr(cls, "OPTIONS", None)
    if declared is None:
        return texts
    table = OptionTable(section, tuple(declared), title=cls.__name__)
    values, problems = table.parse(texts, Where(section=section))
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise ConfigError(problems)
    return resolve(values)

"""driver/counter.py: the tutorial's BaseDriver, by hand and hosted."""

from __future__ import annotations

from smapd.core import SmapInstance
from smapd.driver import BaseDriver
from smapd.runtime import periodic
from smapd.testing import DriverCase, FakeRuntime

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class Counter(DriverCase):
    """One reading a second on /sensor0, from 0."""

    def test_hosted_it_counts_once_a_second(self) -> None:
        """SM-14: a BaseDriver in a config section."""
        self.load(BaseDriver)

        self.advance(3)

        self.assertEqual([value for _, value in self.readings("/sensor0")], [0, 1, 2, 3])

    def test_hosted_it_ends_with_its_section(self) -> None:
        self.load(BaseDriver)
        self.advance(1)

        self.unload()
        self.advance(5)

        self.assertEqual(len(self.readings("/sensor0")), 2)

    def test_options_are_not_checked(self) -> None:
        """SM-12: OPTIONS = None takes any key."""
        self.load(BaseDriver, ModbusAddr="7")

        self.advance(0)

        self.assertEqual(len(self.readings("/sensor0")), 1)


def test_by_hand_it_begins_when_the_daemon_does() -> None:
    """SM-14: drv = BaseDriver(); drv.setup(inst, {}); drv.start(); server.run(inst)."""
    runtime = FakeRuntime()
    inst = SmapInstance(ROOT)
    drv = BaseDriver()
    drv.setup(inst, {})
    drv.start()

    runtime.advance(5)
    inst.drain()
    before = inst.get("/sensor0")["Readings"]
    periodic.adopt(runtime.scheduler)
    try:
        runtime.advance(2)
        inst.drain()
    finally:
        periodic.release()

    assert before == []
    assert inst.get("/sensor0")["Readings"][-1][1] == 2
    assert str(inst.get("/sensor0").uuid) == str(inst.uuid("mysensor"))

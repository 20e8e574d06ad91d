"""The machine that runs the tests, read by psutil itself."""

from __future__ import annotations

import psutil
import pytest

from smapd.drivers.system import SystemDriver
from smapd.testing import DriverCase


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # psutil's, of a kernel without swap counters
class ThisMachine(DriverCase):
    """P-07: live readings of this machine."""

    def last(self, path: str) -> float:
        value = self.readings(path)[-1][1]
        assert isinstance(value, int | float)
        return value

    def test_every_look_gives_readings_that_make_sense(self) -> None:
        self.load(SystemDriver)

        self.advance(5)

        (status,) = self.runtime.scheduler.status()
        self.assertEqual((status["runs"], status.get("error")), (2, None))
        self.assertEqual(self.last("/memory/total"), psutil.virtual_memory().total)
        self.assertGreater(self.last("/system/processes"), 1)
        self.assertGreater(self.last("/disk/rootfs/total"), 0)
        self.assertLessEqual(self.last("/memory/percent"), 100)

    def test_each_processor_has_a_stream(self) -> None:
        self.load(SystemDriver, Metrics="cpu")

        cpu = self.scope.get_collection("/cpu")

        assert cpu is not None
        self.assertEqual(len(cpu.children), 1 + len(psutil.cpu_times(percpu=True)))

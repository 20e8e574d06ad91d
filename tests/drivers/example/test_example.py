"""drivers/example: the driver to copy."""

from __future__ import annotations

from smapd.drivers.example import Driver
from smapd.testing import DriverCase


class Example(DriverCase):
    """One counter."""

    def test_counts_from_startval_once_a_rate(self) -> None:
        self.load(Driver, StartVal="7", Rate="10s")

        self.advance(25)

        self.assertEqual([value for _, value in self.readings("/sensor0")], [7, 8, 9])

    def test_without_options_counts_from_0_once_a_second(self) -> None:
        self.load(Driver)

        self.advance(2)

        self.assertEqual([value for _, value in self.readings("/sensor0")], [0, 1, 2])

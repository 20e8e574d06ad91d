"""drivers/modbus/meter.py: what the simulated meter shows hangs together, and fits its map."""

from __future__ import annotations

import math
import pathlib

from smapd.drivers.modbus.maps import load_map
from smapd.drivers.modbus.meter import EPOCH_S, shown

TIMES = [EPOCH_S + n * 7919.3 for n in range(500)]
PHASES = ("l1", "l2", "l3")


def test_current_voltage_and_power_agree_in_each_phase() -> None:
    for values in map(shown, TIMES):
        for phase in PHASES:
            volts, amperes, watts, factor = (
                values[f"/{phase}/{name}"]
                for name in ("voltage", "current", "power", "power_factor")
            )
            assert math.isclose(volts * amperes * factor, watts)
            assert watts > 0
            assert 207 < volts < 253  # what a grid of 230 V allows
        total = sum(values[f"/{phase}/power"] for phase in PHASES)
        assert math.isclose(total, values["/total/power"])


def test_energy_is_the_power_in_sum_and_only_grows() -> None:
    begin = shown(EPOCH_S + 1e6)
    steps = [shown(EPOCH_S + 1e6 + s) for s in range(0, 36_000, 5)]

    by_hand = sum(v["/total/power"] for v in steps) * 5 / 3600

    grown = shown(EPOCH_S + 1e6 + 36_000)["/total/energy"] - begin["/total/energy"]
    assert abs(by_hand - grown) < 20
    energies = [v["/total/energy"] for v in steps]
    assert energies == sorted(energies)


def test_every_value_has_its_register_and_fits_it() -> None:
    registers = {r.path: r for r in load_map(pathlib.Path("three-phase-meter"))}

    assert set(registers) - set(shown(EPOCH_S)) == {"/relay"}  # which keeps what is written
    for path, value in shown(TIMES[77]).items():
        row = registers[path]
        tolerance = max(float(row.scale) / 2, abs(value) * 1e-6) + 1e-9
        assert abs(row.value(row.words(value)) - value) <= tolerance

"""A three-phase meter that is none: what it shows is a function of the time alone; pure.

A house of about six kilowatts with a daily rhythm. The energy is the exact integral of the power,
so it only grows, and goes on where it was when the simulator is started again.
"""

from __future__ import annotations

import math

from .registers import Number

EPOCH_S = 1_700_000_000
"""When the meter was built in, by the wall clock; its energy was 0."""

_PHASES = ("l1", "l2", "l3")
_DAY_S = 86_400.0
_BASE_W = (1800.0, 2400.0, 1500.0)
# (watts, period in seconds) of what comes and goes in each phase; below the base in sum
_WAVES_W = ((600.0, _DAY_S), (250.0, 1500.0), (120.0, 97.0), (40.0, 13.0))


def shown(wall_s: float) -> dict[str, Number]:
    """What it shows at that time: {path: value}, in the units of its map."""
    t = wall_s - EPOCH_S
    values: dict[str, Number] = {}
    total_w = total_j = 0.0
    for n, phase in enumerate(_PHASES):
        lag = n * 2.0
        volts = 230.0 + 2.0 * _wave(t, 600.0, lag) + 0.4 * _wave(t, 31.0, lag)
        factor = 0.95 + 0.03 * _wave(t, 900.0, lag)
        watts = _BASE_W[n] + sum(w * _wave(t, period, lag) for w, period in _WAVES_W)
        total_w += watts
        total_j += _BASE_W[n] * t + sum(w * _area(t, period, lag) for w, period in _WAVES_W)
        values |= {
            f"/{phase}/voltage": volts,
            f"/{phase}/current": watts / factor / volts,
            f"/{phase}/power": watts,
            f"/{phase}/power_factor": factor,
        }
    return values | {
        "/total/power": total_w,
        "/total/energy": int(total_j / 3600.0),
        "/frequency": 50.0 + 0.02 * _wave(t, 120.0, 0.0),
        "/temperature": 31.0 + 4.0 * _wave(t, _DAY_S, 1.0),
        "/current_ratio": 20,
        "/serial_number": 20_230_017,
        "/alarm/phase_loss": 0,
        "/alarm/overload": int(total_w > 7800.0),
    }


def _wave(t: float, period_s: float, lag: float) -> float:
    return math.sin(2 * math.pi * t / period_s + lag)


def _area(t: float, period_s: float, lag: float) -> float:
    """The integral of ``_wave`` from 0 to t."""
    turn = 2 * math.pi / period_s
    return (math.cos(lag) - math.cos(turn * t + lag)) / turn

"""How the hall is to be lit: `smapd desired export model.py` makes a version of it.

Lamps 1 to 20 hang along the windows, 21 to 40 along the wall. SCENE=evening gives another version.
"""

from __future__ import annotations

import os
from pathlib import Path

from smapd.desired.builtin import Actuator, File, Host

HALL = Host("hall3")
SCENES = {"day": (40, 100), "evening": (20, 60)}  # percent at the windows, and at the wall
WITH_THE_FITTERS = (33, 34)
NOTICE = Path(__file__).resolve().with_name("notice.txt")


class Luminaire:
    """One lamp: what it is made of, each a resource. It is switched on before it is dimmed."""

    def __init__(self, number: int, level: float) -> None:
        path = f"/hall/bus/lamp{number:02}"
        is_ours = number not in WITH_THE_FITTERS
        self.output = Actuator(HALL, f"{path}/on", "on", managed=is_ours)
        self.level = Actuator(HALL, f"{path}/level", level, managed=is_ours, requires=[self.output])


def model() -> list[object]:
    """The entities."""
    scene = os.environ.get("SCENE", "day")
    window, wall = SCENES[scene]
    lamps = [Luminaire(n, window if n <= 20 else wall) for n in range(1, 41)]
    parts = [part for lamp in lamps for part in (lamp.output, lamp.level)]
    text = f"{scene}: {window} % at the windows, {wall} % at the wall\n"
    notice = File(HALL, str(NOTICE), text, mode=644, requires=parts)
    return [*parts, notice]

"""desired/builtin/: what an import registers, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NAMES = ["smap::Actuator", "smap::Report", "std::File"]


@pytest.mark.real
@pytest.mark.parametrize(
    ("module", "providers"),
    [
        ("smapd.desired.builtin", []),
        ("smapd.desired.builtin.actuator", ["smap::Actuator"]),
        ("smapd.desired.builtin.file", ["std::File"]),
        ("smapd.desired.builtin.report", ["smap::Report"]),
        ("smapd.desired.builtin.handlers", NAMES),
    ],
)
def test_a_module_brings_its_own_handler_and_no_other(module: str, providers: list[str]) -> None:
    """Who does not want files written does not import what writes them."""
    program = (
        f"import json, {module}\n"
        "from smapd.desired import registry\n"
        "known = registry.frozen()\n"
        "print(json.dumps([sorted(known.resources), sorted(known.providers)]))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert json.loads(done.stdout) == [NAMES, providers]


@pytest.mark.real
def test_the_room_itself_brings_none() -> None:
    """A model's own std::File meets no other one."""
    program = "import smapd.desired.services, smapd.desired as d; print(d.registry.frozen())"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert "File" not in done.stdout

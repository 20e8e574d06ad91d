"""conf/: every example loads, and shows what it says."""

from __future__ import annotations

import pathlib
import re

import pytest

from smapd.assembly import TABLES
from smapd.config import find_driver, load_plan

CONF = pathlib.Path(__file__).parent.parent / "conf"
FILES = sorted(p.name for p in CONF.glob("*.ini"))


@pytest.mark.parametrize("name", FILES)
def test_example_loads_without_a_warning(name: str) -> None:
    plan = load_plan(CONF / name, tables=TABLES, drivers=find_driver)

    assert plan.warnings == ()


@pytest.mark.parametrize("name", FILES)
def test_every_driver_of_an_example_can_be_imported(name: str) -> None:
    plan = load_plan(CONF / name, tables=TABLES, drivers=find_driver)

    assert [s.fault for s in plan.sections if s.fault] == []


def test_examples_have_roots_of_their_own() -> None:
    roots = [str(load_plan(CONF / n, tables=TABLES, drivers=find_driver).root_uuid) for n in FILES]

    assert len(set(roots)) == len(roots)


def test_demo_shows_the_machine_a_meter_two_counters_and_a_fed_timeseries() -> None:
    """P-07, P-01: host metrics, a simulated meter, two copies of the tutorial's driver, [/x]."""
    plan = load_plan(CONF / "demo.ini", tables=TABLES, drivers=find_driver)

    kinds = {s.path: s.driver.__name__ if s.driver else s.kind for s in plan.sections}
    assert kinds == {
        "/": "collection",
        "/host": "SystemDriver",
        "/simulator": "SimulatedMeter",
        "/meter": "ModbusDriver",
        "/instrument0": "BaseDriver",
        "/instrument1": "BaseDriver",
        "/x": "timeseries",
    }
    assert plan.default_timezone == "UTC"
    assert plan.warnings == ()
    assert plan.server["Port"] == 8080


def test_first_driver_page_is_a_driver_that_loads(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/first-driver.md: its driver and its config are text that works."""
    page = (CONF.parent / "docs" / "first-driver.md").read_text()
    blocks = dict(re.findall(r"```(python|ini)\n(.*?)```", page, re.DOTALL))
    (tmp_path / "uptime.py").write_text(blocks["python"])
    (tmp_path / "house.ini").write_text(blocks["ini"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    plan = load_plan(tmp_path / "house.ini", tables=TABLES, drivers=find_driver)

    assert plan.warnings == ()
    section = plan.section("/house")
    assert section is not None
    assert section.options["Rate"] == 5.0
    assert len([line for line in blocks["python"].splitlines() if line.strip()]) <= 15

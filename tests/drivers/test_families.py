"""What holds for every driver family: README, sample and option table do not part."""

from __future__ import annotations

import pathlib

import pytest

from smapd.config import find_driver, load_plan
from smapd.options import OptionTable

DRIVERS = pathlib.Path(__file__).parents[2] / "drivers"
FAMILIES = sorted(p.parent.name for p in DRIVERS.glob("*/__init__.py"))


def test_there_are_families() -> None:
    assert "system" in FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_readme_and_sample(name: str) -> None:
    missing = [f for f in ("README.md", "sample.ini") if not (DRIVERS / name / f).exists()]

    assert missing == []


@pytest.mark.parametrize("name", FAMILIES)
def test_sample_loads_without_a_warning(name: str) -> None:
    plan = load_plan(DRIVERS / name / "sample.ini", tables=(), drivers=find_driver)

    assert plan.warnings == ()
    assert [s.fault for s in plan.sections if s.kind == "driver"] == [""]


@pytest.mark.parametrize("name", FAMILIES)
def test_readme_shows_the_sample_itself(name: str) -> None:
    readme, sample = ((DRIVERS / name / f).read_text() for f in ("README.md", "sample.ini"))

    assert f"```ini\n{sample}```" in readme


@pytest.mark.parametrize("name", FAMILIES)
def test_readme_shows_the_option_table(name: str) -> None:
    module = __import__(f"smapd.drivers.{name}", fromlist=["*"])

    readme = (DRIVERS / name / "README.md").read_text()

    for public in module.__all__:
        table = OptionTable("driver", getattr(module, public).OPTIONS)
        assert table.markdown() in readme, public


@pytest.mark.parametrize("name", sorted(p.name for p in DRIVERS.iterdir() if p.is_dir()))
def test_every_option_is_documented(name: str) -> None:
    if name == "__pycache__":
        return
    module = __import__(f"smapd.drivers.{name}", fromlist=["*"])

    for public in module.__all__:
        cls = getattr(module, public)
        assert cls.__doc__
        assert all(option.doc for option in cls.OPTIONS)

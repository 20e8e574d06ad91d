"""config/drivers.py: the type of a section to a class."""

import os
import sys
from importlib.metadata import EntryPoint

import pytest

from smapd.config import drivers as module
from smapd.config import find_driver, list_drivers
from smapd.driver import BaseDriver
from smapd.errors import DriverFailed, MissingExtra, NoSuchDriver

METERS = '''
from smapd.driver import SmapDriver

class Meter(SmapDriver):
    def setup(self, opts):
        """Nothing is made."""

NOT_A_CLASS = 3
'''


@pytest.fixture(autouse=True)
def plant(tmp_path, monkeypatch):
    """A working directory with drivers in it."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", os.getcwd())])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    (tmp_path / "plant_meters.py").write_text(METERS)
    (tmp_path / "plant_extra.py").write_text("import plant_pymodbus.client\n")
    (tmp_path / "plant_extra2.py").write_text(
        "from smapd.errors import MissingExtra\nraise MissingExtra('install x')\n"
    )
    (tmp_path / "plant_broken.py").write_text("def f(:\n")
    (tmp_path / "plant_exits.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('this is not the json you want')\n")
    yield
    for name in set(sys.modules) - before:
        if name.startswith("plant_"):
            del sys.modules[name]


def refusal(name: str) -> str:
    with pytest.raises(NoSuchDriver) as caught:
        find_driver(name)
    return str(caught.value)


def test_a_driver_is_found_by_its_dotted_name():
    """SM-17"""
    assert find_driver("smapd.driver.BaseDriver") is BaseDriver


def test_the_historical_name_is_an_alias():
    """SM-17"""
    assert find_driver("smap.driver.BaseDriver") is BaseDriver
    example = find_driver("smap.drivers.example.Driver")
    assert example is find_driver("smapd.drivers.example.Driver")


def test_a_driver_is_found_in_the_working_directory():
    """SM-17"""
    assert find_driver("plant_meters.Meter").__module__ == "plant_meters"


def test_a_file_beside_the_config_does_not_stand_in_for_a_package():
    find_driver("plant_meters.Meter")

    assert sys.path[-1] == os.getcwd()
    assert find_driver("smapd.driver.BaseDriver") is BaseDriver


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere.x.Y", "there is no module nowhere."),
        ("plant_meters.x.Y", "there is no module plant_meters.x."),
        (
            "plant_meters.Metre",
            "there is no Metre in plant_meters. Did you mean plant_meters.Meter?",
        ),
        (
            "plant_meters.NOT_A_CLASS",
            "plant_meters.NOT_A_CLASS is no driver: a driver is a class with setup and start.",
        ),
        (
            "smapd.drivers.example",
            "smapd.drivers.example is a module, not a class. "
            "Did you mean smapd.drivers.example.Driver?",
        ),
        ("a b.C", "a b.C is no driver: a driver's type is package.module.Class."),
        (".Meter", ".Meter is no driver: a driver's type is package.module.Class."),
        ("plant_nothing", "no such type as plant_nothing."),
    ],
)
def test_what_is_no_driver_is_refused_with_what_was_meant(name, sentence):
    """SM-13"""
    assert refusal(name) == sentence


def test_a_missing_package_is_not_a_wrong_name():
    """SM-13: in the world, so its section alone fails."""
    with pytest.raises(MissingExtra) as caught:
        find_driver("plant_extra.Meter")

    assert str(caught.value) == (
        "plant_extra.Meter needs the package plant_pymodbus, which is not installed."
    )
    assert caught.value.hint == "Install it, or what it belongs to, with pip: plant_pymodbus"


def test_a_modules_own_word_on_a_missing_package_stands():
    with pytest.raises(MissingExtra, match="^install x$"):
        find_driver("plant_extra2.Meter")


@pytest.mark.parametrize(
    ("name", "cause"), [("plant_broken.X", "SyntaxError"), ("plant_exits.X", "SystemExit: 3")]
)
def test_a_module_that_raises_is_the_drivers_failure(name, cause):
    """SM-13"""
    with pytest.raises(DriverFailed, match=f"import failed: {cause}"):
        find_driver(name)


def offer(monkeypatch, **points):
    entries = [EntryPoint(n, v, module.GROUP) for n, values in points.items() for v in values]

    def entry_points(*, group, name=None):
        assert group == "smapd.drivers"
        return [e for e in entries if name in (None, e.name)]

    monkeypatch.setattr(module, "entry_points", entry_points)


def test_a_driver_comes_by_entry_point(monkeypatch):
    """SM-17"""
    offer(monkeypatch, meter=["plant_meters:Meter"])

    assert find_driver("meter").__name__ == "Meter"
    assert list_drivers() == [("meter", "plant_meters.Meter")]


def test_a_short_name_that_two_offer_is_refused(monkeypatch):
    """SM-17"""
    offer(monkeypatch, meter=["plant_meters:Meter", "acme.meters:Meter"])

    assert refusal("meter") == (
        "meter is offered twice: acme.meters.Meter and plant_meters.Meter. "
        "Write the one that is meant."
    )


def test_an_entry_point_to_nothing_is_refused(monkeypatch):
    offer(monkeypatch, meter=["plant_meters:Gone"])

    assert refusal("meter") == "meter is no driver: a driver is a class with setup and start."


def test_a_short_name_is_suggested(monkeypatch):
    """P-13"""
    offer(monkeypatch, modbus=["plant_meters:Meter"])

    assert module.suggest("modbsu") == "modbus"
    assert module.suggest("plant_meters.Meters") == "plant_meters.Meter"
    assert module.suggest("xyzzy") is None

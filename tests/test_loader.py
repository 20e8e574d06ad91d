"""loader.py: the tutorial's load and dump."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smapd import loader
from smapd.core import SmapInstance
from smapd.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden" / "configs"
ROOT_UUID = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
ROOT = f"[/]\ntype = Collection\nuuid = {ROOT_UUID}\n"

DRIVERS = """
from smapd.driver import Option, SmapDriver, secret

class Static(SmapDriver):
    OPTIONS = (Option("Unit", str, "V", "unit"), Option("Key", secret, None, "key"))

    def setup(self, opts):
        self.add_timeseries("/one", "one", opts["Unit"])
        self.set_metadata("/one", {"Extra/By": "driver", "Extra/Own": "driver"})
        self.set_metadata("/", {"Extra/By": "driver", "Extra/Own": "driver"})

class Failing(SmapDriver):
    def setup(self, opts):
        self.add_timeseries("/half/way", "half", "V")
        raise ValueError("no such device")
"""


@pytest.fixture(autouse=True)
def plant(tmp_path, monkeypatch):
    """A working directory with drivers in it."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", os.getcwd())])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loader_drivers.py").write_text(DRIVERS)
    yield
    sys.modules.pop("loader_drivers", None)


def write(text: str) -> str:
    Path("conf.ini").write_text(ROOT + text, "utf-8")
    return "conf.ini"


def paths(inst) -> list[str]:
    return [path for path, _ in inst.walk("/")]


def test_the_tutorials_program_dumps_and_loads():
    """SM-10: as the tutorial prints it."""
    inst = SmapInstance(ROOT_UUID)
    inst.add_timeseries("/sensor0", "sensor0", "V")

    loader.dump(inst, "conf.ini")
    again = loader.load("conf.ini")

    assert Path("conf.ini").read_text() == (
        ROOT + "\n[/sensor0]\ntype = Timeseries\nkey = sensor0\nProperties/UnitofMeasure = V\n"
    )
    assert again.get("/sensor0").as_json() == inst.get("/sensor0").as_json()
    assert str(again.get("/sensor0").uuid) == "b37e5c5f-e9b0-59a6-8275-08729beeff46"


def test_the_tutorials_nested_file_loads_with_the_uuid_it_prints():
    """SM-10, SM-03"""
    inst = loader.load(GOLDEN / "tutorial_nokey.ini")

    assert str(inst.get("/instrument0/sensor0").uuid) == "c2f2cb69-25cc-544c-87cc-3b807c58f63a"
    assert inst.get("/instrument0").metadata == {
        "Instrument": {"Manufacturer": "sMAP Implementer Forum"}
    }


def test_drivers_are_set_up_and_the_config_has_the_last_word():
    """SM-10, SM-11, SM-12, SM-15"""
    inst = loader.load(
        write(
            "[/m]\ntype = loader_drivers.Static\nUnit = A\nMetadata/Extra/By = config\n"
            "[/m/one]\nMetadata/Extra/By = config\n"
        )
    )

    series = inst.get("/m/one")
    assert series.unit == "A"
    assert series.metadata == {"Extra": {"By": "config", "Own": "driver"}}
    assert inst.get("/m").metadata == {"Extra": {"By": "config", "Own": "driver"}}
    assert series.uuid == inst.uuid("one", inst.uuid("/m"))
    assert list(inst.plan.hosts) == ["/m"]


def test_what_is_loaded_dumps_with_its_drivers_as_they_were():
    """SM-10"""
    text = (
        ROOT + "\n[/m]\ntype = loader_drivers.Static\nUnit = A\nMetadata/Extra/By = config\n\n"
        "[/m/one]\nMetadata/Extra/By = config\n\n"
        "[report 0]\nReportDeliveryLocation = http://archiver.example/add/KEY\n"
        "ReportResource = /+\n"
    )
    Path("conf.ini").write_text(text)
    inst = loader.load("conf.ini")

    loader.dump(inst, "again.ini")

    assert Path("again.ini").read_text() == text
    again = loader.load("again.ini")
    assert [(p, n.as_json()) for p, n in again.walk("/")] == [
        (p, n.as_json()) for p, n in inst.walk("/")
    ]


@pytest.mark.parametrize(
    ("section", "error"),
    [
        ("type = loader_drivers.Failing\n", "[/m] setup failed: ValueError: no such device"),
        (
            "type = loader_drivers.Static\nKey = env:NOT_SET_ANYWHERE\n",
            "Key: environment variable NOT_SET_ANYWHERE is not set.",
        ),
    ],
)
def test_what_fails_in_the_world_stops_its_section_alone(section, error):
    """SM-13: it is shown at its place, what it had made is gone, the rest is there."""
    inst = loader.load(
        write(
            f"[/m]\n{section}[/m/one]\nMetadata/Extra/A = b\n"
            "[/m2]\ntype = loader_drivers.Static\n[/z]\ntype = Collection\n"
        )
    )

    assert paths(inst) == ["/", "/m", "/m2", "/m2/one", "/z"]
    assert inst.get("/m").error() == error
    assert list(inst.plan.hosts) == ["/m2"]


def test_a_missing_package_stops_its_section_alone(tmp_path):
    """SM-13"""
    (tmp_path / "loader_needs.py").write_text("import loader_no_such_package\n")

    inst = loader.load(write("[/m]\ntype = loader_needs.Driver\n[/z]\ntype = Collection\n"))

    assert paths(inst) == ["/", "/m", "/z"]
    assert inst.get("/m").error() == (
        "loader_needs.Driver needs the package loader_no_such_package, which is not installed."
    )


def test_a_section_in_the_way_of_a_drivers_nodes_is_left_out():
    inst = loader.load(
        write(
            "[/m]\ntype = loader_drivers.Static\n[/m/one/x]\ntype = Collection\n"
            "[/z]\ntype = Collection\n"
        )
    )

    assert paths(inst) == ["/", "/m", "/m/one", "/z"]


def test_errors_in_the_text_make_nothing_and_come_all_at_once():
    """SM-13"""
    with pytest.raises(ConfigError) as caught:
        loader.load(write("[/m]\ntype = loader_drivers.Static\nUnti = A\n[/x]\nuuid = y\n"))

    assert [str(p) for p in caught.value.problems] == [
        "conf.ini:6: [/m] Unti: no such key of Static. Did you mean Unit?",
        "conf.ini:8: [/x] uuid = y: not a uuid. "
        "Write one like 75503ac2-abf0-11e0-b7d6-0026bb56ec92.",
    ]


def test_some_sections_alone_are_loaded():
    """SM-10"""
    file = write("[/a]\ntype = Collection\n[/b]\ntype = Collection\n[/c]\ntype = Collection\n")

    assert paths(loader.load(file, ["/a/", "/c"])) == ["/", "/a", "/c"]
    with pytest.raises(ConfigError, match=r"conf.ini: \[/d\] no such section."):
        loader.load(file, ["/a", "/d"])


def test_the_data_directory_may_be_given():
    inst = loader.load(write("[server]\nDataDir = one\n"), data_dir="two")

    assert inst.plan.server["DataDir"] == Path("two")


def test_a_dump_replaces_a_file_whole_and_keeps_its_mode():
    """SM-10"""
    inst = SmapInstance(ROOT_UUID)
    Path("real.ini").write_text("# an old one, longer than what is written now\n" * 100)
    Path("real.ini").chmod(0o640)
    Path("conf.ini").symlink_to("real.ini")

    loader.dump(inst, "conf.ini")

    assert Path("real.ini").read_text() == ROOT
    assert Path("real.ini").stat().st_mode & 0o777 == 0o640
    assert Path("conf.ini").is_symlink()
    assert sorted(os.listdir()) == ["conf.ini", "loader_drivers.py", "real.ini"]


def test_a_new_dump_is_for_its_owner_alone():
    loader.dump(SmapInstance(ROOT_UUID), "conf.ini")

    assert Path("conf.ini").stat().st_mode & 0o777 == 0o600


def test_a_dump_that_cannot_be_made_leaves_the_file_as_it_was():
    """SM-10, P-22: a secret's text is not lost by dumping over the file that holds it."""
    file = write("[/m]\ntype = loader_drivers.Static\nKey = hunter2\n")
    before = Path(file).read_text()
    inst = loader.load(file)

    with pytest.raises(ConfigError) as caught:
        loader.dump(inst, file)

    assert [str(p) for p in caught.value.problems] == [
        "[/m] Key: a secret. Move it to env:NAME or file:PATH first."
    ]
    assert Path(file).read_text() == before
    assert sorted(os.listdir()) == ["conf.ini", "loader_drivers.py"]


def test_a_directory_that_is_not_there_is_an_os_error():
    with pytest.raises(FileNotFoundError):
        loader.dump(SmapInstance(ROOT_UUID), "no/such/conf.ini")


@pytest.mark.real
def test_importing_the_loader_installs_no_reactor():
    code = "import sys, smapd.loader; print('twisted.internet.reactor' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "False\n"

"""config/attach.py: one section into the tree, or out of it."""

import pytest

from smapd.assembly import TABLES
from smapd.config import (
    attach_section,
    detach_section,
    finish_driver_section,
    load_text,
    namespace,
    resolve,
    with_driver,
)
from smapd.core import SmapInstance
from smapd.errors import ConfigError, MissingExtra, NoSuchDriver, SecretUnreadable
from smapd.options import Option, Secret, secret
from smapd.testing import RecordingListener

ROOT = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n"


class Free:
    OPTIONS = None

    def setup(self, opts):
        """Nothing is made."""


class Declared(Free):
    OPTIONS = (
        Option("Rate", float, 1.0, "rate"),
        Option("Password", secret, None, "password"),
    )


def find(name):
    if name == "smapd.missing":
        raise MissingExtra("the package x is not installed.")
    if name == "smapd.gone":
        raise NoSuchDriver("there is no module x.")
    return Declared if name == "declared" else Free


def plan_of(text, root=ROOT):
    return load_text(root + text, "f.ini", tables=TABLES, drivers=find)


def planted(text, root=ROOT):
    plan = plan_of(text, root)
    inst = SmapInstance(plan.root_uuid)
    for section in plan.sections:
        attach_section(inst, section)
    return plan, inst


def test_sections_make_their_nodes_with_parents():
    """SM-02, SM-11"""
    _, inst = planted(
        "[/a/b/s]\nProperties/UnitofMeasure = V\nkey = k\nDescription = d\nMetadata/Extra/A = b\n"
        "[/a]\ntype = Collection\nasset = hall-1\nDescription = the hall\nMetadata/L = x,\n"
    )

    assert inst.get("/a").as_json() == {
        "Contents": ["b"],
        "Metadata": {"L": ["x"]},
        "Description": "the hall",
    }
    assert inst.by_asset("hall-1") is inst.get("/a")
    series = inst.get_timeseries("/a/b/s")
    assert (series.key, series.description, series.metadata) == ("k", "d", {"Extra": {"A": "b"}})


def test_the_roots_timezone_is_the_trees_default():
    """SM-06"""
    _, inst = planted(
        "[/s]\nProperties/UnitofMeasure = V\n[/t]\nProperties/UnitofMeasure = V\n"
        "Properties/Timezone = UTC\n",
        ROOT + "Properties/Timezone = Europe/Berlin\n",
    )

    assert inst.default_timezone == "Europe/Berlin"
    assert inst.get_timeseries("/s").timezone == "Europe/Berlin"
    assert inst.get_timeseries("/s").timezone_given is False
    assert inst.get_timeseries("/t").timezone_given is True


def test_keys_beyond_ascii_are_hashed_as_utf8():
    """SM-03: the recorded uuids of a config file's keys."""
    _, inst = planted(
        "[/caf\u00e9]\nProperties/UnitofMeasure = V\n"
        "[/k]\nkey = caf\u00e9\nProperties/UnitofMeasure = V\n"
    )

    assert str(inst.get_timeseries("/caf\u00e9").uuid) == "17240da6-02e0-5508-97bb-b5dce94a4c51"
    assert str(inst.get_timeseries("/k").uuid) == "e9373791-1362-51be-8b6d-a144fa472cba"


def test_a_node_that_is_there_is_only_tagged():
    """SM-11: the metadata of the config wins, Properties are the driver's."""
    plan = plan_of(
        "[/m]\ntype = free\n[/m/s]\nMetadata/Extra/A = config\nProperties/UnitofMeasure = A\n"
    )
    inst = SmapInstance(plan.root_uuid)
    for section in plan.sections[:2]:
        attach_section(inst, section)
    inst.add_timeseries("/m/s", "s", "V")
    inst.set_metadata("/m/s", {"Extra/A": "driver", "Extra/B": "driver"})

    attach_section(inst, plan.sections[2])

    series = inst.get_timeseries("/m/s")
    assert series.unit == "V"
    assert series.metadata == {"Extra": {"A": "config", "B": "driver"}}


def test_a_driver_sections_metadata_wins_over_the_drivers():
    """SM-11"""
    plan, inst = planted("[/m]\ntype = free\nMetadata/Extra/A = config\nDescription = config\n")
    inst.set_metadata("/m", {"Extra/A": "driver", "Extra/B": "driver"})
    inst.set_description("/m", "driver")

    finish_driver_section(inst, plan.sections[1])

    assert inst.get("/m").metadata == {"Extra": {"A": "config", "B": "driver"}}
    assert inst.get("/m").description == "config"


def test_finishing_a_driver_that_changed_nothing_tells_nobody():
    plan, inst = planted("[/m]\ntype = free\nMetadata/Extra/A = config\n")
    listener = RecordingListener()
    inst.attach(listener)
    revision = inst.revision

    finish_driver_section(inst, plan.sections[1])

    assert inst.revision == revision


def test_finishing_a_driver_whose_place_is_gone_does_nothing():
    plan, inst = planted("[/m]\ntype = free\nMetadata/Extra/A = config\n")
    inst.remove("/m")

    finish_driver_section(inst, plan.sections[1])

    assert inst.get("/m") is None


def test_one_section_is_attached_and_detached_alone():
    plan, inst = planted(
        "[/a]\ntype = Collection\nasset = x\nDescription = d\nMetadata/Extra/A = b\n"
        "[/a/s]\nProperties/UnitofMeasure = V\n[/m]\ntype = free\n[/c]\ntype = Collection\n"
    )
    _, a, s, m, c = plan.sections
    inst.add_timeseries("/m/made", "made", "V")

    detach_section(inst, a)
    assert inst.get("/a").as_json() == {"Contents": ["s"]}
    assert inst.by_asset("x") is None
    detach_section(inst, s)
    detach_section(inst, m)
    detach_section(inst, c)
    detach_section(inst, c)
    assert [path for path, _ in inst.walk("/")] == ["/", "/a"]
    detach_section(inst, a)
    assert [path for path, _ in inst.walk("/")] == ["/"]

    for section in plan.sections:
        attach_section(inst, section)
    assert inst.by_asset("x") is inst.get("/a")


def test_detaching_a_tag_leaves_the_drivers_node():
    plan, inst = planted("[/m]\ntype = free\n")
    tag = plan_of("[/m]\ntype = free\n[/m/s]\nMetadata/Extra/A = config\n").sections[2]
    inst.add_timeseries("/m/s", "s", "V")
    attach_section(inst, tag)

    detach_section(inst, tag)

    assert inst.get("/m/s").metadata is None


def test_detaching_a_driver_at_the_root_leaves_the_root():
    plan, inst = planted("type = free\nMetadata/Extra/A = b\n")
    inst.add_timeseries("/s", "s", "V")

    detach_section(inst, plan.sections[0])

    assert inst.get("/").as_json() == {"Contents": []}


@pytest.mark.parametrize(
    ("keys", "uuid"),
    [
        ("", "5d643ccb-ad17-515b-9201-3130abe6db68"),
        ("uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n", "673ae6c1-fbc6-5c74-a948-45d9747b7d4f"),
    ],
)
def test_a_drivers_keys_are_hashed_in_its_own_namespace(keys, uuid):
    """SM-15: its uuid, else its key, else its path names that."""
    plan, inst = planted(f"[/instrument0]\ntype = free\n{keys}")
    scope = inst.scope("/instrument0", namespace(plan, plan.sections[1]))

    assert str(scope.add_timeseries("/sensor0", "V").uuid) == uuid


# --- options of a driver


def test_secrets_of_a_driver_are_fetched_when_it_starts(monkeypatch):
    """P-22: the plan holds the reference alone."""
    (_, section) = plan_of("[/m]\ntype = declared\nRate = 2\nPassword = env:M_PW\n").sections
    with pytest.raises(SecretUnreadable, match="^Password: environment variable M_PW is not set"):
        resolve(section)

    monkeypatch.setenv("M_PW", "hunter2")
    opts = resolve(section)

    assert opts["Rate"] == 2.0
    assert isinstance(opts["Password"], Secret)
    assert opts["Password"].reveal() == "hunter2"


def test_in_an_unchecked_section_env_alone_is_fetched(monkeypatch):
    """P-22, SM-12"""
    monkeypatch.setenv("M_PW", "hunter2")
    (_, section) = plan_of(
        "[/m]\ntype = free\nkey = env:M_PW\nA = env:M_PW\nB = file:/etc/passwd\nC = x, env:M_PW\n"
        "Metadata/Extra/A = env:M_PW\n[[sub]]\nD = env:M_PW\n"
    ).sections

    assert resolve(section) == {
        "type": "free",
        "key": "env:M_PW",
        "A": "hunter2",
        "B": "file:/etc/passwd",
        "C": ["x", "hunter2"],
        "Metadata/Extra/A": "env:M_PW",
        "sub": {"D": "hunter2"},
    }
    monkeypatch.delenv("M_PW")
    with pytest.raises(SecretUnreadable, match="^A: environment variable M_PW is not set"):
        resolve(section)


def test_a_report_has_its_secrets_fetched_too(monkeypatch):
    monkeypatch.setenv("SINK", "http://h/add/KEY")
    plan = plan_of("[report 0]\nReportDeliveryLocation = env:SINK\nReportResource = /+\n")

    assert resolve(plan.others[0])["ReportDeliveryLocation"].reveal() == "http://h/add/KEY"


def test_a_driver_that_was_missing_is_tried_again():
    """SM-13"""
    section = plan_of("[/m]\ntype = smapd.missing\nRate = 3\n").sections[1]
    assert section.fault == "the package x is not installed."

    with pytest.raises(MissingExtra):
        with_driver(section, find)
    found = with_driver(section, lambda name: Declared)

    assert (found.driver, found.fault, found.options["Rate"]) == (Declared, "", 3.0)
    with pytest.raises(ConfigError, match="Rate = x: not a number"):
        with_driver(
            plan_of("[/m]\ntype = smapd.missing\nRate = x\n").sections[1], lambda name: Declared
        )
    with pytest.raises(ConfigError, match="there is no module x."):
        with_driver(section, lambda name: find("smapd.gone"))


def test_a_plan_of_some_sections_alone():
    """SM-10: load(file, sections)."""
    plan = plan_of(
        "[/a]\ntype = Collection\n[/m]\ntype = free\n[/m/s]\nMetadata/Extra/A = b\n"
    ).only(["/m/s/"])

    assert [(s.path, s.behind) for s in plan.sections] == [("/", None), ("/m/s", None)]

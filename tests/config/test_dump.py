"""config/dump.py: a tree or a plan to the text of a config file."""

from pathlib import Path
from uuid import UUID

import pytest

from smapd.assembly import TABLES
from smapd.config import attach_section, dump, load_plan, load_text
from smapd.core import SmapInstance
from smapd.errors import ConfigError
from smapd.options import Option, secret, secret_url

GOLDEN = Path(__file__).parent.parent / "golden" / "configs"
ROOT_UUID = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
ROOT = f"[/]\ntype = Collection\nuuid = {ROOT_UUID}\n"


class Meter:
    OPTIONS = (
        Option("Rate", float, 1.0, "rate"),
        Option("Password", secret, None, "password"),
        Option("Pin", secret, None, "pin"),
        Option("Url", secret_url, None, "where"),
        Option("Base", secret_url, None, "where else"),
    )

    def setup(self, opts):
        """Nothing is made."""


def plan_of(text):
    return load_text(text, "f.ini", tables=TABLES, drivers=lambda name: Meter)


def tree_of(plan):
    inst = SmapInstance(plan.root_uuid)
    inst.plan = plan
    for section in plan.sections:
        attach_section(inst, section)
    return inst


def test_the_tutorials_first_source_is_dumped_as_printed():
    """SM-10"""
    inst = SmapInstance(ROOT_UUID)
    inst.add_timeseries("/sensor0", "sensor0", "V")

    assert dump(inst) == (
        "[/]\n"
        "type = Collection\n"
        "uuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\n"
        "\n"
        "[/sensor0]\n"
        "type = Timeseries\n"
        "key = sensor0\n"
        "Properties/UnitofMeasure = V\n"
    )


@pytest.mark.parametrize("name", ["tutorial_dump", "tutorial_nested", "tutorial_nokey"])
def test_the_tutorials_files_dump_as_they_are(name):
    """SM-10: from the plan and from the tree."""
    lines = (GOLDEN / f"{name}.ini").read_text("utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("#"))

    plan = load_plan(GOLDEN / f"{name}.ini", tables=TABLES)

    assert dump(plan) == text
    assert dump(tree_of(plan)) == text


def test_everything_that_is_no_default_is_written():
    """SM-10"""
    inst = SmapInstance(ROOT_UUID)
    inst.set_default_timezone("UTC")
    inst.add_collection("/a", asset="hall-1")
    inst.set_description("/a", "the hall, ground floor")
    inst.set_metadata("/a", {"Extra/List": ["one", "two"], "Extra/N": 3, "Extra/B": True})
    inst.add_timeseries(
        "/a/s",
        "k",
        "m/s, gusts",
        data_type="double",
        timezone="Europe/Berlin",
        buffersz=5,
        milliseconds=True,
        description='say "x"',
    )
    inst.add_timeseries("/u", UUID("11111111-2222-3333-4444-555555555555"), "V")
    inst.add_timeseries("/caf\u00e9", "caf\u00e9", "\u00b0C")
    inst.add_timeseries("/p", "V")
    inst.set_metadata("/p", {"Location/City": "Berkeley, CA", "Extra/Note": "a\nb"})

    assert dump(inst) == (
        f"[/]\ntype = Collection\nuuid = {ROOT_UUID}\nProperties/Timezone = UTC\n"
        "\n[/a]\ntype = Collection\nasset = hall-1\n"
        'Description = "the hall, ground floor"\n'
        "Metadata/Extra/List = one, two\nMetadata/Extra/N = 3\nMetadata/Extra/B = true\n"
        '\n[/a/s]\ntype = Timeseries\nkey = k\nProperties/UnitofMeasure = "m/s, gusts"\n'
        "Properties/ReadingType = double\nProperties/Timezone = Europe/Berlin\nBufferSize = 5\n"
        'Milliseconds = yes\nDescription = say "x"\n'
        "\n[/u]\ntype = Timeseries\nuuid = 11111111-2222-3333-4444-555555555555\n"
        "Properties/UnitofMeasure = V\n"
        # a driver's key beyond ASCII is hashed otherwise than a config file's
        "\n[/caf\u00e9]\ntype = Timeseries\nkey = caf\u00e9\n"
        "uuid = b0f5a31e-3fc5-531d-8d55-0f858c8eecbb\nProperties/UnitofMeasure = \u00b0C\n"
        "\n[/p]\ntype = Timeseries\nProperties/UnitofMeasure = V\n"
        'Metadata/Location/City = "Berkeley, CA"\nMetadata/Extra/Note = """a\nb"""\n'
    )


DRIVERS = (
    ROOT + "Properties/Timezone = UTC\n\n[/hall]\ntype = Collection\n\n"
    "[/hall/meter]\ntype = some.Meter\nkey = m\nRate = 2\nPassword = env:M_PW\n"
    "Metadata/Extra/A = b, c\n\n"
    "[/hall/meter/power]\nMetadata/Extra/Phase = A\n\n"
    "[/hall/meter/own]\ntype = Timeseries\nProperties/UnitofMeasure = V\n\n"
    "[/z]\ntype = Timeseries\nProperties/UnitofMeasure = V\n\n"
    "[report 0]\nReportDeliveryLocation = http://archiver.example/add/KEY\n"
    'ReportDeliveryLocation0 = "http://b.example/?a=1,2"\nReportResource = /+\n\n'
    "[server]\nport = 9000\nToken = file:/etc/smapd/token\n\n[unknown]\nx = 1, 2\n"
)


def test_drivers_reports_and_the_rest_are_dumped_as_they_were():
    """SM-10, P-22: references to secrets, never what they refer to."""
    plan = plan_of(DRIVERS)
    inst = tree_of(plan)
    inst.add_timeseries("/hall/meter/made", "made", "V")
    inst.add_timeseries("/new", "V")
    new = "\n[/new]\ntype = Timeseries\nProperties/UnitofMeasure = V\n"

    assert dump(plan) == DRIVERS
    assert dump(inst) == DRIVERS.replace("\n[report 0]", new + "\n[report 0]")


def test_a_driver_whose_place_is_not_in_the_tree_is_dumped_too():
    """SM-10"""
    plan = plan_of(DRIVERS)
    inst = tree_of(plan)
    inst.remove("/hall/meter")

    text = dump(inst)

    assert sorted(text.split("\n\n")) == sorted(DRIVERS.split("\n\n"))


def test_a_driver_at_the_root_is_dumped_as_it_was():
    text = f"[/]\ntype = some.Meter\nuuid = {ROOT_UUID}\nRate = 2\n"
    inst = tree_of(plan_of(text))
    inst.add_timeseries("/made", "made", "V")

    assert dump(inst) == text


def test_a_secrets_text_is_never_dumped():
    """P-22"""
    plan = plan_of(
        f"[/]\nuuid = {ROOT_UUID}\n[/m]\ntype = some.Meter\nPassword = hunter2\nPin = env:PIN\n"
        "[server]\ntoken = hunter2\n"
    )

    text = dump(plan)

    assert "hunter2" not in text
    assert "# Password = ***  (a secret: set it again, as env:NAME)\nPin = env:PIN\n" in text
    assert text.endswith("[server]\n# token = ***  (a secret: set it again, as env:NAME)\n")
    with pytest.raises(ConfigError) as caught:
        dump(tree_of(plan), must_hold_all=True)
    assert [str(p) for p in caught.value.problems] == [
        "[/m] Password: a secret. Move it to env:NAME or file:PATH first.",
        "[server] token: a secret. Move it to env:NAME or file:PATH first.",
    ]


URLS = (
    f"[/]\ntype = Collection\nuuid = {ROOT_UUID}\n\n"
    "[/m]\ntype = some.Meter\nUrl = http://bob:hunter2@h/x?token=abc\nBase = http://h:81/\n\n"
    "[report 0]\nReportDeliveryLocation = https://a.example/add/hunter2\n"
    "ReportDeliveryLocation0 = env:URL\nReportDeliveryLocation1 = http://b.example\n"
    "ReportResource = /+\n"
)


def test_a_url_that_may_hold_a_key_stands_in_a_file_and_not_on_a_screen():
    """P-22: the file would not load without it."""
    plan = plan_of(URLS)

    shown = dump(plan, for_show=True)

    assert dump(plan) == URLS
    assert dump(tree_of(plan), must_hold_all=True) == URLS
    assert shown == URLS.replace(
        "Url = http://bob:hunter2@h/x?token=abc",
        "# Url = http://h/***  (a secret: set it again, as env:NAME)",
    ).replace(
        "ReportDeliveryLocation = https://a.example/add/hunter2",
        "# ReportDeliveryLocation = https://a.example/***  (a secret: set it again, as env:NAME)",
    )


def test_what_no_table_knows_is_hidden_on_a_screen_where_it_may_be_a_secret():
    """P-22"""
    text = (
        f"[/]\ntype = Collection\nuuid = {ROOT_UUID}\n\n"
        "[/m]\ntype = some.Free\nkey = m\nMetadata/Extra/Token = no secret\nPassword = hunter2\n"
        "Token = env:TOKEN\nBypass = 3\nSite = http://h/x/y\nUrl = http://h/x?appid=hunter2\n"
        "Urls = http://h/x, http://u:hunter2@h/x\n[[more]]\napi_key = hunter2\nx = 1\n\n"
        "[other]\nAuthToken = hunter2\nx = 1\n"
    )

    class Free:
        OPTIONS = None

        def setup(self, opts):
            """Nothing is made."""

    plan = load_text(text, "f.ini", tables=TABLES, drivers=lambda name: Free)

    shown = dump(plan, for_show=True)

    assert dump(plan) == text
    assert "hunter2" not in shown
    hidden = [line.split(" = ")[0] for line in shown.splitlines() if line.startswith("# ")]
    assert hidden == ["# Password", "# Url", "# Urls", "# api_key", "# AuthToken"]
    assert set(text.splitlines()) - set(shown.splitlines()) == {
        line for line in text.splitlines() if "hunter2" in line
    }


@pytest.mark.parametrize(
    ("path", "metadata", "problem"),
    [
        ("/s", {"Extra/A": ["x"]}, "[/s] Metadata/Extra/A: a list, which a Timeseries' metadata"),
        ("/s", {"Extra/A/B": "x"}, "[/s] Metadata/Extra/A/B: Extra of a Timeseries holds text"),
        ("/c", {"A": [1, 2]}, "[/c] Metadata/A: a list that holds other things than text."),
        ("/c", {"A": "\x07"}, "[/c] Metadata/A: a config file cannot hold control characters."),
        ("/c", {"'\"=": "x"}, "[/c] Metadata/'\"=: a name cannot hold both kinds of quotes."),
    ],
)
def test_what_a_config_file_cannot_hold_is_named(path, metadata, problem):
    """SM-10"""
    inst = SmapInstance(ROOT_UUID)
    inst.add_timeseries("/s", "V")
    inst.add_collection("/c")
    inst.set_metadata(path, metadata)

    with pytest.raises(ConfigError) as caught:
        dump(inst)

    assert str(caught.value).startswith(problem)


def test_a_path_that_no_file_can_hold_is_named():
    inst = SmapInstance(ROOT_UUID)
    inst.add_collection("/a]'\"")

    with pytest.raises(ConfigError, match="a name cannot hold both kinds of quotes"):
        dump(inst)

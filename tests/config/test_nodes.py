"""config/nodes.py and metadata.py: which node each section makes."""

from uuid import UUID

import pytest

from smapd.assembly import TABLES
from smapd.config import load_text
from smapd.errors import ConfigError, DriverFailed, MissingExtra

ROOT = "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n"


class Free:
    OPTIONS = None

    def setup(self, inst, opts):
        """Nothing is made."""


def find(name):
    if name == "no.Package":
        raise MissingExtra("no.Package needs the package pymodbus, which is not installed.")
    if name == "no.Import":
        raise DriverFailed(name, "import", SyntaxError("invalid syntax"))
    return Free


def plan_of(text, root=ROOT):
    return load_text(root + text, "f.ini", tables=TABLES, drivers=find)


def warnings(text, root=ROOT):
    return [str(p) for p in plan_of(text, root).warnings]


def errors(text, root=ROOT):
    with pytest.raises(ConfigError) as caught:
        plan_of(text, root)
    return [str(p) for p in caught.value.problems]


def test_a_timeseries_section_has_all_that_it_says():
    """SM-02, SM-11"""
    (_, section) = plan_of(
        "[/a/s]\ntype = Timeseries\nkey = k\nuuid = 11111111-2222-3333-4444-555555555555\n"
        "Properties/UnitofMeasure = V\nProperties/ReadingType = double\n"
        "Properties/Timezone = Europe/Berlin\nBufferSize = 5\nMilliseconds = yes\n"
        "Description = a series\nMetadata/Extra/A = b\nMetadata/SourceName = x\n"
        "Metadata/Own/Deep/Er = y\n"
    ).sections

    assert (section.path, section.line, section.kind) == ("/a/s", 4, "timeseries")
    assert (section.key, section.uuid) == ("k", UUID("11111111-2222-3333-4444-555555555555"))
    assert (section.unit, section.data_type) == ("V", "double")
    assert (section.timezone, section.timezone_given) == ("Europe/Berlin", True)
    assert (section.buffersz, section.milliseconds) == (5, True)
    assert section.description == "a series"
    assert section.metadata == {
        "Extra": {"A": "b"},
        "SourceName": "x",
        "Own": {"Deep": {"Er": "y"}},
    }


def test_what_a_section_leaves_out_has_the_originals_defaults():
    """SM-11"""
    root = ROOT.replace("Properties/Timezone = UTC\n", "")
    plan = plan_of("[/s]\nProperties/UnitofMeasure = V\n", root)

    section = plan.sections[1]
    assert plan.default_timezone is None
    assert (section.kind, section.data_type, section.buffersz) == ("timeseries", "long", 1)
    assert (section.key, section.uuid, section.timezone) == (None, None, None)
    assert section.milliseconds is False


def test_the_roots_timezone_is_that_of_the_others():
    section = plan_of("[/s]\nProperties/UnitofMeasure = V\n").sections[1]

    assert (section.timezone, section.timezone_given) == ("UTC", False)


def test_the_order_in_the_file_is_free():
    """SM-11"""
    text = "[/a/s]\nProperties/UnitofMeasure = V\n[/a]\ntype = Collection\n" + ROOT

    plan = load_text(text, "f.ini", tables=TABLES)

    assert [s.path for s in plan.sections] == ["/", "/a/s", "/a"]
    assert plan.sections[2].kind == "collection"


def test_section_names_are_brought_to_normal_form():
    """SM-11"""
    plan = plan_of("[/a//b/]\ntype = Collection\n")

    assert plan.sections[1].path == "/a/b"
    assert plan.section("a/b/") is plan.sections[1]
    assert plan.section("/c") is None


def test_a_section_without_a_type_above_others_is_a_collection():
    plan = plan_of("[/a]\nMetadata/Extra/A = b\n[/a/s]\nProperties/UnitofMeasure = V\n")

    assert [s.kind for s in plan.sections] == ["collection", "collection", "timeseries"]


def test_lists_and_nesting_stay_on_collections_with_a_warning():
    """SM-11"""
    text = "[/a]\ntype = Collection\nMetadata/L = one, two\n"
    text += 'Metadata/Extra/A/B = c\nMetadata/Q = "d, e"\n'

    assert plan_of(text).sections[1].metadata == {
        "L": ["one", "two"],
        "Extra": {"A": {"B": "c"}},
        "Q": "d, e",
    }
    assert warnings(text) == [
        "f.ini:6: warning: [/a] Metadata/L = one, two: "
        "a comma makes a list of it. Write quotes if one text is meant."
    ]


def test_a_timezone_that_does_not_exist_is_a_warning():
    """SM-11"""
    for zone in ("Mars/Olympus", "../etc/passwd", "Europe", ""):
        (warning,) = warnings(
            f'[/s]\nProperties/UnitofMeasure = V\nProperties/Timezone = "{zone}"\n'
        )
        assert "no such timezone on this machine" in warning
        assert warning.startswith("f.ini:6: warning: [/s] Properties/Timezone")


def test_streams_that_got_the_default_timezone_are_named():
    """SM-06: one warning for all of them."""
    root = ROOT.replace("Properties/Timezone = UTC\n", "")
    text = "".join(f"[/s{i}]\nProperties/UnitofMeasure = V\n" for i in range(5))
    text += "[/told]\nProperties/UnitofMeasure = V\nProperties/Timezone = UTC\n"

    assert warnings(text, root) == [
        "f.ini: warning: 5 sections (/s0, /s1, /s2, …) without Properties/Timezone: "
        "America/Los_Angeles is taken. Write Properties/Timezone in [/] for all."
    ]


def test_streams_without_a_unit_are_named():
    assert warnings("[/s]\ntype = Timeseries\n") == [
        "f.ini: warning: 1 section (/s) without Properties/UnitofMeasure."
    ]


# --- drivers


def test_a_driver_without_a_table_gets_every_key_of_its_section():
    """SM-12"""
    text = (
        "[/o]\ntype = some.Driver\nkey = k\nPlain = x\nList = a, b\nMetadata/Extra/M = m\n"
        "[[sub]]\npassword = 0\nlist = 1, 2\n"
    )
    section = plan_of(text).sections[1]

    assert section.kind == "driver"
    assert (section.driver, section.driver_name, section.key) == (Free, "some.Driver", "k")
    assert section.metadata == {"Extra": {"M": "m"}}
    assert section.options == {
        "type": "some.Driver",
        "key": "k",
        "Plain": "x",
        "List": ["a", "b"],
        "Metadata/Extra/M": "m",
        "sub": {"password": "0", "list": ["1", "2"]},
    }


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("no.Package", "no.Package needs the package pymodbus, which is not installed."),
        ("no.Import", "import failed: SyntaxError: invalid syntax"),
    ],
)
def test_a_driver_that_cannot_be_imported_now_stops_its_section_alone(name, fault):
    """SM-13: what fails in the world is a warning, and the section says why it waits."""
    plan = plan_of(f"[/m]\ntype = {name}\nAddress = x\n[/s]\nProperties/UnitofMeasure = V\n")

    assert [s.path for s in plan.sections] == ["/", "/m", "/s"]
    assert (plan.sections[1].driver, plan.sections[1].fault) == (None, fault)
    assert [str(p) for p in plan.warnings] == [
        f"f.ini:5: warning: [/m] type = {name}: {fault} The section waits until that is mended."
    ]


def test_sections_that_tag_a_drivers_nodes_wait_for_the_driver():
    """SM-11: in the file they may stand before it too."""
    plan = plan_of(
        "[/m/one]\nMetadata/Extra/A = b\n"
        "[/m/made]\ntype = Timeseries\nProperties/UnitofMeasure = V\n"
        "[/m]\ntype = some.Driver\n"
        "[/m/two]\ntype = Collection\n"
        "[/z]\ntype = Collection\n"
    )

    assert [(s.path, s.behind) for s in plan.sections] == [
        ("/", None),
        ("/m/made", None),
        ("/m", None),
        ("/m/one", "/m"),
        ("/m/two", "/m"),
        ("/z", None),
    ]
    assert plan.warnings == ()


def test_the_root_may_be_a_driver():
    """SM-18: run-driver maps one driver at the root."""
    plan = load_text(
        "[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\ntype = some.Driver\n"
        "Properties/Timezone = UTC\nRate = 1\n[/tag]\nMetadata/Extra/A = b\n",
        "f.ini",
        tables=TABLES,
        drivers=find,
    )

    assert [(s.path, s.kind, s.behind) for s in plan.sections] == [
        ("/", "driver", None),
        ("/tag", "timeseries", "/"),
    ]
    assert plan.sections[0].options["Rate"] == "1"


def test_drivers_of_one_key_are_warned_of():
    """SM-15: a driver is replicable, as long as its namespace is its own."""
    text = "[/a]\ntype = some.Driver\n[/b]\ntype = some.Driver\n"
    assert warnings(text) == []

    text = "[/a]\ntype = some.Driver\nkey = k\n[/b]\ntype = some.Driver\nkey = k\n"
    assert warnings(text) == [
        "f.ini:9: warning: [/b] key = k: the key is that of [/a] too, at line 4. Give each its own."
    ]


# --- what cannot be tried with a file of a few lines


def test_a_key_of_many_characters_is_refused():
    assert errors(f"[/s]\nkey = {'k' * 5000}\nProperties/UnitofMeasure = V\n")[0].endswith(
        "…: not 1 to 4096 characters."
    )


def test_a_text_of_more_than_64_kib_is_refused():
    text = "\n".join(["x" * 60_000] * 2)
    assert errors(
        f"[/s]\nProperties/UnitofMeasure = V\nDescription = '''{text}'''\n"
        f"Metadata/Extra/A = '''{text}'''\n"
    ) == [
        "f.ini:6: [/s] Description: longer than 64 KiB. Shorten it.",
        f"f.ini:8: [/s] Metadata/Extra/A = {'x' * 59}…: longer than 64 KiB. Shorten it.",
    ]


def test_metadata_of_too_many_levels_or_keys_is_refused():
    deep = "Metadata/" + "/".join("abcdefghijklmnopqrs")
    assert "deeper than 16 levels." in errors(f"[/a]\ntype = Collection\n{deep} = x\n")[0]

    many = "".join(f"Metadata/Extra/K{i} = x\n" for i in range(10_001))
    assert errors(f"[/a]\ntype = Collection\n{many}") == [
        "f.ini:4: [/a] more than 10000 keys of metadata. Leave some out."
    ]


def test_ten_thousand_sections_are_read_and_checked_quickly():
    """P-13: checking costs little beside the parse itself (generous, for a busy machine)."""
    import time

    from configobj import ConfigObj

    text = ROOT + "".join(
        f"[/r{i // 100}/s{i}]\ntype = Timeseries\nkey = k{i}\nProperties/UnitofMeasure = V\n"
        for i in range(10_000)
    )
    started = time.process_time()
    ConfigObj(text.split("\n"), interpolation=False)
    parse_s = time.process_time() - started

    started = time.process_time()
    plan = plan_of(text.removeprefix(ROOT))

    assert len(plan.sections) == 10_001
    assert time.process_time() - started < 6 * parse_s

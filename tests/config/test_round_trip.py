"""Invariant 7: the same config gives the same uuids, and loading a dump gives the same tree."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from smapd.assembly import TABLES
from smapd.config import attach_section, dump, load_text
from smapd.core import Collection, SmapInstance
from smapd.errors import BadPath, ConfigError, PathExists
from smapd.options import Option, duration, secret, words

ROOT_UUID = UUID("75503ac2-abf0-11e0-b7d6-0026bb56ec92")


class Meter:
    OPTIONS = (
        Option("Rate", duration, "30s", "rate"),
        Option("Names", words, (), "names"),
        Option("Key", secret, None, "key"),
        Option("Note", str, None, "note"),
    )

    def setup(self, opts):
        """Nothing is made."""


class Free:
    OPTIONS = None

    def setup(self, opts):
        """Nothing is made."""


def find(name):
    return Meter if name == "meters.Meter" else Free


def load(text):
    plan = load_text(text, "f.ini", tables=TABLES, drivers=find)
    inst = SmapInstance(plan.root_uuid)
    inst.plan = plan
    for section in plan.sections:
        attach_section(inst, section)
    return inst


def seen(inst):
    """All that a config file is to keep."""
    nodes = []
    for path, node in inst.walk("/"):
        more = (
            (node.asset,)
            if isinstance(node, Collection)
            else (node.key, node.buffersz, node.milliseconds)
        )
        nodes.append((path, node.as_json(), more))
    return inst.uuid_root, inst.default_timezone, nodes


ANY = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\"'#,=[]%( )é°")
LINE = st.text(ANY, max_size=12)
TEXT = st.text(ANY | st.sampled_from("\n\t"), max_size=20)
NAME = st.text(ANY, min_size=1, max_size=8).filter(lambda n: "/" not in n)
PATHS = st.lists(st.sampled_from("abc") | NAME, min_size=1, max_size=3).map(
    lambda n: "/" + "/".join(n)
)
FIELDS = st.dictionaries(NAME, TEXT, max_size=3)
FLAT = st.fixed_dictionaries(
    {}, optional={"Extra": FIELDS, "Instrument": FIELDS, "SourceName": TEXT, "Own": FIELDS}
)
NESTED = st.dictionaries(
    NAME, TEXT | st.lists(LINE, max_size=3) | st.dictionaries(NAME, TEXT), max_size=3
)
SERIES = st.fixed_dictionaries(
    {
        "kind": st.just("series"),
        "path": PATHS,
        "key": st.none() | st.text(ANY, min_size=1, max_size=8) | st.uuids(),
        "unit": LINE | st.none(),
        "options": st.fixed_dictionaries(
            {},
            optional={
                "data_type": st.sampled_from(["long", "double", "string"]),
                "timezone": st.sampled_from(["UTC", "Europe/Berlin", "America/Los_Angeles"]),
                "buffersz": st.integers(1, 1000),
                "milliseconds": st.booleans(),
                "description": TEXT,
            },
        ),
        "metadata": FLAT,
    }
)
COLLECTION = st.fixed_dictionaries(
    {
        "kind": st.just("collection"),
        "path": PATHS | st.just("/"),
        "asset": st.none() | st.from_regex(r"[A-Za-z0-9._:-]{1,8}", fullmatch=True),
        "description": st.none() | TEXT,
        "metadata": NESTED,
    }
)


def plant(inst, node):
    """Into the tree, as far as the tree takes it."""
    path = node["path"]
    try:
        if node["kind"] == "series":
            inst.add_timeseries(path, node["key"], unit=node["unit"], **node["options"])
        elif path != "/":
            inst.add_collection(path, asset=node["asset"])
        if node.get("description") is not None:
            inst.set_description(path, node["description"])
        inst.set_metadata(path, node["metadata"])
    except (PathExists, BadPath):
        return


@given(st.lists(SERIES | COLLECTION, max_size=6), st.sampled_from(["UTC", "America/Los_Angeles"]))
def test_loading_a_dump_gives_the_same_tree(nodes, zone):
    """SM-10: metadata, keys, uuids, properties, descriptions, buffer sizes."""
    inst = SmapInstance(ROOT_UUID, default_timezone=zone)
    for node in nodes:
        plant(inst, node)

    try:
        text = dump(inst)
    except ConfigError as refusal:
        texts = [p.text for p in refusal.problems]
    else:
        texts = []
    if texts:
        assert all("both kinds of" in text for text in texts)
        return

    again = load(text)
    assert seen(again) == seen(inst)
    assert dump(again) == dump(again.plan)


PAIRS = st.dictionaries(
    st.text(ANY, min_size=1, max_size=8).map("X".__add__),
    TEXT | st.lists(LINE, max_size=3),
    max_size=4,
)
SECTIONS = st.fixed_dictionaries(
    {
        "/m": st.fixed_dictionaries(
            {"type": st.just("meters.Meter")},
            optional={
                "key": st.text(ANY, min_size=1, max_size=8),
                "Rate": st.sampled_from(["30", "5m", "500ms"]),
                "Names": st.lists(LINE, max_size=3),
                "Key": st.sampled_from(["env:KEY", "file:/etc/key"]),
                "Note": TEXT,
                "Metadata/Extra/A": TEXT | st.lists(LINE, max_size=3),
            },
        ),
        "/m/tag": st.dictionaries(st.just("Metadata/Extra/A"), TEXT),
        "/o": st.builds(
            lambda pairs, sub: {"type": "free.Driver", **pairs, "sub": sub}, PAIRS, PAIRS
        ),
        "report 0": st.fixed_dictionaries(
            {
                "ReportDeliveryLocation": st.sampled_from(
                    ["http://h/add/KEY", "env:SINK", "http://h/?a=1,2#x"]
                ),
                "ReportResource": st.just("/+"),
            },
            optional={
                "ReportDeliveryLocation3": st.just("https://h/"),
                "Format": st.sampled_from(["csv", "json"]),
                "MaxAge": st.sampled_from(["1h", "3600"]),
            },
        ),
        "server": st.dictionaries(
            st.sampled_from(["port", "PORT", "Port"]), st.just("1"), max_size=1
        ),
    }
)


@given(SECTIONS)
def test_drivers_reports_and_server_come_back(sections):
    """SM-10, SM-12: with their options, and secrets as references."""
    from smapd.config.dump import _Writer

    writer = _Writer(must_hold_all=True)
    writer._section("/", [("uuid", str(ROOT_UUID))])
    for name, pairs in sections.items():
        writer._section(name, pairs.items())
    if writer.problems:
        assert all("both kinds of" in p.text for p in writer.problems)
        return
    text = "\n".join(writer.blocks)

    first = load(text)
    again = load(dump(first))

    assert len(again.plan.sections) == len(first.plan.sections)
    for one in first.plan.sections:
        other = again.plan.section(one.path)
        assert (one.path, one.driver, one.options, one.metadata, one.key, one.behind) == (
            other.path,
            other.driver,
            other.options,
            other.metadata,
            other.key,
            other.behind,
        )
    assert [(s.name, s.options) for s in again.plan.others] == [
        (s.name, s.options) for s in first.plan.others
    ]
    assert again.plan.server == first.plan.server
    assert seen(again) == seen(first)
    assert dict(first.plan.section("/o").options) == sections["/o"]

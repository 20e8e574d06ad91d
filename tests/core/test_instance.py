"""The tree: its nodes, look-ups, metadata, and what has to be sent again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson
import pytest
from zope.interface.verify import verifyObject

from smapd.core import Collection, SmapInstance, Timeseries
from smapd.errors import BadPath, NoSuchPath, PathExists
from smapd.interfaces import ICollection, ITimeseries, ITree
from tests.core.support import ROOT, Recorder, tree

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/http.json").read_text("utf-8"))


def as_sent(node: Any) -> Any:
    """A node as GET would send it."""
    return orjson.loads(orjson.dumps(node.as_json()))


# --- making nodes


def test_a_new_tree_has_the_root_alone_and_carries_its_uuid() -> None:
    """SM-01"""
    for given in (ROOT, UUID(ROOT), ROOT.upper()):
        inst = SmapInstance(given)
        assert inst.uuid_root == UUID(ROOT)
        assert dict(inst.walk()) == {"/": inst.root}
        assert inst.root.as_json() == {"Contents": []}
        assert len(inst) == 1


def test_it_is_what_other_rooms_see() -> None:
    inst = tree()
    stream = inst.add_timeseries("/a/t", "V")
    assert verifyObject(ITree, inst)
    assert verifyObject(ITimeseries, stream)
    assert verifyObject(ICollection, inst.root)


def test_every_start_has_a_boot_id_of_its_own() -> None:
    assert tree().boot_id != tree().boot_id
    assert tree(boot_id="b").boot_id == "b"


def test_the_key_names_the_stream_wherever_it_stands() -> None:
    """SM-02: same root uuid and key, same uuid for ever."""
    one, other = tree(), tree()
    first = one.add_timeseries("/a", "sensor0", "V")
    second = other.add_timeseries("/moved/here", "sensor0", "V")

    assert first.uuid == second.uuid == UUID("b37e5c5f-e9b0-59a6-8275-08729beeff46")
    assert (first.key, first.unit) == ("sensor0", "V")


def test_without_a_key_the_path_as_written_is_the_key() -> None:
    """SM-02, SM-03"""
    inst = tree()
    nested = inst.add_timeseries("/instrument0/sensor0", "V")
    bare = inst.add_timeseries("bare", "V")
    no_unit = inst.add_timeseries("/n")

    assert nested.uuid == UUID("c2f2cb69-25cc-544c-87cc-3b807c58f63a")
    assert (nested.key, nested.unit) == ("/instrument0/sensor0", "V")
    assert (bare.path, bare.key) == ("/bare", "bare")
    assert bare.uuid == uuid5(UUID(ROOT), "bare")
    assert (no_unit.key, no_unit.unit) == ("/n", None)
    assert inst.add_timeseries("/k", "key", None).key == "key"
    assert inst.add_timeseries("/l", None, "V").key == "/l"


def test_a_uuid_can_be_given_in_place_of_a_key_or_beside_it() -> None:
    """SM-02"""
    inst = tree()
    uuids = [UUID(int=n) for n in range(4)]
    streams = [
        inst.add_timeseries("/a", uuids[0], "V"),
        inst.add_timeseries("/b", uuids[1]),
        inst.add_timeseries("/c", "key", "V", uuid=uuids[2]),
        inst.add_timeseries("/d", "key", "V", uuid=str(uuids[3])),
    ]

    assert [stream.uuid for stream in streams] == uuids
    assert [stream.key for stream in streams] == [None, None, "key", "key"]
    assert [stream.unit for stream in streams] == ["V", None, "V", "V"]


def test_a_key_is_hashed_in_the_namespace_given() -> None:
    """SM-03"""
    inst = tree()
    space = inst.uuid("/instrument0")
    stream = inst.add_timeseries("/instrument0/s", "/sensor0", "V", namespace=space)

    assert stream.uuid == UUID("5d643ccb-ad17-515b-9201-3130abe6db68")
    assert inst.uuid("/sensor0", str(space)) == stream.uuid


def test_parents_are_made() -> None:
    """SM-02"""
    inst = tree()
    inst.add_timeseries("/x/y/s", "V")
    inst.add_collection("/x/z/w")

    assert list(dict(inst.walk())) == ["/", "/x", "/x/y", "/x/y/s", "/x/z", "/x/z/w"]
    assert inst.root.children == ["x"]


def test_a_taken_path_is_refused_with_both_places() -> None:
    """SM-04"""
    inst = tree()
    stream = inst.add_timeseries("/a/s", "k", "V")
    before = (inst.revision, len(inst))

    with pytest.raises(PathExists) as caught:
        inst.add_timeseries("/a//s/", "other", "V")
    assert caught.value.message == (
        f"/a/s is taken already, by the timeseries /a/s (uuid {stream.uuid})."
    )
    for make in (lambda: inst.add_collection("/a"), lambda: inst.add_timeseries("/a", "V")):
        with pytest.raises(PathExists, match="^/a is taken already, by the collection /a.$"):
            make()
    with pytest.raises(PathExists, match="^/ is taken already, by the collection /.$"):
        inst.add_collection("/")
    assert (inst.revision, len(inst)) == before


def test_a_taken_uuid_is_refused_with_both_places() -> None:
    """SM-04: the same key twice in one namespace, or the same explicit uuid."""
    inst = tree()
    inst.add_timeseries("/a/s", "k", "V")
    before = dict(inst.walk())

    with pytest.raises(PathExists) as caught:
        inst.add_timeseries("/b/t", "k", "V")
    assert caught.value.message == (
        f"/b/t: its uuid {inst.uuid('k')} (key 'k') is that of /a/s (key 'k')."
    )
    with pytest.raises(PathExists, match="is that of /a/s"):
        inst.add_timeseries("/b/t", inst.uuid("k"))
    assert dict(inst.walk()) == before


def test_nothing_stands_below_a_timeseries() -> None:
    inst = tree()
    inst.add_timeseries("/a/s", "V")
    for path in ("/a/s/t", "/a/s/t/u"):
        with pytest.raises(BadPath, match=f"{path}: /a/s is a timeseries, and has nothing below"):
            inst.add_timeseries(path, "V")
        with pytest.raises(BadPath, match="/a/s is a timeseries"):
            inst.add_collection(path)
    assert len(inst) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data_type": "float"}, "'float' is no data type; there are long, double, string."),
        ({"buffersz": 0}, "A buffer holds 1 to 1000000 readings, not 0."),
        ({"buffersz": 2_000_000}, "A buffer holds 1 to 1000000 readings, not 2000000."),
        ({"buffersz": "3"}, "A buffer size is a whole number, not '3'."),
        ({"buffersz": True}, "A buffer size is a whole number, not True."),
        ({"timezone": 1}, "A timezone is text, not int."),
        ({"unit": 1}, "A unit is text, not int."),
        ({"unit": []}, "The properties of a timeseries are text and numbers."),
        ({"unit": "\ud800"}, "A unit has a lone surrogate, and so no UTF-8 form."),
        ({"description": 5}, "A description is text, not int."),
        ({"key_or_uuid": 5}, "/a: a key is text or a uuid, not int."),
        ({"key_or_uuid": ""}, "A key has 1 to 4096 characters; this has 0."),
        ({"uuid": "x"}, "/a: the uuid 'x' is not a uuid; one looks like"),
        ({"namespace": "x"}, "The namespace 'x' is not a uuid; one looks like"),
    ],
)
def test_unfit_properties_are_refused_in_a_sentence(options: dict[str, Any], said: str) -> None:
    """SM-06"""
    inst = tree()
    with pytest.raises(ValueError) as caught:
        inst.add_timeseries("/a", **{"key_or_uuid": "k", "unit": "V", **options})
    assert str(caught.value).startswith(said)
    assert len(inst) == 1


def test_defaults_are_those_of_the_original() -> None:
    """SM-06: long, America/Los_Angeles, one reading."""
    stream = tree().add_timeseries("/a", "k", "V")

    assert as_sent(stream)["Properties"] == {
        "ReadingType": "long",
        "Timezone": "America/Los_Angeles",
        "UnitofMeasure": "V",
    }
    assert (stream.buffersz, stream.milliseconds, stream.timezone_given) == (1, False, False)


def test_the_trees_default_timezone_serves_streams_made_after_it_was_set() -> None:
    """SM-06: and each stream knows whether its zone was given."""
    inst = tree(default_timezone="UTC")
    before = inst.add_timeseries("/a", "V")
    inst.set_default_timezone("Europe/Berlin")
    after = inst.add_timeseries("/b", "V")
    given = inst.add_timeseries("/c", "V", timezone="Europe/Berlin")

    assert [s.timezone for s in (before, after, given)] == ["UTC", "Europe/Berlin"] + [
        "Europe/Berlin"
    ]
    assert [s.timezone_given for s in (before, after, given)] == [False, False, True]


def test_equal_properties_are_shared() -> None:
    """The memory of 100,000 streams is that of their names."""
    inst = tree()
    a, b, c = (inst.add_timeseries(f"/{n}", u) for n, u in (("a", "V"), ("b", "V"), ("c", "A")))

    assert a.properties is b.properties
    assert a.properties is not c.properties


# --- finding them


def test_look_ups_by_path_and_by_uuid() -> None:
    """SM-04"""
    inst = tree()
    stream = inst.add_timeseries("/a/b/s", "V")
    middle = inst.get_collection("/a/b")
    assert isinstance(middle, Collection)

    for found in (
        inst.get("/a/b/s"),
        inst.get("a//b/s/"),
        inst.get_timeseries("/a/b/s"),
        inst.get_timeseries("/a/b/s/"),
        inst.get_timeseries(stream.uuid),
        inst.get_timeseries(str(stream.uuid).upper()),
        inst.lookup("/a/b/s"),
        inst.lookup(stream.uuid),
        inst.lookup(str(stream.uuid)),
        inst.by_uuid(stream.uuid),
    ):
        assert found is stream
    assert inst.get("/a/b") is inst.lookup("//a/b") is inst.get_collection("/a/b/") is middle
    assert inst.get("/") is inst.get("") is inst.lookup("/") is inst.root


def test_what_is_absent_is_none() -> None:
    """SM-04"""
    inst = tree()
    stream = inst.add_timeseries("/a/s", "V")
    for path in ("/nope", "/a/s/t", "/A", "/a/+b/c", "/a/..", "/a\x00", "/a;/a"):
        assert inst.get(path) is None
        assert inst.lookup(path) is None
    assert inst.get_timeseries("/a") is None
    assert inst.get_collection("/a/s") is None
    assert inst.by_uuid(UUID(int=7)) is None
    assert inst.lookup(UUID(int=7)) is None
    assert inst.lookup("/nope/+") is None
    assert inst.get("/a/s") is stream


def test_lookup_of_plus_gives_all_below_by_relative_path() -> None:
    """SM-04, and SM-22's way to see what stands below a collection."""
    inst = tree()
    stream = inst.add_timeseries("/a/b/s", "V")

    assert inst.lookup("/a/+") == {"/": inst.get("/a"), "/b": inst.get("/a/b"), "/b/s": stream}
    assert inst.lookup("/a/+Timeseries") == inst.lookup("/a/+")
    assert inst.lookup("/a/b/s/+") == {"/": stream}
    whole = inst.lookup("/+")
    assert isinstance(whole, dict)
    assert list(whole) == ["/", "/a", "/a/b", "/a/b/s"]


def test_a_user_of_a_uuid_named_path_finds_the_path_first() -> None:
    inst = tree()
    stream = inst.add_timeseries(f"/{ROOT}", "V")
    assert inst.get_timeseries(ROOT) is inst.lookup(ROOT) is stream


# --- removing


def test_remove_takes_all_below_and_frees_path_uuid_and_asset() -> None:
    """SM-37"""
    inst, listener = tree(), Recorder()
    inst.add_collection("/a", asset="hall-1")
    stream = inst.add_timeseries("/a/b/s", "k", "V")
    inst.add_timeseries("/z", "V")
    inst.attach(listener)

    inst.remove("/a/")

    assert listener.told[1:] == [("removed", ["/a/b/s", "/a/b", "/a"])]
    assert list(dict(inst.walk())) == ["/", "/z"]
    assert inst.root.children == ["z"]
    assert inst.by_uuid(stream.uuid) is None
    assert inst.by_asset("hall-1") is None
    assert not stream.attached
    inst.add_collection("/elsewhere", asset="hall-1")
    assert inst.add_timeseries("/a/b/s", "k", "V").uuid == stream.uuid


def test_the_root_stays_and_what_is_absent_cannot_go() -> None:
    inst = tree()
    with pytest.raises(BadPath, match="/ is the root of the tree, and stays"):
        inst.remove("/")
    with pytest.raises(NoSuchPath, match="No such timeseries or collection: /nope"):
        inst.remove("/nope")


def test_refusals_of_a_removed_stream_are_not_shown() -> None:
    inst = tree()
    inst.add_timeseries("/a", "V")
    inst.add("/a", "x")
    inst.remove("/a")
    assert inst.refusals() == {}
    assert inst.refused == 1


# --- assets


def test_an_asset_is_a_collection_of_a_unique_id() -> None:
    inst = tree()
    hall = inst.add_collection("/hall", asset="hall-1")
    assert (hall.asset, inst.by_asset("hall-1")) == ("hall-1", hall)
    with pytest.raises(PathExists, match="/b: the asset id hall-1 is that of /hall already"):
        inst.add_collection("/b", asset="hall-1")
    for bad_id in ("", "a b", "x" * 129, "é", "a\n", 5):
        with pytest.raises(ValueError, match="/b: .* is no asset id"):
            inst.add_collection("/b", asset=bad_id)  # type: ignore[arg-type]
    assert inst.get("/b") is None


def test_a_collection_can_be_marked_later() -> None:
    inst, listener = tree(), Recorder()
    inst.add_timeseries("/a/s", "V")
    inst.attach(listener)
    inst.set_asset("/a", "one")
    inst.set_asset("/a", "one")
    inst.set_asset("/a", "two")
    assert inst.by_asset("one") is None
    assert inst.by_asset("two") is inst.get("/a")
    inst.set_asset("/a", None)
    assert inst.by_asset("two") is None
    assert listener.told[1:] == [("metadata", "/a")] * 3
    with pytest.raises(BadPath, match="/a/s is a timeseries; an asset is a collection"):
        inst.set_asset("/a/s", "x")


# --- metadata


def test_metadata_is_nested_and_merged_and_told() -> None:
    inst, listener = tree(), Recorder()
    stream = inst.add_timeseries("/a/s", "V")
    inst.attach(listener)
    inst.set_metadata("/a", {"Extra/Foo": "bar"})
    inst.set_metadata("/a/s", {"Extra": {"Foo": "baz"}, "Instrument/ModelName": "x"})
    inst.set_metadata("/a/s", {"Extra/More": 1})

    assert as_sent(inst.get("/a")) == {"Contents": ["s"], "Metadata": {"Extra": {"Foo": "bar"}}}
    assert as_sent(stream)["Metadata"] == {
        "Extra": {"Foo": "baz", "More": 1},
        "Instrument": {"ModelName": "x"},
    }
    assert listener.told[1:] == [("metadata", "/a"), ("metadata", "/a/s"), ("metadata", "/a/s")]
    with pytest.raises(NoSuchPath):
        inst.set_metadata("/nope", {"a": "b"})


def test_metadata_of_a_collection_applies_to_all_below() -> None:
    """SM-22"""
    inst = tree()
    inst.add_timeseries("/a/b/s", "V")
    inst.set_metadata("/", {"Extra/Who": "root", "Extra/Level": "root"})
    inst.set_metadata("/a", {"Extra/Level": "a"})
    inst.set_metadata("/a/b/s", {"Instrument/SerialNumber": "007"})

    assert inst.metadata_of("/a/b/s") == {
        "Extra": {"Who": "root", "Level": "a"},
        "Instrument": {"SerialNumber": "007"},
    }
    assert inst.metadata_of("/a/b") == {"Extra": {"Who": "root", "Level": "a"}}
    assert inst.metadata_of("/") == {"Extra": {"Who": "root", "Level": "root"}}
    assert inst.get("/a/b").as_json() == {"Contents": ["s"]}  # type: ignore[union-attr]


def test_a_change_leaves_what_was_handed_out_as_it_was() -> None:
    inst = tree()
    inst.set_metadata("/", {"Extra/A": 1})
    seen = inst.root.metadata
    inst.set_metadata("/", {"Extra/A": 2})
    assert seen == {"Extra": {"A": 1}}
    inst.set_metadata("/", {"Extra": None})
    assert inst.root.metadata is None


def test_descriptions_and_errors_are_shown() -> None:
    inst = tree()
    stream = inst.add_timeseries("/a/s", "V", description="first series")
    assert as_sent(stream)["Description"] == "first series"
    inst.set_description("/a/s", None)
    assert "Description" not in stream.as_json()
    inst.set_description("/a", "a hall")
    inst.set_error("/a", "setup failed: no route")
    inst.set_error("/a/s", "stuck\ud800")
    assert as_sent(inst.get("/a")) == {
        "Contents": ["s"],
        "Description": "a hall",
        "Error": "setup failed: no route",
    }
    assert stream.error() == "stuck?"
    inst.set_error("/a", "")
    assert "Error" not in as_sent(inst.get("/a"))
    with pytest.raises(ValueError, match="A description is text"):
        inst.set_description("/a", 5)  # type: ignore[arg-type]


# --- revisions, and what must be sent again


def test_the_revision_grows_by_one_with_each_change_of_nodes_or_metadata() -> None:
    inst = tree()
    seen = [inst.revision]
    for change in (
        lambda: inst.add_timeseries("/a/b/s", "V"),
        lambda: inst.add_collection("/c"),
        lambda: inst.set_metadata("/a", {"x": 1}),
        lambda: inst.set_metadata("/a", {"x": 1}),
        lambda: inst.set_description("/a", "x"),
        lambda: inst.set_error("/a", "x"),
        lambda: inst.remove("/c"),
    ):
        change()
        seen.append(inst.revision)
    inst.add("/a/b/s", 1)
    inst.set_error("/a", "x")
    inst.set_metadata("/a", {})

    assert seen == list(range(seen[0], seen[0] + 8))
    assert inst.revision == seen[-1]


def test_nodes_know_when_they_changed() -> None:
    inst = tree()
    stream = inst.add_timeseries("/a/s", "V")
    a = inst.get_collection("/a")
    assert a is not None
    made = inst.revision
    assert (a.revision, a.meta_revision, a.contents_revision, stream.revision) == (made,) * 4
    inst.set_metadata("/a", {"x": 1})
    assert (a.revision, a.meta_revision, a.contents_revision) == (made + 1, made + 1, made)
    inst.add_timeseries("/a/t", "V")
    assert (a.revision, a.meta_revision, a.contents_revision) == (made + 2, made + 1, made + 2)
    inst.remove("/a/t")
    assert (a.revision, a.contents_revision) == (made + 3, made + 3)
    inst.set_error("/a/s", "x")
    assert (stream.revision, stream.meta_revision) == (made + 4, made)


def paths(nodes: Any) -> list[str]:
    return [node.path for node in nodes]


def test_a_new_stream_is_sent_whole_with_its_ancestors_once() -> None:
    """SM-37, SM-22: the first reading brings all collections above it, root first."""
    inst = tree()
    stream = inst.add_timeseries("/a/b/s", "V")
    assert paths(inst.stale(stream, 0)) == ["/", "/a", "/a/b", "/a/b/s"]
    seen = inst.revision
    assert inst.stale(stream, seen) == []

    later = inst.add_timeseries("/a/b/t", "V")
    assert inst.stale(stream, seen) == []
    assert paths(inst.stale(later, seen)) == ["/", "/a", "/a/b", "/a/b/t"]


def test_metadata_of_a_collection_makes_all_below_stale_and_nothing_else() -> None:
    """SM-22"""
    inst = tree()
    below, beside = inst.add_timeseries("/a/b/s", "V"), inst.add_timeseries("/z/s", "V")
    seen = inst.revision

    inst.set_metadata("/a", {"Extra/x": "y"})

    assert paths(inst.stale(below, seen)) == ["/", "/a", "/a/b", "/a/b/s"]
    assert inst.stale(beside, seen) == []
    assert inst.stale(below, inst.revision) == []
    inst.set_metadata("/", {"Extra/x": "y"})
    assert paths(inst.stale(beside, seen)) == ["/", "/z", "/z/s"]


def test_metadata_of_a_stream_makes_that_one_stale() -> None:
    inst = tree()
    a, b = inst.add_timeseries("/a", "V"), inst.add_timeseries("/b", "V")
    seen = inst.revision
    inst.set_description("/a", "x")
    assert paths(inst.stale(a, seen)) == ["/", "/a"]
    assert inst.stale(b, seen) == []
    inst.set_error("/b", "x")
    assert inst.stale(b, seen) == []


# --- the home thread


def test_changes_run_at_home_and_reading_does_not() -> None:
    calls: list[str] = []

    def home(f: Any, *args: Any, wait: bool = True) -> Any:
        calls.append(f"{f.__name__} {wait}")
        return f(*args)

    inst = tree(home=home)
    stream = inst.add_timeseries("/a/s", "V")
    inst.add_collection("/c", asset="x")
    inst.set_asset("/c", "y")
    inst.set_metadata("/a", {"x": 1})
    inst.set_description("/a", "x")
    inst.set_error("/a", "x")
    inst.set_default_timezone("UTC")
    inst.attach(Recorder())
    inst.scope("/d", ROOT)
    inst.remove("/c")
    changes = len(calls)
    assert changes == 10
    assert all(call.endswith(" True") for call in calls)

    inst.lookup("/a/+")
    inst.stale(stream, 0)
    inst.uuid("x")
    stream.as_json()
    assert len(calls) == changes

    inst.add("/a/s", 1)
    assert calls[changes:] == ["drain False"]


def test_what_was_to_be_logged_before_there_was_a_log_is_kept_for_it() -> None:
    logged: list[str] = []
    inst = tree()
    for i in range(150):
        inst.add_timeseries(f"/{i}", "V")
        inst.add(f"/{i}", "x")
    inst.settle(
        lambda f, *args, wait=True: f(*args), lambda sentence, error: logged.append(sentence)
    )

    assert len(logged) == 100
    assert logged[0].startswith("/50: a reading was refused")
    inst.add_timeseries("/last", "V")
    inst.add("/last", "x")
    assert len(logged) == 101


# --- the golden trees


@pytest.mark.parametrize("load", [x for x in GOLDEN["loads"] if x["name"] in (
    "string reading type", "bad timezone", "series under undeclared parents", "utf-8 unit",
    "child section before its collection",
)], ids=lambda load: load["name"])  # fmt: skip
def test_a_tree_is_sent_as_the_original_sends_it(load: dict[str, Any]) -> None:
    """SM-03, SM-06"""
    inst = tree()
    for path, node in load["tree"].items():
        if "uuid" in node:
            properties = node["Properties"]
            inst.add_timeseries(
                path,
                properties["UnitofMeasure"],
                data_type=properties["ReadingType"],
                timezone=properties["Timezone"],
            )
    for path, node in load["tree"].items():
        inst.set_metadata(path, node.get("Metadata", {}))

    assert {path: as_sent(node) for path, node in inst.walk()} == load["tree"]


def test_nodes_show_themselves() -> None:
    inst = tree()
    stream = inst.add_timeseries("/a/s", UUID(int=1), "V")
    assert repr(stream) == "<Timeseries /a/s 00000000-0000-0000-0000-000000000001>"
    assert repr(inst.root) == "<Collection / of 1>"
    assert isinstance(stream, Timeseries)

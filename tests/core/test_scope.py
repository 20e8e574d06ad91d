"""A driver's view of the tree."""

from __future__ import annotations

from uuid import UUID

import pytest

from smapd.core import Scope, SmapInstance, Timeseries
from smapd.errors import BadPath, NoSuchPath, PathExists
from smapd.values import bad
from tests.core.support import Later, Recorder, tree


def made() -> tuple[SmapInstance, Scope]:
    inst = tree()
    return inst, inst.scope("/instrument0", inst.uuid("/instrument0"))


def test_paths_are_below_its_place_and_keys_in_its_namespace() -> None:
    """SM-02, SM-03"""
    inst, scope = made()
    stream = scope.add_timeseries("/sensor0", "V")
    other = scope.add_timeseries("deep/er", "mysensor", "V", data_type="double", buffersz=3)

    assert stream.path == "/instrument0/sensor0"
    assert (stream.key, stream.unit) == ("/sensor0", "V")
    assert stream.uuid == UUID("5d643ccb-ad17-515b-9201-3130abe6db68")
    assert other.path == "/instrument0/deep/er"
    assert other.uuid == scope.uuid("mysensor") == inst.uuid("mysensor", scope.namespace)
    assert (scope.path, scope.absolute("/x/")) == ("/instrument0", "/instrument0/x")


def test_the_namespace_of_a_key_or_a_uuid_of_the_section() -> None:
    """SM-03: the golden case of a driver section with a key."""
    inst = tree()
    scope = inst.scope("/instrument1", inst.uuid("second"))
    assert scope.add_timeseries("/sensor0", "mysensor", "V").uuid == UUID(
        "cda65e21-203c-54c2-9286-733148f1e7a0"
    )
    assert scope.add_timeseries("/b", UUID(int=5), "V").uuid == UUID(int=5)
    assert scope.add_timeseries("/c", "k", "V", namespace=inst.uuid_root).uuid == inst.uuid("k")
    assert scope.uuid("k", inst.uuid_root) == inst.uuid("k")


def test_its_place_is_made_if_need_be_and_kept_if_there() -> None:
    inst = tree()
    place = inst.add_collection("/a")
    inst.scope("/a/", inst.uuid("a"))
    inst.scope("/b/c", inst.uuid("b"))
    assert inst.get("/a") is place
    assert inst.get_collection("/b/c") is not None
    inst.add_timeseries("/s", "V")
    with pytest.raises(BadPath, match="/s is a timeseries"):
        inst.scope("/s", inst.uuid("s"))
    with pytest.raises(ValueError, match="The namespace 'x' is not a uuid"):
        inst.scope("/a", "x")


def test_every_method_of_the_tree_sees_only_what_is_below() -> None:
    """SM-04"""
    inst, scope = made()
    outside = inst.add_timeseries("/sensor0", "V")
    stream = scope.add_timeseries("/sensor0", "V")
    inside = scope.add_collection("/c", asset="x")

    assert scope.get("/sensor0") is scope.get_timeseries("sensor0/") is stream
    assert scope.get_timeseries(stream.uuid) is scope.by_uuid(stream.uuid) is stream
    assert scope.get_timeseries(str(stream.uuid)) is scope.lookup(stream.uuid) is stream
    assert scope.lookup("/c") is scope.get_collection("/c") is inside
    assert scope.lookup("/+") == {
        "/": inst.get("/instrument0"),
        "/sensor0": stream,
        "/c": inside,
    }
    assert [path for path, _ in scope.walk()] == ["/", "/sensor0", "/c"]
    for hidden in (outside.uuid, str(outside.uuid), "/instrument0/sensor0"):
        assert scope.get_timeseries(hidden) is None
        assert scope.lookup(hidden) is None
    assert scope.by_uuid(outside.uuid) is None
    assert scope.get("/instrument0/sensor0") is None


def test_a_scope_at_the_root_sees_all() -> None:
    inst = tree()
    outside = inst.add_timeseries("/a/s", "V")
    scope = inst.scope("/", inst.uuid_root)
    assert scope.get_timeseries(outside.uuid) is scope.get_timeseries("/a/s") is outside
    assert scope.add_timeseries("/b", "k", "V").uuid == inst.uuid("k")


def test_metadata_description_and_error_go_below() -> None:
    inst, scope = made()
    inst.set_metadata("/", {"Extra/Who": "root"})
    scope.add_timeseries("/s", "V")
    scope.set_metadata("/", {"Extra/Driver": "x"})
    scope.set_metadata("/s", {"Extra/S": "y"})
    scope.set_description("/s", "text")
    scope.set_error("/s", "down")
    assert scope.metadata_of("/s") == {"Extra": {"Who": "root", "Driver": "x", "S": "y"}}
    node = inst.get("/instrument0/s")
    assert node is not None
    assert (node.description, node.error()) == ("text", "down")
    assert inst.root.metadata == {"Extra": {"Who": "root"}}
    assert scope.default_timezone == inst.default_timezone


def test_readings_go_below_in_every_form() -> None:
    """SM-05"""
    inst, scope = made()
    listener = Recorder()
    inst.attach(listener)
    scope.add_timeseries("/s", "V")
    scope.add("/s", 1)
    scope.add("s", 1, 2)
    scope.add("/s/", 1, 3, 42)
    scope.add("/s", None, quality=bad("x"))
    scope.add_many("/s", [1, 2], [4, 5])
    assert [(p, r.value) for p, r in listener.readings] == [
        ("/instrument0/s", value) for value in (1, 2, 3, None, 4, 5)
    ]
    with pytest.raises(NoSuchPath, match="No such timeseries or collection: /instrument0/nope"):
        scope.add("/nope", 1)


def test_a_stream_removed_and_made_again_is_found_again() -> None:
    """SM-37"""
    inst, scope = made()
    scope.add_timeseries("/s", "V")
    scope.add("/s", 1)
    scope.remove("/s")
    with pytest.raises(NoSuchPath):
        scope.add("/s", 2)
    again = scope.add_timeseries("/s", "V")
    scope.add("/s", 3)
    assert again["Readings"][0][1] == 3
    assert scope.streams == [again]


def test_it_knows_its_streams_for_years_of_coming_and_going() -> None:
    """SM-37: what was removed is not kept."""
    inst, scope = made()
    stays = scope.add_timeseries("/stays", "V")
    for i in range(1000):
        scope.add_timeseries(f"/{i}", "V")
        scope.remove(f"/{i}")
    inst.add_timeseries("/instrument0/not-mine", "V")
    assert scope.streams == [stays]
    assert len(scope._made) <= 65


def test_the_drivers_own_place_stays() -> None:
    inst, scope = made()
    with pytest.raises(BadPath, match="/instrument0 is the driver's own place"):
        scope.remove("/")
    scope.add_collection("/a")
    with pytest.raises(PathExists, match="/instrument0/a is taken already"):
        scope.add_collection("/a")
    for path in ("/..", "/+", "/../x"):
        with pytest.raises(BadPath):
            scope.add_timeseries(path, "V")
    scope.remove("/a")
    assert inst.get_collection("/instrument0/a") is None


def test_a_scope_made_before_the_tree_settles_follows_it() -> None:
    inst, scope = made()
    stream = scope.add_timeseries("/s", "V")
    home = Later()
    inst.settle(home)
    scope.add("/s", 1)
    assert isinstance(stream, Timeseries)
    assert (home.wakes, inst.taken) == (1, 0)
    home.run()
    assert inst.taken == 1

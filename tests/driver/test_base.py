"""driver/base.py: a driver is its own view of the tree."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.core import SmapInstance
from smapd.driver import DriverHost, SmapDriver, bad
from smapd.errors import NoSuchPath, PathExists
from smapd.runtime import CallOwner
from smapd.testing import FakeRuntime
from smapd.values import wall_ms

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class Nothing(SmapDriver):
    def setup(self, opts: Any) -> None: ...


def driver(inst: SmapInstance) -> SmapDriver:
    inst.add_collection("/m")
    host = DriverHost(Nothing, inst.scope("/m", inst.uuid("/m")), {})
    host.setup()
    made: SmapDriver = host.driver
    return made


def readings(inst: SmapInstance, path: str) -> Any:
    inst.drain()
    return inst.get(path).as_json(quality=True)["Readings"]


def test_keys_are_hashed_in_the_drivers_namespace() -> None:
    """SM-15: uuid5(uuid5(root, driver path), key)."""
    inst = SmapInstance(ROOT)
    d = driver(inst)

    ts = d.add_timeseries("/a/s", "s", "V")

    assert ts.path == "/m/a/s"
    assert ts.uuid == d.uuid("s") == inst.uuid("s", inst.uuid("/m"))


def test_unit_alone_makes_the_path_the_key() -> None:
    d = driver(SmapInstance(ROOT))

    ts = d.add_timeseries("/s", "V")

    assert (ts.uuid, ts.unit) == (d.uuid("/s"), "V")


def test_same_key_twice_is_refused() -> None:
    d = driver(SmapInstance(ROOT))
    d.add_timeseries("/s", "s", "V")

    with pytest.raises(PathExists):
        d.add_timeseries("/t", "s", "V")


def test_add_takes_value_time_number_and_quality() -> None:
    inst = SmapInstance(ROOT, now=lambda: 5000)
    d = driver(inst)
    d.add_timeseries("/s", "s", "V", buffersz=9)

    d.add("/s", 1)
    d.add("/s", 6, 2)
    d.add("/s", 7, 3, 42)
    d.add_many("/s", [8, 9], [4, 5])
    d.add("/s", None, quality=bad("gone"))

    assert readings(inst, "/m/s") == [
        [5000, 1],
        [6000, 2],
        [7000, 3, 42],
        [8000, 4],
        [9000, 5],
        [5000, None],
    ]


def test_add_to_an_unknown_path_raises() -> None:
    with pytest.raises(NoSuchPath):
        driver(SmapInstance(ROOT)).add("/nope", 1)


def test_nodes_are_made_found_tagged_and_removed() -> None:
    inst = SmapInstance(ROOT)
    d = driver(inst)

    d.add_collection("/c", asset="pump-1")
    ts = d.add_timeseries("/c/s", "s", "V")
    d.set_metadata("/", {"Extra/Driver": "x"})
    d.set_description("/c/s", "a stream")

    assert d.get_timeseries("/c/s") is ts is d.lookup(ts.uuid)
    assert d.get_collection("/c") is inst.get("/m/c")
    assert set(d.lookup("/+")) == {"/", "/c", "/c/s"}
    assert inst.get("/m").metadata == {"Extra": {"Driver": "x"}}
    assert ts.description == "a stream"
    d.remove("/c")
    assert inst.get("/m/c") is None


def test_driver_without_a_place_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="no place in a tree yet. Load it from a config section"):
        Nothing().add_timeseries("/s", "s", "V")


def test_driver_may_call_its_own_things_as_it_likes() -> None:
    """Names that drivers often use are not taken by the base class."""
    d = driver(SmapInstance(ROOT))

    for name in ("path", "inst", "scope", "rate", "counter", "name", "uuid", "opts", "log"):
        setattr(d, name, 1)

    d.add_timeseries("/s", "V")


def test_hosted_driver_reads_the_daemons_clock() -> None:
    runtime = FakeRuntime()
    inst = SmapInstance(ROOT)
    inst.add_collection("/m")
    owner = CallOwner("m", "/m", runtime.scheduler)
    host = DriverHost(Nothing, inst.scope("/m", inst.uuid("/m")), {}, owner)
    host.setup()

    before_s = host.driver.seconds()
    runtime.advance(7)

    assert host.driver.seconds() - before_s == 7


def test_driver_outside_a_daemon_reads_the_wall_clock() -> None:
    assert abs(Nothing().seconds() - wall_ms() / 1000) < 60


def test_steps_that_a_driver_leaves_out_do_nothing() -> None:
    d = SmapDriver()

    d.setup({})
    d.start()
    d.stop()

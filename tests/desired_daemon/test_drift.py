"""U-12: how far each resource was off, as a timeseries of the tree."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.core import SmapInstance
from smapd.desired.drift import DriftSeries, drift_path
from smapd.testing import FakeRuntime, RecordingListener

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
LAMP = "hall::Lamp[edge,name=one]"


@pytest.fixture
def tree() -> Any:
    run = FakeRuntime()
    made = SmapInstance(ROOT, now=run.clock.wall_ms, home=run.threads.to_reactor)
    made.faults = run.faults  # type: ignore[attr-defined]
    yield made
    run.clock.stop()


def test_each_look_is_a_reading(tree: Any) -> None:
    listener = RecordingListener()
    tree.attach(listener)
    series = DriftSeries(tree, tree.faults)

    series.looked(LAMP, 1_500_000_000_123, "deployed", 0)
    series.looked(LAMP, 1_500_000_001_000, "deployed", 2)
    series.looked(LAMP, 1_500_000_002_000, "failed", 0)
    tree.drain()

    found = tree.get_timeseries("/desired/edge/hall.Lamp/one")
    assert found.as_json()["Properties"]["UnitofMeasure"] == "fields"
    readings = [row for what, rows in listener.told if what == "readings" for row in rows]
    assert readings == [
        (drift_path(LAMP), 1_500_000_000_123, 0),
        (drift_path(LAMP), 1_500_000_001_000, 2),
        (drift_path(LAMP), 1_500_000_002_000, None),
    ]


def test_the_stream_keeps_its_uuid(tree: Any) -> None:
    series = DriftSeries(tree, tree.faults)
    series.looked(LAMP, 1_500_000_000_000, "deployed", 0)
    first = tree.get_timeseries(drift_path(LAMP)).uuid
    tree.remove("/desired")

    series.looked(LAMP, 1_500_000_001_000, "deployed", 0)

    assert tree.get_timeseries(drift_path(LAMP)).uuid == first


@pytest.mark.parametrize(
    ("id_", "begin"),
    [
        (LAMP, "/desired/edge/hall.Lamp/one"),
        ("std::File[edge,path=/etc/motd]", "/desired/edge/std.File/etc_motd-"),
        ("std::File[edge,path=/etc_motd]", "/desired/edge/std.File/etc_motd-"),
        ("a::B[+x,c=..]", "/desired/x-"),
        ("a::B[..,c=.]", "/desired/"),
        ("a::B[e,c=" + "x" * 500 + "]", "/desired/e/a.B/xxx"),
    ],
)
def test_every_id_has_a_place_of_its_own(tree: Any, id_: str, begin: str) -> None:
    path = drift_path(id_)

    assert path.startswith(begin)
    assert all(len(name) < 100 for name in path.split("/"))
    DriftSeries(tree, tree.faults).looked(id_, 1_500_000_000_000, "deployed", 0)
    assert tree.get_timeseries(path) is not None


def test_two_ids_never_share_a_place() -> None:
    ids = ["/etc/motd", "/etc_motd", "etc_motd", "etc/motd", "etc.motd", ".", "..", "...", "+"]

    assert len({drift_path(f"a::B[e,c={text}]") for text in ids}) == len(ids)


def test_a_place_that_is_taken_is_told_once(tree: Any) -> None:
    tree.add_collection("/desired/edge/hall.Lamp/one")
    series = DriftSeries(tree, tree.faults)

    for ms in range(3):
        series.looked(LAMP, ms, "deployed", 0)

    assert [fault["count"] for fault in tree.faults.status()] == [3]

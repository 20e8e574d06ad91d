"""Going through a tree that changes."""

from __future__ import annotations

import pytest

from smapd.errors import NoSuchPath
from tests.core.support import tree


def test_parents_come_first_in_order_of_creation() -> None:
    inst = tree()
    for path in ("/b/y", "/a", "/b/x/deep", "/c"):
        inst.add_timeseries(path, "V")

    assert [p for p, _ in inst.walk()] == ["/", "/b", "/b/y", "/b/x", "/b/x/deep", "/a", "/c"]
    assert [p for p, _ in inst.walk("/b/")] == ["/", "/y", "/x", "/x/deep"]
    assert [p for p, _ in inst.walk("/b/x/deep")] == ["/"]


def test_a_missing_place_is_told_at_once() -> None:
    with pytest.raises(NoSuchPath, match="^No such timeseries or collection: /nope$"):
        tree().walk("/nope")


def test_the_tree_may_change_between_two_steps() -> None:
    """SM-37: removed nodes are left out, new ones come if their collection was not begun."""
    inst = tree()
    for path in ("/a/1", "/a/2", "/b/1", "/c/1"):
        inst.add_timeseries(path, "V")
    walk = inst.walk()
    drawn = [next(walk)[0] for _ in range(3)]
    assert drawn == ["/", "/a", "/a/1"]

    inst.remove("/a/2")
    inst.remove("/b")
    inst.add_timeseries("/c/2", "V")
    inst.add_timeseries("/d", "V")

    assert [p for p, _ in walk] == ["/c", "/c/1", "/c/2"]


def test_a_place_removed_meanwhile_ends_the_walk() -> None:
    inst = tree()
    for i in range(5):
        inst.add_timeseries(f"/a/{i}", "V")
    walk = inst.walk("/a")
    next(walk)
    inst.remove("/a")
    assert list(walk) == []


def test_depth_is_no_matter() -> None:
    inst = tree()
    path = "/x" * 2000
    inst.add_timeseries(path, "k", "V")
    assert sum(1 for _ in inst.walk()) == 2001
    inst.remove("/x")
    assert len(inst) == 1

"""Listeners: one order for all, and none breaks another."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from smapd.core import SmapInstance
from smapd.interfaces import ITreeListener
from tests.core.support import Recorder, tree


def test_attach_replays_what_is_there_parents_first() -> None:
    """SM-37"""
    inst = tree()
    inst.add_timeseries("/a/b/t", "V")
    inst.add_timeseries("/z", "V")
    listener = Recorder()
    assert verifyObject(ITreeListener, listener)

    inst.attach(listener)

    assert listener.told == [("added", ["/", "/a", "/a/b", "/a/b/t", "/z"])]


def test_every_kind_of_change_is_told() -> None:
    """SM-37: streams that come and go while running are seen."""
    inst, listener = tree(), Recorder()
    inst.attach(listener)
    inst.add_timeseries("/a/b/t", "V")
    inst.add_collection("/c")
    inst.set_metadata("/a", {"Extra/x": "y"})
    inst.set_description("/a/b/t", "a text")
    inst.add("/a/b/t", 7)
    inst.remove("/a")

    assert listener.told[1:] == [
        ("added", ["/a", "/a/b", "/a/b/t"]),
        ("added", ["/c"]),
        ("metadata", "/a"),
        ("metadata", "/a/b/t"),
        ("readings", [("/a/b/t", 7)]),
        ("removed", ["/a/b/t", "/a/b", "/a"]),
    ]


def test_a_listener_that_raises_is_logged_and_the_others_are_told() -> None:
    def fail(what: str, of: Any) -> None:
        raise RuntimeError("no")

    logged: list[tuple[str, BaseException | None]] = []
    inst = tree(log=lambda *a: logged.append(a))
    first, last = Recorder(fail), Recorder()
    inst.attach(first)
    inst.attach(last)
    inst.add_timeseries("/a", "V")
    inst.add("/a", 1)

    assert [what for what, _ in last.told] == ["added", "added", "readings"]
    assert [sentence for sentence, _ in logged] == [
        "Recorder.nodes_added failed; the others go on.",
        "Recorder.nodes_added failed; the others go on.",
        "Recorder.readings_added failed; the others go on.",
    ]
    assert all(isinstance(error, RuntimeError) for _, error in logged)


def acting(inst: SmapInstance) -> Recorder:
    """A listener that answers a new /a with a new /b and a reading on it."""

    def act(what: str, of: Any) -> None:
        if (what, of) == ("added", ["/a"]):
            inst.add_timeseries("/b", "V")
            inst.add("/b", 1)

    return Recorder(act)


def test_what_a_listener_changes_is_told_to_all_after_what_it_was_told() -> None:
    """SM-37: every listener sees one order."""
    inst = tree()
    first, last = acting(inst), Recorder()
    inst.attach(first)
    inst.attach(last)

    inst.add_timeseries("/a", "V")

    expected = [
        ("added", ["/"]),
        ("added", ["/a"]),
        ("added", ["/b"]),
        ("readings", [("/b", 1)]),
    ]
    assert first.told == last.told == expected


def test_one_that_attaches_another_does_not_make_it_hear_twice() -> None:
    inst, late = tree(), Recorder()

    def act(what: str, of: Any) -> None:
        if of == ["/a"]:
            inst.add_timeseries("/b", "V")
            inst.attach(late)

    inst.attach(Recorder(act))
    inst.add_timeseries("/a", "V")
    inst.add_timeseries("/c", "V")

    assert late.told == [("added", ["/", "/a", "/b"]), ("added", ["/c"])]


def test_a_detached_listener_hears_no_more_and_attaching_twice_is_once() -> None:
    inst, listener = tree(), Recorder()
    inst.attach(listener)
    inst.attach(listener)
    inst.add_timeseries("/a", "V")
    inst.detach(listener)
    inst.detach(listener)
    inst.add("/a", 1)
    inst.add_timeseries("/b", "V")

    assert listener.told == [("added", ["/"]), ("added", ["/a"])]


def test_one_that_detaches_another_in_a_call_stops_it_at_once() -> None:
    inst, second = tree(), Recorder()

    def act(what: str, of: Any) -> None:
        if of == ["/a"]:
            inst.detach(second)

    inst.attach(Recorder(act))
    inst.attach(second)
    inst.add_timeseries("/a", "V")

    assert second.told == [("added", ["/"])]

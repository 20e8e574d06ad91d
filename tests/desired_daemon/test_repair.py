"""U-12: what is deployed stays as it should be."""

from __future__ import annotations

from typing import Any

from smapd.values import ActionFilter

from .conftest import lamp, lamp_id, result


def test_drift_is_mended_and_told_with_the_difference(daemon: Any) -> None:
    """U-12: an action, an event with what differed, and a value for the timeseries."""
    home = daemon(repair_s=60.0)
    home.deploy(lamp("a", 1), lamp("b", 1))
    home.world.lamps["a"] = 9

    home.run.advance(61)

    assert home.world.lamps["a"] == 1
    assert sorted((name, status, n) for name, _, status, n in home.looked) == [
        (lamp_id("a"), "deployed", 1),
        (lamp_id("b"), "deployed", 0),
    ]
    (drift,) = home.drifted
    assert (drift.resource, drift.change, drift.version) == (lamp_id("a"), "updated", 1)
    assert drift.changes == {"level": {"current": 9, "desired": 1}}
    newest = result(home.desired.actions(lamp_id("a"), ActionFilter(kinds=("repair",))))
    assert [one["changes"] for one in newest] == [drift.changes]
    assert home.desired.status()["drifts"] == 1


def test_a_look_that_finds_nothing_leaves_no_trace(daemon: Any) -> None:
    home = daemon(repair_s=60.0)
    home.deploy(lamp("a"))
    commits = home.desired.status()["commits"]

    home.run.advance(200)

    assert home.world.asked.count(("read", "a")) == 4
    assert len(result(home.desired.actions(lamp_id("a"), ActionFilter()))) == 1
    assert home.desired.status()["commits"] == commits


def test_each_deploy_begins_the_interval_anew(daemon: Any) -> None:
    """U-12: repair is reset by each deploy."""
    home = daemon(repair_s=60.0)
    home.deploy(lamp("a"))
    home.run.advance(50)
    home.deploy(lamp("a"))
    home.world.asked.clear()

    home.run.advance(55)
    assert home.world.asked == []
    home.run.advance(6)

    assert home.world.asked == [("read", "a")]


def test_without_an_interval_nothing_is_looked_at(daemon: Any) -> None:
    home = daemon(repair_s=0.0)
    home.deploy(lamp("a"))
    home.world.asked.clear()

    home.run.advance(100_000)

    assert home.world.asked == []


def test_what_was_skipped_follows_as_soon_as_its_requirement_is_good(daemon: Any) -> None:
    """U-12: no new deploy is needed."""
    home = daemon(repair_s=60.0)
    home.world.broken["b"] = OSError("no answer")
    d = home.deploy(lamp("a", requires=("b",)), lamp("b"))
    assert home.statuses(d) == {"a": "skipped", "b": "failed"}

    del home.world.broken["b"]
    home.run.advance(61)

    assert home.statuses(d) == {"a": "deployed", "b": "deployed"}
    assert home.world.lamps == {"b": 1, "a": 1}


def test_what_fails_holds_up_what_requires_it_and_no_longer(daemon: Any) -> None:
    home = daemon(repair_s=60.0)
    d = home.deploy(lamp("a", requires=("b",)), lamp("b"))
    home.world.broken["b"] = OSError("no answer")

    home.run.advance(61)
    assert home.statuses(d) == {"b": "failed", "a": "skipped"}
    del home.world.broken["b"]
    home.run.advance(61)

    assert home.statuses(d) == {"a": "deployed", "b": "deployed"}


def test_repair_goes_on_after_a_restart(daemon: Any) -> None:
    home = daemon(repair_s=60.0)
    home.deploy(lamp("a", 1))
    home.stop()
    home.world.lamps["a"] = 5

    again = daemon(repair_s=60.0)
    assert home.world.lamps["a"] == 5
    again.run.advance(61)

    assert home.world.lamps["a"] == 1
    assert len(again.drifted) == 1


def test_a_dry_run_holds_repair_up_until_it_is_over(daemon: Any) -> None:
    home = daemon(repair_s=60.0)
    home.deploy(lamp("a", 1))
    home.run.threads.hold("agent-edge")
    dry = home.deploy(lamp("a", 2), dry_run=True)
    home.world.asked.clear()

    home.run.advance(70)
    home.run.threads.let_go("agent-edge")
    home.run.advance(2)

    assert home.deployed(dry)["state"] == "done"
    assert home.world.asked == [("read", "a"), ("read", "a")]


def test_a_hundred_resources_are_looked_at_in_their_time(daemon: Any) -> None:
    home = daemon(repair_s=60.0)
    home.deploy(*[lamp(str(n)) for n in range(100)])
    home.world.asked.clear()

    for _ in range(3):
        home.run.advance(60.5)

    reads = [name for what, name in home.world.asked if what == "read"]
    assert all(reads.count(str(n)) in (2, 3) for n in range(100))

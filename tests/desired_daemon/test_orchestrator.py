"""Versions are kept, deployed, taken up again after a stop, and shown."""

from __future__ import annotations

import errno
import hashlib
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from smapd.desired import SkipResource
from smapd.desired.dispatch import MOST_WAITING
from smapd.desired.present import GRACE_S
from smapd.errors import (
    BadModel,
    BadRequest,
    Busy,
    DeviceFailed,
    Forbidden,
    NoSuchDeploy,
    NoSuchResource,
    NoSuchVersion,
    NotConnected,
    NotReady,
    StorageFull,
    VersionConflict,
)
from smapd.values import ActionFilter

from .conftest import lamp, lamp_id, result

FILE = hashlib.sha256(b"hello").hexdigest()


class Far:
    """An agent that takes one job, and never says how it ended."""

    name, repair_s, device = "far", 0.0, ""
    names = frozenset({"edge"})

    def __init__(self) -> None:
        self.begun: list[Deferred[Any]] = []

    @property
    def free(self) -> int:
        return 1 - len(self.begun)

    def run(self, job: Any) -> Deferred[Any]:
        self.begun.append(Deferred())
        return self.begun[-1]

    def close_version(self, version: int) -> None:
        """Nothing is kept."""

    def status(self) -> dict[str, Any]:
        return {}


def test_a_deploy_brings_every_resource_about(daemon: Any) -> None:
    """IM-16, IM-32: what does not exist is created, each behind what it requires."""
    home = daemon()

    d = home.deploy(lamp("a", 3, requires=("b",)), lamp("b", 4))

    assert list(home.world.lamps.items()) == [("b", 4), ("a", 3)]
    assert home.statuses(d) == {"a": "deployed", "b": "deployed"}
    told = home.deployed(d)
    assert (told["state"], told["counts"], told["changed"]) == ("done", {"deployed": 2}, 2)
    assert told["results"][0]["changes"] == {"purged": {"current": True, "desired": False}}
    assert home.desired.deploys()[0]["state"] == "done"


def test_versions_are_numbered_and_shown_with_what_became_of_them(daemon: Any) -> None:
    """IM-12: ids come back with the version's own number."""
    home = daemon()
    home.post(lamp("a"), note="first")
    home.deploy(lamp("a"), lamp("b"))

    first, second = result(home.desired.versions())

    assert (first["version"], first["note"], first["deploy"]) == (1, "first", None)
    assert (second["count"], second["is_deployed"], second["deploy"]["state"]) == (2, True, "done")
    shown = result(home.desired.version(2, 0, 1))
    assert shown["next"] == 1
    assert shown["resources"][0]["desired"]["id"] == "test::Lamp[edge,name=a],v=2"
    assert shown["resources"][0]["state"] == "deployed"
    assert result(home.desired.version(2, 1, 10))["resources"][0]["resource"] == lamp_id("b")
    with pytest.raises(NoSuchVersion, match="no version 3"):
        result(home.desired.version(3, 0, 1))
    with pytest.raises(NoSuchDeploy):
        result(home.desired.deployed(9, 0, 1))


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ([], BadRequest, "must be an object"),
        ({"resources": [], "x": 1}, BadRequest, "'x' is no key"),
        ({"resources": [{}]}, BadRequest, "Resource 0"),
        ({"resources": [{"id": "lamp"}]}, BadRequest, "'lamp' is no id"),
        ({"resources": [lamp("a"), lamp("a")]}, BadRequest, "is there twice"),
        ({"resources": [lamp("a", requires=("b",))]}, BadModel, "requires test::Lamp"),
        (
            {"resources": [lamp("a", requires=("b",)), lamp("b", requires=("a",))]},
            BadModel,
            "ring of requirements: .*name=a. requires .*name=b. requires .*name=a.",
        ),
        ({"resources": [], "version": 5}, VersionConflict, "next version is 1, not 5"),
        ({"resources": [], "files": {"a": "x"}}, BadRequest, "sha256"),
        (
            {"resources": [], "files": [["a", FILE], ["a", "0" * 64]]},
            VersionConflict,
            "'a' stands for two contents",
        ),
        ({"resources": [], "files": {"a": FILE}}, VersionConflict, f"blob {FILE} is not here"),
        ({"from": 4}, NoSuchVersion, "no version 4"),
        ({"resources": [], "code": [{}]}, BadRequest, "code must be a list"),
        (
            {"resources": [], "code": [{"wheel": FILE, "modules": ["m"]}]},
            Forbidden,
            "needs the token, over loopback too",
        ),
    ],
)
def test_what_is_no_version_is_refused(
    daemon: Any, body: Any, kind: type[Exception], sentence: str
) -> None:
    """IM-08, IM-14, IM-34: nothing of it is kept, and the sentence says what is wrong."""
    home = daemon()

    with pytest.raises(kind, match=sentence):
        result(home.desired.add(body, token=False))

    assert result(home.desired.versions()) == []


def test_versions_that_come_at_once_get_a_number_each(daemon: Any) -> None:
    home = daemon()
    home.run.threads.hold("disk-desired")
    made = [home.desired.add({"resources": [lamp(str(n))]}, token=False) for n in range(5)]
    refused = home.desired.add({"resources": [{}]}, token=False)
    last = home.desired.add({"resources": []}, token=False)

    home.run.threads.let_go("disk-desired")

    assert [result(one) for one in made] == [1, 2, 3, 4, 5]
    assert result(last) == 6
    with pytest.raises(BadRequest):
        result(refused)


def test_dry_runs_that_wait_are_bounded(daemon: Any) -> None:
    home = daemon()
    home.run.threads.hold("agent-edge")
    home.deploy(lamp("a"))
    n = home.post(lamp("a"))
    for _ in range(MOST_WAITING):
        result(home.desired.deploy(n, dry_run=True, token=False))

    with pytest.raises(Busy, match="dry runs wait already"):
        result(home.desired.deploy(n, dry_run=True, token=False))

    assert len(home.desired.deploys()) == MOST_WAITING + 1


def test_a_version_may_name_files_that_are_here(daemon: Any) -> None:
    """IM-08: the files come first, then the version."""
    home = daemon()
    result(home.desired.put_blob(FILE, b"hello"))

    home.post(files={"motd": FILE})

    assert result(home.desired.version(1, 0, 1))["files"] == {"motd": FILE}
    assert result(home.desired.blob(FILE)) == b"hello"


def test_what_fails_keeps_the_rest_from_being_deployed(daemon: Any) -> None:
    """IM-22, IM-32: what requires it is skipped, what does not goes on."""
    home = daemon()
    home.world.broken["b"] = OSError("no answer")

    d = home.deploy(lamp("a", requires=("b",)), lamp("b"), lamp("c"))

    assert home.statuses(d) == {"a": "skipped", "b": "failed", "c": "deployed"}
    told = {one["resource"]: one for one in home.deployed(d)["results"]}
    assert told[lamp_id("a")]["reason"] == f"It requires {lamp_id('b')}, which is failed."
    assert "OSError: no answer" in told[lamp_id("b")]["reason"]


def test_a_resource_without_handler_is_unavailable(daemon: Any) -> None:
    """IM-33."""
    home = daemon()

    d = home.deploy({"id": "test::Fan[edge,name=f]"}, lamp("a"))

    assert home.deployed(d)["counts"] == {"unavailable": 1, "deployed": 1}


def test_a_model_made_with_other_code_is_unavailable(daemon: Any) -> None:
    """IM-14: the agent's handler is not the one that the model was made with."""
    home = daemon()
    n = home.post(lamp("a"), handlers={"test::Lamp": "0" * 64})

    d = result(home.desired.deploy(n, dry_run=False, token=False))

    assert home.statuses(d) == {"a": "unavailable"}
    assert home.world.asked == []


def test_a_dry_run_changes_nothing_and_says_what_it_would(daemon: Any) -> None:
    """IM-23, U-12: what it could not look at is said so, and is not "no change"."""
    home = daemon()
    home.world.lamps = {"a": 1, "b": 9}
    home.world.broken["c"] = OSError("no answer")

    d = home.deploy(lamp("a"), lamp("b"), lamp("c"), lamp("d", requires=("c",)), dry_run=True)

    told = home.deployed(d)
    assert home.world.lamps == {"a": 1, "b": 9}
    assert home.statuses(d) == {"a": "dry", "b": "dry", "c": "failed", "d": "dry"}
    assert (told["changed"], told["not_looked_at"]) == (2, 1)
    assert [one["resource"] for one in told["unseen"]] == [lamp_id("c")]
    assert "no answer" in told["unseen"][0]["reason"]
    changes = {one["resource"]: one["changes"] for one in told["results"]}
    assert changes[lamp_id("b")] == {"level": {"current": 9, "desired": 1}}
    assert home.desired.resources((), 0, 10)["resources"] == []


def test_a_dry_run_waits_for_the_deploy_under_way(daemon: Any) -> None:
    home = daemon()
    home.run.threads.hold("agent-edge")
    first = home.deploy(lamp("a", 1))
    dry = home.deploy(lamp("a", 2), dry_run=True)

    assert home.deployed(dry)["state"] == "waiting"
    home.run.threads.let_go("agent-edge")
    home.run.advance(1)

    assert home.deployed(first)["state"] == "done"
    assert home.deployed(dry)["state"] == "done"
    assert home.deployed(dry)["results"][0]["changes"] == {"level": {"current": 1, "desired": 2}}


def test_a_newer_deploy_overtakes(daemon: Any) -> None:
    """What runs ends, the rest is cancelled, and the newer one goes on behind it."""
    home = daemon(threads=1)
    home.run.threads.hold("agent-edge")
    old = home.deploy(lamp("a", 1), lamp("b", 1))
    new = home.deploy(lamp("a", 2), lamp("b", 2))

    home.run.threads.let_go("agent-edge")
    home.run.advance(1)

    assert home.world.asked == [
        ("read", "a"),
        ("create", "a"),
        ("read", "a"),
        ("update", "a"),
        ("read", "b"),
        ("create", "b"),
    ]
    assert home.world.lamps == {"a": 2, "b": 2}
    assert home.deployed(old)["state"] == "overtaken"
    assert home.statuses(old) == {"a": "deployed"}
    assert home.statuses(new) == {"a": "deployed", "b": "deployed"}


def test_a_deploy_goes_on_after_a_restart(daemon: Any) -> None:
    """What is finished is not done again; what was under way is."""
    home = daemon(threads=1)
    stop_at = {"b"}

    def hold(name: str) -> None:
        if name in stop_at:
            home.run.threads.hold("agent-edge")

    home.world.before = hold
    d = home.deploy(lamp("a", 1), lamp("b", 1), lamp("c", 1, requires=("b",)))
    assert home.statuses(d) == {"a": "deployed", "b": "deployed"}
    home.world.asked.clear()
    home.world.before = lambda name: None

    again = daemon()

    assert home.world.asked == [("read", "c"), ("create", "c")]
    assert again.deployed(d)["state"] == "done"
    assert again.statuses(d) == {"a": "deployed", "b": "deployed", "c": "deployed"}
    assert again.deploy(lamp("a", 1)) == d + 1


def test_a_restart_behind_the_end_does_nothing(daemon: Any) -> None:
    home = daemon()
    d = home.deploy(lamp("a"))
    home.stop()
    home.world.asked.clear()

    again = daemon()

    assert home.world.asked == []
    assert again.deployed(d)["state"] == "done"
    assert again.desired.resources((), 0, 10)["counts"] == {"deployed": 1}
    assert result(again.desired.versions())[0]["is_deployed"]


def test_what_was_left_out_is_purged_if_it_wants_to_be(daemon: Any) -> None:
    """IM-09: purge_on_delete; in the order against which it was made."""
    home = daemon()
    keep = {"purge_on_delete": True}
    home.deploy(lamp("a", requires=("b",), **keep), lamp("b", **keep), lamp("c"))

    d = home.deploy(lamp("d"))

    assert home.world.lamps == {"c": 1, "d": 1}
    deletes = [name for what, name in home.world.asked if what == "delete"]
    assert deletes == ["a", "b"]
    assert home.statuses(d) == {"a": "deployed", "b": "deployed", "d": "deployed"}
    assert home.statuses(home.deploy(lamp("d"))) == {"d": "deployed"}


def test_an_old_version_comes_back_under_a_new_number(daemon: Any) -> None:
    home = daemon()
    home.deploy(lamp("a", 1))
    home.deploy(lamp("a", 2))

    n = result(home.desired.add({"from": 1}, token=False))
    result(home.desired.deploy(n, dry_run=False, token=False))

    assert (n, home.world.lamps) == (3, {"a": 1})
    told = result(home.desired.version(3, 0, 10))
    assert (told["copy_of"], told["note"]) == (1, "as version 1")
    assert told["resources"][0]["desired"]["id"].endswith(",v=3")


def test_a_difference_names_what_changes(daemon: Any) -> None:
    home = daemon()
    home.deploy(lamp("a", 1), lamp("b", 1), lamp("c", 1))
    home.post(lamp("a", 1), lamp("b", 2), lamp("d", 1))

    found = result(home.desired.difference(2, None))

    assert (found["from"], found["to"], found["same"]) == (1, 2, 1)
    assert (found["added"], found["removed"]) == ([lamp_id("d")], [lamp_id("c")])
    assert found["changed"] == {lamp_id("b"): {"level": {"current": 1, "desired": 2}}}
    assert result(home.desired.difference(1, 1))["same"] == 3


def test_what_was_done_is_told_with_its_log(daemon: Any) -> None:
    """IM-27, IM-28, IM-31: filtered by level, kind and number; and in the agent's log file."""
    home = daemon()
    home.deploy(lamp("a"))
    home.world.broken["a"] = OSError("no answer")
    home.deploy(lamp("a"))

    newest, oldest = result(home.desired.actions(lamp_id("a"), ActionFilter()))

    assert (oldest["status"], oldest["change"], oldest["kind"]) == ("deployed", "created", "deploy")
    made = next(one for one in oldest["logs"] if one["level"] == "info")
    assert (made["message"], made["kwargs"]) == ("Made a", {"name": "a"})
    assert (newest["status"], newest["seq"]) == ("failed", oldest["seq"] + 1)
    errors = result(home.desired.actions(lamp_id("a"), ActionFilter(level="error")))
    assert [one["seq"] for one in errors] == [newest["seq"]]
    assert {one["level"] for one in errors[0]["logs"]} == {"error"}
    after = result(home.desired.actions(lamp_id("a"), ActionFilter(after=oldest["seq"])))
    assert after == [newest]
    text = (home.home / "log" / "agent-edge.log").read_text()
    assert f"info [{lamp_id('a')}] Made a\n" in text
    assert "OSError: no answer" in text
    with pytest.raises(NoSuchResource, match="no resource test::Lamp"):
        result(home.desired.actions(lamp_id("z"), ActionFilter()))
    with pytest.raises(NoSuchResource, match="'z' is no id"):
        result(home.desired.actions("z", ActionFilter()))


def test_actions_are_told_once_they_are_durable(daemon: Any) -> None:
    home = daemon()
    home.deploy(lamp("a"))
    told: list[Any] = []
    watching = home.desired.follow(lamp_id("a"), ActionFilter(), told.append)
    home.run.threads.hold("disk-desired")

    n = home.desired.add({"resources": [lamp("a", 2)]}, token=False)
    home.run.threads.let_go("disk-desired")
    result(home.desired.deploy(result(n), dry_run=False, token=False))
    watching.stop()
    home.deploy(lamp("a", 3))

    assert [one["change"] for one in told] == ["updated"]
    with pytest.raises(NoSuchResource):
        home.desired.follow(lamp_id("z"), ActionFilter(), told.append)


def test_facts_are_kept_and_shown(daemon: Any, world: Any) -> None:
    """IM-36: what a handler finds out goes with the resource."""
    home = daemon()
    world.found_out = {"watts": 12}
    home.deploy(lamp("a"))

    shown = result(home.desired.resource(lamp_id("a")))

    now_ms = home.run.clock.wall_ms()
    assert shown["facts"] == {"watts": {"value": 12, "ms": now_ms, "version": 1}}
    assert (shown["state"], shown["desired"]["level"]) == ("deployed", 1)
    with pytest.raises(NoSuchResource):
        result(home.desired.resource(lamp_id("z")))


def test_a_handler_is_asked_for_facts(daemon: Any) -> None:
    """IM-36: pre, facts, post; nothing is changed, and what was found is kept."""
    home = daemon()
    home.deploy(lamp("a"))
    home.world.asked.clear()

    assert result(home.desired.check_facts(lamp_id("a"))) == {"color": "red"}

    assert home.world.asked == []
    facts = result(home.desired.resource(lamp_id("a")))["facts"]
    assert facts["color"]["value"] == "red"
    with pytest.raises(NoSuchResource):
        home.desired.check_facts(lamp_id("z"))
    home.world.broken["facts"] = OSError("no answer")
    with pytest.raises(DeviceFailed, match="no answer"):
        result(home.desired.check_facts(lamp_id("a")))


def test_resources_are_listed_in_pages_and_by_state(daemon: Any) -> None:
    home = daemon()
    home.world.broken["b"] = OSError("no answer")
    home.deploy(lamp("a"), lamp("b"), lamp("c"), lamp("d", requires=("b",)))

    found = home.desired.resources((), 1, 2)
    bad = home.desired.resources(("failed", "skipped"), 0, 10)

    assert found["counts"] == {"deployed": 2, "failed": 1, "skipped": 1}
    assert [one["resource"] for one in found["resources"]] == [lamp_id("b"), lamp_id("c")]
    assert found["next"] == 3
    assert [one["state"] for one in bad["resources"]] == ["failed", "skipped"]


def test_nobody_serves_an_agent_for_a_while(daemon: Any) -> None:
    """A deploy waits for an agent that is not there; then its resources are unavailable."""
    home = daemon()
    d = home.deploy(lamp("a", agent="far"), lamp("b"))

    assert home.deployed(d)["state"] == "running"
    home.run.advance(GRACE_S + 1)

    assert home.statuses(d) == {"a": "unavailable", "b": "deployed"}
    reasons = [one.get("reason") for one in home.deployed(d)["results"]]
    assert "There is no agent that serves far." in reasons
    assert home.deployed(d)["state"] == "done"


def test_a_dry_run_does_not_wait_for_agents_that_are_not_there(daemon: Any) -> None:
    """U-12: it names them at once, and asks the others; as they were when it began."""
    home = daemon()
    names = [f"far{n:03d}" for n in range(102)]
    far = [lamp("a", agent=name) for name in names]

    d = home.deploy(*far, lamp("b"), dry_run=True)
    home.run.advance(0)

    found = home.deployed(d)
    assert found["state"] == "done"
    assert found["counts"] == {"unavailable": 102, "dry": 1}
    assert found["absent"] == names[:100]
    assert found["absent_count"] == 102
    assert found["unseen"][0]["reason"] == "There is no agent that serves far000."
    assert home.world.asked == [("read", "b")]
    again = home.deploy(lamp("a", agent="far"))
    home.run.advance(0)
    assert home.deployed(again)["state"] == "running"
    assert "absent" not in home.deployed(again)


def test_what_a_dry_run_asked_of_an_agent_that_goes_is_unavailable(daemon: Any) -> None:
    home = daemon(with_agent=False)
    agent = Far()
    home.desired.add_agent(agent)
    d = home.deploy(lamp("a"), lamp("b"), dry_run=True)
    assert home.deployed(d)["state"] == "running"

    home.desired.dispatcher.remove_agent("far")
    agent.begun.pop().errback(NotConnected("it is gone"))
    home.run.advance(0)

    assert home.statuses(d) == {"a": "unavailable", "b": "unavailable"}
    assert home.deployed(d)["state"] == "done"
    assert home.deployed(d)["absent"] == []


def test_a_dry_run_ends_when_a_busy_agent_goes(daemon: Any) -> None:
    """It had begun nothing there: no job of it fails, and nothing else would go on."""
    home = daemon(with_agent=False)
    agent = Far()
    agent.begun.append(Deferred())
    home.desired.add_agent(agent)
    d = home.deploy(lamp("a"), dry_run=True)
    assert home.deployed(d)["state"] == "running"

    home.desired.dispatcher.remove_agent("far")
    home.run.advance(0)

    assert home.statuses(d) == {"a": "unavailable"}
    assert home.deployed(d)["state"] == "done"


def test_a_dry_run_behind_a_deploy_names_who_is_not_there_when_it_begins(daemon: Any) -> None:
    home = daemon()
    first = home.deploy(lamp("a", agent="far"))
    dry = home.deploy(lamp("a", agent="far"), dry_run=True)
    assert (home.deployed(dry)["state"], home.deployed(dry)["absent"]) == ("waiting", [])

    home.run.advance(GRACE_S + 1)

    assert home.deployed(first)["state"] == "done"
    assert (home.deployed(dry)["state"], home.deployed(dry)["absent"]) == ("done", ["far"])


def test_an_agent_that_comes_late_does_what_waited_for_it(daemon: Any) -> None:
    home = daemon(with_agent=False)
    d = home.deploy(lamp("a"))
    home.run.advance(GRACE_S + 1)
    assert home.statuses(d) == {"a": "unavailable"}

    result(home.agent.start())
    home.desired.add_agent(home.agent)

    assert home.statuses(d) == {"a": "deployed"}


def test_a_handler_past_its_time_limit_has_failed(daemon: Any) -> None:
    home = daemon(time_limit_s=30.0)
    home.run.threads.hold("agent-edge")
    d = home.deploy(lamp("a"), lamp("b", requires=("a",)))

    home.run.advance(31)

    assert home.statuses(d) == {"a": "failed", "b": "skipped"}
    assert "did not end within 30 s" in home.deployed(d)["results"][0]["reason"]
    home.run.threads.let_go("agent-edge")
    assert home.statuses(d) == {"a": "failed", "b": "skipped"}
    assert home.agent.status()["abandoned"] == 1


def test_a_handler_may_skip(daemon: Any) -> None:
    """IM-22."""
    home = daemon()
    home.world.broken["a"] = SkipResource("busy")

    d = home.deploy(lamp("a"))

    assert home.statuses(d) == {"a": "skipped"}
    assert home.deployed(d)["results"][0]["reason"] == "busy"


def test_one_device_one_at_a_time(daemon: Any) -> None:
    home = daemon(device="bus", threads=4)
    home.run.threads.hold("agent-edge")
    home.deploy(lamp("a", bus="1"), lamp("b", bus="1"), lamp("c", bus="2"))

    assert home.desired.dispatcher.under_way == 2
    home.run.threads.let_go("agent-edge")

    assert set(home.world.lamps) == {"a", "b", "c"}


def test_a_stop_waits_for_what_runs_and_begins_nothing(daemon: Any) -> None:
    home = daemon(threads=1)
    home.run.threads.hold("agent-edge")
    d = home.deploy(lamp("a"), lamp("b"))
    from twisted.internet.defer import Deferred

    stopped = Deferred.fromCoroutine(home.desired.stop())
    assert not stopped.called
    home.run.threads.let_go("agent-edge")

    assert stopped.called
    assert home.world.lamps == {"a": 1}
    with pytest.raises(NotReady):
        home.post()
    again = daemon()
    assert again.statuses(d) == {"a": "deployed", "b": "deployed"}


def test_status_says_where_it_stands(daemon: Any) -> None:
    home = daemon()
    home.deploy(lamp("a"))

    told = home.desired.status()

    assert (told["versions"], told["deploy"]["state"], told["under_way"]) == (1, "done", 0)
    assert told["agents"][0]["name"] == "edge"
    assert told["error"] == ""


def test_who_reads_on_behind_the_first_results_misses_none(daemon: Any) -> None:
    """The order in which results came is that of the disk too, once the deploy is over."""
    home = daemon()
    d = home.deploy(lamp("c", requires=("b",)), lamp("b", requires=("a",)), lamp("a"))
    live = [one["resource"] for one in home.deployed(d)["results"]]
    dry = home.deploy(lamp("c"), lamp("b", agent="none"), lamp("a"), dry_run=True)

    home.deploy(lamp("other"))

    assert live == [lamp_id("a"), lamp_id("b"), lamp_id("c")]
    assert [one["resource"] for one in home.deployed(d)["results"]] == live
    later = result(home.desired.deployed(d, 1, 10))
    assert [one["resource"] for one in later["results"]] == live[1:]
    last = [one["resource"] for one in home.deployed(dry)["results"]][-1]
    assert last == lamp_id("b", "none")


def test_a_handler_that_hangs_is_not_begun_again_beside_itself(daemon: Any) -> None:
    """Each look for repair would leave one more thread, and two at one device."""
    home = daemon(time_limit_s=30.0, repair_s=60.0)
    home.run.threads.hold("agent-edge")
    d = home.deploy(lamp("a"))
    home.run.advance(31)
    assert home.statuses(d) == {"a": "failed"}

    home.run.advance(200)

    assert (home.agent.status()["abandoned"], home.agent.status()["hanging"]) == (1, 1)
    (found,) = home.deployed(d)["results"]
    assert "is not begun once more" in found["reason"]
    home.run.threads.let_go("agent-edge")
    home.run.advance(61)
    assert home.statuses(d) == {"a": "deployed"}
    assert home.agent.status()["hanging"] == 0
    assert home.world.asked.count(("create", "a")) == 1


def test_when_too_many_hang_nothing_more_is_begun(
    daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smapd.desired.agents.SPARE_THREADS", 2)
    home = daemon(time_limit_s=30.0)
    home.run.threads.hold("agent-edge")
    home.deploy(lamp("a"), lamp("b"))
    home.run.advance(31)

    d = home.deploy(lamp("c"))

    (found,) = home.deployed(d)["results"]
    assert found["status"] == "failed"
    assert "2 handlers of agent edge are past their time limit" in found["reason"]


def test_a_deploy_that_was_refused_for_a_full_disk_is_not_taken_up_later(
    daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row may be on the disk, while what stands beside it found no room."""

    def full(*a: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    home = daemon()
    n = home.post(lamp("a"))
    monkeypatch.setattr(home.store, "mark_deployed", full)
    with pytest.raises(StorageFull):
        result(home.desired.deploy(n, dry_run=False, token=False))
    assert home.desired.deploys() == []

    again = daemon()

    assert again.desired.deploys() == []
    assert again.world.asked == []


def test_a_value_that_is_too_deep_is_refused(daemon: Any) -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    home = daemon()

    with pytest.raises(BadRequest, match="name=a.*nested more than 32 deep"):
        home.post(lamp("a", level=deep))

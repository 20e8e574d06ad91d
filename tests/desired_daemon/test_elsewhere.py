"""IM-14, IM-35: agents in other processes, as the daemon sees them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from smapd.desired.elsewhere import GONE_S, POLL_S
from smapd.errors import BadRequest, NameTaken

from .conftest import lamp, lamp_id, result

SESSION = "0123456789abcdef"


def asking(session: str = SESSION, **more: Any) -> dict[str, Any]:
    return {"session": session, "names": ["far"], "threads": 2, "repair_s": 0, **more}


def told(job: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What an agent answers when it has done a job."""
    return {
        "job": job["job"],
        "status": "deployed",
        "change": "created",
        "changes": {},
        "logs": [{"ms": 5, "level": "info", "message": "Made it", "kwargs": {}}],
        "facts": {"watts": 3},
        "began_ms": 1,
        "ended_ms": 2,
        **more,
    }


def answer(home: Any, *results: dict[str, Any], session: str = SESSION) -> int:
    body = {"session": session, "results": list(results)}
    found: int = result(home.desired.results("far", body))["taken"]
    return found


def test_an_agent_gets_its_resources_in_order_and_tells_what_came(daemon: Any) -> None:
    """IM-35: what another agent's resource requires waits for this one's."""
    home = daemon()
    poll = home.desired.work("far", asking())
    d = home.deploy(
        lamp("a", requires=()) | {"requires": [lamp_id("b", "far")]}, lamp("b", agent="far")
    )
    home.run.advance(0.1)

    (job,) = result(poll)["jobs"]
    assert (job["kind"], job["version"], job["action"]) == ("deploy", 1, "deploy")
    assert job["resource"]["id"] == "test::Lamp[far,name=b],v=1"
    assert home.statuses(d) == {}

    assert answer(home, told(job)) == 1

    assert home.statuses(d) == {"b": "deployed", "a": "deployed"}
    facts = result(home.desired.resource(lamp_id("b", "far")))["facts"]
    assert facts["watts"]["value"] == 3


def test_an_agent_holds_no_more_than_its_threads(daemon: Any) -> None:
    home = daemon()
    poll = home.desired.work("far", asking())
    home.deploy(*[lamp(str(n), agent="far") for n in range(5)])
    home.run.advance(0.1)

    jobs = result(poll)["jobs"]
    assert len(jobs) == 2
    more = home.desired.work("far", asking(running=[job["job"] for job in jobs]))
    home.run.advance(1)
    assert not more.called
    answer(home, told(jobs[0]))
    home.run.advance(0.1)

    assert len(result(more)["jobs"]) == 1


def test_without_work_it_is_told_so_after_a_while(daemon: Any) -> None:
    home = daemon()
    poll = home.desired.work("far", asking())

    home.run.advance(POLL_S - 1)
    assert not poll.called
    home.run.advance(2)

    assert result(poll) == {"jobs": [], "closed": []}
    assert [one["name"] for one in home.desired.agents()] == ["edge", "far"]


def test_what_got_lost_on_the_way_is_handed_again(daemon: Any) -> None:
    home = daemon()
    poll = home.desired.work("far", asking())
    home.deploy(lamp("b", agent="far"))
    home.run.advance(0.1)
    (job,) = result(poll)["jobs"]

    again = home.desired.work("far", asking(running=[]))
    home.run.advance(0.1)

    assert result(again)["jobs"] == [job]


def test_who_asks_no_more_is_gone_and_its_work_is_done_again(daemon: Any) -> None:
    home = daemon()
    poll = home.desired.work("far", asking())
    d = home.deploy(lamp("b", agent="far"))
    home.run.advance(0.1)
    (job,) = result(poll)["jobs"]

    home.run.advance(GONE_S + 1)
    assert [one["name"] for one in home.desired.agents()] == ["edge"]
    assert answer(home, told(job)) == 0
    other = home.desired.work("far", asking("another-session"))
    home.run.advance(0.1)
    (again,) = result(other)["jobs"]
    assert again["resource"] == job["resource"]
    answer(home, told(again), session="another-session")

    assert home.statuses(d) == {"b": "deployed"}


def test_a_new_process_takes_over_when_the_old_one_is_not_asking(daemon: Any) -> None:
    home = daemon()
    poll = home.desired.work("far", asking())
    with pytest.raises(NameTaken, match="serves as agent far at this moment"):
        home.desired.work("far", asking("another-session"))

    poll.addErrback(lambda _: None)
    poll.cancel()
    taken = home.desired.work("far", asking("another-session"))

    assert isinstance(taken, Deferred)
    assert [one["name"] for one in home.desired.agents()] == ["edge", "far"]


def test_no_two_agents_serve_one_name(daemon: Any) -> None:
    home = daemon()

    with pytest.raises(NameTaken, match="The agent edge serves edge already"):
        home.desired.work("far", asking(names=["edge"]))


def test_a_result_is_answered_once_it_is_durable(daemon: Any) -> None:
    home = daemon()
    poll = home.desired.work("far", asking())
    home.deploy(lamp("b", agent="far"))
    home.run.advance(0.1)
    (job,) = result(poll)["jobs"]
    home.run.threads.hold("disk-desired")

    kept = home.desired.results("far", {"session": SESSION, "results": [told(job)]})
    assert not kept.called
    home.run.threads.let_go("disk-desired")

    assert result(kept) == {"taken": 1, "unknown": []}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], "must be an object"),
        ({"session": "x"}, "session must be a random text"),
        (asking(names=[]), "names must be"),
        (asking(threads=-1), "threads must be"),
        (asking(repair_s="x"), "repair_s must be"),
        (asking(handlers=[]), "handlers must be"),
        (asking(running=["x"]), "running must be"),
        (asking(device=3), "device must be"),
        (asking(more=1), "must be an object with"),
    ],
)
def test_what_is_no_request_for_work_is_refused(daemon: Any, body: Any, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        daemon().desired.work("far", body)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"job": "x"}, "number of its"),
        ({"status": "good"}, "status or change"),
        ({"change": "x"}, "status or change"),
        ({"ended_ms": -1}, "ended_ms"),
        ({"changes": []}, "changes and facts"),
        ({"logs": [{"level": "loud"}]}, "a record of logs"),
    ],
)
def test_what_is_no_result_is_refused(daemon: Any, change: Any, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        answer(daemon(), {**told({"job": 1}), **change})


def test_a_stop_ends_every_wait(daemon: Any) -> None:
    home = daemon()
    poll = home.desired.work("far", asking())

    home.stop()

    assert result(poll) == {"jobs": [], "closed": []}


def test_no_job_of_before_a_start_is_taken_for_another(daemon: Any) -> None:
    """A process that outlived the daemon tells by numbers that the new one never gave."""
    home = daemon()
    poll = home.desired.work("far", asking(threads=1))
    home.deploy(lamp("a", agent="far"), lamp("b", agent="far"))
    home.run.advance(0.1)
    (old,) = result(poll)["jobs"]
    answer(home, told(old))

    again = daemon()
    known = result(again.desired.results("far", {"session": SESSION, "results": [told(old)]}))
    poll = again.desired.work("far", asking(threads=1, running=[old["job"]]))
    again.run.advance(0.1)
    (new,) = result(poll)["jobs"]

    assert known == {"taken": 0, "unknown": [old["job"]]}
    assert "name=b" in new["resource"]["id"]
    assert answer(again, told(old)) == 0
    assert again.statuses(1) == {"a": "deployed"}


def test_after_a_start_one_of_a_device_is_handed_at_a_time(daemon: Any) -> None:
    """The deploy goes on before the agent comes, who alone says what a device is."""
    home = daemon()
    result(Deferred.fromCoroutine(home.desired.stop()))
    home = daemon()
    home.deploy(lamp("a", agent="far", bus="1"), lamp("b", agent="far", bus="1"))

    poll = home.desired.work("far", asking(device="bus"))
    home.run.advance(0.1)

    (job,) = result(poll)["jobs"]
    assert "name=a" in job["resource"]["id"]

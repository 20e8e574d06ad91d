"""An agent as a process of its own, without its threads: what a daemon forgot is not done twice."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.desired.options import AgentSettings
from smapd.desired.perform import HANGS
from smapd.desired.remote import RemoteAgent, _Begun
from smapd.errors import NotRunning

from .conftest import World, lamp


class FakeDaemon:
    """Takes results; ``knows`` in turn says whether it knew of the process, or does not answer."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.knows: list[bool | Exception] = []

    def work(self, agent: str, body: Any) -> Any:
        return {"jobs": [], "closed": []}

    def results(self, agent: str, body: Any) -> Any:
        known = self.knows.pop(0) if self.knows else True
        if isinstance(known, Exception):
            raise known
        if known:
            self.told += body["results"]
        unknown = [] if known else [one["job"] for one in body["results"]]
        return {"taken": len(body["results"]) - len(unknown), "unknown": unknown}

    def version(self, n: int) -> Any:
        return {"files": {}, "code": []}

    def blob(self, sha256: str) -> bytes:
        return b""


def job(number: int, name: str = "a", version: int = 1, **more: Any) -> dict[str, Any]:
    given = {"kind": "deploy", "deploy": 1, "handler": "", "dependency_changed": False, **more}
    resource = lamp(name, agent="far", bus="1")
    resource["id"] += f",v={version}"
    return {"job": number, "version": version, "action": "deploy", "resource": resource, **given}


@pytest.fixture
def far(world: World) -> Any:
    return Far()


class Far:
    def __init__(self) -> None:
        self.daemon = FakeDaemon()
        settings = AgentSettings("far", frozenset({"far"}), threads=0, device="bus")
        self.agent = RemoteAgent(settings, self.daemon, lambda text: None, lambda: 0.0)
        self.agent._registry = self.agent._registry.__class__()

    def hand(self, *jobs: dict[str, Any]) -> None:
        from smapd.desired import registry

        self.agent._registry = registry.frozen()
        self.agent._take({"jobs": list(jobs)})

    def work(self) -> None:
        self.agent._jobs.put(None)
        self.agent._work()

    def tell(self) -> None:
        self.agent._results.put(None)
        self.agent._tell()

    def told(self) -> list[tuple[int, str]]:
        return [(one["job"], one["change"]) for one in self.daemon.told]


def test_what_a_new_daemon_asks_for_again_is_answered_with_what_came(
    far: Any, world: World
) -> None:
    """A daemon that was killed hands what ran meanwhile once more: it has been done."""
    far.hand(job(5))
    far.work()
    far.daemon.knows = [False]
    far.tell()
    assert far.told() == []

    far.hand(job(77))
    far.work()
    far.tell()

    assert far.told() == [(77, "created")]
    assert world.asked.count(("create", "a")) == 1
    assert far.agent._asking()["running"] == []


def test_what_still_runs_stands_for_the_new_job(far: Any, world: World) -> None:
    far.hand(job(5))
    far.hand(job(77))

    far.work()
    far.tell()

    assert far.told() == [(77, "created")]
    assert world.asked.count(("read", "a")) == 1


def test_a_result_is_told_by_the_number_that_it_is_asked_for(far: Any) -> None:
    """It waits for a daemon that is away, and is asked for anew meanwhile."""
    far.hand(job(5))
    far.work()
    far.daemon.knows = [NotRunning("away")]
    far.agent._stopping.wait = lambda pause_s: far.hand(job(77))

    far.tell()

    assert far.told() == [(77, "created")]


@pytest.mark.parametrize(
    "other", [{"kind": "repair"}, {"deploy": 2}, {"version": 2}, {"dependency_changed": True}]
)
def test_another_look_is_not_answered_with_an_old_one(
    far: Any, world: World, other: dict[str, Any]
) -> None:
    far.hand(job(5))
    far.work()
    far.daemon.knows = [False]
    far.tell()

    far.hand(job(77, **other))
    far.work()
    far.tell()

    assert far.told() == [(77, "nochange")]
    assert world.asked.count(("read", "a")) == 2


def test_of_one_resource_or_device_one_job_runs_at_a_time(far: Any) -> None:
    first, second = _Begun(job(5), "bus"), _Begun(job(6, version=2), "bus")
    beside = _Begun(job(7, "b"), "bus")

    assert far.agent._taken(first) is None
    assert far.agent._taken(second) is first
    assert far.agent._taken(beside) is first
    far.agent._let_go(first)

    assert far.agent._taken(beside) is None
    assert far.agent._taken(second) is beside


def test_what_hangs_is_not_begun_beside_itself(far: Any, world: World) -> None:
    hanging = _Begun(job(5), "bus")
    far.agent._taken(hanging)
    hanging.is_given_up = True

    far.hand(job(6, version=2), job(7, "b"))
    far.work()
    far.tell()

    assert [(one["status"], one["reason"]) for one in far.daemon.told] == [
        ("failed", HANGS),
        ("deployed", ""),
    ]
    assert ("read", "a") not in world.asked

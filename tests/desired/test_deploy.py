"""Which resource may run next: by example, and at random against a plain reference."""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from smapd.desired import Change, Deployment, Place, ResourceState, Settled
from smapd.errors import BadModel

GOOD = ResourceState.DEPLOYED
BAD = (ResourceState.FAILED, ResourceState.SKIPPED, ResourceState.UNAVAILABLE)


def id_of(name: str, agent: str = "x") -> str:
    return f"a::B[{agent},n={name}]"


def one(name: str, *requires: str, agent: str = "x", **fields: Any) -> dict[str, Any]:
    wanted = [other if "[" in other else id_of(other) for other in requires]
    return {"id": id_of(name, agent), "requires": wanted, **fields}


def names(ids: Iterable[str]) -> list[str]:
    return [id_.partition("n=")[2].rstrip("]") for id_ in ids]


def settle(deployment: Deployment, name: str, state: ResourceState = GOOD) -> list[str]:
    return names(one.id for one in deployment.settle(id_of(name), state))


def test_what_requires_nothing_is_ready_at_once_and_given_once() -> None:
    deployment = Deployment([one("1"), one("2", "1"), one("3")], 1)

    assert names(deployment.take()) == ["1", "3"]
    assert deployment.take() == []
    assert names(deployment.running()) == ["1", "3"]


def test_a_dependant_comes_after_all_it_requires() -> None:
    """IM-32"""
    deployment = Deployment([one("1"), one("2"), one("3", "1", "2")], 1)
    deployment.take()

    settle(deployment, "1")
    assert deployment.take() == []
    settle(deployment, "2")

    assert names(deployment.take()) == ["3"]


@pytest.mark.parametrize("state", BAD)
def test_else_it_is_skipped_and_all_behind_it(state: ResourceState) -> None:
    """IM-32: with a sentence that names the requirement."""
    deployment = Deployment([one("1"), one("2", "1"), one("3", "2"), one("4")], 1)
    deployment.take()

    settled = deployment.settle(id_of("1"), state)

    assert settled == [
        Settled(id_of("1"), state),
        Settled(
            id_of("2"),
            ResourceState.SKIPPED,
            f"It requires {id_of('1')}, which is {state}.",
            id_of("1"),
        ),
        Settled(
            id_of("3"),
            ResourceState.SKIPPED,
            f"It requires {id_of('2')}, which is skipped.",
            id_of("2"),
        ),
    ]
    settle(deployment, "4")
    assert deployment.is_complete


def test_requirements_on_other_agents_are_awaited() -> None:
    """IM-35"""
    deployment = Deployment([one("1", agent="far"), one("2", id_of("1", "far"))], 1)

    assert deployment.take("x") == []
    assert names(deployment.take("far")) == ["1"]
    deployment.settle(id_of("1", "far"), GOOD)

    assert deployment.take("far") == []
    assert names(deployment.take("x")) == ["2"]
    assert deployment.agents() == ["far", "x"]


def test_take_is_of_some_agents_and_so_many() -> None:
    deployment = Deployment([one(str(i), agent="abc"[i % 3]) for i in range(9)], 1)

    assert names(deployment.take(("b", "c", "nobody"), limit=4)) == ["1", "4", "7", "2"]
    assert names(deployment.take(limit=3)) == ["0", "3", "6"]
    assert deployment.take(limit=0) == []
    assert names(deployment.take()) == ["5", "8"]


def test_rings_and_unknown_requirements_are_refused() -> None:
    """IM-34"""
    with pytest.raises(BadModel, match="A ring of requirements"):
        Deployment([one("1", "2"), one("2", "1")], 1)
    with pytest.raises(BadModel, match="not in the model"):
        Deployment([one("1", "2")], 1)


def test_a_dry_run_looks_at_each_whatever_it_requires() -> None:
    """IM-23"""
    deployment = Deployment([one("1"), one("2", "1"), one("3", "2")], 1, dry_run=True)

    assert names(deployment.take()) == ["1", "2", "3"]
    assert settle(deployment, "1", ResourceState.FAILED) == ["1"]


def test_of_one_device_one_runs_at_a_time() -> None:
    resources = [one(str(i), bus="ab"[i % 2]) for i in range(4)] + [one("4", bus="")]
    deployment = Deployment(resources, 1, device_of=lambda r: str(r["bus"]))

    assert names(deployment.take()) == ["0", "1", "4"]
    settle(deployment, "0", ResourceState.FAILED)
    assert names(deployment.take()) == ["2"]
    deployment.give_back(id_of("1"))
    assert len(deployment.take()) == 1


def test_a_device_that_two_agents_reach_is_not_kept_by_one_that_is_away() -> None:
    resources = [one("1", agent="here"), one("2", agent="away"), one("3", agent="here")]
    deployment = Deployment(resources, 1, device_of=lambda r: "bus")
    assert names(deployment.take("here", limit=1)) == ["1"]
    assert deployment.take("away") == []
    assert deployment.take("here") == []

    deployment.settle(id_of("1", "here"), GOOD)

    assert names(deployment.take("here")) == ["3"]
    assert deployment.take("away") == []
    deployment.settle(id_of("3", "here"), GOOD)
    assert names(deployment.take("away")) == ["2"]


def test_a_device_is_free_when_the_next_in_line_ends_without_running() -> None:
    deployment = Deployment([one(n) for n in "123"], 1, device_of=lambda r: "bus")
    assert names(deployment.take()) == ["1"]
    settle(deployment, "1")

    settle(deployment, "2", ResourceState.UNAVAILABLE)

    assert names(deployment.take()) == ["3"]


def test_a_late_or_second_result_changes_nothing() -> None:
    deployment = Deployment([one("1"), one("2", "1")], 1)
    deployment.take()
    settle(deployment, "1", ResourceState.FAILED)

    assert settle(deployment, "1", GOOD) == []
    assert deployment.state(id_of("1")) is ResourceState.FAILED
    with pytest.raises(KeyError):
        settle(deployment, "9")


def test_one_that_was_never_taken_may_be_settled() -> None:
    """IM-33: no agent serves it."""
    deployment = Deployment([one("1"), one("2", "1")], 1)

    assert settle(deployment, "1", ResourceState.UNAVAILABLE) == ["1", "2"]
    assert deployment.take() == []
    assert deployment.is_complete


def test_one_that_is_given_back_runs_again() -> None:
    deployment = Deployment([one("1"), one("2", "1")], 1)
    deployment.take()

    deployment.give_back(id_of("1"))

    assert deployment.state(id_of("1")) is Place.READY
    assert names(deployment.take()) == ["1"]


def test_it_goes_on_from_what_was_kept() -> None:
    """Nothing that ended is done again; a skip for a requirement is judged anew."""
    resources = [one("1"), one("2", "1"), one("3"), one("4", "3"), one("5", "4"), one("6")]
    kept = [
        Settled(id_of("1"), GOOD, change=Change.UPDATED),
        Settled(id_of("3"), ResourceState.FAILED),
        Settled(id_of("6"), ResourceState.SKIPPED, "cable", ""),
        Settled(id_of("5"), ResourceState.SKIPPED, "", id_of("4")),
        Settled(id_of("gone"), GOOD),
    ]

    deployment = Deployment(resources, 1, finished=kept)

    assert [s.id for s in deployment.skipped_at_start] == [id_of("4"), id_of("5")]
    assert names(deployment.take()) == ["2"]
    assert deployment.dependency_changed(id_of("2"))
    settle(deployment, "2")
    assert deployment.is_complete
    assert deployment.state(id_of("6")) is ResourceState.SKIPPED


def test_what_was_skipped_follows_when_its_requirement_is_good() -> None:
    """U-12"""
    deployment = Deployment([one("1"), one("2", "1"), one("3", "2")], 1)
    deployment.take()
    settle(deployment, "1", ResourceState.FAILED)

    assert deployment.again([id_of("1")]) == []
    assert names(deployment.take()) == ["1"]
    settle(deployment, "1")

    assert names(deployment.take()) == ["2"]
    settle(deployment, "2")
    assert names(deployment.take()) == ["3"]


def test_a_resource_that_its_handler_skipped_does_not_follow() -> None:
    deployment = Deployment([one("1"), one("2", "1")], 1)
    deployment.take()
    settle(deployment, "1")
    deployment.take()
    settle(deployment, "2", ResourceState.SKIPPED)

    deployment.again([id_of("1")])
    deployment.take()
    settle(deployment, "1")

    assert deployment.take() == []


def test_repair_of_all_goes_in_order() -> None:
    """U-12"""
    deployment = Deployment([one("2", "1"), one("1")], 1)
    for name in ("1", "2"):
        deployment.take()
        settle(deployment, name)

    assert deployment.again() == []

    assert not deployment.is_complete
    assert names(deployment.take()) == ["1"]
    settle(deployment, "1")
    assert names(deployment.take()) == ["2"]


def test_repair_of_what_requires_a_bad_one_is_skipped_at_once() -> None:
    deployment = Deployment([one("1"), one("2", "1"), one("3", "2")], 1)
    deployment.take()
    settle(deployment, "1", ResourceState.FAILED)

    skipped = deployment.again([id_of("3"), id_of("2")])

    assert names(s.id for s in skipped) == ["2", "3"]
    assert deployment.is_complete
    assert deployment.take() == []


def test_a_repair_that_fails_leaves_what_stands_on_it() -> None:
    deployment = Deployment([one("1"), one("2", "1")], 1)
    for name in ("1", "2"):
        deployment.take()
        settle(deployment, name)

    deployment.again([id_of("1")])
    deployment.take()

    assert settle(deployment, "1", ResourceState.FAILED) == ["1"]
    assert deployment.state(id_of("2")) is GOOD


def test_a_change_of_a_requirement_is_known() -> None:
    deployment = Deployment([one("1"), one("2", "1")], 1)
    deployment.take()

    deployment.settle(id_of("1"), "deployed", "created")

    assert deployment.dependency_changed(id_of("2"))
    assert not deployment.dependency_changed(id_of("1"))
    assert deployment.requires(id_of("2")) == [id_of("1")]


# --- overtaken


def test_a_newer_version_cancels_what_has_not_begun() -> None:
    old = Deployment([one("1"), one("2", "1"), one("3")], 1)
    old.take(limit=1)

    Deployment([one("1")], 2, after=old)

    assert old.take() == []
    assert old.states() == {
        id_of("1"): Place.RUNNING,
        id_of("2"): Place.CANCELLED,
        id_of("3"): Place.CANCELLED,
    }
    assert settle(old, "1") == ["1"]
    assert old.is_complete
    assert old.counts() == {"deployed": 1, "cancelled": 2}
    assert old.again() == []


def test_the_newer_one_waits_for_the_older_ones_run_of_a_resource() -> None:
    old = Deployment([one("1"), one("2")], 1)
    old.take()
    new = Deployment([one("1"), one("3"), one("2", "1")], 2, after=old)

    assert names(new.take()) == ["3"]
    settle(old, "1", ResourceState.FAILED)
    assert names(new.take()) == ["1"]
    settle(new, "1")
    assert new.take() == []
    settle(old, "2")
    assert names(new.take()) == ["2"]


def test_and_for_its_run_on_a_device() -> None:
    old = Deployment([one("1")], 1, device_of=lambda r: "bus")
    old.take()
    new = Deployment([one("2"), one("3")], 2, device_of=lambda r: "bus", after=old)

    assert new.take() == []
    old.give_back(id_of("1"))

    assert old.is_complete
    assert names(new.take()) == ["2"]


def test_three_versions_in_a_row_wait_for_the_first() -> None:
    first = Deployment([one("1")], 1, device_of=lambda r: "bus")
    first.take()
    second = Deployment([one("1")], 2, device_of=lambda r: "bus", after=first)
    third = Deployment([one("1")], 3, device_of=lambda r: "bus", after=second)

    assert third.take() == []
    settle(first, "1")

    assert second.take() == []
    assert names(third.take()) == ["1"]


# --- at random


class Reference:
    """The plain rules, reckoned anew from all results at each look."""

    def __init__(self, requires: Mapping[str, list[str]]) -> None:
        self.requires = requires
        self.results: dict[str, ResourceState] = {}
        self.running: set[str] = set()

    def states(self) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def look(name: str) -> Any:
            if name not in found:
                below = [look(other) for other in self.requires[name]]
                if name in self.results:
                    found[name] = self.results[name]
                elif name in self.running:
                    found[name] = Place.RUNNING
                elif any(isinstance(s, ResourceState) and s is not GOOD for s in below):
                    found[name] = ResourceState.SKIPPED
                else:
                    ready = all(s is GOOD for s in below)
                    found[name] = Place.READY if ready else Place.WAITING
            return found[name]

        for name in self.requires:
            look(name)
        return found


def random_model(rng: random.Random) -> list[dict[str, Any]]:
    n = rng.randrange(1, 14)
    order = rng.sample(range(n), n)
    agents = {i: rng.choice("xyz") for i in order}
    found = [
        one(
            str(i),
            *(
                id_of(str(j), agents[j])
                for j in order[:place]
                if rng.random() < rng.choice((0.1, 0.4))
            ),
            agent=agents[i],
            bus=rng.choice(("", "", "p", "q")),
        )
        for place, i in enumerate(order)
    ]
    return rng.sample(found, n)


def outcome(rng: random.Random) -> ResourceState:
    return GOOD if rng.random() < 0.75 else rng.choice(BAD)


def random_run(rng: random.Random, look: Callable[[Deployment, Reference], None]) -> Deployment:
    """A deployment driven at random to its end, now and then given back or made anew."""
    resources = random_model(rng)
    requires = {r["id"]: r["requires"] for r in resources}
    bus = {r["id"]: r["bus"] for r in resources}
    plain = Reference(requires)
    deployment = Deployment(resources, 1, device_of=lambda r: str(r["bus"]))
    kept: list[Settled] = []
    begun: list[str] = []
    while not deployment.is_complete:
        step = rng.random()
        if step < 0.5:
            agents = rng.choice((None, "x", ("y", "z")))
            taken = deployment.take(agents, rng.choice((None, 1, 2)))
            for name in taken:
                assert all(plain.results.get(other) is GOOD for other in requires[name])
                assert name not in plain.running
                assert name not in plain.results
                busy = {bus[other] for other in plain.running} - {""}
                assert bus[name] not in busy, "two of one device"
                plain.running.add(name)
            begun += taken
        elif step < 0.9 and plain.running:
            name = rng.choice(sorted(plain.running))
            plain.running.discard(name)
            plain.results[name] = outcome(rng)
            kept += deployment.settle(name, plain.results[name])
        elif step < 0.93 and plain.running:
            name = rng.choice(sorted(plain.running))
            plain.running.discard(name)
            deployment.give_back(name)
        elif step < 0.96:  # a crash: what ran is lost, what ended is kept
            plain.running.clear()
            deployment = Deployment(resources, 1, device_of=lambda r: str(r["bus"]), finished=kept)
            kept += deployment.skipped_at_start
        look(deployment, plain)
    assert {s.id for s in kept} == set(requires)
    return deployment


@pytest.mark.parametrize("seed", range(300))
def test_it_goes_as_the_plain_rules_say(seed: int) -> None:
    """IM-32, IM-35: at each step every resource stands where it should, and none runs too early."""

    def look(deployment: Deployment, plain: Reference) -> None:
        assert deployment.states() == plain.states()

    deployment = random_run(random.Random(seed), look)

    assert deployment.running() == []
    assert deployment.take() == []


@pytest.mark.parametrize("seed", range(200))
def test_repair_at_random_ends_as_a_fresh_run_would(seed: int) -> None:
    """U-12: whatever was looked at again, in the end only what stands on a bad one is skipped."""
    rng = random.Random(1000 + seed)
    deployment = random_run(rng, lambda *_: None)
    ids = list(deployment.resources)
    for _ in range(30):
        some = rng.sample(ids, rng.randrange(len(ids) + 1))
        deployment.again(rng.choice((None, some)))
        for name in deployment.take(limit=rng.randrange(4)):
            for other in deployment.requires(name):
                assert deployment.state(other) is GOOD
        for name in rng.sample(deployment.running(), len(deployment.running()) // 2):
            deployment.settle(name, outcome(rng))

    while not deployment.is_complete:  # now all goes well
        deployment.take()
        for name in deployment.running():
            deployment.settle(name, GOOD)
    bad = [n for n in ids if deployment.state(n) is not GOOD]
    deployment.again(bad)
    while not deployment.is_complete:
        assert deployment.take()
        for name in deployment.running():
            deployment.settle(name, GOOD)

    assert set(deployment.states().values()) == {GOOD}


@pytest.mark.parametrize("seed", range(200))
def test_over_many_versions_no_resource_or_device_runs_twice_at_once(seed: int) -> None:
    rng = random.Random(2000 + seed)
    all_of_them: list[tuple[Deployment, dict[str, str]]] = []
    for version in range(1, 6):
        resources = random_model(rng)
        older = all_of_them[-1][0] if all_of_them else None
        newest = Deployment(resources, version, device_of=lambda r: str(r["bus"]), after=older)
        all_of_them.append((newest, {r["id"]: r["bus"] for r in resources}))
        for _ in range(rng.randrange(12)):
            newest.take(limit=rng.randrange(3))
            run = [(d, n, b[n]) for d, b in all_of_them for n in d.running()]
            assert len({n for _, n, _ in run}) == len(run)
            devices = [bus for _, _, bus in run if bus]
            assert len(set(devices)) == len(devices)
            if run:
                deployment, name, _ = rng.choice(run)
                deployment.settle(name, outcome(rng))
    newest = all_of_them[-1][0]
    while not all(deployment.is_complete for deployment, _ in all_of_them):
        newest.take()
        run = [(d, n, "") for d, _ in all_of_them for n in d.running()]
        assert run, "all stands still"
        deployment, name, _ = rng.choice(run)
        deployment.settle(name, GOOD)

"""Jobs: when they run, what stops them, and what the list shows."""

from __future__ import annotations

from typing import Any

import pytest

from smapd.actuation import POOL, Jobs
from smapd.actuation.jobs import AT_ONCE, MOST_OVER, MOST_WAITING
from smapd.errors import (
    BadRequest,
    BadState,
    Busy,
    Forbidden,
    NoSuchPath,
    NotAnActuator,
)
from smapd.testing import START_MS


def do(state: Any, path: str = "/lamp") -> list[dict[str, Any]]:
    return [{"Path": path, "State": state}]


def anyone(path: str) -> None:
    """Everybody may."""


@pytest.fixture
def jobs(house: Any) -> Jobs:
    """The house's jobs; their uuids are 0, 1, 2 …"""
    numbers = iter(range(100_000))
    return Jobs(house.actuators, house.clock, lambda: str(next(numbers)))


def states(jobs: Jobs) -> list[str]:
    return [job["State"] for job in jobs.listed(full=True)]


def put(jobs: Jobs, *bodies: dict[str, Any]) -> list[str]:
    return jobs.put(list(bodies), anyone)


def test_a_job_without_a_start_runs_at_once(house: Any, jobs: Jobs) -> None:
    """SM-34: the set is one like any other: read back, and a reading."""
    lamp = house.lamp()

    assert put(jobs, {"Actions": do(1)}) == ["0"]

    assert lamp.calls == [1, "get"]
    assert house.readings() == [(START_MS, 1)]
    assert states(jobs) == ["done"]


def test_a_job_runs_at_its_time(house: Any, jobs: Jobs) -> None:
    """SM-34: StartTime in ms."""
    lamp = house.lamp()
    put(jobs, {"StartTime": START_MS + 3_600_500, "Actions": do("on")})

    house.clock.advance(3600)
    assert (lamp.calls, states(jobs)) == ([], ["waiting"])
    house.clock.advance(0.5)

    assert (lamp.calls, states(jobs)) == ([1, "get"], ["done"])
    assert house.readings() == [(START_MS + 3_600_500, 1)]


def test_a_step_of_the_wall_clock_moves_the_time(house: Any, jobs: Jobs) -> None:
    """SM-34: the job is for what the clock on the wall shows."""
    lamp = house.lamp()
    put(jobs, {"StartTime": START_MS + 3_600_000, "Actions": do(1)})

    house.clock.step_wall(-60)
    house.clock.advance(3600)
    assert lamp.calls == []
    house.clock.step_wall(60)
    house.clock.advance(10)

    assert lamp.calls == [1, "get"]


def test_actions_are_made_in_order_until_one_fails(house: Any, jobs: Jobs) -> None:
    """SM-34: and the job says which, and why."""
    first, second, third = (house.lamp(path) for path in ("/a", "/b", "/c"))
    second.broken = ValueError("device is gone")

    put(jobs, {"Actions": do(1, "/a") + do(1, "/b") + do(1, "/c")})

    assert (first.state, third.calls) == (1, [])
    [job] = jobs.listed(full=True)
    assert (job["State"], job["Error"]) == ("failed", "Action 1, /b: device is gone")


def test_a_job_comes_after_the_one_it_names(house: Any, jobs: Jobs) -> None:
    """SM-34: when that has ended, not when it has begun."""
    lamp = house.lamp(settle=5)
    put(
        jobs,
        {"Name": "on", "StartTime": START_MS + 10_000, "Actions": do(1)},
        {"Name": "off", "After": "on", "Actions": do(0)},
        {"After": "off", "Actions": do(1)},
    )

    house.clock.advance(14)
    assert (lamp.calls, states(jobs)) == ([1], ["running", "waiting", "waiting"])
    house.clock.advance(1)
    assert states(jobs) == ["done", "running", "waiting"]
    house.clock.advance(10)

    assert lamp.calls == [1, "get", 0, "get", 1, "get"]
    assert states(jobs) == ["done"] * 3


def test_a_job_may_come_after_one_that_was_put_before(house: Any, jobs: Jobs) -> None:
    """SM-34: the newest of that name; one that is done lets it run at once."""
    lamp = house.lamp()
    put(jobs, {"Name": "a", "Actions": do(1)})

    put(jobs, {"After": "a", "Actions": do(0)})
    put(jobs, {"Name": "a", "StartTime": START_MS + 60_000, "Actions": []})
    put(jobs, {"After": "a", "Actions": do(1)})

    assert lamp.state == 0
    assert states(jobs) == ["done", "done", "waiting", "waiting"]


def test_a_job_with_a_time_of_its_own_waits_for_both(house: Any, jobs: Jobs) -> None:
    """SM-34: the one before it, and its StartTime."""
    lamp = house.lamp()
    put(
        jobs,
        {"Name": "a", "Actions": do(1)},
        {"After": "a", "StartTime": START_MS + 5_000, "Actions": do(0)},
    )

    house.clock.advance(4.9)
    assert lamp.state == 1
    house.clock.advance(0.1)
    assert lamp.state == 0


def test_what_comes_after_a_failure_is_skipped(house: Any, jobs: Jobs) -> None:
    """SM-34: and what comes after that, and what is put later."""
    lamp = house.lamp()
    lamp.broken = ValueError("device is gone")
    put(
        jobs,
        {"Name": "a", "Actions": do(1)},
        {"Name": "b", "After": "a", "Actions": do(0)},
        {"Name": "c", "After": "b", "Actions": do(0)},
    )
    put(jobs, {"After": "c", "Actions": []})
    house.clock.advance(0)

    assert lamp.calls == [1]
    assert states(jobs) == ["failed", "skipped", "skipped", "skipped"]
    assert jobs.listed(full=True)[1]["Error"] == "The job before it, a, did not succeed."


def test_a_long_chain_of_jobs_that_do_nothing_ends(house: Any, jobs: Jobs) -> None:
    """SM-34: without a deep call."""
    chain = [{"Name": str(i), "After": str(i - 1), "Actions": []} for i in range(1, MOST_WAITING)]
    put(jobs, {"Name": "0", "Actions": []}, *chain)

    for _ in range(MOST_WAITING):
        house.clock.advance(0)

    assert set(states(jobs)) == {"done"}


@pytest.mark.parametrize(
    ("actions", "kind"),
    [
        (do("maybe"), BadState),
        (do(2), BadState),
        (do(1, "/plain"), NotAnActuator),
        (do(1, "/nope"), NoSuchPath),
    ],
)
def test_a_job_is_checked_when_it_comes(
    house: Any, jobs: Jobs, actions: Any, kind: type[Exception]
) -> None:
    """SM-34: path and range; and then none of the list is taken."""
    lamp = house.lamp()
    house.tree.add_timeseries("/plain", "V")

    with pytest.raises(kind):
        put(jobs, {"Actions": do(1)}, {"Actions": actions})

    assert (jobs.listed(), lamp.calls) == ([], [])


def test_after_a_job_that_is_not_there_is_refused(house: Any, jobs: Jobs) -> None:
    """SM-34: 400; a later one of the list is not there yet."""
    with pytest.raises(BadRequest, match=r"^Job 0: No job named b comes before it\.$"):
        put(jobs, {"After": "b", "Actions": []}, {"Name": "b", "Actions": []})

    assert jobs.listed() == []


def test_a_job_needs_the_right_to_each_set_when_it_comes_and_when_it_runs(
    house: Any, jobs: Jobs
) -> None:
    """SM-34: a right that is taken away meanwhile holds."""
    lamp = house.lamp()
    denied: set[str] = {"/lamp"}

    def may(path: str) -> None:
        if path in denied:
            raise Forbidden(f"not {path}")

    body = [{"StartTime": START_MS + 1_000, "Actions": do(1)}]
    with pytest.raises(Forbidden):
        jobs.put(body, may)
    denied.clear()
    jobs.put(body, may)
    denied.add("/lamp")
    house.clock.advance(1)

    assert lamp.calls == []
    assert jobs.listed(full=True)[0]["Error"] == "Action 0, /lamp: not /lamp"


def test_a_job_is_held_to_the_write_limit(house: Any, jobs: Jobs) -> None:
    """SM-34: as a request is."""
    lamp = house.lamp(write_limit=60)

    put(jobs, {"Actions": do(1)}, {"Actions": do(0)})

    assert lamp.state == 1
    assert states(jobs) == ["done", "failed"]
    assert "Cannot actuate now due to rate limit" in jobs.listed(full=True)[1]["Error"]


def test_an_actuator_that_is_gone_when_the_job_runs_fails_it(house: Any, jobs: Jobs) -> None:
    """SM-34: in a sentence."""
    house.lamp()
    put(jobs, {"StartTime": START_MS + 1_000, "Actions": do(1)})

    house.tree.remove("/lamp")
    house.clock.advance(1)

    assert states(jobs) == ["failed"]
    assert "No such timeseries" in jobs.listed(full=True)[0]["Error"]


# --- the list


def test_the_list_shows_jobs_as_smap_does(house: Any, jobs: Jobs) -> None:
    """SM-34: name, start_time, after, actions; finished ones stay."""
    house.lamp()
    put(jobs, {"Name": "a", "Actions": do(1)}, {"After": "a", "Actions": do("off")})
    house.clock.advance(0)

    assert jobs.listed() == [
        {"name": "a", "start_time": None, "after": None, "actions": do(1)},
        {"name": None, "start_time": None, "after": "a", "actions": do("off")},
    ]
    full = jobs.listed(full=True)[0]
    assert full == jobs.listed()[0] | {"uuid": "0", "State": "done"}


def test_jobs_are_taken_off_by_their_uuids(house: Any, jobs: Jobs) -> None:
    """SM-34: the uuids of those left; one that is not known is no error."""
    lamp = house.lamp()
    later = {"StartTime": START_MS + 1_000, "Actions": do(1)}
    put(jobs, later, later | {"Name": "b"}, later)

    assert jobs.cancel(["0", "2", "nope"]) == ["1"]

    assert [job["name"] for job in jobs.listed()] == ["b"]
    house.clock.advance(1)
    assert lamp.calls == [1, "get"]
    assert jobs.cancel([]) == ["1"]
    assert jobs.cancel(["1"]) == []


def test_what_comes_after_a_job_that_is_taken_off_is_skipped(house: Any, jobs: Jobs) -> None:
    """SM-34: it would wait for ever."""
    lamp = house.lamp()
    put(
        jobs,
        {"Name": "a", "StartTime": START_MS + 1_000, "Actions": do(1)},
        {"After": "a", "Actions": do(0)},
    )

    jobs.cancel(["0"])

    assert states(jobs) == ["skipped"]
    house.clock.advance(2)
    assert lamp.calls == []


def test_a_job_that_is_taken_off_while_it_runs_ends_after_the_set_under_way(
    house: Any, jobs: Jobs
) -> None:
    """SM-34: nothing is left half done, nothing more begun."""
    first, second = house.lamp("/a", settle=5), house.lamp("/b")
    put(jobs, {"Name": "x", "Actions": do(1, "/a") + do(1, "/b")}, {"After": "x", "Actions": []})

    jobs.cancel(["0"])
    house.clock.advance(5)

    assert (first.calls, second.calls) == ([1, "get"], [])
    assert states(jobs) == ["skipped"]


@pytest.mark.parametrize("body", [None, {}, "0", 0, [0], [None], [["0"]]])
def test_a_body_that_is_no_list_of_uuids_is_refused(jobs: Jobs, body: Any) -> None:
    """SM-34: 400."""
    with pytest.raises(BadRequest, match="list of the uuids"):
        jobs.cancel(body)


# --- bounds


def test_so_many_jobs_may_wait(house: Any, jobs: Jobs) -> None:
    """SM-34: more are refused, 503, and none of them taken; finished ones do not count."""
    later = {"StartTime": START_MS + 1_000, "Actions": []}
    put(jobs, *[later] * (MOST_WAITING - 1))

    with pytest.raises(Busy, match="999 jobs wait already"):
        put(jobs, later, later)
    put(jobs, later)

    assert len(jobs.listed()) == MOST_WAITING
    house.clock.advance(1)
    for _ in range(MOST_WAITING):
        house.clock.advance(0)
    put(jobs, later | {"StartTime": START_MS + 9_000})


def test_finished_jobs_stay_until_there_are_too_many(house: Any, jobs: Jobs) -> None:
    """SM-34: the oldest go; one that waits stays."""
    put(jobs, {"StartTime": START_MS + 9_000, "Actions": []})
    for _ in range(3):
        put(jobs, *[{"Actions": []}] * (MOST_WAITING - 1))
        house.clock.advance(0)

    uuids = [job["uuid"] for job in jobs.listed(full=True)]

    assert len(uuids) == MOST_OVER + 1
    assert (uuids[0], uuids[-1]) == ("0", str(3 * (MOST_WAITING - 1)))


def test_few_jobs_run_at_once(house: Any, jobs: Jobs) -> None:
    """SM-34: so many jobs of one actuator do not make it Busy for themselves."""
    lamp = house.lamp()
    house.threads.hold(POOL)
    put(jobs, *[{"Actions": do(i % 2)} for i in range(5 * AT_ONCE)])

    house.threads.let_go(POOL)

    assert states(jobs) == ["done"] * 5 * AT_ONCE
    assert lamp.calls[::2] == [i % 2 for i in range(5 * AT_ONCE)]


def test_no_job_begins_after_close(house: Any, jobs: Jobs) -> None:
    """SM-34: no timer is left, either."""
    lamp = house.lamp()
    put(jobs, {"StartTime": START_MS + 1_000, "Actions": do(1)})

    jobs.close()
    house.clock.advance(2)

    assert lamp.calls == []
    assert house.clock.pending == 0


def test_status_counts_and_names_the_last_failures(house: Any, jobs: Jobs) -> None:
    """SM-34: what /status shows."""
    lamp = house.lamp()
    put(jobs, {"Actions": do(1)}, {"StartTime": START_MS + 1_000, "Actions": []})
    lamp.broken = ValueError("device is gone")
    put(jobs, {"Name": "x", "Actions": do(1)})

    assert jobs.status() == {
        "waiting": 1,
        "running": 0,
        "done": 1,
        "failed": 1,
        "last_failures": [{"uuid": "2", "name": "x", "error": "Action 0, /lamp: device is gone"}],
    }

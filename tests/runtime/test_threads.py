"""runtime/threads.py and pool.py: the three doors, and threads that are few and end."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed

from smapd.errors import Busy, ShutdownRequested
from smapd.runtime import Lane, PoolSize, Threads
from smapd.runtime.threads import all_stacks
from smapd.testing import FakeClock

pytestmark = pytest.mark.real

Make = Callable[..., Any]
ONE = PoolSize(1, 1)


def result_of(live: Any, d: Deferred[Any]) -> Any:
    seen: list[Any] = []
    d.addBoth(seen.append)
    live.until(lambda: seen)
    return seen[0]


def test_to_pool_calls_on_a_thread_of_that_name_and_answers_at_home(live: Make) -> None:
    here = live(work=ONE)

    name = result_of(
        here, here.threads.to_pool("work", lambda n: threading.current_thread().name, 1)
    )

    assert name == "work-1"


def test_to_pool_hands_back_what_is_raised(live: Make) -> None:
    here = live(work=ONE)

    failure = result_of(here, here.threads.to_pool("work", lambda: 1 / 0))

    assert failure.type is ZeroDivisionError


def test_sys_exit_in_a_call_ends_no_thread(live: Make) -> None:
    here = live(work=ONE)

    failure = result_of(here, here.threads.to_pool("work", exit))

    assert failure.type is SystemExit
    assert result_of(here, here.threads.to_pool("work", int)) == 0


def test_a_deferred_from_a_pools_thread_is_a_mistake_that_is_named(live: Make) -> None:
    here = live(work=ONE)

    failure = result_of(here, here.threads.to_pool("work", succeed, 1))

    assert failure.type is TypeError
    assert "succeed ran on a pool's thread and returned a Deferred" in str(failure.value)


def test_context_variables_go_along(live: Make) -> None:
    """ARCHITECTURE: who made a call is known by a context variable."""
    who = contextvars.ContextVar("who", default="nobody")
    here = live(work=ONE)

    who.set("me")
    d = here.threads.to_pool("work", who.get)
    who.set("another")

    assert result_of(here, d) == "me"


def test_unknown_pool_is_refused_by_name(live: Make) -> None:
    here = live(work=ONE, poll=ONE)

    with pytest.raises(ValueError, match=r"no pool wrok; there are poll, work"):
        here.threads.to_pool("wrok", int)
    with pytest.raises(ValueError, match="a pool named work already"):
        here.threads.add_pool("work", ONE)


def test_full_queue_is_busy(live: Make) -> None:
    here = live(work=PoolSize(1, 1, queue=2))
    gate, begun = here.gate(), here.gate()
    running = here.threads.to_pool("work", lambda: (begun.set(), gate.wait()))
    begun.wait(5)
    waiting = [here.threads.to_pool("work", int) for _ in range(2)]

    refused = result_of(here, here.threads.to_pool("work", int))

    assert refused.type is Busy
    assert str(refused.value) == "int was not begun: 2 calls wait for work"
    gate.set()
    assert [result_of(here, d) for d in waiting] == [0, 0]
    result_of(here, running)


def test_blocked_threads_are_joined_by_more_up_to_the_most(live: Make) -> None:
    """ARCHITECTURE: when none is idle one more is started."""
    here = live(poll=PoolSize(1, 3))
    gate, begun = here.gate(), threading.Semaphore(0)
    blocked = [
        here.threads.to_pool("poll", lambda: (begun.release(), gate.wait())) for _ in range(5)
    ]
    for _ in range(3):
        assert begun.acquire(timeout=5)

    status = here.threads.status()["poll"]

    assert (status["busy"], status["queued"], status["idle"]) == (3, 2, 0)
    assert "<lambda>" in status["longest"]["name"]
    gate.set()
    for d in blocked:
        result_of(here, d)
    assert here.threads.moved()["poll"] >= 4


def test_a_job_that_hangs_makes_room_for_one_that_waits(live: Make) -> None:
    """SM-36: nobody hands over anything meanwhile; the spare threads are bounded."""
    here = live(setup=PoolSize(0, 1, spare=1, hung_s=2))
    gates = [here.gate(), here.gate()]
    begun: list[int] = []
    hanging = [
        here.threads.to_pool("setup", lambda n=n: (begun.append(n), gates[n].wait()))
        for n in range(2)
    ]
    waiting = here.threads.to_pool("setup", begun.append, 2)
    here.until(lambda: begun == [0])

    here.clock.advance(1.5)
    before = list(begun)
    here.clock.advance(2)
    here.until(lambda: begun == [0, 1])
    here.clock.advance(10)
    status = here.threads.status()["setup"]

    assert before == [0]
    assert (status["busy"], status["hung"], status["spare"], status["queued"]) == (2, 2, 1, 1)
    gates[0].set()
    result_of(here, waiting)
    assert begun == [0, 1, 2]
    gates[1].set()
    for d in hanging:
        result_of(here, d)
    here.clock.advance(2)
    assert here.clock.pending == 0


@pytest.mark.parametrize("wrong", [{"spare": -1}, {"spare": 1, "hung_s": 0}])
def test_spare_threads_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="spare >= 0 and hung_s > 0"):
        PoolSize(0, 1, **wrong)


def test_threads_above_the_kept_ones_end_when_idle(
    live: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smapd.runtime.pool.IDLE_S", 0.02)
    here = live(poll=PoolSize(1, 3))
    gate = here.gate()
    meet = threading.Barrier(3, gate.set)
    for d in [here.threads.to_pool("poll", meet.wait, 5) for _ in range(3)]:
        result_of(here, d)

    here.until(lambda: here.threads.status()["poll"]["idle"] == 1)

    assert result_of(here, here.threads.to_pool("poll", int)) == 0


class Noted:
    """A job that notes when it runs beside another of its lane."""

    beside = 0

    def __init__(self, name: str, lane: Lane | None, seen: list[str], now: dict[Any, int]) -> None:
        self.name, self.lane, self.seen, self.now = name, lane, seen, now

    def run(self) -> None:
        self.now[self.lane] = self.now.get(self.lane, 0) + 1
        if self.lane is not None and self.now[self.lane] > 1:
            Noted.beside += 1
        threading.Event().wait(0.001)
        self.now[self.lane] -= 1
        self.seen.append(self.name)


def test_jobs_of_one_lane_run_one_at_a_time_in_order(live: Make) -> None:
    """ARCHITECTURE 9.6: no driver holds two poll threads."""
    here = live(poll=PoolSize(4, 8))
    lanes = [Lane() for _ in range(4)]
    seen: list[str] = []
    now: dict[Any, int] = {}
    Noted.beside = 0
    jobs = [Noted(f"{k}.{i}", lanes[k], seen, now) for i in range(20) for k in range(4)]

    refused = here.threads.submit("poll", jobs)
    here.until(lambda: len(seen) == 80)

    assert (refused, Noted.beside) == ([], 0)
    for k in range(4):
        assert [n for n in seen if n.startswith(f"{k}.")] == [f"{k}.{i}" for i in range(20)]


def test_many_short_jobs_wake_few_threads(live: Make) -> None:
    here = live(poll=PoolSize(20, 200))
    seen: list[str] = []

    class Short:
        lane = None
        name = "short"

        def run(self) -> None:
            seen.append("")

    here.threads.submit("poll", [Short() for _ in range(2000)])
    here.until(lambda: len(seen) == 2000)

    assert here.threads.status()["poll"]["idle"] + here.threads.status()["poll"]["busy"] <= 20


def test_a_machine_without_threads_left_says_so(live: Make, logged: Any) -> None:
    here = live(work=ONE)
    pool = here.threads._pools["work"]
    spawn = pool._spawn

    def fail(name: str, f: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    pool._spawn = fail
    first = here.threads.to_pool("work", int)
    pool._spawn = spawn
    second = here.threads.to_pool("work", int)

    assert [result_of(here, first), result_of(here, second)] == [0, 0]
    assert logged.texts("error") == [
        "no further thread for work beside 0: can't start new thread; what is queued waits"
    ]


def test_cancelled_call_does_not_begin(live: Make) -> None:
    here = live(work=ONE)
    gate, seen = here.gate(), []
    running = here.threads.to_pool("work", gate.wait)
    waiting = here.threads.to_pool("work", seen.append, 1)

    waiting.cancel()
    gate.set()

    assert result_of(here, running) is True
    assert result_of(here, waiting).type is CancelledError
    result_of(here, here.threads.to_pool("work", int))
    assert seen == []


# --- to the reactor


def test_before_start_every_door_to_the_reactor_calls_straight_through() -> None:
    """ARCHITECTURE 3.3: the tutorial's inst.add_timeseries works ahead of server.run."""
    threads = Threads(None, FakeClock(), {})  # type: ignore[arg-type]

    assert threads.to_reactor(threading.get_ident) == threading.get_ident()
    assert threads.to_reactor(threading.get_ident, wait=False) is None


def test_on_the_reactors_thread_it_calls_straight_through(live: Make) -> None:
    here = live()

    assert here.threads.to_reactor(divmod, 7, 2) == (3, 1)


def test_from_a_thread_it_waits_for_the_answer_or_the_exception(live: Make) -> None:
    here = live(work=ONE)
    home = threading.get_ident()

    def ask() -> Any:
        return here.threads.to_reactor(lambda: threading.get_ident() == home)

    def ask_wrongly() -> Any:
        return here.threads.to_reactor(lambda: 1 / 0)

    assert result_of(here, here.threads.to_pool("work", ask)) is True
    assert result_of(here, here.threads.to_pool("work", ask_wrongly)).type is ZeroDivisionError


def test_without_waiting_it_returns_at_once_and_keeps_the_order(live: Make, logged: Any) -> None:
    here = live(work=ONE)
    seen: list[int] = []

    def tell() -> None:
        for i in range(1000):
            here.threads.to_reactor(seen.append, i, wait=False)
        here.threads.to_reactor(lambda: 1 / 0, wait=False)

    result_of(here, here.threads.to_pool("work", tell))

    assert seen == list(range(1000))
    assert any("failed on the reactor" in text for text in logged.texts("critical"))


def test_many_calls_wake_the_reactor_once(live: Make) -> None:
    here = live(work=ONE)
    seen: list[int] = []

    def tell() -> None:
        for i in range(1000):
            here.threads.to_reactor(seen.append, i, wait=False)
        done.set()

    done = here.gate()
    here.threads.to_pool("work", tell)
    done.wait(5)
    here.until(lambda: len(seen) == 1000)

    assert here.pump.wakes <= 2


def test_a_reactor_far_behind_is_busy(live: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smapd.runtime.threads.MAX_POSTED", 3)
    here = live(work=ONE)

    told = here.gate()

    def tell() -> None:
        try:
            for _ in range(4):
                here.threads.to_reactor(int, wait=False)
        finally:
            told.set()

    d = here.threads.to_pool("work", tell)
    assert told.wait(5)  # nobody has drained anything yet

    assert result_of(here, d).type is Busy


# --- the end


def test_stop_waits_for_what_runs_and_fails_what_waits(live: Make) -> None:
    here = live(work=ONE)
    gate = here.gate()
    running = here.threads.to_pool("work", lambda: gate.wait() and "done")
    waiting = here.threads.to_pool("work", int)

    over = here.threads.stop(4)
    failed = result_of(here, waiting)
    before = over.called
    gate.set()

    assert result_of(here, running) == "done"
    assert (before, result_of(here, over)) == (False, [])
    assert failed.type is ShutdownRequested
    assert "int was not begun" in str(failed.value)


def test_stop_abandons_by_name_what_overruns(live: Make) -> None:
    here = live(work=ONE)
    gate = here.gate()

    def stuck() -> None:
        gate.wait()

    running = here.threads.to_pool("work", stuck)
    here.until(lambda: here.threads.status()["work"]["busy"])

    over = here.threads.stop(4)
    here.clock.advance(4)

    [name] = result_of(here, over)
    assert name.startswith("work: ")
    assert name.endswith("stuck")
    assert result_of(here, running).type is ShutdownRequested


def test_after_stop_the_doors_are_shut(live: Make) -> None:
    here = live(work=ONE)
    result_of(here, here.threads.stop(1))
    seen: list[BaseException] = []

    def late() -> None:
        try:
            here.threads.to_reactor(int)
        except ShutdownRequested as problem:
            seen.append(problem)

    thread = threading.Thread(target=late)
    thread.start()
    thread.join(5)

    assert "int was not called: smapd has stopped" in str(seen[0])
    assert result_of(here, here.threads.to_pool("work", int)).type is ShutdownRequested
    with pytest.raises(ShutdownRequested):
        here.threads.stop(1)
    assert here.threads.to_reactor(int) == 0


def test_all_threads_are_daemons_and_their_stacks_can_be_read(live: Make) -> None:
    """P-18: stacks are logged before the watchdog kills."""
    here = live(work=ONE)
    gate, begun = here.gate(), here.gate()

    def blocked_here() -> None:
        begun.set()
        gate.wait()

    here.threads.to_pool("work", blocked_here)
    begun.wait(5)
    stacks = all_stacks()

    assert "Thread work-1:" in stacks
    assert "blocked_here" in stacks
    assert all(t.daemon for t in threading.enumerate() if t.name.startswith("work-"))


@pytest.mark.parametrize("wrong", [(-1, 1, 1), (2, 1, 1), (0, 0, 1), (0, 1, 0)])
def test_a_pool_size_without_sense_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="a pool needs"):
        PoolSize(*wrong)

"""When each periodic call comes: one heap behind one timer.

The next beat is set when a beat comes, never when a call ends, so a slow call costs its own beats
and nobody's time. Beat n is at start + n × interval: the error of a beat is never carried on.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import itertools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from smapd.errors import Busy, ShutdownRequested
from smapd.values import ClockStep, Json

from .backoff import Backoff
from .beat import Beat
from .calls import PeriodicCall, State
from .faults import FaultLog

if TYPE_CHECKING:
    from .clock import Clock, Repeating, Timer
    from .threads import Threads

GRAIN_S = 0.004
"""After a beat the timer rests so long: the beats that fall into it come together, so that many
calls cost few wake-ups. A lone call is not delayed by it, nor the first beat of any."""

EARLY_S = 1e-6
"""A timer may come early by the rounding of a sum; such a beat is due."""

WATCH_S = 1.0


class Scheduler:
    """Hands each call to its place when it is due; everything on the reactor's thread."""

    def __init__(
        self,
        clock: Clock,
        threads: Threads,
        *,
        faults: FaultLog | None = None,
        rng: Callable[[], float] = random.random,
        pool: str = "poll",
    ) -> None:
        """``pool``: the name of the pool whose threads make the calls."""
        self.seconds = clock.seconds
        self.faults = faults if faults is not None else FaultLog(clock.seconds)
        self.log = Logger()
        self.threads = threads
        self._clock, self._rng, self._pool = clock, rng, pool
        self._heap: list[tuple[float, int, PeriodicCall]] = []
        self._orders = itertools.count(1)
        self._calls: dict[PeriodicCall, None] = {}
        self._open: set[PeriodicCall] = set()
        self._gone = 0
        self._timer: Timer | None = None
        self._armed_s = 0.0
        self._watch: Repeating | None = None
        self.busy = 0

    # --- who is called

    def begin(self, call: PeriodicCall, beat: Beat) -> None:
        """Let this call come from now on, or at another interval."""
        if call in self._calls:
            call._order = 0
            self._let_gone()
        self._calls[call] = None
        call._scheduler = self
        call.beat = beat
        if call.state is State.STOPPED:
            call.state = State.WAITING
        self._place(call, beat)
        if self._watch is None:
            self._watch = self._clock.every(WATCH_S, self._look_for_hung)
        self._arm()

    def end(self, call: PeriodicCall) -> None:
        """Let it come no more; one that runs is left to end."""
        if call not in self._calls:
            return
        del self._calls[call]
        call._order = 0
        if call.state is State.WAITING:
            call.state = State.STOPPED
        self._let_gone()
        if not self._calls and self._watch is not None and not self._open:
            self._watch.stop()
            self._watch = None

    def stop(self, timeout_s: float) -> Deferred[list[str]]:
        """End every call; wait for what runs.

        Fires with the names of the calls that still ran after ``timeout_s``; they are abandoned.
        """
        calls = list(self._calls)
        for call in calls:
            self.end(call)
        if self._timer is not None:
            self._timer.discard()
            self._timer = None
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        return self.wait_for(calls, timeout_s)

    def wait_for(self, calls: list[PeriodicCall], timeout_s: float) -> Deferred[list[str]]:
        """Fires when none of these (ended) calls runs, or with the names of those that do."""
        # one that is queued sees, before it begins, that it was ended
        running = {call for call in calls if call.state is State.RUNNING}
        if not running:
            return succeed([])
        over: Deferred[list[str]] = Deferred()

        def gone(call: PeriodicCall) -> None:
            running.discard(call)
            if not running and not over.called:
                timer.discard()
                over.callback([])

        def late() -> None:
            over.callback(sorted(call.name for call in running))

        timer = self._clock.later(timeout_s, late)
        for call in list(running):
            call._when_idle = _poster(self.threads, gone, call)
            if call.state is not State.RUNNING:  # it ended between the two looks
                gone(call)
        return over

    def clock_stepped(self, step: ClockStep) -> None:
        """The wall clock jumped: calls that follow it find their beats anew; the others go on."""
        for call in list(self._calls):
            if call.beat is not None and call.beat.align_s is not None:
                call._order = 0
                self._let_gone()
                self._place(call, call.beat)
        self._arm()

    def backoff(self) -> Backoff:
        """A new one, for one device."""
        return Backoff(self._rng)

    # --- beats

    def _place(self, call: PeriodicCall, beat: Beat) -> None:
        now_s = self.seconds()
        shift_s = 0.0
        if beat.spread_s:
            shift_s = _part(f"{call.path} {call.name}") * beat.spread_s
        if beat.align_s is not None:
            wall_s = self._clock.wall_ms() / 1000
            past_s = (wall_s - shift_s) % beat.align_s
            first_s = now_s + (beat.align_s - past_s if past_s > 0.0005 else 0.0)
        else:
            first_s = now_s + shift_s + (0.0 if beat.now else beat.interval_s)
        call._base_s, call._beats = first_s, 0
        call._order = next(self._orders)
        heapq.heappush(self._heap, (first_s, call._order, call))

    def _let_gone(self) -> None:
        """An entry of the heap is no longer good; when most are not, sweep."""
        self._gone += 1
        if self._gone > 64 and self._gone > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if entry[2]._order == entry[1]]
            heapq.heapify(self._heap)
            self._gone = 0

    def _arm(self, not_before_s: float = 0.0) -> None:
        heap = self._heap
        if not heap:
            return
        due_s = max(heap[0][0], not_before_s)
        timer = self._timer
        if timer is not None and timer.active():
            if self._armed_s <= due_s:
                return
            timer.discard()
        self._armed_s = due_s
        self._timer = self._clock.later(due_s - self.seconds(), self._fire)

    def _fire(self) -> None:
        heap, replace = self._heap, heapq.heapreplace
        now_s = self.seconds()
        due_until_s = now_s + EARLY_S
        batch: list[PeriodicCall] = []
        here: list[PeriodicCall] = []
        waiting, queued = State.WAITING, State.QUEUED
        while heap and heap[0][0] <= due_until_s:
            due_s, order, call = heap[0]
            if call._order != order:
                heapq.heappop(heap)
                self._gone -= 1
                continue
            interval_s = call.beat.interval_s  # type: ignore[union-attr]
            call._beats += 1
            next_s = call._base_s + call._beats * interval_s
            if next_s <= due_until_s:
                skipped = int((due_until_s - next_s) / interval_s) + 1
                call.missed += skipped
                call._beats += skipped
                next_s += skipped * interval_s
            replace(heap, (next_s, order, call))
            if call.state is not waiting:
                call.missed += 1
            elif due_s < call.not_before_s:
                call.held += 1
            else:
                call.state = queued
                call._due_s = due_s
                (here if call._is_async or call._home.on_reactor else batch).append(call)
        try:
            if batch:
                self._hand_over(batch)
            for call in here:
                if call._home.on_reactor:
                    call.run_here()
                else:
                    call.run_async(self.threads.to_user_loop)
        finally:
            self._arm(now_s + GRAIN_S)

    def _hand_over(self, batch: list[PeriodicCall]) -> None:
        refused = self.threads.submit(self._pool, batch)
        for job in refused:
            assert isinstance(job, PeriodicCall)
            job.state = State.WAITING
            job.missed += 1
        if refused:
            self.busy += len(refused)
            self.faults.fault(
                "poll pool full",
                f"polls are left out: the queue of the {self._pool} threads is full",
                same="full",
            )

    # --- who watches

    def opened(self, call: PeriodicCall) -> None:
        """This call waits for a Deferred."""
        self._open.add(call)

    def closed(self, call: PeriodicCall) -> None:
        """Its Deferred has fired."""
        self._open.discard(call)

    def _look_for_hung(self) -> None:
        now_s = self.seconds()
        for job, since_s in self.threads.running(self._pool):
            if isinstance(job, PeriodicCall):
                self._look_at(job, now_s - since_s)
        for call in list(self._open):
            self._look_at(call, now_s - call._since_s)

    def _look_at(self, call: PeriodicCall, ran_s: float) -> None:
        if call.hung or ran_s <= call.limit_s or call.state is not State.RUNNING:
            return
        call.hung = True
        self.log.warn(
            "{call} has not come back for {ran_s:.0f} s; its beats are left out until it does, "
            "others go on",
            call=call.name,
            ran_s=ran_s,
            driver=call.path,
        )

    def hung(self) -> list[str]:
        """The names of the calls that hang now."""
        return sorted(call.name for call in self._calls if call.hung)

    def status(self, most: int | None = None) -> list[Json]:
        """Each call's state and counters; those with trouble first; at most ``most``."""
        now_s = self.seconds()
        calls = sorted(self._calls, key=lambda call: (not call.hung, not call.error, call.name))
        return [call.status(now_s) for call in calls[:most]]

    def summary(self) -> Json:
        """The sums over all calls, and the first hundred by ``status``."""
        calls = list(self._calls)
        return {
            "calls": len(calls),
            "runs": sum(call.runs for call in calls),
            "missed": sum(call.missed for call in calls),
            "failed": sum(call.failed for call in calls),
            "bad_readings": sum(call.bad_readings for call in calls),
            "left_out_for_lack_of_threads": self.busy,
            "hung": self.hung(),
            "took_s": round(sum(call.took_sum_s for call in calls), 6),
            "late_s": round(sum(call.late_sum_s for call in calls), 6),
            "worst_late_s": round(max((call.worst_late_s for call in calls), default=0.0), 6),
            "first": self.status(100),
        }


def _part(name: str) -> float:
    """A number in [0, 1) that is always the same for a name, and evenly spread over names."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest()) / 2**48


def _poster(threads: Threads, f: Callable[[Any], None], call: PeriodicCall) -> Callable[[], None]:
    def post() -> None:
        # on the call's own thread, which must not end by it; who waits has a time limit
        with contextlib.suppress(Busy, ShutdownRequested):
            threads.to_reactor(f, call, wait=False)

    return post

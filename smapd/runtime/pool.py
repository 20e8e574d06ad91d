"""A pool of threads that wakes as few of them as it can.

Jobs stand in one queue. Whoever takes a job while more are waiting wakes one sleeper before it
begins, and never is more than one on its way. So a row of short jobs is done by a thread or two
that are awake anyway, without a context switch each, and a job that blocks delays the next by one
wake-up only. (Measured at 10,000 short jobs a second: 5 % of a core, where waking one thread a job
takes 30 % and more.)

A job that hangs keeps its thread for good. In a pool that has ``spare`` threads, such a one no
longer counts as one of the ``most``: another takes its place, so that who hangs does not keep the
others from running.

A *lane* is a set of jobs that run one at a time. Between two of its jobs the others have a turn.

Threads and locks are handed in by ``threads.py``, which is the only file that makes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from twisted.logger import Logger

IDLE_S = 30.0
"""How long a thread above the number kept waits for work before it ends."""

_log = Logger()


class ILock(Protocol):
    """What ``threading.Lock()`` gives."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it."""

    def release(self) -> None:
        """Give it back; from any thread."""

    def __enter__(self) -> bool:
        """Take it."""

    def __exit__(
        self,
        type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Give it back."""


@dataclass(frozen=True, slots=True)
class PoolSize:
    """``kept`` threads stay when idle, up to ``most`` run, up to ``queue`` jobs wait.

    Up to ``spare`` more run, one for each whose job has run for more than ``hung_s`` seconds.
    """

    kept: int
    most: int
    queue: int = 10_000
    spare: int = 0
    hung_s: float = 10.0

    def __post_init__(self) -> None:
        if self.spare < 0 or not self.hung_s > 0:
            raise ValueError(f"a pool needs spare >= 0 and hung_s > 0: got {self}")
        if not (0 <= self.kept <= self.most and self.most >= 1 and self.queue >= 1):
            raise ValueError(
                f"a pool needs 0 <= kept <= most, most >= 1 and queue >= 1: got {self}"
            )


class Lane:
    """Jobs that name the same lane run one at a time, in order."""

    __slots__ = ("held", "waiting")

    def __init__(self) -> None:
        self.held = False
        self.waiting: deque[Job] | None = None  # most lanes never need one, and it is 600 bytes


class Job(Protocol):
    """Something to do on a thread. ``run`` must not raise: it reports by itself."""

    @property
    def name(self) -> str:
        """What to call it in the log."""

    @property
    def lane(self) -> Lane | None:
        """Which jobs it must not run beside; None if it may run beside all."""

    def run(self) -> None:
        """Do it."""


class _Worker:
    __slots__ = ("gate", "job", "number", "since_s", "started")

    def __init__(self, number: int, gate: ILock) -> None:
        self.number = number
        self.gate = gate
        gate.acquire()
        self.started = False
        self.job: Job | None = None
        self.since_s = 0.0


class Pool:
    """The threads of one name; every method from any thread."""

    def __init__(
        self,
        name: str,
        size: PoolSize,
        *,
        spawn: Callable[[str, Callable[[], None]], None],
        lock: Callable[[], ILock],
        seconds: Callable[[], float],
        emptied: Callable[[], None],
    ) -> None:
        """``emptied`` is called, on some thread, when after ``stop`` the last thread has ended."""
        self.name = name
        self.size = size
        self.done = 0
        self._spawn, self._make_lock, self._seconds = spawn, lock, seconds
        self._emptied = emptied
        self._lock = lock()
        self._queue: deque[Job] = deque()
        self._idle: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._numbers = 0
        self._waking = False
        self._stopped = False
        self._told_no_thread = False

    def submit(self, jobs: Iterable[Job]) -> list[Job]:
        """Queue these; the ones there was no room for come back."""
        refused = []
        room = self.size.queue
        with self._lock:
            queue = self._queue
            for job in jobs:
                lane = job.lane
                if lane is not None and lane.held:
                    if lane.waiting is None:
                        lane.waiting = deque()
                    lane.waiting.append(job)
                elif self._stopped or len(queue) >= room:
                    refused.append(job)
                else:
                    if lane is not None:
                        lane.held = True
                    queue.append(job)
            worker = self._next_to_wake()
        if worker is not None:
            self._wake(worker)
        return refused

    def running(self) -> list[tuple[Job, float]]:
        """The jobs under way, each with the ``seconds`` at which it began; oldest first."""
        with self._lock:
            busy = [(w.job, w.since_s) for w in self._workers if w.job is not None]
        return sorted(busy, key=lambda pair: pair[1])

    def counts(self) -> tuple[int, int, int]:
        """How many threads are idle and busy, and how many jobs wait."""
        with self._lock:
            busy = sum(w.job is not None for w in self._workers)
            return len(self._workers) - busy, busy, len(self._queue)

    def hung(self) -> int:
        """How many jobs have run for longer than the size's ``hung_s``."""
        with self._lock:
            return self._hung()

    def look(self) -> bool:
        """Take a spare thread where one is due; whether jobs wait. Call it every second or so."""
        with self._lock:
            worker = self._next_to_wake()
            waits = bool(self._queue)
        if worker is not None:
            self._wake(worker)
        return waits

    def stop(self) -> list[Job]:
        """Take no more jobs; idle threads end now, busy ones after their job.

        What was waiting comes back, never run.
        """
        with self._lock:
            self._stopped = True
            dropped = list(self._queue)
            self._queue.clear()
            for job in [*dropped, *(w.job for w in self._workers if w.job is not None)]:
                if job.lane is not None and job.lane.waiting:
                    dropped.extend(job.lane.waiting)
                    job.lane.waiting = None
            idle, self._idle = self._idle, []
            empty = not self._workers
        for worker in idle:
            worker.gate.release()
        if empty:
            self._emptied()
        return dropped

    def _next_to_wake(self) -> _Worker | None:
        """With the lock held: the thread to wake next, if one is needed and none is on its way."""
        if self._waking or not self._queue:
            return None
        if self._idle:
            self._waking = True
            return self._idle.pop()
        if len(self._workers) >= self.size.most and len(self._workers) >= self._most_now():
            return None
        self._waking = True
        self._numbers += 1
        worker = _Worker(self._numbers, self._make_lock())
        self._workers.add(worker)
        return worker

    def _most_now(self) -> int:
        size = self.size
        return size.most + (min(size.spare, self._hung()) if size.spare else 0)

    def _hung(self) -> int:
        since_s = self._seconds() - self.size.hung_s
        return sum(w.job is not None and w.since_s < since_s for w in self._workers)

    def _wake(self, worker: _Worker) -> None:
        if worker.started:
            worker.gate.release()
            return
        worker.started = True
        try:
            self._spawn(f"{self.name}-{worker.number}", lambda: self._work(worker))
            self._told_no_thread = False
        except RuntimeError as problem:  # the machine gives no more threads
            with self._lock:
                self._workers.discard(worker)
                self._waking = False
            if self._told_no_thread:
                return
            self._told_no_thread = True
            _log.error(
                "no further thread for {pool} beside {n}: {problem}; what is queued waits",
                pool=self.name,
                n=len(self._workers),
                problem=problem,
            )

    def _work(self, worker: _Worker) -> None:
        woken = True
        try:
            while True:
                with self._lock:
                    if woken:
                        self._waking = woken = False
                    job = self._take(worker)
                    to_wake = self._next_to_wake()
                    if job is None and self._stopped:
                        return
                if to_wake is not None:
                    self._wake(to_wake)
                if job is not None:
                    job.run()
                elif self._sleep(worker):
                    woken = True
                else:
                    return
        finally:
            self._leave(worker)

    def _take(self, worker: _Worker) -> Job | None:
        """With the lock held: end the job that was run, begin the next, or lie down."""
        last = worker.job
        if last is not None:
            self.done += 1
            self._free(last)
        if self._queue:
            worker.since_s = self._seconds()
            worker.job = self._queue.popleft()
            return worker.job
        worker.job = None
        if not self._stopped:
            self._idle.append(worker)
        return None

    def _free(self, job: Job) -> None:
        lane = job.lane
        if lane is None:
            return
        if lane.waiting and not self._stopped:
            self._queue.append(lane.waiting.popleft())  # to the end: the others come first
        else:
            lane.held = False

    def _sleep(self, worker: _Worker) -> bool:
        """Wait for work; False if there was none for long and the thread should end."""
        while True:
            limit_s = IDLE_S if len(self._workers) > self.size.kept else -1
            if worker.gate.acquire(timeout=limit_s):
                return True
            with self._lock:
                if worker not in self._idle:  # picked a moment ago: the gate opens soon
                    limit_s = -1
                elif len(self._workers) > self.size.kept:
                    self._idle.remove(worker)
                    self._workers.discard(worker)
                    return False
            if limit_s == -1:
                worker.gate.acquire()
                return True

    def _leave(self, worker: _Worker) -> None:
        with self._lock:
            if worker.job is not None:  # run() raised, against its promise
                self._free(worker.job)
                worker.job = None
            self._workers.discard(worker)
            empty = self._stopped and not self._workers
            to_wake = self._next_to_wake()
        if to_wake is not None:
            self._wake(to_wake)
        if empty:
            self._emptied()

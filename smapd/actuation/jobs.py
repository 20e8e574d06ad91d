"""Jobs: sets that are made at a time, or one after another.

They are checked when they come, as a request for each set would be, and again when they run. A job
that has waited for its time runs when the wall clock says so, wherever that was set meanwhile. They
live in memory: none outlives the daemon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger
from zope.interface import implementer

from smapd.errors import BadRequest, Busy, SmapError
from smapd.interfaces import IActuators, IClock, IJobs, ITimer
from smapd.values import Json

from .job import Job, Order, read_orders

MOST_WAITING: Final = 1_000
MOST_OVER: Final = 1_000
"""Finished jobs that stay on the list; the oldest go."""
AT_ONCE: Final = 4
LOOK_S: Final = 10.0
"""How long a step of the wall clock may go unnoticed by a job that waits."""


@implementer(IJobs)
class Jobs:
    """The list of jobs; every method on the reactor's thread."""

    log = Logger()

    def __init__(
        self,
        actuators: IActuators,
        clock: IClock,
        new_uuid: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._actuators, self._clock, self._new_uuid = actuators, clock, new_uuid
        self._jobs: dict[str, Job] = {}  # by uuid, oldest first
        self._turns = DeferredSemaphore(AT_ONCE)
        self._timer: ITimer | None = None
        self._closed = False
        self._done = self._failed = 0

    def close(self) -> None:
        """No further job begins; one that runs ends after the set under way."""
        self._closed = True
        if self._timer is not None:
            self._timer.discard()
            self._timer = None

    # --- IJobs

    def put(self, body: Any, may: Callable[[str], None]) -> list[str]:
        """Take a list of jobs, all or none; see ``IJobs.put``.

        Besides BadRequest and Busy it raises what a set would: NoSuchPath, NotAnActuator, BadState,
        and what ``may`` raises.
        """
        orders = read_orders(body, self._clock.wall_ms())
        waiting = sum(not job.is_over for job in self._jobs.values())
        if waiting + len(orders) > MOST_WAITING:
            raise Busy(f"{waiting} jobs wait already, and no more than {MOST_WAITING} may.")
        for order in orders:
            for action in order.actions:
                may(action.path)
                self._actuators.check(action.path, action.state)
        made = self._chained(orders, may)
        self._jobs |= {job.uuid: job for job in made}
        self.look()
        return [job.uuid for job in made]

    def listed(self, full: bool = False) -> list[Json]:
        """All jobs, oldest first; see ``IJobs.listed``."""
        return [job.as_json(full) for job in self._jobs.values()]

    def cancel(self, body: Any) -> list[str]:
        """Take jobs off the list; see ``IJobs.cancel``. One that runs ends after its next set."""
        if not isinstance(body, list) or not all(isinstance(uuid, str) for uuid in body):
            raise BadRequest("The body is a list of the uuids that PUT /jobs gave.")
        for uuid in body:
            job = self._jobs.pop(uuid, None)
            if job is not None and not job.is_over:
                job.is_cancelled = True
                if job.state == "waiting":
                    self._end(job, "skipped", "It was taken off the list.")
        self.look()
        return list(self._jobs)

    # --- time

    def look(self) -> None:
        """Begin what is due, and be back when the next is; also after a step of the clock."""
        if self._timer is not None:
            self._timer.discard()
            self._timer = None
        if self._closed:
            return
        now_ms = self._clock.wall_ms()
        next_ms: int | None = None
        for job in list(self._jobs.values()):
            if job.state != "waiting" or not self._follows(job):
                continue
            start_ms = job.order.start_ms
            if start_ms is None or start_ms <= now_ms:
                job.state = "running"
                run = Deferred.fromCoroutine(self._run(job))
                self._clock.background(run, f"running the job {job.uuid}")
            elif next_ms is None or start_ms < next_ms:
                next_ms = start_ms
        self._forget_old()
        if next_ms is not None and self._timer is None:
            self._timer = self._clock.later(min((next_ms - now_ms) / 1000, LOOK_S), self.look)

    def status(self) -> dict[str, Json]:
        """What ``/status`` shows."""
        states = [job.state for job in self._jobs.values()]
        failed = [job for job in self._jobs.values() if job.state == "failed"][-10:]
        return {
            "waiting": states.count("waiting"),
            "running": states.count("running"),
            "done": self._done,
            "failed": self._failed,
            "last_failures": [
                {"uuid": job.uuid, "name": job.order.name, "error": job.error} for job in failed
            ],
        }

    # --- private

    def _chained(self, orders: list[Order], may: Callable[[str], None]) -> list[Job]:
        """The jobs, each with the one that it comes after: the newest of that name."""
        named = {job.order.name: job for job in self._jobs.values() if job.order.name is not None}
        made = []
        for i, order in enumerate(orders):
            previous = None
            if order.after is not None:
                previous = named.get(order.after)
                if previous is None:
                    raise BadRequest(f"Job {i}: No job named {order.after} comes before it.")
            job = Job(self._new_uuid(), order, previous, may)
            if order.name is not None:
                named[order.name] = job
            made.append(job)
        return made

    def _follows(self, job: Job) -> bool:
        """Whether what it waits for has succeeded; if that never will, the job is skipped."""
        previous = job.previous
        if previous is None:
            return True
        if not previous.is_over:
            return False
        if previous.state == "done":
            job.previous = None  # a chain of a year's jobs is not kept in memory
            return True
        self._end(job, "skipped", f"The job before it, {previous.order.name}, did not succeed.")
        return False

    async def _run(self, job: Job) -> None:
        await self._turns.acquire()
        try:
            for i, action in enumerate(job.order.actions):
                if self._closed or job.is_cancelled:
                    self._end(job, "failed", "It was stopped before its end.")
                    break
                try:
                    job.may(action.path)
                    await self._actuators.set(action.path, action.state)
                except SmapError as error:
                    self._end(job, "failed", f"Action {i}, {action.path}: {error.message}")
                    text = "job {uuid} ({name}) failed: {error}"
                    self.log.warn(text, uuid=job.uuid, name=job.order.name, error=job.error)
                    break
            else:
                self._end(job, "done", "")
        finally:
            if not job.is_over:  # by a mistake of ours, which is logged
                self._end(job, "failed", "Something went wrong inside smapd.")
            self._turns.release()
            if not self._closed:  # not at once: a long chain of short jobs would be a deep call
                self._clock.later(0, self.look)

    def _end(self, job: Job, state: str, error: str) -> None:
        job.state, job.error, job.previous = state, error, None
        self._done += state == "done"
        self._failed += state == "failed"

    def _forget_old(self) -> None:
        over = [uuid for uuid, job in self._jobs.items() if job.is_over]
        for uuid in over[: max(0, len(over) - MOST_OVER)]:
            del self._jobs[uuid]

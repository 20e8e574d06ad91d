"""Hands resources to their agents, and goes on behind what came of them; keeps what is deployed.

One deploy runs at a time; a newer one overtakes it. A dry run waits until nothing is under way,
and gives way to a deploy. When a deploy is done its resources are looked at again, each
``RepairInterval`` of its agent after it was last looked at. A deploy waits a while for agents that
are not there; a dry run does not. On the reactor's thread.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smapd.errors import Busy, DeviceFailed, NotConnected, NotReady, ShutdownRequested
from smapd.interfaces import IClock
from smapd.values import Json

from .jobs import Drift, IAgent, Job
from .ledger import Ledger, at_the_end
from .present import Present
from .repair import Repair
from .rows import action_of, action_of_none, is_quiet, row_of, row_of_none
from .runs import DONE, OVERTAKEN, RUNNING, WAITING, Run
from .states import Place, ResourceState, Settled

MOST_WAITING: Final = 100


class Dispatcher:
    """The deploys, one after another; see the top of this file."""

    def __init__(
        self,
        ledger: Ledger,
        clock: IClock,
        looked: Callable[[str, int, str, int], None],
        drifted: Callable[[Drift], None],
        ended: Callable[[Run], None] = lambda run: None,
    ) -> None:
        """``looked(resource, ms, status, differences)``: after each look for repair.

        ``ended``: told of a run that is over, and of one that was, and has one result more.
        """
        self._ledger, self._clock = ledger, clock
        self._ended = ended
        self._present = Present(clock, self.pump)
        self.agents = self._present.agents
        self.current: Run | None = None
        self.dry: Run | None = None
        self.dry_waiting: deque[Run] = deque()
        self.is_stopping = False
        self.repair = Repair(clock, self._look_again, looked, drifted)
        self._jobs: dict[int, tuple[Run, str, IAgent]] = {}
        # No number of before a start comes again: agents elsewhere may still work on those.
        self._last_job = secrets.randbits(50)
        self._idle: list[Deferred[None]] = []
        self._pumping = False

    # --- agents come and go

    def add_agent(self, agent: IAgent) -> None:
        """It takes jobs from now on; what was unavailable for want of it is done now."""
        self.agents[agent.name] = agent
        for run in (self.current, self.dry):
            if run is not None and run.deployment is not None:
                run.deployment.set_devices(self._present.device_of, agent.names)
        if self.current is not None:
            self._do_what_waited_for(agent, self.current)
        self.pump()

    def remove_agent(self, name: str) -> None:
        """It takes no more; what it had under way is its own to fail."""
        if self.agents.pop(name, None) is not None:
            self._present.wait()
            self.pump()  # a dry run does not wait

    def _do_what_waited_for(self, agent: IAgent, run: Run) -> None:
        late = []
        for i, id_ in enumerate(run.version.ids):
            if run.version.agents[i] in agent.names and i in run.results:
                self._schedule(run, id_, run.version.agents[i])
                if run.results[i].get("no_agent"):
                    late.append(id_)
        if late and run.deployment is not None:
            self._told_skips(run, run.deployment.again(late))

    def serving(self, name: str) -> IAgent | None:
        """Who takes the jobs of that agent name, None if nobody does now."""
        return self._present.serving(name)

    # --- runs

    def runs(self) -> list[Run]:
        """What is deployed or being so, the dry run under way, and those that wait."""
        found = [self.current, self.dry, *self.dry_waiting]
        return [run for run in found if run is not None]

    def begin(self, run: Run) -> None:
        """Deploy it, or look as soon as nothing else is under way.

        :raises Busy: if too many dry runs wait already.
        """
        if run.dry_run:
            if len(self.dry_waiting) >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} dry runs wait already.")
            run.state = WAITING
            self.dry_waiting.append(run)
        else:
            older = self.dry or self.current
            if self.current is not None:
                self._overtake(self.current)
            if self.dry is not None:
                self._overtake(self.dry)
                self.dry = None
            self.repair.clear()
            skipped = run.begin(
                self._present.device_of, None if older is None else older.deployment
            )
            self.current = run
            self._told_skips(run, skipped)
            self._present.wait()
        self.pump()
        self._look_whether_done()

    def resume(self, run: Run) -> None:
        """Go on with the deploy of before the start, or keep what it deployed."""
        skipped = run.begin(self._present.device_of, None)
        self.current = run
        self._told_skips(run, skipped)
        assert run.deployment is not None
        if not run.deployment.is_complete:  # or the row of a result was damaged
            run.state, run.ended_ms = RUNNING, None
        for agent in self._present:
            self._do_what_waited_for(agent, run)
        self._present.wait()
        self.pump()
        self._look_whether_done()

    def stop(self) -> Deferred[None]:
        """Begin nothing more; fires when nothing is under way."""
        self.is_stopping = True
        self.repair.clear()
        self._present.close()
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        self._tell_idle()
        return done

    @property
    def under_way(self) -> int:
        """Jobs that agents have."""
        return len(self._jobs)

    def check_facts(self, run: Run, name: str) -> Deferred[dict[str, Json]]:
        """Ask a resource's handler for facts, beside all else; fires once they are kept.

        :raises NotReady: if no agent serves it.
        :raises Busy: if its agent has no thread free, or the handler works on it just now.
        """
        i = run.version.index[name]
        agent = self._present.serving(run.version.agents[i])
        if agent is None or self.is_stopping:
            raise NotReady(f"There is no agent that serves {run.version.agents[i]}.")
        assert run.deployment is not None
        if agent.free <= 0 or run.deployment.state(name) is Place.RUNNING:
            raise Busy(f"The agent {agent.name} is busy.")
        self._last_job += 1
        job = Job(self._last_job, "facts", run.version, name, run.version.resources[i])
        self._jobs[job.number] = (run, name, agent)
        return agent.run(job).addBoth(self._facts_came, job)

    def _facts_came(self, result: Any, job: Job) -> Any:
        self._jobs.pop(job.number, None)
        self._tell_idle()
        self.pump()
        if isinstance(result, Failure):
            return result
        if result["status"] != ResourceState.DRY.value:
            raise DeviceFailed(f"{job.name}: {result.get('reason') or result['status']}")
        facts = result["facts"]
        for fact, value in facts.items():
            self._keep_fact(job, fact, value, result["ended_ms"])
        return self._ledger.durable().addCallback(lambda _: facts)

    def _keep_fact(self, job: Job, fact: str, value: Json, ms: int) -> None:
        told = {"value": value, "ms": ms, "version": job.version.number}
        self._ledger.fact(job.name, fact, told)

    # --- jobs

    def pump(self) -> None:
        """Give every agent what it can take."""
        if self._pumping:
            return
        self._pumping = True
        try:
            self._begin_dry_run()
            while not self.is_stopping:
                run = self.dry or self.current  # the one may end with this, and the other begin
                if run is None or not self._pump_once(run):
                    break
        finally:
            self._pumping = False

    def _pump_once(self, run: Run) -> bool:
        deployment = run.deployment
        assert deployment is not None
        begun = False
        for agent in self._present:
            room = agent.free
            if room <= 0:
                continue
            for name in deployment.take(agent.names, room):
                begun = True
                self._hand(run, name, agent)
        if run.dry_run or not self._present.is_patient:
            for name in self._present.absent(run.agent_names):
                for id_ in deployment.take(name):
                    begun = True
                    self._without_agent(run, id_, name)
        return begun

    def _hand(self, run: Run, name: str, agent: IAgent) -> None:
        assert run.deployment is not None
        self._last_job += 1
        number = self._last_job
        i = run.version.index[name]
        kind = "dry_run" if run.dry_run else "repair" if name in run.repairing else "deploy"
        job = Job(
            number,
            kind,
            run.version,
            name,
            run.version.resources[i],
            run.deployment.dependency_changed(name),
            run.number,
        )
        self._jobs[number] = (run, name, agent)
        done = agent.run(job)
        done.addCallbacks(self._came, self._lost, (job, run, agent), {}, (job, run), {})
        self._clock.background(done, f"what came of {name}")

    def _came(self, result: Json, job: Job, run: Run, agent: IAgent) -> None:
        """An agent says how it ended: keep it, and go on once it is durable."""
        self._jobs.pop(job.number, None)
        self._tell_idle()
        name = job.name
        run.repairing.discard(name)
        before = run.result(name)
        row = row_of(result)
        if job.kind == "repair":
            self.repair.found(job, row)
            if before is not None and is_quiet(row, before, result):
                run.note(name, {**before, "ms": row["ms"]})
                self._settle(run, name, row)
                return
        row["action"] = self._ledger.action(action_of(job, agent.name, result))
        for fact, value in result.get("facts", {}).items():
            self._keep_fact(job, fact, value, result["ended_ms"])
        self._keep(run, name, row)
        self.pump()

    def _lost(self, failure: Failure, job: Job, run: Run) -> Failure | None:
        """The agent went before it said how it ended: it will be done again."""
        self._jobs.pop(job.number, None)
        self._tell_idle()
        assert run.deployment is not None
        run.deployment.give_back(job.name)
        self.pump()
        if failure.check(NotConnected, ShutdownRequested) is None:
            return failure
        return None

    def _settle(self, run: Run, name: str, row: Json) -> None:
        assert run.deployment is not None
        settled = run.deployment.settle(name, row["status"], row["change"])
        self._told_skips(run, [one for one in settled if one.id != name])
        if run is self.current:
            self._schedule(run, name, run.version.agents[run.version.index[name]])
        self._look_whether_done()
        self.pump()

    def _without_agent(self, run: Run, name: str, agent: str) -> None:
        reason = f"There is no agent that serves {agent}."
        row = self._unran(run, name, agent, ResourceState.UNAVAILABLE, reason)
        row["no_agent"] = True
        self._keep(run, name, row)

    def _told_skips(self, run: Run, skipped: Iterable[Settled]) -> None:
        """Keep what is skipped for a requirement's sake; nothing goes on behind it."""
        for one in skipped:
            run.repairing.discard(one.id)
            before = run.result(one.id)
            if before is not None and before.get("skipped_for") == one.skipped_for != "":
                continue
            agent = run.version.agents[run.version.index[one.id]]
            row = self._unran(run, one.id, agent, one.state, one.reason)
            row["skipped_for"] = one.skipped_for
            self._ledger.result(run.number, run.note(one.id, row), row)

    def _unran(
        self, run: Run, name: str, agent: str, state: ResourceState, reason: str
    ) -> dict[str, Json]:
        """What is kept of a resource that no handler saw."""
        now_ms = self._clock.wall_ms()
        serving = self._present.serving(agent)
        name_of = agent if serving is None else serving.name
        seq = self._ledger.action(action_of_none(run, name, name_of, state, reason, now_ms))
        return {**row_of_none(state, reason, now_ms), "action": seq}

    def _keep(self, run: Run, name: str, row: Json) -> None:
        self._ledger.result(run.number, run.note(name, row), row)
        if run.state == OVERTAKEN:
            self._ledger.deploy(run.number, run.told())
            self._ended(run)
        kept = self._ledger.durable()
        kept.addCallback(lambda _: self._settle(run, name, row))
        kept.addErrback(at_the_end)
        self._clock.background(kept, f"going on behind {name}")

    # --- ends

    def _look_whether_done(self) -> None:
        for run in (self.dry, self.current):
            if run is None or run.deployment is None or not run.deployment.is_complete:
                continue
            if run.state == RUNNING:
                self._end(run, DONE)
            self._close_version(run)
        self._begin_dry_run()

    def _end(self, run: Run, state: str) -> None:
        run.state = state
        run.ended_ms = self._clock.wall_ms()
        self._ended(run)
        self._ledger.deploy(run.number, run.told())
        kept = self._ledger.durable()
        kept.addErrback(at_the_end)
        self._clock.background(kept, f"keeping the end of deploy {run.number}")
        if run is self.dry:
            self.dry = None
        run.log_end()

    def _overtake(self, run: Run) -> None:
        assert run.deployment is not None
        run.deployment.overtake()
        if run.state == RUNNING:
            self._end(run, OVERTAKEN)
        self._close_version(run)

    def _close_version(self, run: Run) -> None:
        for agent in self._present:
            agent.close_version(run.version.number)

    def _begin_dry_run(self) -> None:
        if self.dry is not None or not self.dry_waiting or self.is_stopping:
            return
        current = None if self.current is None else self.current.deployment
        if self._jobs or (current is not None and not current.is_complete):
            return
        run = self.dry_waiting.popleft()
        run.state = RUNNING
        run.begin(self._present.device_of, None)
        run.absent = self._present.absent(run.agent_names)
        self.dry = run
        self._ledger.deploy(run.number, run.told())
        self._look_whether_done()

    def _tell_idle(self) -> None:
        if self._idle and not self._jobs:
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)

    # --- repair

    def _schedule(self, run: Run, name: str, agent: str) -> None:
        serving = None if self.is_stopping else self._present.serving(agent)
        self.repair.schedule(name, serving)

    def _look_again(self, due: list[str]) -> bool:
        """Look again at these; False if that has to wait for a deploy or dry run."""
        run = self.current
        if run is None or run.deployment is None or self.is_stopping:
            return True
        if self.dry is not None or run.state != DONE:
            return False
        results = {name: run.result(name) for name in due}
        due = [name for name, found in results.items() if found and not found.get("skipped_for")]
        run.repairing.update(due)
        self._told_skips(run, run.deployment.again(due))
        self.pump()
        return True

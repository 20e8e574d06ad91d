"""Agents that run as processes of their own, and get their work over HTTP.

An agent asks again and again (``POST /desired/agents/NAME/work``, held open up to 25 s)::

    {"session": random text, "names": ["edge", "host1"], "threads": 4, "repair_s": 600,
     "device": "bus", "handlers": {type: hash}, "running": [job, …]}

    {"jobs": [{"job", "kind", "deploy", "version", and as perform.Task has it}],
     "closed": [version, …]}

and tells what came (``POST /desired/agents/NAME/results``; answered once it is durable)::

    {"session", "results": [{"job", "status", "change", "changes", "logs", "facts", "reason",
                             "began_ms", "ended_ms"}]}

    {"taken": 1, "unknown": [job, …]}          how many were under way, and which were not

``running`` are the jobs that it has, those included whose results have not been answered yet. What
was handed to it and is not among them got lost on the way, and is handed again. A process that asks
no more for 40 s is gone: its jobs are done again, by it or its successor. What is unknown, as after
a start of the daemon, may be told again once it is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from smapd.errors import BadRequest, Busy, NameTaken, NotConnected
from smapd.interfaces import IClock, ITimer
from smapd.values import LOG_LEVELS, Json

from .dispatch import Dispatcher
from .jobs import Job
from .states import Change, ResourceState

POLL_S: Final = 25.0
GONE_S: Final = 40.0
MOST_AGENTS: Final = 500
MOST_THREADS: Final = 1_000
_KEYS: Final = frozenset(
    {"session", "names", "threads", "repair_s", "device", "handlers", "running"}
)
_ONE_NAME: Final = "Each agent name is served by one agent: [agent NAME], or one process."
_FAR_MS: Final = 2**62

_log = Logger()


class Elsewhere:
    """All such agents; on the reactor's thread."""

    def __init__(self, dispatcher: Dispatcher, clock: IClock) -> None:
        self._dispatcher, self._clock = dispatcher, clock
        self._agents: dict[str, Remote] = {}

    def work(self, name: str, body: Any) -> Deferred[Json]:
        """What the agent is to do next; fires when there is something, or after 25 s.

        :raises BadRequest: if that is no such request.
        :raises NameTaken: if another process with that name, or one of its names, asks for work.
        """
        asked = _asked(name, body)
        agent = self._agents.get(name)
        if agent is not None and agent.session != asked["session"]:
            if agent.is_asking:
                raise NameTaken(
                    f"Another process serves as agent {name} at this moment.", hint=_ONE_NAME
                )
            agent.lose("another process took its place")
            agent = None
        if agent is None:
            agent = self._take(name, asked)
        return agent.ask(asked)

    def results(self, name: str, body: Any) -> Json:
        """What the agent has done; what is not known any more is dropped.

        :raises BadRequest: naming the result that cannot be read; none of them is taken then.
        """
        session, results = _told(body)
        agent = self._agents.get(name)
        if agent is None or agent.session != session:
            unknown = [one["job"] for one in results]
        else:
            unknown = [one["job"] for one in results if not agent.ended(one)]
        return {"taken": len(results) - len(unknown), "unknown": unknown}

    def stop(self) -> None:
        """Every agent is told that there is no more, and its jobs are given back."""
        for agent in list(self._agents.values()):
            agent.lose("smapd stops")

    def _take(self, name: str, asked: Mapping[str, Any]) -> Remote:
        if len(self._agents) >= MOST_AGENTS:
            raise Busy(f"{MOST_AGENTS} agents are here already.")
        for one in asked["names"]:
            other = self._dispatcher.serving(one)
            if other is not None:
                raise NameTaken(f"The agent {other.name} serves {one} already.", hint=_ONE_NAME)
        agent = Remote(name, asked, self._clock, self._gone)
        self._agents[name] = agent
        _log.info("agent {name} has come, for {names}", name=name, names=", ".join(agent.names))
        agent.update(asked)
        self._dispatcher.add_agent(agent)
        return agent

    def _gone(self, agent: Remote, why: str) -> None:
        if self._agents.get(agent.name) is agent:
            del self._agents[agent.name]
            self._dispatcher.remove_agent(agent.name)
            _log.info("agent {name} is gone: {why}", name=agent.name, why=why)


class Remote:
    """One such agent, as the dispatcher sees it."""

    def __init__(self, name: str, asked: Mapping[str, Any], clock: IClock, gone: Any) -> None:
        self.name = name
        self.session: Final[str] = asked["session"]
        self.names = frozenset(asked["names"])
        self.repair_s = 0.0
        self.device: str = asked["device"]
        self.handlers: Mapping[str, str] = {}
        self.done = 0
        self._clock, self._gone = clock, gone
        self._threads = 0
        self._waiting: deque[Job] = deque()
        self._handed: dict[int, Job] = {}
        self._answers: dict[int, Deferred[Json]] = {}
        self._closed: set[int] = set()
        self._poll: Deferred[Json] | None = None
        self._poll_ends: ITimer | None = None
        self._seen_s = clock.seconds()
        self._look: ITimer | None = clock.later(GONE_S, self._look_whether_gone)

    # --- for the dispatcher

    @property
    def free(self) -> int:
        """How many jobs it takes now."""
        return self._threads - len(self._answers)

    def run(self, job: Job) -> Deferred[Json]:
        """Hand it over as soon as the agent asks."""
        done: Deferred[Json] = Deferred()
        self._answers[job.number] = done
        self._waiting.append(job)
        self._closed.discard(job.version.number)
        if self._poll is not None and self._poll_ends is not None:
            # the rest of what comes in this turn goes along
            self._poll_ends.discard()
            self._poll_ends = self._clock.later(0.0, self._answer)
        return done

    def close_version(self, version: int) -> None:
        """What is cached for it may go; told with the next answer."""
        self._closed.add(version)

    def status(self) -> dict[str, Json]:
        """What /desired/agents shows."""
        return {
            "name": self.name,
            "names": sorted(self.names),
            "elsewhere": True,
            "handlers": dict(self.handlers),
            "repair_s": self.repair_s,
            "under_way": len(self._answers),
            "done": self.done,
            "silent_s": 0.0 if self.is_asking else round(self._clock.seconds() - self._seen_s, 1),
        }

    # --- for the agent

    @property
    def is_asking(self) -> bool:
        """Whether a request of it is held open."""
        return self._poll is not None

    def update(self, asked: Mapping[str, Any]) -> None:
        """What it says of itself."""
        self.repair_s, self.handlers = float(asked["repair_s"]), asked["handlers"]
        self._threads = asked["threads"]

    def ask(self, asked: Mapping[str, Any]) -> Deferred[Json]:
        """Hold its request open until there is something to do."""
        if self._poll is not None:  # it has given that one up
            self._answer()
        self._seen_s = self._clock.seconds()
        self.update(asked)
        running = set(asked["running"])
        for number in [n for n in self._handed if n not in running]:
            self._waiting.appendleft(self._handed.pop(number))
        poll: Deferred[Json] = Deferred(self._given_up)
        self._poll = poll
        self._poll_ends = self._clock.later(0.0 if self._waiting else POLL_S, self._answer)
        return poll

    def ended(self, result: Mapping[str, Any]) -> bool:
        """A job has ended; whether it was under way."""
        number = result["job"]
        done = self._answers.pop(number, None)
        if done is None:
            return False
        self._handed.pop(number, None)
        self._seen_s = self._clock.seconds()
        self._waiting = deque(job for job in self._waiting if job.number != number)
        self.done += 1
        done.callback({key: value for key, value in result.items() if key != "job"})
        return True

    def lose(self, why: str) -> None:
        """It is gone: its jobs are done again."""
        if self._look is not None:
            self._look.discard()
            self._look = None
        self._waiting.clear()
        self._threads = 0
        if self._poll is not None:
            self._answer()
        self._gone(self, why)
        answers, self._answers = self._answers, {}
        for done in answers.values():
            done.errback(NotConnected(f"The agent {self.name} is gone: {why}."))

    def _answer(self) -> None:
        poll, self._poll = self._poll, None
        if self._poll_ends is not None:
            self._poll_ends.discard()
            self._poll_ends = None
        if poll is None:
            return
        jobs = []
        while self._waiting:
            job = self._waiting.popleft()
            self._handed[job.number] = job
            jobs.append(_as_json(job))
        closed, self._closed = sorted(self._closed), set()
        self._seen_s = self._clock.seconds()
        poll.callback({"jobs": jobs, "closed": closed})

    def _given_up(self, _: Deferred[Json]) -> None:
        """Its connection is gone."""
        self._poll = None
        if self._poll_ends is not None:
            self._poll_ends.discard()
            self._poll_ends = None
        self._seen_s = self._clock.seconds()

    def _look_whether_gone(self) -> None:
        silent_s = 0.0 if self.is_asking else self._clock.seconds() - self._seen_s
        if silent_s >= GONE_S:
            self._look = None
            self.lose(f"it has not asked for work for {silent_s:.0f} s")
        else:
            self._look = self._clock.later(GONE_S - silent_s, self._look_whether_gone)


def _as_json(job: Job) -> dict[str, Json]:
    return {
        "job": job.number,
        "kind": job.kind,
        "deploy": job.deploy,
        "version": job.version.number,
        **job.task().as_json(),
    }


def _asked(name: str, body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or set(body) - _KEYS:
        raise BadRequest(f"The body must be an object with {', '.join(sorted(_KEYS))}.")
    asked = {
        "session": body.get("session"),
        "names": body.get("names", [name]),
        "threads": body.get("threads", 1),
        "repair_s": body.get("repair_s", 0),
        "device": body.get("device", ""),
        "handlers": body.get("handlers", {}),
        "running": body.get("running", []),
    }
    names, handlers, running = asked["names"], asked["handlers"], asked["running"]
    if not isinstance(asked["session"], str) or not 8 <= len(asked["session"]) <= 100:
        raise BadRequest("session must be a random text of 8 to 100 letters.")
    if not isinstance(names, list) or not 0 < len(names) <= 1_000 or not _are_texts(names):
        raise BadRequest("names must be a list of agent names.")
    if not _is_int(asked["threads"], MOST_THREADS):
        raise BadRequest(f"threads must be a number up to {MOST_THREADS}.")
    repair_s = asked["repair_s"]
    if not isinstance(repair_s, int | float) or not 0 <= repair_s <= 1e9:
        raise BadRequest("repair_s must be a number of seconds.")
    if not isinstance(asked["device"], str) or len(asked["device"]) > 1_000:
        raise BadRequest("device must be the name of a field.")
    if not isinstance(handlers, dict) or not _are_texts(handlers.values()):
        raise BadRequest("handlers must be an object: {type: hash}.")
    if not isinstance(running, list) or not all(_is_int(n, _FAR_MS) for n in running):
        raise BadRequest("running must be a list of job numbers.")
    return asked


def _told(body: Any) -> tuple[str, list[dict[str, Any]]]:
    results = body.get("results") if isinstance(body, dict) else None
    if not isinstance(results, list) or not isinstance(body.get("session"), str):
        raise BadRequest('The body must be an object: {"session", "results": […]}.')
    return body["session"], [_result(one, i) for i, one in enumerate(results)]


def _result(one: Any, i: int) -> dict[str, Any]:
    where = f"result {i}"
    if not isinstance(one, dict) or not _is_int(one.get("job"), _FAR_MS):
        raise BadRequest(f'{where} must be an object with the number of its "job".')
    if one.get("status") not in set(ResourceState) or one.get("change") not in set(Change):
        raise BadRequest(f"{where}: status or change is none of the words for it.")
    for key in ("began_ms", "ended_ms"):
        if not _is_int(one.get(key), _FAR_MS):
            raise BadRequest(f"{where}: {key} must be milliseconds since 1970.")
    changes, facts, logs = (
        one.get("changes", {}),
        one.get("facts", {}),
        one.get("logs", []),
    )
    if not isinstance(changes, dict) or not isinstance(facts, dict) or not isinstance(logs, list):
        raise BadRequest(f"{where}: changes and facts must be objects, logs a list.")
    for record in logs:
        if not (
            isinstance(record, dict)
            and record.get("level") in LOG_LEVELS
            and _is_int(record.get("ms"), _FAR_MS)
            and isinstance(record.get("message"), str)
            and isinstance(record.get("kwargs"), dict)
        ):
            raise BadRequest(
                f'{where}: a record of logs is {{"ms", "level", "message", "kwargs"}}.'
            )
    told = {key: one[key] for key in ("job", "status", "change", "began_ms", "ended_ms")}
    told |= {"changes": changes, "facts": facts, "logs": logs}
    if isinstance(one.get("reason"), str):
        told["reason"] = one["reason"][:2_000]
    return told


def _are_texts(values: Any) -> bool:
    return all(isinstance(one, str) and len(one) <= 1_000 for one in values)


def _is_int(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most

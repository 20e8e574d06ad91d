"""What is handed to an agent, and what an agent is to the one who hands it over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from smapd.values import Json

from .perform import Task
from .states import Action
from .versions import Version

_ACTIONS: Final[Mapping[str, Action]] = {"dry_run": Action.DRY_RUN, "facts": Action.FACTS}


@dataclass(frozen=True, slots=True)
class Job:
    """One resource for an agent. ``resource``: as of ``version``; ``name``: its id without version.

    ``kind``: deploy, dry_run, repair or facts. ``dependency_changed``: something that it requires
    was changed in this deploy. ``deploy``: the number of the one that it is for.
    """

    number: int
    kind: str
    version: Version
    name: str
    resource: Json
    dependency_changed: bool = False
    deploy: int = 0

    @property
    def type(self) -> str:
        """The resource's type, like ``std::File``."""
        return self.name.partition("[")[0]

    def task(self) -> Task:
        """What the agent's thread is asked to do."""
        action = _ACTIONS.get(self.kind, Action.DEPLOY)
        handler = self.version.handlers.get(self.type, "")
        return Task(self.resource, action, handler, self.dependency_changed)


class IAgent(Protocol):
    """Who does the jobs of some agent names; on the reactor's thread.

    ``run`` gives ``{"status", "change", "changes", "logs", "facts", "began_ms", "ended_ms"}``, and
    fails with NotConnected if the agent is lost before it said so.
    """

    @property
    def name(self) -> str:
        """What it is called in the log and in /status."""

    @property
    def names(self) -> frozenset[str]:
        """The agent names whose resources it takes."""

    @property
    def free(self) -> int:
        """How many jobs it takes now."""

    @property
    def repair_s(self) -> float:
        """How long after a look at a resource the next one comes; 0: never."""

    @property
    def device(self) -> str:
        """The field that names a resource's device, "" for none."""

    def run(self, job: Job) -> Deferred[Json]:
        """Do it."""

    def close_version(self, version: int) -> None:
        """No job of that version is left: what is cached for it may go."""

    def status(self) -> dict[str, Json]:
        """What /desired/agents shows."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What was found other than desired, and mended or not. ``changes``: as of a handler."""

    resource: str
    version: int
    ms: int
    status: str
    change: str
    changes: Mapping[str, Json]

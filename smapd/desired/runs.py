"""One deploy or dry run: its version, where it stands, and what came of each resource so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from twisted.logger import Logger

from smapd.values import Json

from .deploy import Deployment
from .states import Change, ResourceState, Settled
from .versions import Version

_log = Logger()

RUNNING: Final = "running"
DONE: Final = "done"
OVERTAKEN: Final = "overtaken"
WAITING: Final = "waiting"
MOST_ABSENT: Final = 100
"""Agents that are named where a run is told of; all are counted."""


class Run:
    """A deploy under way, or the last one, whose resources are kept as they should be.

    ``results``: by index of the resource in its version. ``came``: those indices as results came,
    one a resource; each result has its place there as ``came`` too, so that whoever reads on behind
    the first K reads on in the same order from the disk. On the reactor's thread.
    """

    def __init__(
        self,
        number: int,
        version: Version,
        *,
        dry_run: bool,
        began_ms: int,
        results: Mapping[int, Json] | None = None,
        state: str = RUNNING,
        ended_ms: int | None = None,
    ) -> None:
        self.number, self.version, self.dry_run = number, version, dry_run
        self.began_ms, self.ended_ms = began_ms, ended_ms
        self.state = state
        self.results: dict[int, Json] = dict(results or {})
        self.came = in_order(self.results)
        self._next = 1 + max((one.get("came", 0) for one in self.results.values()), default=0)
        self.agent_names = list(dict.fromkeys(version.agents))
        self.deployment: Deployment | None = None
        self.repairing: set[str] = set()
        """Resources that run, or will, for repair and not for the deploy."""
        self.absent: list[str] = []
        """Agents that were not there when a dry run began: what is theirs is not looked at."""

    def begin(
        self, device_of: Callable[[Mapping[str, Json]], str], after: Deployment | None
    ) -> list[Settled]:
        """Make its deployment; what is known already is not done again.

        What comes back is skipped for the sake of that.
        """
        self.deployment = Deployment(
            self.version.resources,
            self.version.number,
            dry_run=self.dry_run,
            device_of=device_of,
            finished=self._finished(),
            after=after,
        )
        return list(self.deployment.skipped_at_start)

    def note(self, name: str, result: Json) -> int:
        """This came of a resource; its index."""
        i = self.version.index[name]
        before = self.results.get(i)
        if before is None:
            self.came.append(i)
            result["came"], self._next = self._next, self._next + 1
        else:
            result["came"] = before.get("came", 0)
        self.results[i] = result
        return i

    def result(self, name: str) -> Json | None:
        """What came of a resource last, None before that."""
        return self.results.get(self.version.index[name])

    def told(self) -> dict[str, Json]:
        """The deploy as it is stored and shown, without its results."""
        told: dict[str, Json] = {
            "deploy": self.number,
            "version": self.version.number,
            "dry_run": self.dry_run,
            "state": self.state,
            "began_ms": self.began_ms,
            "ended_ms": self.ended_ms,
            "count": len(self.version.resources),
        }
        if self.dry_run:
            told["absent"] = self.absent[:MOST_ABSENT]
            told["absent_count"] = len(self.absent)
        return told | summary(self.results.values(), self.dry_run)

    def log_end(self) -> None:
        """Say in the log what came of it."""
        told = self.told()
        _log.info(
            "{what} {deploy} of version {version} is {state}: {counts}, {changed} changed",
            what="dry run" if self.dry_run else "deploy",
            deploy=self.number,
            version=self.version.number,
            state=self.state,
            counts=", ".join(f"{n} {word}" for word, n in told["counts"].items()) or "nothing",
            changed=told["changed"],
        )

    def missing(self) -> list[str]:
        """The ids of which nothing has come yet."""
        return [id_ for i, id_ in enumerate(self.version.ids) if i not in self.results]

    def _finished(self) -> Iterable[Settled]:
        for i, result in self.results.items():
            if i < len(self.version.ids):
                yield Settled(
                    self.version.ids[i],
                    ResourceState(result["status"]),
                    result.get("reason", ""),
                    result.get("skipped_for", ""),
                    Change(result["change"]),
                )


def in_order(results: Mapping[int, Json]) -> list[int]:
    """The indices of these results, as they came."""
    return sorted(results, key=lambda i: results[i].get("came", 0))


def summary(results: Iterable[Json], dry_run: bool) -> dict[str, Json]:
    """``counts`` by status, ``changed``, and of a dry run how many were ``not_looked_at``."""
    counts: dict[str, int] = {}
    changed = looked_at = n = 0
    for result in results:
        n += 1
        counts[result["status"]] = counts.get(result["status"], 0) + 1
        changed += bool(result["changes"]) or result["change"] != Change.NOCHANGE.value
        looked_at += result["status"] == ResourceState.DRY.value
    told: dict[str, Json] = {"counts": counts, "changed": changed, "ended": n}
    if dry_run:
        told["not_looked_at"] = n - looked_at
    return told

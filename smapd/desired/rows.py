"""What is kept of a run of a resource: its row among the results, and its action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from smapd.values import Json

from .jobs import Job
from .runs import Run
from .states import Change, ResourceState

_TOLD: Final = ("began_ms", "ended_ms", "status", "change", "changes", "logs")


def row_of(result: Mapping[str, Json]) -> dict[str, Json]:
    """The row of what an agent told."""
    row: dict[str, Json] = {
        "status": result["status"],
        "change": result["change"],
        "changes": result["changes"],
        "ms": result["ended_ms"],
    }
    if result.get("reason"):
        row["reason"] = result["reason"]
    return row


def row_of_none(state: ResourceState, reason: str, now_ms: int) -> dict[str, Json]:
    """The row of a resource that no handler saw."""
    return {
        "status": state.value,
        "change": Change.NOCHANGE.value,
        "changes": {},
        "ms": now_ms,
        "reason": reason,
    }


def action_of(job: Job, agent: str, result: Mapping[str, Json]) -> dict[str, Json]:
    """The action of a job that the agent of that name has done."""
    return {
        "resource": job.name,
        "agent": agent,
        "version": job.version.number,
        "deploy": job.deploy,
        "kind": job.kind,
        **{key: result[key] for key in _TOLD},
    }


def action_of_none(
    run: Run, name: str, agent: str, state: ResourceState, reason: str, now_ms: int
) -> dict[str, Json]:
    """The action of a resource that no handler saw."""
    return {
        "resource": name,
        "agent": agent,
        "version": run.version.number,
        "deploy": run.number,
        "kind": "dry_run" if run.dry_run else "deploy",
        "began_ms": now_ms,
        "ended_ms": now_ms,
        "status": state.value,
        "change": Change.NOCHANGE.value,
        "changes": {},
        "logs": [{"level": "info", "ms": now_ms, "message": reason, "kwargs": {}}],
    }


def differences(row: Mapping[str, Any]) -> int:
    """In how many fields a look found the resource other than desired."""
    return len(row["changes"]) or int(row["change"] != Change.NOCHANGE.value)


def is_quiet(row: Json, before: Json, result: Json) -> bool:
    """Whether a look for repair found all as it was, and there is nothing to tell of it."""
    good = ResourceState.DEPLOYED.value
    return (
        row["status"] == before["status"] == good
        and not differences(row)
        and not any(one["level"].lower() not in ("debug", "info") for one in result["logs"])
        and not result.get("facts")
    )

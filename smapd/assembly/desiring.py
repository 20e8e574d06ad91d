"""The desired state: its versions, its deploys, and the agents in this daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from smapd.config import Plan, resolve
from smapd.core import SmapInstance
from smapd.desired import Id
from smapd.desired.jobs import Drift
from smapd.desired.room import DesiredRoom
from smapd.desired.services import services
from smapd.errors import SmapError
from smapd.interfaces import IActuators, IReports
from smapd.runtime import Runtime
from smapd.twin import EventTypes, Twin
from smapd.twin.event.drift import DriftFound

from .keeping import Keeping


def desired_room(
    inst: SmapInstance,
    plan: Plan | None,
    run: Runtime,
    keeping: Keeping,
    server: Mapping[str, Any],
    actuators: IActuators,
    reports: IReports,
    twin: Twin,
    types: EventTypes,
) -> DesiredRoom:
    """The room, with an agent for each ``[agent NAME]``; nothing is started."""
    others = plan.others if plan is not None else ()
    agents = [
        (other.name.removeprefix("agent").strip(), resolve(other))
        for other in others
        if other.kind == "agent"
    ]
    assets = {
        name: options["Events"]
        for header, options in agents
        for name in options["Agents"] or (header,)
        if options["Events"] is not None
    }
    if assets:
        types.add(DriftFound)
    return DesiredRoom(
        keeping.data_dir.path,
        run,
        server,
        agents,
        tree=inst,
        services=services(run.threads, actuators, reports, inst),
        drifted=_drift_teller(run, twin, assets),
    )


def _drift_teller(run: Runtime, twin: Twin, assets: Mapping[str, str]) -> Callable[[Drift], None]:
    """What publishes a drift to the asset of its agent, if that has one."""

    def told(offset: int, asset: str) -> None:
        run.faults.cleared(("drift", asset), "events of drift reach {asset} again", asset=asset)

    def failed(failure: Any, drift: Drift, asset: str) -> None:
        failure.trap(SmapError)
        text = f"the drift of {drift.resource} is not published to {asset}: {failure.value.message}"
        run.faults.fault(("drift", asset), text)

    def publish(drift: Drift) -> None:
        asset = assets.get(Id.parse_id(drift.resource).agent_name)
        if asset is None:
            return
        data = {
            "resource": drift.resource,
            "desired_version": drift.version,
            "status": drift.status,
            "change": drift.change,
            "changes": {
                name: {key: orjson.dumps(one.get(key)).decode() for key in ("current", "desired")}
                for name, one in drift.changes.items()
            },
        }
        published = twin.publish(
            asset,
            DriftFound.__name__,
            data,
            time_ms=drift.ms,
            source="smapd",
            dedupe=f"drift {drift.resource} {drift.ms}",
        )
        published.addCallback(told, asset).addErrback(failed, drift, asset)
        run.clock.background(published, f"publishing the drift of {drift.resource}")

    return publish

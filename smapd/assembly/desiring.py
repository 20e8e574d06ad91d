"""The desired state: its versions, its deploys, and the agents in this daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smapd.config import Plan, resolve
from smapd.core import SmapInstance
from smapd.desired.room import DesiredRoom
from smapd.desired.services import services
from smapd.interfaces import IActuators, IReports
from smapd.runtime import Runtime

from .keeping import Keeping


def desired_room(
    inst: SmapInstance,
    plan: Plan | None,
    run: Runtime,
    keeping: Keeping,
    server: Mapping[str, Any],
    actuators: IActuators,
    reports: IReports,
) -> DesiredRoom:
    """The room, with an agent for each ``[agent NAME]``; nothing is started."""
    others = plan.others if plan is not None else ()
    return DesiredRoom(
        keeping.data_dir.path,
        run,
        server,
        [
            (other.name.removeprefix("agent").strip(), resolve(other))
            for other in others
            if other.kind == "agent"
        ],
        tree=inst,
        services=services(run.threads, actuators, reports, inst),
    )

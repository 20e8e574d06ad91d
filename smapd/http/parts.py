"""What the server is handed: it finds nothing by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smapd.interfaces import (
    IAccess,
    IActuators,
    IDesired,
    IFrames,
    IIntake,
    IJobs,
    IReadings,
    IReports,
    IStatus,
    ITree,
    ITwin,
)


@dataclass(frozen=True)
class HttpParts:
    """The rooms behind the routes. All are called on the reactor's thread.

    ``ready``, ``healthy``: give "" while all is well, else the reason why not, as a sentence.
    Without ``actuators`` and ``jobs`` nothing can be set, and a GET shows the readings kept.
    Without ``reports`` there are none, and none can be made. Without ``readings`` there is no past.
    Without ``desired`` there are no versions, and none can be made. Without ``twin`` there are no
    assets, and none can be made. ``frames``: how a thing's frames become messages and back.
    """

    tree: ITree
    intake: IIntake
    access: IAccess
    status: IStatus
    ready: Callable[[], str]
    healthy: Callable[[], str]
    version: str
    actuators: IActuators | None = None
    jobs: IJobs | None = None
    reports: IReports | None = None
    readings: IReadings | None = None
    desired: IDesired | None = None
    twin: ITwin | None = None
    frames: IFrames | None = None

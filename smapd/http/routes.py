"""The route table: every address, its methods, and what one must be allowed to do for each.

The klein app, the access check, Allow and the page /docs are all made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from smapd.values import Action


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address; ``rule`` in werkzeug's spelling, ``doc`` one sentence."""

    method: str
    rule: str
    action: Action
    doc: str

    @property
    def segment(self) -> str:
        """The first segment of the address, by which the access check finds it."""
        return self.rule.split("/")[1]


ROUTES: Final = (
    Route("GET", "/", Action.READ, "What is here: the addresses below."),
    Route("GET", "/data/<path:path>", Action.READ, "One collection or timeseries; times in ms."),
    Route("GET", "/data/<path:path>/+", Action.READ, "Everything at and below, by relative path."),
    Route(
        "PUT",
        "/data/<path:path>",
        Action.ACTUATE,
        "Set an actuator, ?state=S, or let go of what was set, ?release=1; what it then reads.",
    ),
    Route("GET", "/docs", Action.READ, "This page."),
    Route("GET", "/jobs", Action.READ, "Sets to be made later, where there are actuators."),
    Route(
        "PUT", "/jobs", Action.ACTUATE, 'Add jobs: [{"StartTime", "Actions": [{"Path", "State"}]}].'
    ),
    Route("DELETE", "/jobs", Action.ACTUATE, "Take the jobs of a list of uuids off; those left."),
    Route("GET", "/reports", Action.READ, "The uuids of all reports."),
    Route(
        "POST",
        "/reports",
        Action.SUBSCRIBE,
        'Make a report: {"uuid", "ReportResource", "ReportDeliveryLocation": [URL, …]}.',
    ),
    Route("GET", "/reports/<uuid>", Action.READ, "One report."),
    Route("PUT", "/reports/<uuid>", Action.SUBSCRIBE, "Change a report, or make it."),
    Route("DELETE", "/reports/<uuid>", Action.SUBSCRIBE, "Remove a report with what is pending."),
    Route("GET", "/status", Action.STATUS, "Counters, states and last errors."),
    Route("GET", "/metrics", Action.STATUS, "The same counters, and more, for Prometheus."),
    Route("GET", "/healthz", Action.STATUS, "200 while nothing stands still, else 503."),
    Route("GET", "/readyz", Action.STATUS, "200 once everything has started, else 503."),
    Route("POST", "/readings", Action.WRITE, 'Add readings: {path: {"Readings": [[ms, value]]}}.'),
)

CONTENTS: Final = ("data", "docs", "reports")
CONTENTS_WITH_ACTUATORS: Final = ("data", "docs", "jobs", "reports")
"""What GET / names; recorded from the original, whatever else there is."""

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ACTIONS: Final[Mapping[tuple[str, str], Action]] = {
    (method, route.segment): route.action
    for route in ROUTES
    for method in ((route.method, "HEAD", "OPTIONS") if route.method == "GET" else (route.method,))
}


def action_of(method: str, segment: str) -> Action:
    """What somebody must be allowed to do for this; an unknown address asks as READ or WRITE."""
    action = _ACTIONS.get((method, segment))
    if action is not None:
        return action
    return Action.READ if method in _READS else Action.WRITE

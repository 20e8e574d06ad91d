"""The route table: every address, its methods, and what one must be allowed to do for each.

The klein app, the access check, Allow and the page /docs are all made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from smapd.values import Action

_KINDS: Final = frozenset({"assets"})
"""First segments below which writing is not one right alone."""


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

    @property
    def kind(self) -> str:
        """What stands behind the name of the thing asked for, where the right depends on it."""
        parts = self.rule.split("/")
        return parts[3] if self.segment in _KINDS and len(parts) > 3 else ""


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
    Route("GET", "/assets", Action.READ, "All assets, oldest first."),
    Route("POST", "/assets", Action.WRITE, 'Make an asset: {"id", "path", "Metadata"}.'),
    Route("GET", "/assets/<id>", Action.READ, "One asset."),
    Route("DELETE", "/assets/<id>", Action.WRITE, "Delete an asset that was made by POST."),
    Route(
        "GET",
        "/assets/<id>/events",
        Action.READ,
        "Its events, ?from=N&limit=K; live as text/event-stream.",
    ),
    Route(
        "POST",
        "/assets/<id>/events",
        Action.WRITE,
        'Publish an event: {"name", "time", "data"}; its offset, once it is durable.',
    ),
    Route(
        "POST",
        "/assets/<id>/requests/<path:type>",
        Action.REQUEST,
        "Send a request to whoever serves the asset, ?timeout=S; the answer as it comes.",
    ),
    Route("GET", "/things", Action.READ, "The WebSocket of integrators and followers outside."),
    Route("GET", "/desired/versions", Action.READ, "Every version of the desired state."),
    Route(
        "POST",
        "/desired/versions",
        Action.DEPLOY,
        'Keep a version: {"resources": [{"id", "requires": [id, …], …}]}.',
    ),
    Route("GET", "/desired/versions/<n>", Action.READ, "A version, and what became of it."),
    Route(
        "GET",
        "/desired/versions/<n>/difference",
        Action.READ,
        "What it changes beside the one that is deployed, or beside ?from=M.",
    ),
    Route(
        "POST",
        "/desired/versions/<n>/deploy",
        Action.DEPLOY,
        'Deploy it, or with {"dry_run": true} look what that would change.',
    ),
    Route("GET", "/desired/deploys", Action.READ, "The deploys, newest first."),
    Route("GET", "/desired/deploys/<n>", Action.READ, "A deploy and its results, as they came."),
    Route("GET", "/desired/blobs/<sha256>", Action.READ, "A file of a version."),
    Route("PUT", "/desired/blobs/<sha256>", Action.DEPLOY, "Keep a file for a version."),
    Route("GET", "/desired/resources", Action.READ, "The resources deployed, and their states."),
    Route("GET", "/desired/resources/<path:id>", Action.READ, "One resource, with its facts."),
    Route(
        "GET",
        "/desired/resources/<path:id>/actions",
        Action.READ,
        "What was done to it, with the log; live as text/event-stream.",
    ),
    Route(
        "POST",
        "/desired/resources/<path:id>/facts",
        Action.DEPLOY,
        "Have its handler find out what it can about it.",
    ),
    Route("GET", "/desired/agents", Action.READ, "The agents, and what each does."),
    Route("POST", "/desired/agents/<name>/work", Action.DEPLOY, "An agent asks for work."),
    Route("POST", "/desired/agents/<name>/results", Action.DEPLOY, "An agent tells results."),
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
_ACTIONS: Final[Mapping[tuple[str, str, str], Action]] = {
    (method, route.segment, route.kind): route.action
    for route in ROUTES
    for method in ((route.method, "HEAD", "OPTIONS") if route.method == "GET" else (route.method,))
}


def action_of(method: str, where: str) -> Action:
    """What somebody must be allowed to do for this; an unknown address asks as READ or WRITE."""
    segment, _, rest = where.lstrip("/").partition("/")
    kind = ""
    if segment in _KINDS and method not in _READS:
        kind = rest.partition("/")[2].partition("/")[0]
    action = _ACTIONS.get((method, segment, kind))
    if action is not None:
        return action
    return Action.READ if method in _READS else Action.WRITE

"""One look at ``/status``, laid out for metrics: by report, driver, pool and listener."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

Rows: TypeAlias = "list[tuple[str, Mapping[str, Any]]]"
"""(label, what /status shows of it); no label twice, since Prometheus refuses the whole then."""


class Look:
    """What the rooms show at one moment. ``status``: as ``IStatus.snapshot`` gives it, and more.

    A section that failed, or is not there, has no rows.
    """

    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status
        self.reports = _rows(status.get("reports"), "name", "uuid")
        self.drivers = _rows(status.get("drivers"), "path", "type")
        self.connections = _connections(status.get("connectors"))
        threads = _sections(status.get("threads"))
        self.pools: Rows = [(name, one) for name, one in threads if "busy" in one]
        self.loops: Rows = [(name, one) for name, one in threads if "open" in one]
        # "http", and "http 2" and so on where there are more listeners than one
        http = [(name, one) for name, one in _sections(status) if "answers" in one]
        self.listeners: Rows = [(n, one) for n, one in http if n.partition(" ")[0] == "http"]
        self._now_ms = number(self.at("daemon", "now_ms")) or 0.0
        self._started_ms = number(self.at("daemon", "started_ms")) or 0.0

    def at(self, *keys: str) -> Any:
        """What stands at this place; None if nothing does."""
        found: Any = self._status
        for key in keys:
            if not isinstance(found, Mapping):
                return None
            found = found.get(key)
        return found

    def lag_s(self, report: Mapping[str, Any]) -> float:
        """How far the delivery of one report is behind; 0 while nothing waits.

        While it fails: the age of the oldest reading that it could not send. While it delivers:
        the age that the last body's first reading had when it was accepted. While it is paused,
        or what fails is no reading: for how long nothing was delivered.
        """
        unsent_ms = number(report.get("oldest_unsent_ms"))
        last_ms = number(report.get("last_ms")) or 0.0
        # by the last error too: while a try is under way the state does not say that it fails
        is_failing = (number(report.get("last_error_ms")) or 0.0) > last_ms
        if not report.get("waiting"):
            behind_s = 0.0
        elif unsent_ms is not None:
            behind_s = (self._now_ms - unsent_ms) / 1000
        elif is_failing or report.get("state") in ("waiting", "paused", "removed"):
            behind_s = (self._now_ms - max(last_ms, self._started_ms)) / 1000
        else:
            behind_s = number(report.get("lag_s")) or 0.0
        return max(behind_s, 0.0)


def number(value: Any) -> float | None:
    """``value``, if it is a finite number."""
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    return None


def _sections(found: Any) -> Rows:
    if not isinstance(found, Mapping):
        return []
    return [(str(name), one) for name, one in found.items() if isinstance(one, Mapping)]


def _connections(found: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(connector, source, what is shown of it)."""
    if not isinstance(found, list | tuple):
        return []
    return [
        (str(one.get("name", "")), str(source.get("source", "")), source)
        for one in found
        if isinstance(one, Mapping)
        for source in one.get("sources", ())
        if isinstance(source, Mapping)
    ]


def _rows(found: Any, key: str, other: str) -> Rows:
    """By the name under ``key``; where two have the same, the later adds what is its own."""
    if not isinstance(found, list | tuple):
        return []
    rows: dict[str, Mapping[str, Any]] = {}
    for place, one in enumerate(found):
        if isinstance(one, Mapping):
            name = str(one.get(key, ""))
            if name in rows:
                name = f"{name} {one.get(other, '')}"
            if name in rows:
                name = f"{name} {place}"
            rows[name] = one
    return list(rows.items())

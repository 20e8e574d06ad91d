"""Reports over a tree and a journal in memory, each with a sink that keeps what it is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred

from smapd.core import SmapInstance
from smapd.options import merge
from smapd.reports import TABLES, Definition, KnownStreams, Neighbours, Reports
from smapd.sinks import FORMATS
from smapd.testing import FakeRuntime, MemoryDefinitions, MemoryReadings, RecordingSink

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
ONE = UUID("3b2b9b0e-0000-11e1-8000-000000000001")
TWO = UUID("3b2b9b0e-0000-11e1-8000-000000000002")

Options = Mapping[str, Any]


def section(name: str = "report 0", **keys: str) -> tuple[str, Options]:
    """A config section's name and options, as the config reader gives them."""
    given = {"ReportDeliveryLocation": "http://sink.example/a", "ReportResource": "/+"} | keys
    values, problems = merge(TABLES)["report*"].parse(given)
    assert not problems, problems
    return name, values


def asked(uuid: UUID = ONE, **keys: Any) -> dict[str, Any]:
    """A body of POST /reports."""
    return {
        "uuid": str(uuid),
        "ReportResource": "/+",
        "ReportDeliveryLocation": ["http://93.184.216.34/a"],
    } | keys


def got(d: Deferred[Any]) -> Any:
    """What a Deferred that has fired holds; raises what it failed with."""
    results: list[Any] = []
    d.addBoth(results.append)
    assert results, "it has not fired"
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


class House:
    """One daemon's reports; ``restart`` gives the next one over the same data."""

    def __init__(
        self,
        sections: Sequence[tuple[str, Options]] = (),
        *,
        grow: Callable[[SmapInstance], None] | None = None,
        tree: SmapInstance | None = None,
        before: House | None = None,
        loopback_only: bool = True,
        commits_at_once: bool = True,
        begin: bool = True,
        make: Callable[[Definition], RecordingSink] | None = None,
    ) -> None:
        self.run = FakeRuntime() if before is None else before.run
        self.sinks: dict[UUID, RecordingSink] = {}
        self.made: list[tuple[UUID, bool]] = []
        self.make = make or (lambda definition: RecordingSink())
        if before is None:
            self.definitions = MemoryDefinitions()
            self.journal = MemoryReadings(
                commits_at_once=commits_at_once, now_ms=self.run.clock.wall_ms
            )
        else:
            self.definitions, self.journal = before.definitions, before.journal
            self.make = make or before.make
        self.tree = tree or SmapInstance(ROOT, now=self.run.clock.wall_ms)
        self.forbidden: dict[str, str] = {}
        near = Neighbours(
            tree=self.tree,
            readings=self.journal,
            known=KnownStreams(self.journal.number),
            formats=FORMATS,
            make_sink=self._make_sink,
            clock=self.run.clock,
            backoff=self.run.backoff,
            faults=self.run.faults,
            loopback_only=loopback_only,
            refusal=lambda url, local: "" if local else self.forbidden.get(url, ""),
        )
        self.reports = Reports(near, self.definitions, UUID(ROOT))
        self.tree.attach(self.journal)
        got(Deferred.fromCoroutine(self.reports.open(sections)))
        self.tree.attach(self.reports)
        if grow is not None:
            grow(self.tree)
        if begin:
            self.reports.start()

    def _make_sink(self, definition: Definition, local: bool) -> RecordingSink:
        self.made.append((definition.uuid, local))
        sink = self.sinks.get(definition.uuid)
        if sink is None or sink.is_closed:
            sink = self.sinks[definition.uuid] = self.make(definition)
        return sink

    def stop(self) -> None:
        got(Deferred.fromCoroutine(self.reports.close()))
        self.tree.detach(self.reports)
        self.tree.detach(self.journal)

    def restart(self, sections: Sequence[tuple[str, Options]] = (), **how: Any) -> House:
        self.stop()
        return House(sections, before=self, **how)

    @property
    def sink(self) -> RecordingSink:
        """The only one."""
        (sink,) = self.sinks.values()
        return sink

    def bodies(self) -> list[Any]:
        """What the only sink accepted, and has not been asked for yet."""
        found = self.sink.bodies()
        self.sink.accepted.clear()
        return found


def values(bodies: Sequence[Any], path: str) -> list[Any]:
    """The values of one stream in these bodies."""
    return [
        reading[1] for body in bodies if path in body for reading in body[path].get("Readings", ())
    ]


def plant(tree: SmapInstance) -> None:
    """/a/x, /a/y and /b/z; /a has metadata."""
    for path in ("/a/x", "/a/y", "/b/z"):
        tree.add_timeseries(path, path, "V")
    tree.set_metadata("/", {"SourceName": "test"})
    tree.set_metadata("/a", {"Location/City": "Berkeley"})

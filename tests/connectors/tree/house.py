"""Connectors over a tree, journal and event log in memory; their links are ours to move."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from smapd.access import Access
from smapd.actuate import BinaryActuator
from smapd.actuation import POOL, Actuators
from smapd.connectors.tree import Connectors, ConnectorSection, Neighbours, tables
from smapd.connectors.tree.peer import Inbound
from smapd.connectors.tree.records import Record
from smapd.core import SmapInstance
from smapd.errors import BadRequest, SmapError
from smapd.options import merge
from smapd.reports import KnownStreams
from smapd.reports.options import resource
from smapd.reports.resource import parse_resource
from smapd.reports.selection import Selection
from smapd.runtime import PoolSize
from smapd.testing import FakeRuntime, MemoryDefinitions, MemoryEventLog, MemoryReadings
from smapd.twin import Twin
from smapd.values import Accepted, EventRecord, Json, Outcome

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
TABLE = merge(tables(resource))["connector"]


def got(done: Deferred[Any]) -> Any:
    """What it holds; raises what it failed with."""
    results: list[Any] = []
    done.addBoth(results.append)
    assert results, "it has not fired"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


def options(**keys: Any) -> dict[str, Any]:
    """The values of a section, as the config reader gives them."""
    given: dict[str, Any] = {
        "type": "vantiq",
        "TargetServer": "https://example.com/",
        "AuthToken": "a-token",
        "Sources": "pump",
    } | keys
    for key in ("Sources", "Assets"):  # where a comma is bare, the config reader gives a list
        if ", " in given.get(key, ""):
            given[key] = given[key].split(", ")
    values, problems = TABLE.parse(given)
    assert not problems, problems
    return values


class FakePeer:
    """A link that is up when the test says so, and notes what it is given to send."""

    def __init__(
        self, record: Record, inbound: Inbound, changed: Callable[[], None], answers: list[Outcome]
    ) -> None:
        self.record, self.inbound, self._changed = record, inbound, changed
        self.is_up = False
        self.why_down = "not connected yet"
        self.batches: list[list[Json]] = []
        self.answers = answers
        """What the next sends come to; Accepted when there are none."""
        self.held: list[Deferred[Outcome]] | None = None
        self.is_running = False

    def start(self) -> None:
        self.is_running = True

    def stop(self) -> Deferred[None]:
        self.is_running = False
        return succeed(None)

    def send(self, lines: Sequence[bytes]) -> Deferred[Outcome]:
        self.batches.append([json.loads(line) for line in lines])
        if self.held is not None:
            self.held.append(Deferred())
            return self.held[-1]
        return succeed(self.answers.pop(0) if self.answers else Accepted())

    def status(self) -> dict[str, Json]:
        return {"source": self.record.source, "state": "connected" if self.is_up else "idle"}

    # --- the test's side

    def up(self) -> None:
        self.is_up = True
        self._changed()

    def down(self, why: str = "the connection was lost") -> None:
        self.is_up, self.why_down = False, why
        self._changed()

    @property
    def sent(self) -> list[Json]:
        """All notifications, one after another."""
        return [one for batch in self.batches for one in batch]


class FakeKind:
    """Peers of one section; ``error``: why its sources cannot be known now."""

    def __init__(self, house: House, section: ConnectorSection) -> None:
        self.house, self.section = house, section
        self.is_started = False

    async def open(self) -> Sequence[str]:
        if self.house.error is not None:
            raise self.house.error
        return list(self.section.options["Sources"])

    def peer(
        self, record: Record, label: str, inbound: Inbound, changed: Callable[[], None]
    ) -> FakePeer:
        made = FakePeer(record, inbound, changed, self.house.answers)
        self.house.peers[record.source] = made
        return made

    def start(self) -> None:
        self.is_started = True

    async def stop(self) -> None:
        self.is_started = False

    def status(self) -> dict[str, Json]:
        return {"healthy": True}


class Types:
    """Every type of event there is is named Said, and has words."""

    def names(self) -> Sequence[str]:
        return ["Said"]

    def check(self, name: str, version: int | None, data: Json) -> tuple[int, str, bytes]:
        if name != "Said":
            raise BadRequest(f"There is no event type {name}; there is Said.")
        return version or 1, "json", json.dumps(data).encode()

    def decode(self, record: EventRecord) -> Json:
        return json.loads(record.data)


class Lamp(BinaryActuator):
    """Does what it is told."""

    def __init__(self) -> None:
        self.state: Any = 0

    def get_state(self) -> Any:
        return self.state

    def set_state(self, state: Any) -> None:
        self.state = state


class House:
    """One daemon's connectors; ``restart`` gives the next one over the same data."""

    def __init__(
        self,
        *sections: tuple[str, dict[str, Any]],
        before: House | None = None,
        assets: Sequence[str] = (),
        begin: bool = True,
        error: SmapError | None = None,
        wait: bool = False,
        fill: bool = False,
    ) -> None:
        """``assets``: ids, each of a collection below the root. ``wait``: nothing is committed
        but by ``journal.commit``. ``fill``: the event log's disk is full once the twin is open."""
        self.run = FakeRuntime(pools={POOL: PoolSize(kept=0, most=8)})
        self.peers: dict[str, FakePeer] = {}
        self.answers: list[Outcome] = []
        self.error = error
        self.secrets = iter(f"secret-{n}" for n in range(100))
        if before is None:
            self.definitions, self.log = MemoryDefinitions(), MemoryEventLog()
            self.journal = MemoryReadings(commits_at_once=not wait, now_ms=self.run.clock.wall_ms)
        else:
            self.definitions, self.log = before.definitions, before.log.restart()
            self.journal = before.journal
            self.run.clock.advance(before.run.clock.seconds())
        self.tree = SmapInstance(ROOT, now=self.run.clock.wall_ms, home=self.run.threads.to_reactor)
        self.tree.attach(self.journal)
        self.known = KnownStreams(self.journal.number)
        self.actuators = Actuators(
            self.tree,
            self.run.threads,
            self.run.clock,
            self.run.faults,
            user_loop=self.run.threads.to_user_loop,
        )
        self.actuators.open()
        for asset in assets:
            self.tree.add_collection(f"/{asset}", asset=asset)
        self.twin = Twin(
            self.tree,
            self.log,
            self.definitions,
            Types(),
            self.run.clock,
            self.run.faults,
            self.run.backoff(),
        )
        got(Deferred.fromCoroutine(self.twin.open({asset: f"/{asset}" for asset in assets}, ())))
        self.near = Neighbours(
            tree=self.tree,
            readings=self.journal,
            events=self.log,
            twin=self.twin,
            actuators=self.actuators,
            access=Access(None, True),
            definitions=self.definitions,
            select=lambda text: Selection(parse_resource(text), self.tree, self.known),
            run=self.run,
        )
        self.connectors = Connectors(
            self.near,
            make_kind=lambda section, near: FakeKind(self, section),
            new_secret=lambda: next(self.secrets),
        )
        for header, values in sections:
            self.connectors.add(ConnectorSection(header, values, lambda values=values: values))
        self.tree.attach(_Known(self.known))
        self.tree.attach(self.connectors)
        if fill:
            self.log.fill()
        got(Deferred.fromCoroutine(self.connectors.open()))
        self.settle()
        if begin:
            self.begin()

    def begin(self, up: bool = True) -> None:
        """Start, and let all links be up."""
        self.connectors.start()
        if up:
            for peer in self.peers.values():
                peer.up()
        self.settle()

    def settle(self, seconds: float = 0.2) -> None:
        """Let what is due come about."""
        self.tree.drain()
        self.run.advance(seconds)

    def add(self, path: str, *values: Any, unit: str = "V", data_type: str = "double") -> None:
        """Add these readings, a second apart, and let them be committed."""
        if self.tree.get(path) is None:
            self.tree.add_timeseries(path, unit, data_type=data_type, milliseconds=True)
            self.settle()
        for value in values:
            self.now_ms = getattr(self, "now_ms", 0) + 1000
            self.tree.add(path, self.now_ms, value)
        self.settle()

    def publish(self, asset: str, *words: str) -> None:
        """Publish events of that asset."""
        for one in words:
            self.twin.publish(asset, "Said", {"words": one}, source="test")
        self.settle()

    def restart(self, *sections: tuple[str, dict[str, Any]], **more: Any) -> House:
        """The next daemon, over what was durable."""
        return House(*sections, before=self, **more)

    def stop(self) -> None:
        """As at the end of a daemon."""
        got(Deferred.fromCoroutine(self.connectors.stop()))

    def status(self, connector: int = 0) -> Any:
        return self.connectors.status()[connector]

    def faults(self) -> list[str]:
        return [one["text"] for one in self.run.faults.status()]


class _Known:
    """The reports' part: the streams that are known."""

    def __init__(self, known: KnownStreams) -> None:
        self._known = known

    def nodes_added(self, nodes: Any) -> None:
        self._known.add(nodes)

    def nodes_removed(self, nodes: Any) -> None: ...
    def metadata_changed(self, node: Any) -> None: ...
    def readings_added(self, batch: Any) -> None: ...


class FakeReply:
    """Keeps the rows of an answer; ``held``: each part waits for the test."""

    def __init__(self, hold: bool = False) -> None:
        self.parts: list[list[dict[str, Json]]] = []
        self.completed = False
        self.held: list[Deferred[None]] | None = [] if hold else None
        self.error: Exception | None = None

    def partial(self, rows: Sequence[dict[str, Json]]) -> Deferred[None]:
        assert not self.completed
        if self.error is not None:
            return fail(self.error)
        self.parts.append(list(rows))
        if self.held is not None:
            self.held.append(Deferred())
            return self.held[-1]
        return succeed(None)

    def complete(self, rows: Sequence[dict[str, Json]] = ()) -> Deferred[None]:
        assert not self.completed
        self.completed = True
        if rows:
            self.parts.append(list(rows))
        return succeed(None)

    @property
    def rows(self) -> list[dict[str, Json]]:
        return [row for part in self.parts for row in part]


def texts(sent: Sequence[Json]) -> list[tuple[str, list[Any]]]:
    """(path, values) of notifications of readings."""
    return [(one["path"], [reading[1] for reading in one["Readings"]]) for one in sent]


def words(sent: Sequence[Json]) -> list[tuple[str, int, str]]:
    """(asset, offset, words) of notifications of events."""
    return [(one["asset"], one["offset"], one["data"]["words"]) for one in sent]

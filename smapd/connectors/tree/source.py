"""One source of a connector: its link, what goes out to it, and what comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from smapd.interfaces import (
    IAccess,
    IActuators,
    IDefinitions,
    IEventLog,
    IReadings,
    ITree,
    ITwin,
)
from smapd.runtime import Runtime
from smapd.values import Json, Principal

from .events import EventOutlet
from .outlet import Outlet, OutletOptions
from .peer import Peer, Reply
from .publishes import TreePublishes
from .queries import TreeQueries
from .records import Record
from .selection import AssetPatterns, ISelection


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What every connector is handed. ``select``: reads a ``Notify``, as a report's resource."""

    tree: ITree
    readings: IReadings
    events: IEventLog
    twin: ITwin
    actuators: IActuators
    access: IAccess
    definitions: IDefinitions
    select: Callable[[str], ISelection]
    run: Runtime


class TreeInbound:
    """What comes from one source's server, as the tree answers it; a ``peer.Inbound``."""

    def __init__(
        self, who: Principal, label: str, options: Mapping[str, Any], near: Neighbours
    ) -> None:
        asks, does = options["Query"], options["Publish"]
        self.queries = TreeQueries(
            who,
            of_tree=asks in ("tree", "both"),
            of_assets=asks in ("requests", "both"),
            tree=near.tree,
            readings=near.readings,
            actuators=near.actuators,
            twin=near.twin,
            access=near.access,
        )
        self.publishes = TreePublishes(
            who,
            label,
            sets=does in ("actuate", "both"),
            events=does in ("event", "both"),
            actuators=near.actuators,
            twin=near.twin,
            access=near.access,
            clock=near.run.clock,
            faults=near.run.faults,
        )

    async def query(self, message: Mapping[str, Json], reply: Reply) -> None:
        """Answer it."""
        await self.queries.answer(message, reply)

    async def publish(self, message: Mapping[str, Json]) -> bool:
        """Do what it says: whether it was meant for the tree."""
        return await self.publishes.take(message)

    async def unknown(self, message: Mapping[str, Json]) -> None:
        """Nobody takes this publish."""
        self.publishes.is_unknown(message)


class Source:
    """One source at work; on the reactor's thread.

    Made, and ``open``, before readings and events come: from then on what is to be sent is kept.
    ``start`` connects.
    """

    def __init__(
        self,
        record: Record,
        label: str,
        options: Mapping[str, Any],
        selection: ISelection | None,
        near: Neighbours,
    ) -> None:
        self.record, self.label = record, label
        self.outlet: Outlet | None = None
        who = Principal(f"connector {record.connector}", loopback=True, token=True)
        self.inbound = TreeInbound(who, label, options, near)
        self.events: EventOutlet | None = None
        self.peer: Peer | None = None
        run = near.run
        if selection is not None:
            self.outlet = Outlet(
                record.key,
                label,
                selection,
                OutletOptions.of(options),
                readings=near.readings,
                clock=run.clock,
                backoff=run.backoff,
                faults=run.faults,
            )
        patterns = AssetPatterns(options["Assets"])
        if patterns:
            self.events = EventOutlet(
                record.key,
                label,
                patterns,
                began_ms=record.began_ms,
                own=who.name,
                twin=near.twin,
                log=near.events,
                clock=run.clock,
                backoff=run.backoff(),
                faults=run.faults,
            )

    async def open(self) -> None:
        """Keep the events that come from now on.

        :raises SmapError: if their places cannot be written.
        """
        if self.events is not None:
            await self.events.open()

    def start(self, peer: Peer, shown: str) -> None:
        """Connect, and send whenever there is a connection."""
        self.peer = peer
        if self.outlet is not None:
            self.outlet.start(peer, shown)
        if self.events is not None:
            self.events.start(peer.send)
        peer.start()

    def changed(self) -> None:
        """The link is up, or not up, or for another reason."""
        peer = self.peer
        for one in (self.outlet, self.events):
            if one is None or peer is None:
                continue
            if peer.is_up:
                one.up()
            else:
                one.down(peer.why_down)

    async def stop(self) -> None:
        """End; what is pending stays."""
        ends = [Deferred.fromCoroutine(one.stop()) for one in (self.outlet, self.events) if one]
        if self.peer is not None:
            ends.append(self.peer.stop())
        for end in ends:
            await end

    def status(self) -> dict[str, Json]:
        """For /status; without secrets."""
        if self.peer is None:
            shown: dict[str, Json] = {"source": self.record.source, "state": "idle"}
        else:
            shown = self.peer.status()
        shown["readings"] = None if self.outlet is None else self.outlet.status()
        shown["events"] = None if self.events is None else self.events.status()
        shown["published"] = self.inbound.publishes.status()
        shown["asked"] = {
            "answered": self.inbound.queries.answered,
            "refused": self.inbound.queries.refused,
        }
        return shown

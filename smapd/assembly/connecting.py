"""The connectors: their sections, and what of the house they are handed."""

from __future__ import annotations

from functools import partial

from smapd.access import Access
from smapd.config import Plan, resolve
from smapd.connectors.tree import Connectors, ConnectorSection, Neighbours
from smapd.core import SmapInstance
from smapd.interfaces import IActuators
from smapd.reports import KnownStreams
from smapd.reports.resource import parse_resource
from smapd.reports.selection import Selection
from smapd.runtime import Runtime

from .keeping import Keeping
from .twins import Twins


class Connecting:
    """All connectors; on the reactor's thread. ``known``: the streams that the reports know."""

    def __init__(
        self,
        inst: SmapInstance,
        plan: Plan | None,
        run: Runtime,
        keeping: Keeping,
        twins: Twins,
        actuators: IActuators,
        known: KnownStreams,
    ) -> None:
        self.inst = inst
        self.connectors = Connectors(
            Neighbours(
                tree=inst,
                readings=keeping.readings,
                events=twins.events,
                twin=twins.twin,
                actuators=actuators,
                # what a connector may do is said by its section; it is as the operator is
                access=Access(None, True),
                definitions=keeping.definitions,
                select=lambda text: Selection(parse_resource(text), inst, known),
                run=run,
            )
        )
        for other in plan.others if plan is not None else ():
            if other.kind == "connector":
                section = ConnectorSection(other.name, other.options, partial(resolve, other))
                self.connectors.add(section)

    async def open(self) -> None:
        """From now on what they are to send is kept; once the twin is open."""
        if len(self.connectors):
            self.inst.attach(self.connectors)
        await self.connectors.open()

    def start(self) -> None:
        """Connect."""
        self.connectors.start()

    async def stop(self) -> None:
        """Disconnect; what is pending stays."""
        await self.connectors.stop()

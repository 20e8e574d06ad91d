"""All connectors of a daemon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from uuid import uuid4

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from smapd.errors import ConfigError
from smapd.interfaces import INode, ITimer, ITreeListener
from smapd.runtime import attempt
from smapd.values import Batch, Json, Problem, Start

from .connector import Connector, ConnectorSection, Kind, names_of
from .outlet import forget
from .records import Record, Records
from .source import Neighbours

LOOK_S: Final = 3600.0
"""How often it is looked whether places of sources that are gone are to go."""


def kind_of(section: ConnectorSection, near: Neighbours) -> Kind:
    """The kind that a section's type names; what it takes is imported only now."""
    from smapd.connectors.vantiq.kind import VantiqKind

    return VantiqKind(section, near)


@implementer(ITreeListener)
class Connectors:
    """The connectors; on the tree's home thread.

    ``add`` the sections, attach it to the tree behind journal and reports, ``open`` it when the
    twin is open, and ``start`` it once the drivers are set up; ``stop`` before twin and journals.
    """

    def __init__(
        self,
        near: Neighbours,
        *,
        make_kind: Callable[[ConnectorSection, Neighbours], Kind] = kind_of,
        new_secret: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._near, self._make_kind = near, make_kind
        self._records = Records(near.definitions, near.run.clock.wall_ms, new_secret)
        self._connectors: list[Connector] = []
        self._timer: ITimer | None = None
        self._is_stopped = False

    def __len__(self) -> int:
        return len(self._connectors)

    def add(self, section: ConnectorSection) -> None:
        """Take this section.

        :raises ConfigError: if there is one of its name.
        """
        for other in self._connectors:
            if other.section.name == section.name:
                text = f"[{other.section.header}] has the name {section.name} already."
                raise ConfigError([Problem(text, section=section.header)])
        self._connectors.append(Connector(section, self._near, self._records, self._make_kind))

    # --- life

    async def open(self) -> None:
        """Keep what is to be sent from now on, and know the sources that are gone.

        A section that cannot be opened is shown, and tried again; nothing is raised for it.
        """
        await self._records.load()
        if self._records.damaged:
            self._near.run.faults.fault(
                "connector records",
                f"{self._records.damaged} records of connectors cannot be read, and are left alone",
            )
        for connector in self._connectors:
            await connector.open()
        for record in self._gone():
            # asked for, so that it stays within its limits until it is forgotten
            self._near.readings.cursor(record.key, None, Start.NEWEST, record.limits)

    def start(self) -> None:
        """Connect."""
        for connector in self._connectors:
            connector.start()
        self._look()

    async def stop(self) -> None:
        """Disconnect all, side by side; what is pending stays."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.discard()
        await DeferredList(
            [Deferred.fromCoroutine(one.stop()) for one in self._connectors], consumeErrors=True
        )

    def status(self) -> list[Json]:
        """For /status: one entry a connector, then the sources that are gone."""
        shown: list[Json] = [one.status() for one in self._connectors]
        for record in self._gone():
            shown.append(
                {
                    "name": record.connector,
                    "type": "removed",
                    "source": record.source,
                    "kept_until_ms": record.kept_until_ms,
                    "sources": [],
                }
            )
        return shown

    # --- ITreeListener

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Each takes what it selects."""
        for connector in self._connectors:
            connector.nodes_added(nodes)

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """What is pending of them is delivered."""

    def metadata_changed(self, node: INode) -> None:
        """It may change what is selected."""
        for connector in self._connectors:
            connector.metadata_changed(node)

    def readings_added(self, batch: Batch) -> None:
        """They come through the journal."""

    # --- inside

    def _gone(self) -> list[Record]:
        """Of sources that no section has. One that is not open yet may have any of its name's."""
        unknown = {one.section.name for one in self._connectors if not one.is_open}
        known = names_of(self._connectors)
        return [
            record
            for key, record in self._records.all().items()
            if key not in known and record.connector not in unknown
        ]

    def _look(self) -> None:
        """Let go of what has been gone for long enough."""
        if self._is_stopped:
            return
        clock = self._near.run.clock
        clock.background(Deferred.fromCoroutine(self._expire()), "looking for connectors gone")
        timer = attempt(clock.later, LOOK_S, self._look)
        self._timer = timer if ITimer.providedBy(timer) else None

    async def _expire(self) -> None:
        now_ms = self._near.run.clock.wall_ms()
        for record in self._gone():
            if record.kept_until_ms is None:
                await self._records.miss(record)
            elif record.kept_until_ms <= now_ms:
                await self._records.forget(record)
                await forget(self._near.readings, record.key)
                await self._near.events.forget(record.key)

"""One ``[connector NAME]`` section: its sources, opened, started and stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested, SmapError
from smapd.interfaces import INode
from smapd.values import Json

from .outlet import OutletOptions, forget
from .peer import Inbound, Peer
from .records import Record, Records, cursor_name
from .selection import AnyOf, AssetPatterns
from .source import Neighbours, Source

POOL: Final = "setup"
"""Whose threads read files and import what users wrote: one that hangs there holds up nobody."""


@dataclass(frozen=True, slots=True)
class ConnectorSection:
    """One section. ``header``: as in the file. ``options``: its values, secrets unresolved.

    ``resolve``: gives the values with secrets fetched; it may read files, and may raise SmapError.
    """

    header: str
    options: Mapping[str, Any]
    resolve: Callable[[], Mapping[str, Any]]

    @property
    def name(self) -> str:
        """NAME of the header: under it the places are kept."""
        return self.header.partition(" ")[2].strip() or self.header


class Kind(Protocol):
    """A kind of peer, for one section; on the reactor's thread."""

    async def open(self) -> Sequence[str]:
        """Read what is needed to know the sources: their names.

        :raises SmapError: if that cannot be read now.
        """

    def peer(
        self, record: Record, label: str, inbound: Inbound, changed: Callable[[], None]
    ) -> Peer:
        """The link of one source; ``changed`` is called when its state has changed."""

    def start(self) -> None:
        """The peers are about to start."""

    async def stop(self) -> None:
        """The peers have stopped."""

    def status(self) -> dict[str, Json]:
        """For /status, of the connector as a whole."""


class Connector:
    """One section at work; on the reactor's thread."""

    def __init__(
        self,
        section: ConnectorSection,
        near: Neighbours,
        records: Records,
        make_kind: Callable[[ConnectorSection, Neighbours], Kind],
    ) -> None:
        self.section = section
        self.problem = ""
        """Why it is not open; "" when it is."""
        self.sources: list[Source] = []
        self._near, self._records, self._make_kind = near, records, make_kind
        self._kind: Kind | None = None
        self._is_open = self._is_started = self._is_stopped = False
        self._retry: Deferred[None] | None = None
        options = section.options
        texts = [options["Notify"], *options["Notify*"].values()]
        parts = [near.select(text) for text in texts if text is not None]
        self._selection = AnyOf(parts) if parts else None

    @property
    def is_open(self) -> bool:
        """Whether its sources are known, and what is to be sent is kept."""
        return self._is_open

    # --- life

    async def open(self) -> None:
        """Keep what is to be sent from now on. What fails is shown, and tried again later."""
        await Deferred.fromCoroutine(self._open()).addErrback(self._not_open)
        if not self._is_open and not self._is_stopped:
            self._near.run.clock.background(
                Deferred.fromCoroutine(self._open_late()), f"opening [{self.section.header}]"
            )

    def start(self) -> None:
        """Connect; at once, or as soon as it is open."""
        self._is_started = True
        if self._is_open:
            self._start()

    async def stop(self) -> None:
        """End; what is pending stays."""
        self._is_stopped = True
        if self._retry is not None:
            self._retry.cancel()
        ends = [Deferred.fromCoroutine(source.stop()) for source in self.sources]
        for end in ends:
            await end
        if self._kind is not None and self._is_started:
            await self._kind.stop()

    # --- what the tree does

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Take those that are selected."""
        if self._selection is not None and self._selection.nodes_added(nodes):
            self._reselect()

    def metadata_changed(self, node: INode) -> None:
        """It may select by metadata."""
        if self._selection is not None and self._selection.metadata_changed(node):
            self._reselect()

    # --- looking

    def status(self) -> dict[str, Json]:
        """For /status; without secrets."""
        shown: dict[str, Json] = {
            "name": self.section.name,
            "type": self.section.options["type"],
            "problem": self.problem,
        }
        if self._kind is not None:
            shown |= self._kind.status()
        shown["sources"] = [source.status() for source in self.sources]
        return shown

    # --- inside

    async def _open(self) -> None:
        section, near, options = self.section, self._near, self.section.options
        if self._kind is None:
            self._kind = self._make_kind(section, near)
        limits = OutletOptions.of(options).limits
        made: list[Source] = []
        for name in await self._kind.open():
            record = await self._records.take(section.name, name, limits)
            if self._selection is None:
                await forget(near.readings, record.key)
            if not AssetPatterns(options["Assets"]):
                await near.events.forget(record.key)
            label = f"[{section.header}] source {name}"
            made.append(Source(record, label, options, self._selection, near))
        try:
            for source in made:
                await source.open()
        except BaseException:
            for source in made:
                await source.stop()
            raise
        self.sources = made
        self._is_open = True
        self.problem = ""

    def _not_open(self, failure: Failure) -> None:
        error: Any = failure.value
        if isinstance(error, CancelledError | ShutdownRequested):
            self._is_stopped = True
            return
        known = isinstance(error, SmapError)
        text = error.message if known else f"{type(error).__name__}: {error}"
        self.problem = " ".join(text.split())[:1000]
        self._near.run.faults.fault(
            ("connector", self.section.header),
            f"[{self.section.header}] cannot be opened: {self.problem}",
            **({} if known else {"failure": failure}),
        )

    async def _open_late(self) -> None:
        backoff = self._near.run.backoff()
        while not self._is_open and not self._is_stopped:
            self._retry = self._near.run.clock.sleep(backoff.next())
            await self._retry
            self._retry = None
            await Deferred.fromCoroutine(self._open()).addErrback(self._not_open)
        if self._is_open:
            self._near.run.faults.cleared(
                ("connector", self.section.header),
                f"[{self.section.header}] is open now, after {{for_s}} s",
            )
            if self._is_started and not self._is_stopped:
                self._start()

    def _start(self) -> None:
        assert self._kind is not None
        self._kind.start()
        for source in self.sources:
            peer = self._kind.peer(source.record, source.label, source.inbound, source.changed)
            source.start(peer, f"source {source.record.source}")

    def _reselect(self) -> None:
        for source in self.sources:
            if source.outlet is not None:
                source.outlet.reselect()


def names_of(connectors: Sequence[Connector]) -> set[str]:
    """The keys of all records that these have."""
    return {
        cursor_name(one.section.name, source.record.source)
        for one in connectors
        for source in one.sources
    }

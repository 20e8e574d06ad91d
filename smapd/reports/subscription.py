"""One report at work: its definition, what it selects, its bodies, its cursor and its delivery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from smapd.core import SmapInstance
from smapd.interfaces import IBackoff, IClock, IFaults, INode, IReadings, ISink
from smapd.storage import Delivery, FreshFirst, Rates, fresh_names, seconds_until_loss
from smapd.values import GAP_CAUSES, Gap, Json, Position, Start

from .composer import Composer, IFormat
from .definition import Definition
from .resource import Resource
from .selection import KnownStreams, Selection

_GAPS_SHOWN = 20


class MakeSink(Protocol):
    """Makes the sink of a report: with its TLS files, and its rule of where it may go."""

    def __call__(self, definition: Definition, local: bool) -> ISink:
        """``local``: it may go to loopback and private addresses."""


@dataclass(frozen=True)
class Neighbours:
    """What every report is handed.

    ``backoff``: makes a new one. ``loopback_only``: whether every listener of the daemon is.
    ``refusal``: why a URL that came over HTTP is not allowed, "" if it is, as far as can be said
    without a look-up; given the URL, and whether loopback and private addresses are allowed.
    """

    tree: SmapInstance
    readings: IReadings
    known: KnownStreams
    formats: Mapping[str, IFormat]
    make_sink: MakeSink
    clock: IClock
    backoff: Callable[[], IBackoff]
    faults: IFaults
    loopback_only: bool
    refusal: Callable[[str, bool], str]


class Subscription:
    """One report at work; on the tree's home thread.

    ``start``: where its cursor begins if it is new. ``is_new``: its first report did not go out
    yet. ``announced``: is called when it did.
    """

    def __init__(
        self,
        definition: Definition,
        neighbours: Neighbours,
        start: Start | Position,
        *,
        is_new: bool,
        announced: Callable[[], None],
    ) -> None:
        self.definition = definition
        self.gaps: Counter[str] = Counter()
        self.last_gaps: list[Gap] = []
        self._near = neighbours
        self._is_waiting_to_change = False
        self.selection = Selection(definition.resource, neighbours.tree, neighbours.known)
        self.composer = Composer(
            neighbours.tree,
            self.selection,
            neighbours.formats[definition.format],
            sequence=definition.sequence,
            gaps=definition.gaps,
            quality=definition.quality,
            is_new=is_new,
            announced=announced,
        )
        if is_new:
            self.composer.capture()
        name = str(definition.uuid)
        main = neighbours.readings.cursor(name, self.selection.selects, start, definition.limits)
        self.cursor = FreshFirst(
            neighbours.readings,
            main,
            self.selection.selects,
            clock=neighbours.clock,
            may_part=definition.order == "fresh",
            rate=definition.catch_up_rate,
        )
        self._rates = Rates(self.selection.streams)
        self._began_ms = neighbours.clock.wall_ms()
        self._sink: ISink | None = None
        self.delivery: Delivery | None = None
        if definition.urls:
            self._make_delivery()

    # --- life

    def start(self) -> None:
        """Begin to deliver."""
        if self.delivery is not None:
            self.delivery.start()

    async def stop(self) -> None:
        """End; what is pending stays."""
        if self.delivery is not None:
            await self.delivery.stop()
        _close(self._sink)

    async def remove(self) -> None:
        """End, and forget what is pending; durable when this is over."""
        await self.stop()
        readings, name = self._near.readings, str(self.definition.uuid)
        for one in [*fresh_names(readings, name), name]:
            await readings.forget(one)

    def change(self, definition: Definition) -> None:
        """From now on as this one says."""
        before, self.definition = self.definition, definition
        composer = self.composer
        composer.form = self._near.formats[definition.format]
        composer.sequence, composer.gaps = definition.sequence, definition.gaps
        composer.quality = definition.quality
        self.cursor.may_part = definition.order == "fresh"
        self.cursor.rate = definition.catch_up_rate
        if definition.resource.text != before.resource.text:
            self._select(definition.resource)
        if definition.limits != before.limits:
            self._change_cursor()
        if definition.urls != before.urls:
            composer.new_consumer()
        if not definition.urls:
            return
        if self.delivery is None:
            self._make_delivery()
            self.start()
            return
        old, self._sink = self._sink, self._near.make_sink(definition, self._is_local())
        self.delivery.change(definition.targets, self._sink, definition.delivery)
        _close(old)
        if definition.paused and not self.delivery.is_paused:
            self.delivery.pause("somebody said so")
        elif not definition.paused and self.delivery.is_paused:
            self.delivery.resume()

    # --- what the tree does

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Take those that it selects."""
        for node in nodes:
            self.composer.changed(node.path)
        if self.selection.nodes_added(nodes):
            self._change_cursor_soon()
        self._nudge()

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """What is pending of them is delivered; what comes back is whole again."""
        for node in nodes:
            self.composer.changed(node.path)

    def metadata_changed(self, node: INode) -> None:
        """It goes out with the next reading of each stream there."""
        self.composer.changed(node.path)
        if self.selection.metadata_changed(node):
            self._change_cursor_soon()
            self._nudge()

    # --- looking

    def status(self) -> dict[str, Json]:
        """For /status and ``smapd reports``; without secrets."""
        definition = self.definition
        shown: dict[str, Json] = {
            "uuid": str(definition.uuid),
            "name": definition.name,
            "origin": definition.origin.value,
            "resource": definition.resource.text,
            "format": definition.format,
        }
        if self.delivery is not None:
            shown |= self.delivery.status()
            shown["oldest_unsent_ms"] = self.delivery.oldest_ms
        else:
            shown |= {"state": "removed", "waiting": self.cursor.waiting()}
        left_s = self.seconds_until_loss()
        shown["hours_until_loss"] = None if left_s is None else round(left_s / 3600, 2)
        shown["gaps"] = dict(self.gaps)
        shown["last_gaps"] = [_gap(gap) for gap in self.last_gaps]
        return shown

    def seconds_until_loss(self) -> float | None:
        """When its first reading is lost if it stays as it is; None if that cannot be told."""
        delivery, clock = self.delivery, self._near.clock
        away_s = 0.0
        if delivery is None or delivery.is_paused or delivery.oldest_ms is not None:
            last_ms = 0
            if delivery is not None:
                last_ms = max(delivery.counters.last_ms, delivery.oldest_ms or 0)
            if self.cursor.waiting():
                away_s = (clock.wall_ms() - max(last_ms, self._began_ms)) / 1000
        fastest_hz = self._rates.fastest_hz(clock.seconds())
        return seconds_until_loss(self.definition.limits, fastest_hz, max(away_s, 0.0))

    # --- inside

    def _make_delivery(self) -> None:
        near, definition = self._near, self.definition
        self._sink = near.make_sink(definition, self._is_local())
        self.delivery = Delivery(
            f"[{definition.name}]" if definition.origin.value == "config" else definition.name,
            self.cursor,
            self.composer,
            self._sink,
            definition.targets,
            clock=near.clock,
            backoff=near.backoff(),
            faults=near.faults,
            options=definition.delivery,
            missing=self._missing,
        )
        if definition.paused:
            self.delivery.pause("somebody said so")

    def _is_local(self) -> bool:
        return self.definition.local and self._near.loopback_only

    def _nudge(self) -> None:
        if self.delivery is not None and self.composer.has_news():
            self.delivery.nudge()

    def _select(self, resource: Resource) -> None:
        self.selection = Selection(resource, self._near.tree, self._near.known)
        self.composer.selection = self.selection
        self._rates = Rates(self.selection.streams)
        self._change_cursor()

    def _change_cursor_soon(self) -> None:
        """Once for all that is added in this turn: a driver adds its streams one by one."""
        if not self._is_waiting_to_change:
            self._is_waiting_to_change = True
            self._near.clock.later(0, self._change_cursor)

    def _change_cursor(self) -> None:
        self._is_waiting_to_change = False
        changed: Deferred[None] = self.cursor.change(self.selection.selects, self.definition.limits)
        self._near.clock.background(changed, f"selecting for {self.definition.name}")

    def _missing(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            if not self.definition.resource.may_select(gap.stream, gap.path):
                continue
            self.gaps[gap.why] += gap.count
            self.last_gaps = [*self.last_gaps, gap][-_GAPS_SHOWN:]
            cause = GAP_CAUSES.get(gap.why, gap.why)
            self._near.faults.fault(
                ("gap", self.definition.uuid, gap.why),
                f"{self.definition.name}: {gap.count} readings of {gap.path} are lost: {cause}. "
                f"{self.gaps[gap.why]} so far; /status has the last ones.",
                same=gap.why,
            )


def _close(sink: object) -> None:
    close = getattr(sink, "close", None)
    if close is not None:
        close()


def _gap(gap: Gap) -> dict[str, Json]:
    return {
        "stream": str(gap.stream),
        "path": gap.path,
        "from": [gap.from_seq, gap.from_ms],
        "to": [gap.to_seq, gap.to_ms],
        "count": gap.count,
        "why": gap.why,
    }

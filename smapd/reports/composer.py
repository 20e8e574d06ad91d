"""Writes one report's bodies: which nodes go out whole, and when.

A new report begins with everything it selects, whole, with the readings that were there when it
was made. After that a stream goes out whole, with all collections above it, beside its first
readings; then as ``{uuid, Readings}`` until its metadata, or that of a collection above it, is
set, or another consumer stands at the other end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from smapd.core import Node, SmapInstance, Timeseries
from smapd.interfaces import INode
from smapd.storage import Draft, tail
from smapd.values import (
    GOOD,
    Gap,
    NodePart,
    OneByPath,
    OneEach,
    Payload,
    Reading,
    ReportBody,
    Run,
)

from .selection import Selection

_NOT_TOLD = ("uuid", "Readings", "NonFinite", "Quality", "Error")


class IFormat(Protocol):
    """A way to write a body; ``sinks.Format`` is one."""

    @property
    def encode(self) -> Callable[[ReportBody], Payload]:
        """Writes it; raises nothing."""

    @property
    def whole(self) -> bool:
        """Whether it has a place for what goes out whole."""


class Composer:
    """The ``Source`` of one report's delivery; on the tree's home thread.

    ``announced``: is called once all of the first report was accepted. ``is_new``: False for a
    report taken up after a restart, whose first report went out before.
    """

    def __init__(
        self,
        tree: SmapInstance,
        selection: Selection,
        form: IFormat,
        *,
        sequence: bool = False,
        gaps: bool = False,
        quality: bool = False,
        is_new: bool = True,
        announced: Callable[[], None] = lambda: None,
    ) -> None:
        self.selection, self.form = selection, form
        self.sequence, self.gaps, self.quality = sequence, gaps, quality
        self._tree, self._announced = tree, announced
        self._told: dict[int, str] = {}
        self._in_flight = False
        self._changed: set[str] = set()
        self._is_new = is_new
        self._first: dict[str, Run] = {}
        self._to_announce: list[Node] | None = None
        self._skip: dict[int, int] = {}

    # --- what the tree does

    def capture(self) -> None:
        """Keep the readings that the streams hold now: they go out with the first report."""
        for stream in self.selection.streams():
            kept = [reading for reading in stream.readings() if reading.seq is not None]
            if kept:
                self._first[stream.path] = _run_of(stream, kept, self.selection)

    def changed(self, path: str) -> None:
        """Something at or above what stands here is not as it was told."""
        if self._told or self._in_flight:
            self._changed.add(path)

    def new_consumer(self) -> None:
        """Whoever gets it knows nothing: begin with everything whole again."""
        self._told.clear()
        self._changed.clear()
        self._is_new, self._to_announce = True, None

    # --- of a delivery

    def has_news(self) -> bool:
        """Whether the first report is still to be sent."""
        if not self._is_new:
            return False
        if self._to_announce is None and not self.selection.has_any():
            return False
        if self.form.whole or self._first:
            return True
        self.skip_news()
        return False

    def skip_news(self) -> None:
        """Go without the first report."""
        self._is_new, self._to_announce = False, None
        self._first.clear()
        self._announced()

    def draft(
        self, runs: Sequence[Run], gaps: Sequence[Gap], most_nodes: int, beat: bool = False
    ) -> Draft | None:
        """A body of these; without both, of the next nodes of the first report, or an empty one."""
        if not runs and not gaps:
            if beat:
                return Draft(self.form.encode(ReportBody({})), _nothing)
            return self._announcement(most_nodes)
        self._forget_changed()
        wanted = [gap for gap in gaps if self._wants(gap)] if self.gaps else ()
        by_path: Mapping[str, Sequence[Run]] | None = self._one_each(runs)
        untold: dict[int, Run] = {}
        if by_path is None:
            by_path, untold = self._by_path(runs)
        if not by_path and not wanted:
            return None
        body = ReportBody(
            by_path,
            self._nodes_of(untold) if untold and self.form.whole else {},
            wanted,
            self.sequence,
            self.quality,
        )
        self._in_flight = True
        return Draft(self.form.encode(body), lambda: self._taken(untold))

    # --- inside

    def _one_each(self, runs: Sequence[Run]) -> OneByPath | None:
        """One reading each of streams that were told whole before: nothing is to be looked at."""
        if not isinstance(runs, OneEach) or self._skip:
            return None
        numbers = set(runs.numbers)
        is_told = self._told.keys() >= numbers and self.selection.takes_each(numbers)
        if not is_told or len(set(runs.paths)) < len(numbers):
            return None
        return OneByPath(runs)

    def _by_path(self, runs: Sequence[Run]) -> tuple[dict[str, list[Run]], dict[int, Run]]:
        """The runs that are to go, by path; one of each stream that was not told, by number."""
        by_path: dict[str, list[Run]] = {}
        untold: dict[int, Run] = {}
        told, skip, takes = self._told, self._skip, self.selection.takes
        is_all = self.selection.resource.is_all
        for run in runs:
            if not is_all and not takes(run):
                continue
            if skip and run.number in skip:
                left = tail(run, skip[run.number])
                if left is None:
                    continue
                run = left
            found = by_path.get(run.path)
            if found is None:
                by_path[run.path] = [run]
            else:
                found.append(run)
            if run.number not in told:
                untold[run.number] = run
        return by_path, untold

    def _wants(self, gap: Gap) -> bool:
        return self.selection.resource.may_select(gap.stream, gap.path)

    def _taken(self, untold: dict[int, Run]) -> None:
        self._in_flight = False
        for number, run in untold.items():
            self._told[number] = run.path
            self._skip.pop(number, None)

    def _nodes_of(self, untold: dict[int, Run]) -> dict[str, NodePart]:
        """What must go whole with these: the streams, and the collections above them."""
        nodes: dict[str, NodePart] = {}
        parents: set[str] = set()
        tree, shows = self._tree, self.selection.resource.shows
        for run in untold.values():
            stream = tree.by_uuid(run.stream)
            if stream is None or stream.path != run.path:
                continue  # it was removed, or moved on since: its readings go as they are
            parent = run.path[: run.path.rfind("/")]
            if parent not in parents:  # the collections above are there with the first one below
                parents.add(parent)
                for node in tree.stale(stream, 0)[:-1]:
                    if node.path not in nodes and shows(node.path):
                        nodes[node.path] = _part(node)
            nodes[run.path] = _part(stream)
        return nodes

    def _announcement(self, most_nodes: int) -> Draft | None:
        if self._to_announce is None:
            self._to_announce = list(self.selection.nodes())
        page = self._to_announce[:most_nodes]
        attached = [node for node in page if node.attached]
        runs = {}
        for node in attached:
            first = self._first.get(node.path)
            if first is not None:
                runs[node.path] = [first]
        nodes = {node.path: _part(node) for node in attached} if self.form.whole else {}
        body = ReportBody(runs, nodes, (), self.sequence, self.quality)

        def taken() -> None:
            for path, (run,) in runs.items():
                self._skip[run.number] = run.first_seq + len(run.ms) - 1
                self._first.pop(path, None)
            if self._to_announce is not None:
                del self._to_announce[: len(page)]
                if not self._to_announce:
                    self.skip_news()

        if not runs and not nodes:
            taken()
            return None
        return Draft(self.form.encode(body), taken)

    def _forget_changed(self) -> None:
        """What was set since it was told must be told again; one pass, however much was set."""
        if self._changed:
            changed, self._changed = self._changed, set()
            if "/" in changed:
                self._told.clear()
                return
            gone = [n for n, path in self._told.items() if _at_or_below(path, changed)]
            for number in gone:
                del self._told[number]


def _at_or_below(path: str, places: set[str]) -> bool:
    while path:
        if path in places:
            return True
        path = path[: path.rfind("/")]
    return False


def _part(node: INode) -> NodePart:
    fields = node.as_json()
    for key in _NOT_TOLD:
        fields.pop(key, None)
    return NodePart(node.uuid if isinstance(node, Timeseries) else None, fields)


def _run_of(stream: Timeseries, kept: list[Reading], selection: Selection) -> Run:
    """The readings that a stream holds, as the journal would give them; from its last jump on."""
    first = len(kept) - 1
    while first and (kept[first - 1].seq or 0) + 1 == kept[first].seq:
        first -= 1
    kept = kept[first:]
    qualities = [None if reading.quality == GOOD else reading.quality for reading in kept]
    seqnos = [reading.seqno for reading in kept]
    return Run(
        stream.uuid,
        selection.number(stream.uuid),
        kept[0].seq or 0,
        [reading.ms for reading in kept],
        [reading.value for reading in kept],
        qualities if any(qualities) else None,
        seqnos if any(no is not None for no in seqnos) else None,
        stream.path,
    )


def _nothing() -> None:
    return None

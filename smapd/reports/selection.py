"""Which streams of the journal a report reads: kept true while the tree changes.

The journal knows streams by number. A stream that the tree has not shown since the start is read
too, and judged by its path alone: readings may wait for a driver that is not set up yet, and must
not be passed over meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final
from uuid import UUID

from smapd.core import Node, SmapInstance, Timeseries
from smapd.interfaces import INode
from smapd.values import Run

from .resource import Resource

Number = Callable[[UUID], int | None]
"""The number a stream has in the journal; ``IReadings.number``."""


class KnownStreams:
    """The numbers of all streams that were in the tree since the start; one for all reports.

    Written on the home thread, read on the disk's: one step for the interpreter each. Nothing is
    kept until a report selects less than everything.
    """

    def __init__(self, number: Number) -> None:
        self.numbers: Final[set[int]] = set()
        self.number: Final = number
        self._is_needed = False

    def need(self, tree: SmapInstance) -> None:
        """From now on they are asked for."""
        if not self._is_needed:
            self._is_needed = True
            self.add([node for _, node in tree.walk()])

    def add(self, nodes: Sequence[INode]) -> None:
        """These are in the tree now."""
        if not self._is_needed:
            return
        found = [self.number(node.uuid) for node in nodes if isinstance(node, Timeseries)]
        self.numbers.update([number for number in found if number is not None])


class Selection:
    """What one report selects now; on the tree's home thread, but for ``__call__``."""

    def __init__(self, resource: Resource, tree: SmapInstance, known: KnownStreams) -> None:
        self.resource = resource
        self._tree, self._known = tree, known
        self._members: set[int] = set()
        if not resource.is_all:
            known.need(tree)
            self.nodes_added(list(self._below()))

    def __call__(self, number: int) -> bool:
        """Whether the journal is to give this stream's readings; any thread."""
        return number in self._members or number not in self._known.numbers

    @property
    def selects(self) -> Callable[[int], bool] | None:
        """For the cursor; None for everything."""
        return None if self.resource.is_all else self

    def nodes_added(self, nodes: Sequence[INode]) -> bool:
        """Look at new nodes: whether one of them is selected."""
        return not self.resource.is_all and self._judge(nodes)

    def metadata_changed(self, node: INode) -> bool:
        """Look again where metadata counts: whether anything came or went."""
        if not self.resource.conditions:
            return False
        return self._judge([below for _, below in self._tree.walk(node.path)])

    def has_any(self) -> bool:
        """Whether anything is there to be announced."""
        if self.resource.is_all or self.resource.uuid is None:
            return self.resource.exists(self._tree) and (
                not self.resource.conditions or bool(self._members)
            )
        return bool(self._members)

    def takes(self, run: Run) -> bool:
        """Whether readings that the cursor gave are this report's."""
        if self.resource.is_all or run.number in self._members:
            return True
        if run.number in self._known.numbers:
            return False
        return self.resource.may_select(run.stream, run.path)

    def takes_each(self, numbers: set[int]) -> bool:
        """Whether all of these streams are this report's for sure."""
        return self.resource.is_all or self._members >= numbers

    def number(self, stream: UUID) -> int:
        """The stream's number in the journal; -1 if it has none."""
        number = self._known.number(stream)
        return -1 if number is None else number

    def streams(self) -> Iterator[Timeseries]:
        """The timeseries selected, as the tree has them."""
        return (node for node in self.nodes() if isinstance(node, Timeseries))

    def nodes(self) -> Iterator[Node]:
        """All that is sent whole to a new consumer, parents first."""
        resource, tree = self.resource, self._tree
        if not resource.conditions:
            yield from self._below()
            return
        shown: set[str] = set()
        for node in self._below():
            if isinstance(node, Timeseries) and resource.selects(tree, node):
                for above in tree.stale(node, 0):
                    if above.path not in shown:
                        shown.add(above.path)
                        yield above  # type: ignore[misc]

    def _below(self) -> Iterator[Node]:
        resource, tree = self.resource, self._tree
        if resource.uuid is not None:
            stream = tree.by_uuid(resource.uuid)
            if stream is not None:
                yield stream
        elif tree.get(resource.place) is not None:
            for _, node in tree.walk(resource.place):
                yield node

    def _judge(self, nodes: Sequence[INode]) -> bool:
        changed = False
        for node in nodes:
            if not isinstance(node, Timeseries) or not node.attached:
                continue
            number = self._known.number(node.uuid)
            if number is None:
                continue
            if self.resource.selects(self._tree, node):
                changed = changed or number not in self._members
                self._members.add(number)
            elif number in self._members:
                changed = True
                self._members.discard(number)
        return changed

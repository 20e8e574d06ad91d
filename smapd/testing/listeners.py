"""Listeners of the tree that remember what they were told."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from smapd.interfaces import INode, ITreeListener
from smapd.values import Batch, Reading, Value


@implementer(ITreeListener)
class MemoryReadings:
    """Keeps every batch of readings: a journal without a disk."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Not kept."""

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """Not kept."""

    def metadata_changed(self, node: INode) -> None:
        """Not kept."""

    def readings_added(self, batch: Batch) -> None:
        """Kept, in order."""
        self.batches.append(batch)

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def whole(self, path: str) -> list[Reading]:
        """Every reading of that stream, oldest first, with quality and seq."""
        return [reading for batch in self.batches for ts, reading in batch if ts.path == path]

    def readings(self, path: str) -> list[tuple[int, Value]]:
        """(ms, value) of each reading of that stream, oldest first."""
        return [(reading.ms, reading.value) for reading in self.whole(path)]

    def clear(self) -> None:
        """Forget them."""
        self.batches.clear()


@implementer(ITreeListener)
class RecordingListener:
    """Keeps what it was told, in order: ``("added" | "removed" | "metadata" | "readings", what)``.

    ``what`` is a list of paths; for readings a list of (path, ms, value).
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, list[object]]] = []

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Kept as "added"."""
        self.told.append(("added", [node.path for node in nodes]))

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """Kept as "removed"."""
        self.told.append(("removed", [node.path for node in nodes]))

    def metadata_changed(self, node: INode) -> None:
        """Kept as "metadata"."""
        self.told.append(("metadata", [node.path]))

    def readings_added(self, batch: Batch) -> None:
        """Kept as "readings"."""
        self.told.append(("readings", [(ts.path, r.ms, r.value) for ts, r in batch]))

    def take(self) -> list[tuple[str, list[object]]]:
        """What came since the last call."""
        told, self.told = self.told, []
        return told

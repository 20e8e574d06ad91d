"""Listeners of the tree that remember what they were told."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from smapd.interfaces import INode, ITreeListener
from smapd.values import Batch


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

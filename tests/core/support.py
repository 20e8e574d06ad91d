"""What several tests of the tree use: a tree whose home calls wait for the test, and a recorder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zope.interface import implementer

from smapd.core import SmapInstance
from smapd.interfaces import INode, ITreeListener
from smapd.values import Batch, Block, Reading

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
NOW = 1_700_000_000_123


class Later:
    """A home whose wake-ups wait until `run`; counts them."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.wakes = 0

    def __call__(self, f: Callable[..., Any], *args: Any, wait: bool = True) -> Any:
        if wait:
            return f(*args)
        self.wakes += 1
        self.calls.append(lambda: f(*args))
        return None

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


@implementer(ITreeListener)
class Recorder:
    """Notes what it was told, and may act on it."""

    def __init__(self, act: Callable[[str, Any], None] | None = None) -> None:
        self.told: list[tuple[str, Any]] = []
        self.batches: list[Batch] = []
        self._act = act

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        self._note("added", [node.path for node in nodes])

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        self._note("removed", [node.path for node in nodes])

    def metadata_changed(self, node: INode) -> None:
        self._note("metadata", node.path)

    def readings_added(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._note("readings", [(stream.path, reading.value) for stream, reading in batch])

    @property
    def readings(self) -> list[tuple[str, Reading]]:
        """Every reading, with its path, in the order told."""
        return [(stream.path, reading) for batch in self.batches for stream, reading in batch]

    @property
    def blocks(self) -> list[Block]:
        return [e for batch in self.batches for _, e in batch.entries if isinstance(e, Block)]

    def _note(self, what: str, of: Any) -> None:
        self.told.append((what, of))
        if self._act is not None:
            self._act(what, of)


def tree(**options: Any) -> SmapInstance:
    """A tree whose clock stands at NOW."""
    return SmapInstance(ROOT, now=lambda: NOW, **options)

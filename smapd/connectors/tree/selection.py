"""Which readings, and which assets' events, go out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from smapd.interfaces import INode, ITimeseries
from smapd.values import Run


class ISelection(Protocol):
    """What one ``Notify`` selects; ``reports.selection.Selection`` is one. On the home thread."""

    @property
    def selects(self) -> Callable[[int], bool] | None:
        """For a journal's cursor; None for everything."""

    def takes(self, run: Run) -> bool:
        """Whether readings that the cursor gave are among them."""

    def takes_each(self, numbers: set[int]) -> bool:
        """Whether the readings of all these streams are among them for sure."""

    def streams(self) -> Iterable[ITimeseries]:
        """Those that are in the tree."""

    def nodes_added(self, nodes: Sequence[INode]) -> bool:
        """Look at new nodes: whether one of them is selected."""

    def metadata_changed(self, node: INode) -> bool:
        """Look again: whether anything came or went."""


class AnyOf:
    """What at least one of several selections selects."""

    def __init__(self, parts: Sequence[ISelection]) -> None:
        self._parts = tuple(parts)

    @property
    def selects(self) -> Callable[[int], bool] | None:
        """For a journal's cursor; called on the disk's thread."""
        each = [part.selects for part in self._parts]
        if len(each) == 1:
            return each[0]
        if None in each:
            return None
        known = [one for one in each if one is not None]
        return lambda number: any(one(number) for one in known)

    def takes(self, run: Run) -> bool:
        """Whether one of them takes it."""
        return any(part.takes(run) for part in self._parts)

    def takes_each(self, numbers: set[int]) -> bool:
        """Whether one of them takes all."""
        return any(part.takes_each(numbers) for part in self._parts)

    def streams(self) -> Iterable[ITimeseries]:
        """Those of all of them, each once."""
        return {stream.uuid: stream for part in self._parts for stream in part.streams()}.values()

    def nodes_added(self, nodes: Sequence[INode]) -> bool:
        """Tell all of them."""
        found = [part.nodes_added(nodes) for part in self._parts]
        return any(found)

    def metadata_changed(self, node: INode) -> bool:
        """Tell all of them."""
        found = [part.metadata_changed(node) for part in self._parts]
        return any(found)


class AssetPatterns:
    """Ids of assets, and patterns in which ``*`` stands for any letters and ``?`` for one."""

    def __init__(self, texts: Iterable[str]) -> None:
        found = "|".join(
            re.escape(one).replace(r"\*", ".*").replace(r"\?", ".") for one in sorted(set(texts))
        )
        self._regex = re.compile(found) if found else None

    def __bool__(self) -> bool:
        return self._regex is not None

    def __contains__(self, asset: str) -> bool:
        return self._regex is not None and self._regex.fullmatch(asset) is not None

"""Tells listeners what changed: each change to all of them before the next one to any.

A listener may change the tree while it is told of a change. What comes of that waits its turn, so
every listener sees one order. Home thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from smapd.interfaces import INode, ITreeListener

Fault: TypeAlias = Callable[[str, BaseException | None], None]
"""Takes a sentence and, where there is one, the exception behind it."""


class Listeners:
    """The listeners of one tree. ``fault`` is called with what a listener raised."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._all: tuple[ITreeListener, ...] = ()
        self._events: deque[tuple[tuple[ITreeListener, ...], str, Any]] = deque()
        self._telling = False

    def __len__(self) -> int:
        return len(self._all)

    def attach(self, listener: ITreeListener, nodes: Sequence[INode]) -> None:
        """Tell this one too from now on; first of these nodes. Twice is once."""
        if self._has(listener):
            return
        self._all += (listener,)
        # The event has its listeners from now: changes already on their way are in ``nodes``.
        self._events.append(((listener,), "nodes_added", nodes))
        self._tell_all()

    def detach(self, listener: ITreeListener) -> None:
        """Tell this one no more, not even what is on its way."""
        self._all = tuple(one for one in self._all if one is not listener)

    def tell(self, method: str, what: Any) -> None:
        """Call this method of all listeners, now or, within a call of one, after that."""
        if self._all:
            self._events.append((self._all, method, what))
            self._tell_all()

    def _tell_all(self) -> None:
        if self._telling:
            return
        self._telling = True
        try:
            while self._events:
                listeners, method, what = self._events.popleft()
                for listener in listeners:
                    if self._has(listener):
                        self._tell_one(listener, method, what)
        finally:
            self._telling = False

    def _tell_one(self, listener: ITreeListener, method: str, what: Any) -> None:
        try:
            getattr(listener, method)(what)
        except Exception as error:  # noqa: BLE001 - the others must be told
            self._fault(f"{type(listener).__name__}.{method} failed; the others go on.", error)

    def _has(self, listener: ITreeListener) -> bool:
        return any(one is listener for one in self._all)

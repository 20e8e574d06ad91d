"""Prints readings as they come, on a thread of its own.

Whoever reads our output may be slow, or stand still like a pager: the daemon must go on meanwhile.
So lines are made and written on a thread, from a queue that is bounded.
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from zope.interface import implementer

from smapd.errors import ShutdownRequested
from smapd.interfaces import INode, IThreads, ITreeListener
from smapd.values import Batch

from .lines import line

POOL: Final = "print"
"""The pool whose one thread writes."""

MOST: Final = 100_000
"""Readings that wait to be printed; what comes beyond is left out, and counted."""


@implementer(ITreeListener)
class Printer:
    """Prints every reading of the tree it is attached to; on the reactor's thread."""

    def __init__(
        self,
        threads: IThreads,
        write: Callable[[bytes], None],
        *,
        lost: Callable[[OSError], None],
        note: Callable[[str], None],
        most: int = MOST,
    ) -> None:
        """``write`` brings bytes out, and may block; it is called on a thread of ``POOL``.

        ``lost`` is called once, when nothing more can be written. ``note`` takes a sentence.
        """
        self._threads, self._write, self._lost, self._note = threads, write, lost, note
        self._most = most
        self._batches: deque[Batch] = deque()
        self._taken = 0  # by the reactor's thread
        self._printed = 0  # by the one that writes
        self._left_out = 0
        self._open = False
        self._broken = False
        self._then: Callable[[], None] | None = None

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Nothing to print."""

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """Nothing to print."""

    def metadata_changed(self, node: INode) -> None:
        """Nothing to print."""

    def readings_added(self, batch: Batch) -> None:
        """Have them printed; returns at once."""
        if self._broken:
            return
        waiting = self._taken - self._printed
        # Once some are left out, half of the queue must be gone: else each note is of a few.
        room = self._most // 2 if self._left_out else self._most
        if waiting and waiting + len(batch) > room:
            self._left_out += len(batch)
            return
        if self._left_out:
            self._note(f"{self._left_out} readings are not printed: what reads them is too slow.")
            self._left_out = 0
        self._taken += len(batch)
        self._batches.append(batch)
        self._go()

    def then(self, f: Callable[[], None]) -> None:
        """Call this once, as soon as all that was taken is printed."""
        self._then = f
        if not self._open:
            self._idle()

    def _go(self) -> None:
        if not self._open:
            self._open = True
            self._threads.to_pool(POOL, self._print).addCallbacks(self._idle, self._failed)

    def _idle(self, _: object = None) -> None:
        self._open = False
        if self._batches and not self._broken:
            self._go()
        elif self._then is not None:
            then, self._then = self._then, None
            then()

    def _failed(self, failure: Any) -> Any:
        self._open = False
        error = failure.value
        if isinstance(error, ShutdownRequested):
            return None  # the daemon ends, and what came in its last moment is not waited for
        self._broken = True
        self._batches.clear()
        if not isinstance(error, OSError):
            return failure
        self._lost(error)
        return None

    def _print(self) -> None:
        """Write all there is; on the thread that writes."""
        while self._batches:
            batch = self._batches.popleft()
            text = "".join(line(stream, reading) + "\n" for stream, reading in batch)
            self._write(text.encode("utf-8", "backslashreplace"))
            self._printed += len(batch)


def to_stdout() -> Callable[[bytes], None]:
    """What writes to the standard output of the process, past anything that redirects prints.

    Past Python's buffers too: a thread that holds one when the process ends is a fatal error.
    It raises OSError, BrokenPipeError where the reader went away.
    """
    out = sys.__stdout__
    if out is None:  # it was closed before we were started
        return lambda data: None
    number = out.fileno()

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(number, view) :]
            except BlockingIOError:  # whoever shares it with us made it so
                select.select([], [number], [])

    return write

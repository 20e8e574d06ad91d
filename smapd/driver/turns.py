"""One at a time: what the threads of one driver share, like the connection to its device."""

from __future__ import annotations

from collections import deque

from smapd.runtime.program import Monitor


class Turns:
    """A lock for ``with``, had in the order of asking; any thread, but not twice by one.

    A driver needs it where its polls and its actuators use one connection: they run on different
    threads. Hold it for one exchange with the device, which has a time limit.
    """

    def __init__(self) -> None:
        self._monitor = Monitor()
        self._queue: deque[object] = deque()

    def __enter__(self) -> None:
        me = object()
        with self._monitor:
            self._queue.append(me)
            while self._queue[0] is not me:
                self._monitor.wait()

    def __exit__(self, *_: object) -> None:
        with self._monitor:
            self._queue.popleft()
            self._monitor.wake()

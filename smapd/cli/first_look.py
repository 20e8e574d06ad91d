"""``run-driver --once``: waits for the first reading of each stream, then ends the daemon.

It is over when every stream has a reading and no first poll is under way, or when every periodic
call of the driver has been made once; badly when something failed, or when the time is up. What can
be set has readings when somebody asks, and is not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from zope.interface import implementer

from smapd.interfaces import INode, ITimeseries, ITreeListener
from smapd.values import Batch, Json, Level, Reading

from .peer import printable

if TYPE_CHECKING:
    from smapd.assembly import Daemon

    from .printer import Printer

LOOK_S: Final = 0.05
_NAMED: Final = 5
_BEGUN: Final = ("queued", "running", "hung")


@implementer(ITreeListener)
class FirstLook:
    """Watches one daemon; every method on the reactor's thread.

    Hands the first reading of each stream to ``printer``, and calls ``end`` once, with 0 or 1.
    ``note`` takes the sentence that says why it is 1, or what is missing though all went well.
    """

    def __init__(
        self,
        daemon: Daemon,
        printer: Printer,
        end: Callable[[int], None],
        note: Callable[[str], None],
        limit_s: float,
    ) -> None:
        self._daemon, self._printer, self._end, self._note = daemon, printer, end, note
        self._limit_s = limit_s
        self._streams: dict[str, Reading | None] = {}
        self._actuators: set[str] = set()
        self._clock = daemon.run.clock
        self._until_s = self._clock.seconds() + limit_s
        self._over = False
        self._looks = self._clock.every(LOOK_S, self._look)

    def nodes_added(self, nodes: Sequence[INode]) -> None:
        """Wait for these too."""
        for node in nodes:
            if not ITimeseries.providedBy(node):
                continue
            if getattr(node, "actuator", None) is not None:
                self._actuators.add(node.path)
            else:
                self._streams.setdefault(node.path)

    def nodes_removed(self, nodes: Sequence[INode]) -> None:
        """Wait for these no more."""
        for node in nodes:
            self._streams.pop(node.path, None)
            self._actuators.discard(node.path)

    def metadata_changed(self, node: INode) -> None:
        """Changes nothing."""

    def readings_added(self, batch: Batch) -> None:
        """Print those that are the first of their stream."""
        first = []
        for stream, reading in batch:
            if self._streams.get(stream.path, reading) is None:
                self._streams[stream.path] = reading
                first.append((stream, reading))
        if first and not self._over:
            self._printer.readings_added(Batch(list(first), len(first)))

    def _look(self) -> None:
        if self._over:
            return
        driver = self._daemon.sections.get("/")
        about = driver.status() if driver is not None else {"state": "setting up"}
        if about["state"] == "failed":
            self._fail(f"its {about['step']} failed.")
        elif about["state"] == "running":
            calls = self._daemon.run.scheduler.status()
            self._daemon.inst.drain()  # what a call that has ended added is here now
            self._judge(calls)
        if not self._over and self._clock.seconds() >= self._until_s:
            self._fail(self._what_is_late(str(about["state"])))

    def _judge(self, calls: list[Json]) -> None:
        missing = self._missing()
        begun = [call for call in calls if call["runs"] == 0 and call["state"] in _BEGUN]
        all_there = bool(self._streams or self._actuators) and not missing and not begun
        all_called = bool(calls) and all(call["runs"] for call in calls)
        if not all_there and not all_called:
            return
        failed = [str(call["name"]) for call in calls if "error" in call]
        bad = [
            f"{path} ({reading.quality.reason})"
            for path, reading in self._streams.items()
            if reading is not None and reading.quality.level is Level.BAD
        ]
        if failed:
            self._fail(f"the first poll failed: {_some(failed)}.")
        elif bad:
            self._fail(f"bad: {_some(bad)}.")
        else:
            if missing:
                self._note(f"no reading came of the first poll for {_some(missing)}.")
            self._finish(0)

    def _missing(self) -> list[str]:
        return [path for path, reading in self._streams.items() if reading is None]

    def _what_is_late(self, state: str) -> str:
        within = f"within {self._limit_s:g} s"
        if state != "running":
            return f"not running {within}: {state}."
        missing = self._missing()
        if missing or not self._streams:
            return f"no reading {within} for {_some(missing) or 'any stream'}."
        return f"a poll did not end {within}."

    def _fail(self, why: str) -> None:
        self._note(why)
        self._finish(1)

    def _finish(self, status: int) -> None:
        self._over = True
        self._looks.stop()
        self._printer.then(lambda: self._end(status))


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    shown = ", ".join(map(printable, names[:_NAMED]))
    return f"{shown} and {more} more" if more > 0 else shown

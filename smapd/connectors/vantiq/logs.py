"""Standard logging that neither repeats itself nor shows what is on the wire."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from traceback import walk_tb
from typing import Any

DAY_S = 86_400.0
FAILURE_EVERY_S = 3600.0
"""The same failure of a handler is told once in this time."""
MOST_FAILURES = 100
"""Different ones that are told apart."""
_FRAMES = 20
"""Calls that tell the place of one from that of another."""


@dataclass(slots=True)
class _Fault:
    text: str
    since_s: float
    told_s: float
    count: int = 1


class FaultLines:
    """Faults by kind: told when new or different, and then once in a while with a number."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._faults: dict[str, _Fault] = {}

    def fault(
        self, kind: str, text: str, now_s: float, *, same: str | None = None, every_s: float = DAY_S
    ) -> None:
        """It is wrong (again). ``same`` stays equal while it is the same fault (the text)."""
        same = text if same is None else same
        known = self._faults.get(kind)
        if known is None or known.text != same:
            self._faults[kind] = _Fault(same, now_s, now_s)
            self._log.warning("%s", text)
            return
        known.count += 1
        if now_s - known.told_s >= every_s:
            known.told_s = now_s
            self._log.warning("%s (%d times)", text, known.count)

    def cleared(self, kind: str, now_s: float) -> tuple[int, float] | None:
        """It is right again: how often and for how many seconds it was wrong; None if never."""
        known = self._faults.pop(kind, None)
        return None if known is None else (known.count, now_s - known.since_s)


class FailureLines:
    """Failures of what users wrote: with the traceback when it is a new one, then a number.

    It is the same one when it was raised at the same place, whatever its text says: a handler that
    fails at each of ten thousand messages does not fill a disk.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._known: dict[tuple[Any, ...], _Fault] = {}

    def failed(self, what: str, error: BaseException, now_s: float) -> None:
        """``what`` failed (again)."""
        frames = list(walk_tb(error.__traceback__))[-_FRAMES:]
        place = tuple((frame.f_code.co_filename, line) for frame, line in frames)
        key = (what, type(error), place)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_FAILURES:
                self._known.pop(next(iter(self._known)))
            self._known[key] = _Fault("", now_s, now_s)
            self._log.error("%s", what, exc_info=error)
            return
        known.count += 1
        if now_s - known.told_s >= FAILURE_EVERY_S:
            known.told_s = now_s
            self._log.error("%s (%d times)", what, known.count, exc_info=error)


class WireLog(logging.LoggerAdapter[logging.Logger]):
    """The logger that the WebSocket library gets: at debug level it would write every frame.

    The first frame holds the token, so frames are not logged at any level. What the library says
    at info is said by us already.
    """

    def __init__(self, log: logging.Logger) -> None:
        super().__init__(log, {})

    def isEnabledFor(self, level: int) -> bool:
        """Whether this is written: warnings and worse, if the logger writes those."""
        return level >= logging.WARNING and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """As it is."""
        return msg, kwargs

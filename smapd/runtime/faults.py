"""A log that does not repeat itself: a fault is told when it changes, and then once a day."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.interfaces import IFaults
from smapd.values import Json

DAY_S = 86_400.0
MOST_KEYS = 1_000
"""Faults remembered; past that the one that was quiet longest is forgotten."""


@dataclass(slots=True)
class _Fault:
    same: Hashable
    text: str
    first_s: float
    told_s: float
    count: int = 1
    untold: int = 0


@implementer(IFaults)
class FaultLog:
    """Faults by key; any thread."""

    def __init__(
        self, seconds: Callable[[], float], log: Logger | None = None, most: int = MOST_KEYS
    ) -> None:
        """``seconds``: a monotonic clock, ``Clock.seconds``."""
        self._seconds = seconds
        self._log = log if log is not None else Logger()
        self._most = most
        self._faults: dict[Hashable, _Fault] = {}

    def fault(
        self,
        key: Hashable,
        text: str,
        *,
        same: Hashable = None,
        failure: Failure | None = None,
        level: Any = LogLevel.warn,
        **fields: Any,
    ) -> bool:
        """It is wrong (again): whether this was logged.

        ``key`` says what is wrong, ``same`` what stays equal while the fault is the same one (the
        text, unless given). Logged when new, when ``same`` changes, and once a day with the
        number of times. With a ``failure`` its traceback is logged too. ``fields`` go with it.
        """
        now_s = self._seconds()
        if same is None:
            same = text
        known = self._faults.pop(key, None)
        if known is not None and known.same == same:
            self._faults[key] = known  # to the end: it is not quiet
            known.count += 1
            known.untold += 1
            if now_s - known.told_s < DAY_S:
                return False
            many = f" ({known.count} times, {known.untold} of them since last told)"
            known.told_s, known.untold = now_s, 0
        else:
            while len(self._faults) >= self._most:
                self._faults.pop(next(iter(self._faults), None), None)
            self._faults[key] = _Fault(same, text, now_s, now_s)
            many = ""
        if failure is not None:
            self._log.failure("{fault}", failure, level=level, fault=text + many, **fields)
        else:
            self._log.emit(level, "{fault}", fault=text + many, **fields)
        return True

    def cleared(self, key: Hashable, text: str, **fields: Any) -> None:
        """It is right again: logged if it was known to be wrong.

        ``{count}`` and ``{for_s}`` in the text stand for how often, and for how many seconds, it
        was wrong.
        """
        known = self._faults.pop(key, None)
        if known is not None:
            for_s = round(self._seconds() - known.first_s, 1)
            self._log.info(text, count=known.count, for_s=for_s, **fields)

    def forget(self, key: Hashable) -> None:
        """The thing is gone: no more of it."""
        self._faults.pop(key, None)

    def status(self) -> list[Json]:
        """What is wrong now, newest last: the text, how often, and for how many seconds."""
        now_s = self._seconds()
        return [
            {"text": fault.text, "count": fault.count, "for_s": round(now_s - fault.first_s, 1)}
            for fault in list(self._faults.values())
        ]

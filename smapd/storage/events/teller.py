"""Tells those who waited, in order, also when one of them sets off the next thing to be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred

from smapd.errors import SmapError


class Teller:
    """Deferreds with what each is to be given: a value, or an error of smapd."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Deferred[Any], Any]] = deque()
        self._telling = False

    def add(self, told: Iterable[Deferred[Any]], result: Any) -> None:
        """Each of these is given that at the next ``tell``."""
        self._waiting.extend((one, result) for one in told)

    def tell(self) -> None:
        """Call them back; one that was cancelled is left out."""
        if self._telling:
            return
        self._telling = True
        try:
            while self._waiting:
                one, result = self._waiting.popleft()
                if one.called:
                    continue
                if isinstance(result, SmapError):
                    one.errback(result)
                else:
                    one.callback(result)
        finally:
            self._telling = False

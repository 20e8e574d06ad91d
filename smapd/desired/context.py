"""What a handler is given beside the resource: to report what it did, and to log.

A log record in JSON::

    {"ms": wall clock, "level": "debug" … "critical", "message": the text as read,
     "template": the text as written, where it was filled in,
     "kwargs": {name: value}, and of ctx.exception "traceback" among them}
"""

from __future__ import annotations

import operator
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from twisted.python.failure import Failure

from smapd.runtime import attempt
from smapd.values import Json, wall_ms

from .jsonable import clean, fitted, text_of
from .resources import Resource
from .states import Change, ResourceState

MOST_LOGS: Final = 2_000
"""Records that one context keeps: the first half of them, and the newest."""
_MOST_NAMES: Final = 1_000
_MOST_FACTS: Final = 1_000
_MOST_TRACEBACK: Final = 64 * 1024


class InvalidOperation(RuntimeError):
    """The handler reported something that cannot be."""


class LogRecord(NamedTuple):
    """One line of a handler's log. ``template`` is "" where it is the message."""

    ms: int
    level: str
    message: str
    kwargs: dict[str, Json]
    template: str = ""

    def as_json(self) -> dict[str, Json]:
        """As it is stored and served."""
        told: dict[str, Json] = {"ms": self.ms, "level": self.level, "message": self.message}
        if self.template:
            told["template"] = self.template
        told["kwargs"] = self.kwargs
        return told


class HandlerContext:
    """One run of one resource: what was found, done and logged.

    Used by the thread that runs the handler; its log may be read from others.
    """

    def __init__(
        self,
        resource: Resource | None = None,
        dry_run: bool = False,
        *,
        on_log: Callable[[LogRecord], None] | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """``on_log``: called with each record at once, on the handler's thread."""
        self._resource, self._dry_run = resource, dry_run
        self._on_log, self._now_ms = on_log, now_ms
        self._status: ResourceState | None = None
        self._reason = ""
        self._change = Change.NOCHANGE
        self._spoiled = ""
        self._changes: dict[str, dict[str, Json]] = {}
        self._facts: dict[str, Json] = {}
        self._kept: dict[str, Any] = {}
        self._first: list[LogRecord] = []
        self._newest: deque[LogRecord] = deque(maxlen=MOST_LOGS - MOST_LOGS // 2)
        self._logged = 0

    # --- for handlers: what was done

    def is_dry_run(self) -> bool:
        """Whether nothing may be changed."""
        return self._dry_run

    def set_created(self) -> None:
        """The resource was made.

        :raises InvalidOperation: if something was done already; the resource fails then.
        """
        self._set_change(Change.CREATED)

    def set_updated(self) -> None:
        """The resource was changed; as ``set_created``."""
        self._set_change(Change.UPDATED)

    def set_purged(self) -> None:
        """The resource was taken away; as ``set_created``."""
        self._set_change(Change.PURGED)

    def add_change(self, name: str, desired: object, current: object = None) -> None:
        """A field differs, or was changed: from ``current`` to ``desired``."""
        if name not in self._changes and len(self._changes) >= _MOST_NAMES:
            raise InvalidOperation(f"A resource may have {_MOST_NAMES} changes, not more.")
        self._changes[text_of(name, 200)] = {
            "current": fitted(current),
            "desired": fitted(desired),
        }

    def add_changes(self, **desired: object) -> None:
        """Several fields were changed to these values; what they were is not known."""
        for name, value in desired.items():
            self.add_change(name, value)

    def update_changes(self, changes: Mapping[str, Any]) -> None:
        """Changes by field: ``{"current": …, "desired": …}``, or a pair of the two.

        :raises InvalidOperation: if one is neither.
        """
        for name, change in changes.items():
            if isinstance(change, Mapping):
                self.add_change(name, change.get("desired"), change.get("current"))
            elif isinstance(change, tuple) and len(change) == 2:
                self.add_change(name, desired=change[1], current=change[0])
            else:
                raise InvalidOperation(
                    f"The change of {text_of(name, 80)} is {text_of(change, 80)}; it takes"
                    ' {"current": …, "desired": …} or a pair (current, desired).'
                )

    def set_fact(self, fact_id: str, value: object) -> None:
        """Something found out about the resource, to be kept and served."""
        if fact_id not in self._facts and len(self._facts) >= _MOST_FACTS:
            raise InvalidOperation(f"A resource may have {_MOST_FACTS} facts, not more.")
        self._facts[text_of(fact_id, 200)] = fitted(value)

    def set_status(self, status: ResourceState | str, reason: str = "") -> None:
        """How the run ends, and why so; ``execute`` sets it, a handler need not."""
        self._status, self._reason = ResourceState(status), reason

    # --- for handlers: from one of its methods to the next

    def set(self, name: str, value: Any) -> None:
        """Keep this for the methods that come after, until the run is over."""
        self._kept[name] = value

    def get(self, name: str) -> Any:
        """What was kept under that name.

        :raises KeyError: if nothing was.
        """
        return self._kept[name]

    def contains(self, name: str) -> bool:
        """Whether something is kept under that name."""
        return name in self._kept

    # --- what came of it

    @property
    def status(self) -> ResourceState | None:
        """How the run ended; None while it goes on."""
        return self._status

    @property
    def reason(self) -> str:
        """Why the run did not go well; "" if it did."""
        return self._reason

    @property
    def change(self) -> Change:
        """What the handler did."""
        return self._change

    @property
    def changed(self) -> bool:
        """Whether the handler did anything."""
        return self._change is not Change.NOCHANGE

    @property
    def changes(self) -> dict[str, dict[str, Json]]:
        """By field: ``{"current": …, "desired": …}``, in plain JSON."""
        return dict(self._changes)

    @property
    def facts(self) -> dict[str, Json]:
        """What was found out, in plain JSON."""
        return dict(self._facts)

    @property
    def logs(self) -> list[LogRecord]:
        """The records, oldest first; of more than ``MOST_LOGS`` one says how many are missing."""
        newest = list(self._newest)
        missing = self._logged - len(self._first) - len(newest)
        if missing <= 0:
            return [*self._first, *newest]
        text = f"{missing} records of this log were left out."
        gap = LogRecord(newest[0].ms, "warning", text, {})
        return [*self._first, gap, *newest]

    @property
    def spoiled(self) -> str:
        """Why the resource fails though no method raised; "" if it does not."""
        return self._spoiled

    # --- the log

    def debug(self, msg: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message. ``%(name)s`` in it is filled in from ``kwargs``, which are kept as JSON.

        What of them JSON cannot hold is kept as text. A message without arguments stands as it is.
        """
        self._log("debug", msg, args, kwargs)

    def info(self, msg: str, /, *args: Any, **kwargs: Any) -> None:
        """As ``debug``."""
        self._log("info", msg, args, kwargs)

    def warning(self, msg: str, /, *args: Any, **kwargs: Any) -> None:
        """As ``debug``."""
        self._log("warning", msg, args, kwargs)

    def error(self, msg: str, /, *args: Any, **kwargs: Any) -> None:
        """As ``debug``."""
        self._log("error", msg, args, kwargs)

    def critical(self, msg: str, /, *args: Any, **kwargs: Any) -> None:
        """As ``debug``."""
        self._log("critical", msg, args, kwargs)

    def exception(self, msg: str, /, *args: Any, **kwargs: Any) -> None:
        """As ``error``, with the traceback of the exception that is being handled."""
        kwargs.setdefault("exc_info", True)
        self._log("error", msg, args, kwargs)

    def _log(self, level: str, msg: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        problem = kwargs.pop("exc_info", None)
        text = msg if isinstance(msg, str) else text_of(msg)
        message, template = text, ""
        if args or kwargs:
            filled = attempt(operator.mod, text, args or kwargs)
            if isinstance(filled, Failure):  # a log line must not fail what it tells of
                filled = f"{text} (cannot be filled in: {text_of(filled.value, 200)})"
            message = filled
            template = text if message != text else ""
        kept: dict[str, Json] = fitted(kwargs)
        if args:
            kept["args"] = fitted(args)
        if problem and "traceback" not in kept:
            kept["traceback"] = _traceback(problem)
        record = LogRecord(self._now_ms(), level, clean(message), kept, clean(template))
        self._logged += 1
        if len(self._first) < MOST_LOGS // 2:
            self._first.append(record)
        else:
            self._newest.append(record)
        if self._on_log is not None:
            self._on_log(record)

    def _set_change(self, change: Change) -> None:
        if self._change is not Change.NOCHANGE:
            self._spoiled = (
                f"The handler reported {change} after it had reported {self._change}; a run"
                " does one thing."
            )
            raise InvalidOperation(self._spoiled)
        self._change = change


def _traceback(problem: object) -> str:
    error = problem if isinstance(problem, BaseException) else sys.exc_info()[1]
    if error is None:
        return ""
    lines = attempt(traceback.format_exception, error)
    if isinstance(lines, Failure):
        lines = [f"{type(error).__name__}, whose traceback fails: {type(lines.value).__name__}"]
    text = "".join(lines)
    if len(text) > _MOST_TRACEBACK:
        half = _MOST_TRACEBACK // 2
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return clean(text, _MOST_TRACEBACK + 3)

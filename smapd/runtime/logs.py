"""The log: one record a line, as text for people or JSON for programs.

Text: ``2026-11-20T09:00:00.123Z warn [driver=/hall/meter] message``; a traceback follows in lines
that begin with four blanks. JSON: one object a line with ``time``, ``level``, ``namespace``,
``message``, then the fields of the record, and ``traceback`` where there is one.

A record that comes out of a driver's code carries ``driver``, its path, whoever wrote it: the
driver with any kind of logger, or a ``print``. What libraries give to ``logging`` comes too. The
secrets of its section are taken out of it; a record from elsewhere that tells of a driver has
``log_hide``, which does that.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr, safe_str
from zope.interface import implementer

from smapd.values import Json

from .guard import attempt
from .owner import current_owner

MOST_TEXT = 32 * 1024
"""Characters of one message; a traceback may have twice that."""

_IN_BRACKETS = ("driver", "section", "path")
_QUIET = ("twisted", "asyncio", "urllib3")
"""Shown from warn on, unless everything is."""
_LEVELS = {
    logging.DEBUG: LogLevel.debug,
    logging.INFO: LogLevel.info,
    logging.WARNING: LogLevel.warn,
    logging.ERROR: LogLevel.error,
    logging.CRITICAL: LogLevel.critical,
}


class TextStream(Protocol):
    """Where the lines go: what ``sys.stderr`` is."""

    def write(self, text: str, /) -> object:
        """Write this."""

    def flush(self) -> object:
        """Bring it out."""


class Logging:
    """The log that runs; ``stop`` takes everything back."""

    def __init__(
        self, observer: ILogObserver, handler: logging.Handler, was: tuple[Any, Any, Any, int]
    ) -> None:
        self._observer, self._handler, self._was = observer, handler, was

    def stop(self) -> None:
        """Write nothing more; ``print`` and ``logging`` are as they were."""
        globalLogPublisher.removeObserver(self._observer)
        root = logging.getLogger()
        root.removeHandler(self._handler)
        sys.stdout, sys.stderr, warnings.showwarning, level = self._was
        root.setLevel(level)


def start_logging(
    stream: TextStream,
    form: str = "text",
    level: str = "info",
    *,
    take_prints: bool = True,
    begin: Callable[..., None] | None = None,
) -> Logging:
    """Write every record of at least this level to ``stream``, from now on; once per process.

    ``form`` is text or json; ``level`` debug, info, warn, error or critical. With ``take_prints``
    what is printed becomes records too, so that a driver's ``print`` cannot break a line of JSON.
    Twisted's own chatter is shown from warn on, or with level debug.

    :raises ValueError: for another form or level.
    """
    line = {"text": text_line, "json": json_line}.get(form)
    if line is None:
        raise ValueError(f"the log's form is text or json: got {form!r}")
    least = LogLevel.lookupByName(level) if level in _names() else None
    if least is None:
        raise ValueError(f"the log's level is one of {', '.join(_names())}: got {level!r}")
    predicate = LogLevelFilterPredicate(defaultLogLevel=least)
    if least is LogLevel.info:
        for namespace in _QUIET:
            predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
    observer = FilteringLogObserver(LineObserver(stream, line), [predicate])
    root = logging.getLogger()
    was = (sys.stdout, sys.stderr, warnings.showwarning, root.level)
    handler = StandardLogging()
    (begin or globalLogBeginner.beginLoggingTo)([observer], redirectStandardIO=take_prints)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if least is LogLevel.debug else logging.INFO)
    return Logging(observer, handler, was)


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as ``line`` makes it; any thread: a line goes out in one write."""

    def __init__(self, stream: TextStream, line: Callable[[dict[str, Any]], str]) -> None:
        self._stream, self._line = stream, line
        self.lost = 0

    def __call__(self, event: dict[str, Any]) -> None:
        """Write it. A stream that is full or closed loses it, and counts."""
        owner = current_owner.get()
        if owner is not None and "driver" not in event:
            event = {**event, "driver": owner.path}
        text = self._line(event)
        hide = event.get("log_hide") or (owner.hide if owner is not None else None)
        if hide is not None:
            text = hide(text)
        text += "\n"
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            self._stream.flush()
        except (OSError, ValueError):  # no room, no reader, or closed: there is no place to tell
            self.lost += 1


class StandardLogging(logging.Handler):
    """Hands what comes by ``logging`` to Twisted's logger, under its own name."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one on; what cannot be formatted is shown as it came."""
        text = attempt(record.getMessage)
        if isinstance(text, Failure):
            args = safe_repr(record.args)  # type: ignore[no-untyped-call]
            text = f"{safe_str(record.msg)} {args}"
        level = _LEVELS.get(record.levelno // 10 * 10, LogLevel.info)
        log = Logger(namespace=record.name)
        problem = record.exc_info[1] if record.exc_info else None
        if problem is None:
            log.emit(level, "{text}", text=text)
        else:
            failure = Failure(problem)  # type: ignore[no-untyped-call]
            log.failure("{text}", failure, level, text=text)


def text_line(event: dict[str, Any]) -> str:
    """One record for people, without the last line end."""
    message = _message(event)
    tags = [
        f"{key}={_clean(_cut(text))}"
        for key, text in ((key, safe_str(event.get(key) or "")) for key in _IN_BRACKETS)
        if text and (key == "driver" or text not in message)
    ]
    where = f" [{' '.join(tags)}]" if tags else ""
    line = f"{_time(event)} {_level(event)}{where} {_clean(message)}"
    traceback = _traceback(event)
    if traceback:
        line += _bounded("".join(f"\n    {_clean(part)}" for part in traceback.splitlines()))
    return line


def json_line(event: dict[str, Any]) -> str:
    """One record as a JSON object, without the line end."""
    record: dict[str, Json] = {
        "time": _time(event),
        "level": _level(event),
        "namespace": event.get("log_namespace", ""),
        "message": _message(event),
    }
    message = record["message"]
    for key, value in event.items():
        if not key.startswith("log_") and key not in record and key != "isError":
            plain = _plain(value)
            if plain != message:  # a message that is all of one field is not said twice
                record[key] = plain
    traceback = _traceback(event)
    if traceback:
        record["traceback"] = traceback
    return json.dumps(record, ensure_ascii=False)


def _names() -> list[str]:
    return [level.name for level in LogLevel.iterconstants()]


def _level(event: dict[str, Any]) -> str:
    level = event.get("log_level")
    return str(level.name) if level is not None else "info"


def _time(event: dict[str, Any]) -> str:
    stamp = datetime.datetime.fromtimestamp(event.get("log_time", 0.0), datetime.UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"


def _message(event: dict[str, Any]) -> str:
    return _cut(formatEvent(event).rstrip("\n"))


def _traceback(event: dict[str, Any]) -> str:
    failure = event.get("log_failure")
    if not isinstance(failure, Failure):
        return ""
    text = attempt(failure.getTraceback)
    return "" if isinstance(text, Failure) else _bounded(text)


def _bounded(text: str) -> str:
    """A traceback's begin and end, which say where; what is between may be of any length."""
    part = MOST_TEXT - 12
    if len(text) <= 2 * MOST_TEXT:
        return text
    return f"{text[:part].rstrip()}\n    …\n    {text[-part:]}"


def _plain(value: object) -> Json:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return _cut(safe_str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"


def _clean(text: str) -> str:
    """On one line, and harmless to a terminal."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text
    )

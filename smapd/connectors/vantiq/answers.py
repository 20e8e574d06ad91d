"""Answers to queries: what may be said, and which queries are still to be answered."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import VantiqConnectorException
from .json_text import encode
from .names import VantiqConnector as names
from .protocol import answer

_PLACES = re.compile(r"\{\s*([0-9]+)\s*(?:,[^{}]*)?\}")
_CODES = (names.QUERY_COMPLETE, names.QUERY_PARTIAL, names.QUERY_EMPTY)
_PARTS = (names.ERROR_CODE, names.ERROR_TEMPLATE, names.ERROR_PARAMETERS)


class Query:
    """One query, from its arrival to its final answer."""

    __slots__ = ("address", "answered", "handler", "since_s", "size")

    def __init__(self, address: Any, size: int, since_s: float, handler: Any = None) -> None:
        self.address, self.size, self.since_s = address, size, since_s
        self.handler = handler
        self.answered = address is None  # nobody waits


class QueryContext(dict[str, Any]):
    """What a query's handler is given to pass back; knows its query if passed back unchanged."""

    __slots__ = ("query",)

    def __init__(self, source: str, query: Query) -> None:
        super().__init__({names.SOURCE_NAME: source})
        if query.address is not None:
            self[names.RESPONSE_ADDRESS] = query.address
        self.query = query


class Queries:
    """The queries that wait for their final answer; bounded by number and bytes."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._open: dict[Any, deque[Query]] = {}
        self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def add(self, query: Query) -> bool:
        """Keep it until ``done``; False if there is no room."""
        full = self._count >= self._most or self._bytes + query.size > self._most_bytes
        if full and self._count:
            return False
        self._open.setdefault(query.address, deque()).append(query)
        self._count += 1
        self._bytes += query.size
        return True

    def find(self, context: Mapping[str, Any]) -> Query | None:
        """The query of a context; of a copied one the oldest with its address. None if it is over.

        A server may use an address again once it has its answer.
        """
        if isinstance(context, QueryContext):
            return None if context.query.answered else context.query
        same = self._open.get(context[names.RESPONSE_ADDRESS])
        return next((query for query in same or () if not query.answered), None)

    def done(self, query: Query) -> None:
        """It needs no more answers; once for each one added."""
        same = self._open[query.address]
        same.remove(query)
        if not same:
            del self._open[query.address]
        self._count -= 1
        self._bytes -= query.size

    def overdue(self, before_s: float) -> Iterator[Query]:
        """Those that were not answered, nor in part, since then."""
        for same in list(self._open.values()):
            for query in list(same):
                if query.since_s < before_s and not query.answered:
                    yield query


def check_context(source: str, context: Any) -> Mapping[str, Any]:
    """A context that came with a query of this source.

    :raises VantiqConnectorException: if it is none.
    """
    if not isinstance(context, Mapping) or context.get(names.SOURCE_NAME) != source:
        raise VantiqConnectorException(
            f"source {source}: this is no context of one of its queries. "
            "Pass back the one that the query handler was given."
        )
    if context.get(names.RESPONSE_ADDRESS) is None:
        raise VantiqConnectorException(
            f"source {source}: this context cannot be answered: a publish, or a query that nobody "
            "waits for, has no response address."
        )
    return context


def response_frame(source: str, context: Mapping[str, Any], code: Any, message: Any) -> bytes:
    """The frame of an answer.

    :raises VantiqConnectorException: if the code and message do not fit each other or the wire.
    """
    if code not in _CODES or isinstance(code, bool):
        raise VantiqConnectorException(
            f"source {source}: {code!r} is no code of an answer. Use VantiqConnector."
            "QUERY_COMPLETE, QUERY_PARTIAL or QUERY_EMPTY."
        )
    if code == names.QUERY_EMPTY:
        if message is not None:
            raise VantiqConnectorException(
                f"source {source}: an answer with QUERY_EMPTY holds nothing: its message is None."
            )
        return answer(code, context[names.RESPONSE_ADDRESS], None)
    if message is None:
        raise VantiqConnectorException(
            f"source {source}: only QUERY_EMPTY goes with None; this one needs a dict or a list of "
            "dicts."
        )
    rows = [message] if isinstance(message, dict) else message
    if not _is_list(rows) or not all(isinstance(row, dict) for row in rows):
        raise VantiqConnectorException(
            f"source {source}: an answer is a dict or a list of dicts, not {_kind(message)}."
        )
    return answer(code, context[names.RESPONSE_ADDRESS], _json(source, "this answer", message))


def error_frame(source: str, context: Mapping[str, Any], message: Any) -> bytes:
    """The frame of an error answer.

    :raises VantiqConnectorException: if the message is not complete.
    """
    if not isinstance(message, Mapping):
        raise VantiqConnectorException(
            f"source {source}: an error is a dict with {', '.join(_PARTS)}, not {_kind(message)}."
        )
    missing = [part for part in _PARTS if message.get(part) is None]
    if missing:
        raise VantiqConnectorException(
            f"source {source}: the error lacks {' and '.join(missing)}; it needs "
            f"{', '.join(_PARTS)}."
        )
    code, template, parameters = (message[part] for part in _PARTS)
    for part, value in ((names.ERROR_CODE, code), (names.ERROR_TEMPLATE, template)):
        if not isinstance(value, str):
            raise VantiqConnectorException(
                f"source {source}: the error's {part} is a text, not {_kind(value)}."
            )
    if not _is_list(parameters):
        raise VantiqConnectorException(
            f"source {source}: the error's {names.ERROR_PARAMETERS} is a list, not "
            f"{_kind(parameters)}."
        )
    asked = max((int(place[1][:9]) for place in _PLACES.finditer(template)), default=-1)
    if asked >= len(parameters):
        raise VantiqConnectorException(
            f"source {source}: the error's template asks for {{{asked}}}, and there "
            f"{'is 1 parameter' if len(parameters) == 1 else f'are {len(parameters)} parameters'}."
        )
    body = _json(source, "this error", dict(message))
    return answer(names.QUERY_ERROR, context[names.RESPONSE_ADDRESS], body)


def notification_json(source: str, message: Any) -> bytes:
    """The JSON of a notification.

    :raises VantiqConnectorException: if it is no dict, or cannot be told in JSON.
    """
    if not isinstance(message, dict):
        raise VantiqConnectorException(
            f"source {source}: a notification is a dict, not {_kind(message)}."
        )
    return _json(source, "this notification", message)


def own_error(code: str, template: str, *parameters: str) -> dict[str, Any]:
    """An error that the connector itself answers."""
    return {
        names.ERROR_CODE: f"smapd.connector.{code}",
        names.ERROR_TEMPLATE: template,
        names.ERROR_PARAMETERS: list(parameters),
    }


def _json(source: str, what: str, value: Any) -> bytes:
    try:
        return encode(value)
    except ValueError as error:
        raise VantiqConnectorException(f"source {source}: {what}: {error}") from None


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple) or type(value).__name__ == "ndarray"


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"

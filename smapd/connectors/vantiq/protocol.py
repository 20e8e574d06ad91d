"""The extension protocol of a Vantiq server, without sockets and without a clock.

One WebSocket serves one source. Each message is one JSON object in a text frame.

==============================  ===================================================================
we say                          ``{"op": "validate", "resourceName": "system.credentials",
                                "object": TOKEN}``, first of all
the server                      ``{"status": 200, …}``; 401 refuses the token for good, any other
                                status of 300 and above refuses it for now
we                              ``{"op": "connectExtension", "resourceName": "sources",
                                "resourceId": SOURCE, "parameters": {"reconnectSecret": X}}``; X is
                                the same for all connections of this process
the server                      some messages without ``op``: a status of 300 and above refuses the
                                source, one below means nothing
the server                      ``{"op": "configureExtension", "resourceName": "SOURCES",
                                "resourceId": SOURCE, "object": {"config": {…}}}``; from here on the
                                source is connected
the server                      ``{"op": "publish", "object": {…}, …}``
the server                      ``{"op": "query", "object": {…}, "messageHeaders":
                                {"REPLY_ADDR_HEADER": A}}``; without A nobody waits for an answer
we, for each query              ``{"status": 100|200|204|400, "headers": {"X-Reply-Address": A},
                                "body": …}``, any number of 100, then one of the others; body is an
                                object or a list of objects, of a 400 ``{"messageCode",
                                "messageTemplate", "parameters"}``, and there is none with 204
we, at any time                 ``{"op": "notification", "resourceName": "sources",
                                "resourceId": SOURCE, "object": {…}}``
the server                      ``{"op": "reconnectRequired", …}``: begin again; we do so with a new
                                socket
the server                      ``{"status": S, …}``: an answer to something we sent; of interest if
                                S is 300 or above
==============================  ===================================================================

What is none of these is ignored on the same connection, and reported as :class:`Bad`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import orjson

from .errors import VantiqConnectorConfigException
from .json_text import encode

LONGEST_TEXT = 300
"""Letters of a server's explanation that are logged."""


class Authenticated(NamedTuple):
    """The token is good; ``reply`` is to be sent."""

    reply: bytes


class Configured(NamedTuple):
    """The source is connected, with this configuration."""

    config: dict[str, Any]


class Published(NamedTuple):
    """An object was published to the source."""

    object: dict[str, Any]


class Queried(NamedTuple):
    """The source was asked; ``address`` is None if nobody waits for the answer."""

    object: dict[str, Any]
    address: Any


class ReconnectRequired(NamedTuple):
    """The server wants the connection made anew."""


class Denied(NamedTuple):
    """The server does not let us in; ``fatal`` if trying again would not help."""

    why: str
    fatal: bool


class Told(NamedTuple):
    """The server did not like something that we sent."""

    why: str


class Bad(NamedTuple):
    """A message that is not understood. If ``address`` is not None somebody waits there."""

    why: str
    address: Any = None


class Nothing(NamedTuple):
    """A message that means nothing to us."""


Event: TypeAlias = (
    Authenticated
    | Configured
    | Published
    | Queried
    | ReconnectRequired
    | Denied
    | Told
    | Bad
    | Nothing
)


class Step(enum.Enum):
    """How far one connection has come."""

    VALIDATING = "login"
    CONNECTING = "source"
    RUNNING = "running"


_NOTHING = Nothing()
_RUNNING = Step.RUNNING
_ADDRESSES = (str, int, float, bool)


class SourceProtocol:
    """One connection of one source: what to send, and what a frame means."""

    def __init__(self, source: str, token: str, reconnect_secret: str) -> None:
        if not token:
            raise VantiqConnectorConfigException(f"source {source} has no token to log in with")
        self.step = Step.VALIDATING
        self._source, self._token, self._secret = source, token, reconnect_secret

    def validate(self) -> bytes:
        """The first frame; holds the token."""
        return encode(
            {"op": "validate", "resourceName": "system.credentials", "object": self._token}
        )

    def receive(self, frame: bytes | str) -> Event:
        """What this frame means at this step; never raises."""
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            return Bad(f"not JSON: {error}")
        if type(message) is not dict:
            return Bad(f"a JSON {_kind(message)} where an object was expected")
        if "op" in message:
            return self._operation(message["op"], message)
        return self._status(message)

    # --- private

    def _operation(self, op: Any, message: dict[str, Any]) -> Event:
        if self.step is _RUNNING:
            if op == "query":
                return _query(message)
            if op == "publish":
                found = message.get("object")
                if type(found) is not dict:
                    return Bad(f"a publish whose object is {_kind(found)}")
                return Published(found)
        elif op in ("query", "publish"):
            return Bad(f"a {op} before the configuration", _address(message))
        if op == "configureExtension" and self.step is not Step.VALIDATING:
            return self._configuration(message)
        if op == "reconnectRequired":
            return ReconnectRequired()
        return Bad(f"unknown or untimely op {_short(op)}", _address(message))

    def _configuration(self, message: dict[str, Any]) -> Event:
        found = message.get("object")
        if type(found) is not dict or "config" not in found:
            return Bad("a configureExtension without object.config")
        config = found["config"]
        if config is None:
            config = {}
        if type(config) is not dict:
            return Bad(f"a configuration that is {_kind(config)}")
        self.step = Step.RUNNING
        return Configured(config)

    def _status(self, message: dict[str, Any]) -> Event:
        status = message.get("status")
        if type(status) is not int:
            return Bad(
                "neither op nor status" if status is None else f"a status that is {_kind(status)}"
            )
        if self.step is Step.VALIDATING:
            if 200 <= status < 300:
                self.step = Step.CONNECTING
                return Authenticated(self._connect_extension())
            if status < 200:
                return _NOTHING
            return Denied(self._because("the login was refused", message), status == 401)
        if status < 300:
            return _NOTHING
        if self.step is Step.CONNECTING:
            return Denied(self._because(f"source {self._source} was refused", message), False)
        return Told(self._because("the server reports", message))

    def _connect_extension(self) -> bytes:
        return encode(
            {
                "op": "connectExtension",
                "resourceName": "sources",
                "resourceId": self._source,
                "parameters": {"reconnectSecret": self._secret},
            }
        )

    def _because(self, what: str, message: Mapping[str, Any]) -> str:
        """One line; a server that echoes our token or secret is not repeated."""
        text = _explanation(message.get("body"))
        for secret in (self._token, self._secret):
            text = text.replace(secret, "***")
        text = _short(text)
        return f"{what}: status {message['status']}{': ' * bool(text)}{text}"


def notification_head(source: str) -> bytes:
    """What stands before the object of each notification; behind it stands ``}``."""
    name = encode(source)
    return b'{"op":"notification","resourceName":"sources","resourceId":' + name + b',"object":'


def answer(status: int, address: Any, body: bytes | None) -> bytes:
    """The frame of one answer to a query; ``body`` as JSON, None for none."""
    head = b'{"status":%d,"headers":{"X-Reply-Address":%b}' % (status, encode(address))
    return head + b"}" if body is None else head + b',"body":' + body + b"}"


def _query(message: dict[str, Any]) -> Event:
    address = _address(message)
    found = message.get("object")
    if found is None:
        found = {}  # a SELECT without WITH
    if type(found) is not dict:
        return Bad(f"a query whose object is {_kind(found)}", address)
    return Queried(found, address)


def _address(message: dict[str, Any]) -> Any:
    headers = message.get("messageHeaders")
    address = headers.get("REPLY_ADDR_HEADER") if type(headers) is dict else None
    return address if isinstance(address, _ADDRESSES) else None


def _explanation(body: Any) -> str:
    if type(body) is list and body:
        body = body[0]
    if type(body) is dict:
        parts = [body.get(key) for key in ("code", "message")]
        body = ": ".join(str(part) for part in parts if part is not None)
    return body if isinstance(body, str) else ""


def _kind(value: object) -> str:
    names = {type(None): "missing or null", bool: "true or false", str: "a text", list: "a list"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "an object")


def _short(value: object) -> str:
    text = " ".join(str(value)[: 4 * LONGEST_TEXT].split())
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"

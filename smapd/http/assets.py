"""/assets: the assets, their events, and requests to whoever serves them.

``GET /assets/ID/events?from=N&limit=K`` answers ``{"events": […], "next": N}``; with
``Accept: text/event-stream`` each event as it becomes durable, from ``Last-Event-ID`` or ``from``
on, else only new ones. An event that is posted is ``{"name", "time", "data"}``; ``version``,
``source`` and ``id`` may be given: the same ``id`` again is the same event, and gives its offset.
``time`` is ms of UTC or RFC 3339, now if it is left out.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from smapd.errors import BadRequest, NotReady
from smapd.interfaces import ITwin
from smapd.values import LONG_MAX, Json

from .bodies import read_json
from .encoding import encode
from .event_stream import EventStream
from .queries import number, wants
from .requests import ask

if TYPE_CHECKING:
    from .request import Request

MOST: Final = 1_000
_ASSET_KEYS: Final = frozenset({"id", "path", "Metadata", "Description"})
_EVENT_KEYS: Final = frozenset({"name", "time", "data", "version", "source", "id"})
_MOST_TEXT: Final = 255


class AssetHandlers:
    """What each route below /assets answers; on the reactor's thread."""

    def __init__(self, twin: ITwin | None, max_body: int) -> None:
        self._twin, self._max_body = twin, max_body

    def table(self) -> Mapping[tuple[str, str], Callable[[Request], Deferred[None] | None]]:
        """The handler of each method and rule of the route table that begins with /assets."""
        return {
            ("GET", "/assets"): self.all,
            ("POST", "/assets"): self.add,
            ("GET", "/assets/<id>"): self.one,
            ("DELETE", "/assets/<id>"): self.delete,
            ("GET", "/assets/<id>/events"): self.events,
            ("POST", "/assets/<id>/events"): self.publish,
            ("POST", "/assets/<id>/requests/<path:type>"): self.request,
        }

    # --- assets

    def all(self, request: Request) -> None:
        """All assets, oldest first."""
        found = [] if self._twin is None else self._twin.assets()
        request.respond(200, encode({"assets": found}))

    def one(self, request: Request) -> None:
        """One asset."""
        request.respond(200, encode(self._room().asset(_asset_of(request))))

    def add(self, request: Request) -> Deferred[None]:
        """Make an asset; answered once it is durable."""
        body = _object(read_json(request, self._max_body), _ASSET_KEYS, "asset")
        made = self._room().create(body)
        return made.addCallback(lambda asset: request.respond(201, encode(asset)))

    def delete(self, request: Request) -> Deferred[None]:
        """Delete an asset that was made so; answered once that is durable."""
        gone = self._room().delete(_asset_of(request))
        return gone.addCallback(lambda _: request.respond(204))

    # --- events

    def events(self, request: Request) -> Deferred[None]:
        """Events from an offset on, or each as it comes."""
        twin, asset = self._room(), _asset_of(request)
        if wants(request, b"text/event-stream"):
            self._follow(request, twin, asset)
            return request.finished_or_gone()  # klein ends what has returned
        offset = number(request, b"from", 0, LONG_MAX)
        limit = max(1, number(request, b"limit", 100, MOST))
        found = twin.events(asset, offset, limit)
        return found.addCallback(
            lambda got: request.respond(200, encode({"events": got[0], "next": got[1]}))
        )

    def publish(self, request: Request) -> Deferred[None]:
        """Publish an event; answered once it is durable."""
        body = _object(read_json(request, self._max_body), _EVENT_KEYS, "event")
        if "data" not in body:
            raise BadRequest("The event has no data.")
        offset = self._room().publish(
            _asset_of(request),
            _text(body, "name", needed=True),
            body["data"],
            version=_version(body),
            time_ms=_time_ms(body.get("time")),
            source=_text(body, "source"),
            dedupe=_text(body, "id") or None,
        )
        return offset.addCallback(lambda n: request.respond(201, encode({"offset": n})))

    def _follow(self, request: Request, twin: ITwin, asset: str) -> None:
        offset = _last_event(request)
        if offset is None:
            offset = number(request, b"from", None, LONG_MAX)
        stream = EventStream(
            request,
            request.site.clock,
            lambda: following.stop(),
            paused=lambda: following.pause(),
            resumed=lambda: following.resume(),
        )

        def give(event: dict[str, Json]) -> None:
            stream.send("event", event, event["offset"])

        def over(why: str) -> None:
            stream.send("end", {"why": why})
            stream.finish()

        following = twin.follow(asset, offset, give, over)
        stream.start()

    # --- requests

    def request(self, request: Request) -> Deferred[None]:
        """Ask whoever serves the asset, and pass the answer on as it comes."""
        asset, _, type_ = _below(request).partition("/requests/")
        ask(request, self._room().exchanges, asset, type_)
        return request.finished_or_gone()

    def _room(self) -> ITwin:
        if self._twin is None:
            raise NotReady("Assets are not served here.")
        return self._twin


def _below(request: Request) -> str:
    """What stands behind /assets/, which slashes may precede."""
    return request.where.lstrip("/").partition("/")[2]


def _asset_of(request: Request) -> str:
    return _below(request).partition("/")[0]


def _object(body: Any, known: frozenset[str], what: str) -> dict[str, Any]:
    """The body if it is an object of these keys.

    :raises BadRequest: if not, naming the key.
    """
    if not isinstance(body, dict):
        raise BadRequest(f"The {what} must be an object.")
    for key in body:
        if key not in known:
            raise BadRequest(f"{key[:100]}: no such key of an {what}; {', '.join(sorted(known))}.")
    return body


def _text(body: Mapping[str, Any], key: str, needed: bool = False) -> str:
    value = body.get(key)
    if value is None:
        if needed:
            raise BadRequest(f"{key} is missing.")
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT or not value.isprintable():
        raise BadRequest(f"{key} must be a text of 1 to {_MOST_TEXT} printable letters.")
    return value


def _version(body: Mapping[str, Any]) -> int | None:
    value = body.get("version")
    if value is not None and (type(value) is not int or not 0 <= value < 2**31):
        raise BadRequest("version must be a whole number.")
    return value


def _time_ms(value: Any) -> int | None:
    """ms of UTC, of a number of ms or an RFC 3339 text; None for none.

    :raises BadRequest: if it is neither.
    """
    if value is None:
        return None
    if type(value) is int and -(2**53) < value < 2**53:
        return value
    if isinstance(value, str) and len(value) <= 40:
        try:
            time = datetime.datetime.fromisoformat(value)
        except ValueError:
            time = None
        if time is not None and time.tzinfo is not None:
            epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
            return (time - epoch) // datetime.timedelta(milliseconds=1)
    raise BadRequest("time must be ms of UTC, or a text like 2026-11-20T09:00:00Z.")


def _last_event(request: Request) -> int | None:
    """The offset behind the last event that the client has; None if it has none."""
    values = request.requestHeaders.getRawHeaders(b"last-event-id")
    text = values[0].decode("latin-1").strip() if values else ""
    return int(text) + 1 if text.isascii() and text.isdigit() and len(text) <= 18 else None

"""/data: the tree. One leaf resource beside the klein app, because routing costs more than GET.

An ETag is weak, since a packed and a plain body share it. It holds the start's own id, and what
moves with the content: for a series its revision and the number of its next reading, for a
collection the tree's revision, for all below also the count of readings taken. What an actuator
says has none: its device is asked each time.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from smapd.errors import (
    BadRequest,
    MethodNotAllowed,
    NoSuchPath,
    NotAnActuator,
    SmapError,
    UnknownMethod,
)
from smapd.interfaces import IActuators, INode, IReadings, ITimeseries, ITree
from smapd.values import ActuationRequest, Gap, Json, Reading

from .encoding import encode
from .errors import answer, answer_bug, shield
from .history import MOST_TEXTS, Range, page, wanted
from .stream import Pacer

if TYPE_CHECKING:
    from .request import Request

_ALLOW: Final = b"Allow: GET, HEAD, OPTIONS, PUT\r\n"
_ALLOW_READ: Final = b"Allow: GET, HEAD, OPTIONS\r\n"


class Data(Resource):  # type: ignore[misc, unused-ignore]
    """Serves the tree below /data; on the reactor's thread, which is the tree's home."""

    isLeaf = True

    def __init__(
        self,
        tree: ITree,
        pacer: Pacer,
        actuators: IActuators | None = None,
        readings: IReadings | None = None,
    ) -> None:
        super().__init__()
        self._readings = readings
        self._tree = tree
        self._pacer = pacer
        self._actuators = actuators

    def render(self, request: Request) -> int:
        """Answer any method; the answer may go on after this returns."""
        shield(request, self._answer)
        return NOT_DONE_YET

    def _answer(self, request: Request) -> None:
        path = "/" + request.where.lstrip("/").partition("/")[2]
        if request.method in (b"GET", b"HEAD"):
            self._get(request, path)
        elif request.method == b"OPTIONS":
            request.respond(204, headers=_ALLOW)
        elif request.method == b"PUT":
            self._put(request, path)
        else:
            # as recorded: 405 where the method is known elsewhere, 501 where it is not
            request.allow = _ALLOW
            kind = MethodNotAllowed if request.method == b"POST" else UnknownMethod
            method = request.method.decode("latin-1")
            raise kind(f"{method} is not for /data.", hint="Add readings with POST /readings.")

    def _get(self, request: Request, path: str) -> None:
        quality = b"1" in request.args.get(b"quality", ()) if request.args else False
        tree = self._tree
        if "+" in path:
            above, _, last = path.rstrip("/").rpartition("/")
            if last.startswith("+"):
                self._found(above)
                if self._actuators is not None and self._tree.actuators(above or "/"):
                    self._survey(request, above or "/", quality)
                    return
                tag = f"{tree.revision}-{tree.taken}"
                if self._is_new(request, tag):
                    self._get_below(request, above or "/", quality)
                return
        node = self._found(path)
        asked = wanted(request.args)
        if asked is not None:
            self._past(request, node, asked, quality)
            return
        if self._actuators is not None and getattr(node, "actuator", None) is not None:
            self._ask(request, cast(ITimeseries, node), quality)
            return
        next_seq = getattr(node, "next_seq", None)
        tag = f"{tree.revision}" if next_seq is None else f"{node.revision}-{next_seq}"
        if self._is_new(request, tag):
            request.respond(200, encode(node.as_json(quality)), request.extra_headers)

    def _get_below(self, request: Request, path: str, quality: bool) -> None:
        if request.wants_head:
            request.begin(200, request.extra_headers)
            request.finish()
        else:
            self._pacer.send(request, self._tree.walk(path), quality)

    def _past(self, request: Request, node: INode, asked: Range, quality: bool) -> None:
        """The readings of a range, from the journal."""
        if not ITimeseries.providedBy(node):
            raise BadRequest(f"{node.path} is a collection; only a timeseries has a past.")
        if self._readings is None:
            raise BadRequest("No readings are kept here.", hint="Set [server] History.")
        stream: ITimeseries = node
        if stream.data_type == "string":  # one may have 64 KiB
            asked = replace(asked, limit=min(asked.limit, MOST_TEXTS))

        def told(found: tuple[list[Reading], list[Gap]]) -> None:
            shown, beside = page(asked, *found)
            request.respond(200, encode(stream.with_readings(shown, quality) | beside))

        done = self._readings.read_range(
            stream.uuid, asked.from_ms, asked.to_ms, asked.limit + 1, asked.newest_first
        )
        done.addCallback(told).addErrback(_failed, request)

    # --- actuators

    def _put(self, request: Request, path: str) -> None:
        node = self._found(path)
        if self._actuators is None or getattr(node, "actuator", None) is None:
            request.allow = _ALLOW_READ
            raise NotAnActuator(f"Not an actuator: {_normal(path)}")
        states, release = request.args.get(b"state"), request.args.get(b"release", ())
        if states and release:
            raise BadRequest("Either ?state= or ?release=1, not both.")
        asked = _asked(request)
        if states:
            done = self._actuators.set(node.path, _text(states[0]), asked)
        elif b"1" in release:
            done = self._actuators.release(node.path, asked)
        else:
            raise BadRequest(
                "A state is missing.", hint=f"Send PUT /data{node.path}?state=S, without a body."
            )
        self._tell(request, cast(ITimeseries, node), done, False)

    def _ask(self, request: Request, node: ITimeseries, quality: bool) -> None:
        assert self._actuators is not None
        done = self._actuators.get(node.path, _asked(request))
        self._tell(request, node, done, quality)

    def _tell(
        self, request: Request, node: ITimeseries, done: Deferred[Reading], quality: bool
    ) -> None:
        def told(reading: Reading) -> None:
            request.respond(200, encode(node.showing(reading, quality=quality)))

        done.addCallback(told).addErrback(_failed, request)

    def _survey(self, request: Request, path: str, quality: bool) -> None:
        """All below, some of it actuators: those are asked first."""
        if request.wants_head:
            self._get_below(request, path, quality)
            return
        assert self._actuators is not None

        def told(found: Mapping[str, tuple[Reading | None, str]]) -> None:
            nodes = _with_asked(self._tree.walk(path), found)
            self._pacer.send(request, nodes, quality)

        self._actuators.survey(path).addCallback(told).addErrback(_failed, request)

    def _is_new(self, request: Request, tag: str) -> bool:
        """Whether the client has another version, or none; if not it is answered 304 here."""
        etag = f'"{self._tree.boot_id}-{tag}"'.encode("ascii")
        request.extra_headers = b"ETag: W/%b\r\n" % etag
        known = request.requestHeaders.getRawHeaders(b"if-none-match")
        if known is None:
            return True
        for one in b",".join(known).split(b","):
            if one.strip().removeprefix(b"W/") in (etag, b"*"):
                request.respond(304, headers=request.extra_headers)
                return False
        return True

    def _found(self, path: str) -> INode:
        node = self._tree.get(path or "/")
        if node is None:
            raise NoSuchPath(f"No such timeseries or collection: {_normal(path)}")
        return node


class _Asked:
    """An actuator among all below a place, as it was just asked."""

    def __init__(self, node: ITimeseries, reading: Reading | None, error: str) -> None:
        self._node, self._reading, self._error = node, reading, error

    def as_json(self, quality: bool = False) -> dict[str, Json]:
        return self._node.showing(self._reading, self._error, quality)


def _with_asked(
    nodes: Iterator[tuple[str, INode]], found: Mapping[str, tuple[Reading | None, str]]
) -> Iterator[tuple[str, Any]]:
    for path, node in nodes:
        asked = found.get(path)
        if asked is None or getattr(node, "actuator", None) is None:
            yield path, node
        else:
            yield path, _Asked(cast(ITimeseries, node), *asked)


def _asked(request: Request) -> ActuationRequest:
    method = request.method.decode("ascii", "replace")
    return ActuationRequest(method, request.where, request.args or {}, request.who)


def _text(state: bytes) -> str:
    try:
        return state.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The state is not UTF-8.") from None


def _failed(failure: Failure, request: Request) -> None:
    if isinstance(failure.value, SmapError):
        answer(request, failure.value)
    else:
        answer_bug(request, failure)


def _normal(path: str) -> str:
    return "/" + "/".join(filter(None, path.split("/")))

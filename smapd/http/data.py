"""/data: the tree. One leaf resource beside the klein app, because routing costs more than GET.

An ETag is weak, since a packed and a plain body share it. It holds the start's own id, and what
moves with the content: for a series its revision and the number of its next reading, for a
collection the tree's revision, for all below also the count of readings taken.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from smapd.errors import MethodNotAllowed, NoSuchPath, NotAnActuator, UnknownMethod
from smapd.interfaces import INode, ITree

from .encoding import encode
from .errors import shield
from .stream import Pacer

if TYPE_CHECKING:
    from .request import Request

_ALLOW: Final = b"Allow: GET, HEAD, OPTIONS, PUT\r\n"
_ALLOW_READ: Final = b"Allow: GET, HEAD, OPTIONS\r\n"


class Data(Resource):  # type: ignore[misc, unused-ignore]
    """Serves the tree below /data; on the reactor's thread, which is the tree's home."""

    isLeaf = True

    def __init__(self, tree: ITree, pacer: Pacer) -> None:
        super().__init__()
        self._tree = tree
        self._pacer = pacer

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
            self._found(path)
            request.allow = _ALLOW_READ
            raise NotAnActuator(f"Not an actuator: {_normal(path)}")
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
                tag = f"{tree.revision}-{tree.taken}"
                if self._is_new(request, tag):
                    self._get_below(request, above or "/", quality)
                return
        node = self._found(path)
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


def _normal(path: str) -> str:
    return "/" + "/".join(filter(None, path.split("/")))

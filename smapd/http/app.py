"""The klein app: every address but /data.

klein is imported when the app is made, since importing it installs the reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.python.failure import Failure
from twisted.web.resource import IResource

from smapd.errors import (
    BadRequest,
    MethodNotAllowed,
    NotFound,
    NotReady,
    SmapError,
    Unhealthy,
    UnknownMethod,
)

from .bodies import read_json
from .docs import CSP, page
from .encoding import encode
from .errors import answer, answer_bug
from .routes import CONTENTS, ROUTES

if TYPE_CHECKING:
    from .parts import HttpParts
    from .request import Request

_KNOWN: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT"})
"""Methods answered 405 where they are not taken; any other is 501, as the original had it."""


class Handlers:
    """What each route answers; on the reactor's thread."""

    def __init__(self, parts: HttpParts, max_body: int) -> None:
        self._parts = parts
        self._max_body = max_body
        self._page = page(parts.version)

    def table(self) -> Mapping[tuple[str, str], Callable[[Request], None]]:
        """The handler of each method and rule of the route table that is not below /data."""
        return {
            ("GET", "/"): self.root,
            ("GET", "/docs"): self.docs,
            ("GET", "/reports"): self.reports,
            ("GET", "/status"): self.status,
            ("GET", "/healthz"): self.healthz,
            ("GET", "/readyz"): self.readyz,
            ("POST", "/readings"): self.readings,
        }

    def root(self, request: Request) -> None:
        """What is here."""
        request.respond(200, encode({"Contents": CONTENTS}))

    def docs(self, request: Request) -> None:
        """The page that names the routes."""
        headers = f"Content-Security-Policy: {CSP}\r\nReferrer-Policy: no-referrer\r\n"
        request.respond(200, self._page, headers.encode("ascii"), b"text/html; charset=utf-8")

    def reports(self, request: Request) -> None:
        """The uuids of all reports: there are none yet."""
        request.respond(200, encode({"Contents": []}))

    def status(self, request: Request) -> None:
        """Counters and states of every room."""
        told = {"version": self._parts.version, "ready": not self._parts.ready()}
        request.respond(200, encode(told | self._parts.status.snapshot()))

    def healthz(self, request: Request) -> None:
        """Whether nothing stands still."""
        reason = self._parts.healthy()
        if reason:
            raise Unhealthy(reason)
        request.respond(200, encode({"status": "ok"}))

    def readyz(self, request: Request) -> None:
        """Whether everything has started."""
        reason = self._parts.ready()
        if reason:
            raise NotReady(reason)
        request.respond(200, encode({"status": "ready"}))

    def readings(self, request: Request) -> None:
        """Take readings from outside: all of the body, or nothing."""
        body = read_json(request, self._max_body)
        if not isinstance(body, dict):
            raise BadRequest('The body must be an object: {path: {"Readings": [[ms, value]]}}.')
        request.respond(200, encode({"Readings": self._parts.intake.take(body)}))


def make_app(handlers: Handlers) -> IResource:
    """The resource that routes to these handlers."""
    from klein import Klein
    from werkzeug.exceptions import HTTPException

    app = Klein()
    table = handlers.table()
    for route in ROUTES:
        handler = table.get((route.method, route.rule))
        if handler is not None:
            app.route(
                route.rule,
                methods=[route.method],
                endpoint=f"{route.method} {route.rule}",
                strict_slashes=False,
                merge_slashes=False,
            )(_bare(handler))

    # the order counts: the first that matches is asked
    @app.handle_errors(SmapError)
    def told(request: Any, failure: Failure) -> None:
        answer(request, cast(SmapError, failure.value))

    @app.handle_errors(HTTPException)
    def unrouted(request: Any, failure: Failure) -> None:
        _answer_unrouted(request, getattr(failure.value, "valid_methods", None))

    @app.handle_errors(Exception)
    def bug(request: Any, failure: Failure) -> None:
        answer_bug(request, failure)

    return app.resource()


def _bare(handler: Callable[[Request], None]) -> Callable[[Any], None]:
    # klein sets attributes on what it routes to, which a bound method does not take
    def route(request: Any) -> None:
        handler(request)

    return route


def _answer_unrouted(request: Request, valid_methods: list[str] | None) -> None:
    """No route takes this: ``valid_methods`` are those the address has, None if there is none."""
    method = request.method.decode("latin-1")
    allow = ", ".join(sorted({*(valid_methods or ()), "OPTIONS"}))
    request.allow = f"Allow: {allow}\r\n".encode("ascii")
    if request.method == b"OPTIONS":
        request.respond(204, headers=request.allow)
    elif valid_methods is None:
        request.allow = b""
        answer(request, NotFound(f"There is nothing at {request.where}"))
    else:
        kind = MethodNotAllowed if request.method in _KNOWN else UnknownMethod
        answer(request, kind(f"{method} is not for {request.where}", hint=f"It takes {allow}."))

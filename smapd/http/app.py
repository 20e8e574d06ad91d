"""The klein app: every address but /data.

klein is imported when the app is made, since importing it installs the reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from smapd.errors import (
    BadRequest,
    MethodNotAllowed,
    NotFound,
    NotReady,
    SmapError,
    StorageFull,
    Unhealthy,
    UnknownMethod,
)
from smapd.interfaces import IJobs
from smapd.values import Action

from .assets import AssetHandlers
from .bodies import read_json
from .desired import DesiredHandlers
from .docs import CSP, page
from .encoding import encode
from .errors import answer, answer_bug
from .metrics import CONTENT_TYPE, Metrics
from .reports import ReportHandlers
from .routes import CONTENTS, CONTENTS_WITH_ACTUATORS, ROUTES
from .things import ThingHandlers

if TYPE_CHECKING:
    from .parts import HttpParts
    from .request import Request

_KNOWN: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT"})
"""Methods answered 405 where they are not taken; any other is 501, as the original had it."""


Handler: TypeAlias = "Callable[[Request], Deferred[None] | None]"


class Handlers:
    """What each route answers; on the reactor's thread."""

    def __init__(self, parts: HttpParts, max_body: int) -> None:
        self._parts = parts
        self._max_body = max_body
        self._page = page(parts.version)
        self._reports = ReportHandlers(parts.reports, max_body)
        self._desired = DesiredHandlers(parts.desired, max_body)
        self._assets = AssetHandlers(parts.twin, max_body)
        hub = None if parts.twin is None else parts.twin.hub
        self._things = ThingHandlers(hub, parts.frames, parts.access)
        self._metrics = Metrics(parts)

    def table(self) -> Mapping[tuple[str, str], Handler]:
        """The handler of each method and rule of the route table that is not below /data."""
        return {
            ("GET", "/"): self.root,
            ("GET", "/docs"): self.docs,
            ("GET", "/jobs"): self.jobs,
            ("PUT", "/jobs"): self.put_jobs,
            ("DELETE", "/jobs"): self.cancel_jobs,
            ("GET", "/status"): self.status,
            ("GET", "/metrics"): self.metrics,
            ("GET", "/healthz"): self.healthz,
            ("GET", "/readyz"): self.readyz,
            ("POST", "/readings"): self.readings,
            **self._reports.table(),
            **self._desired.table(),
            **self._assets.table(),
            ("GET", "/things"): self._things.connect,
        }

    def root(self, request: Request) -> None:
        """What is here."""
        has_jobs = self._parts.jobs is not None and self._parts.tree.has_actuators
        request.respond(
            200, encode({"Contents": CONTENTS_WITH_ACTUATORS if has_jobs else CONTENTS})
        )

    def docs(self, request: Request) -> None:
        """The page that names the routes."""
        headers = f"Content-Security-Policy: {CSP}\r\nReferrer-Policy: no-referrer\r\n"
        request.respond(200, self._page, headers.encode("ascii"), b"text/html; charset=utf-8")

    def jobs(self, request: Request) -> None:
        """All jobs, as sMAP lists them; more with ``?full=1``."""
        full = b"1" in request.args.get(b"full", ())
        request.respond(200, encode(self._jobs().listed(full)))

    def put_jobs(self, request: Request) -> None:
        """Add jobs: all of the body, or none. Each set needs the right to it."""
        who, access = request.who, self._parts.access

        def may(path: str) -> None:
            access.decide(who, Action.ACTUATE, "/data" + path)

        body = read_json(request, self._max_body, any_label=True)
        request.respond(200, encode(self._jobs().put(body, may)))

    def cancel_jobs(self, request: Request) -> None:
        """Take jobs off the list; without a body none."""
        has_body = bool(request.content.getvalue())
        body = read_json(request, self._max_body, any_label=True) if has_body else []
        request.respond(200, encode(self._jobs().cancel(body)))

    def status(self, request: Request) -> None:
        """Counters and states of every room."""
        told = {"version": self._parts.version, "ready": not self._parts.ready()}
        request.respond(200, encode(told | self._parts.status.snapshot()))

    def metrics(self, request: Request) -> None:
        """The counters of every room, as Prometheus reads them."""
        request.respond(200, self._metrics.text(), kind=CONTENT_TYPE)

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

    def readings(self, request: Request) -> Deferred[None] | None:
        """Take readings from outside: all of the body, or nothing; answered once it is durable."""
        body = read_json(request, self._max_body)
        if not isinstance(body, dict):
            raise BadRequest('The body must be an object: {path: {"Readings": [[ms, value]]}}.')
        kept = self._parts.readings
        if kept is not None and kept.error:
            raise StorageFull(f"Nothing was taken: {kept.error}.")
        taken = encode({"Readings": self._parts.intake.take(body)})
        if kept is None:
            request.respond(200, taken)
            return None
        return kept.durable().addCallback(lambda _: request.respond(200, taken))

    def _jobs(self) -> IJobs:
        if self._parts.jobs is None:
            raise NotFound("There is nothing at /jobs")
        return self._parts.jobs


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


def _bare(handler: Handler) -> Callable[..., Deferred[None] | None]:
    # klein sets attributes on what it routes to, which a bound method does not take
    def route(request: Any, **parts: str) -> Deferred[None] | None:
        return handler(request)

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

"""/desired: versions of the desired state, their deploys, and what was done to each resource.

Reading is reading; every POST and PUT needs the right to deploy. An agent elsewhere asks for its
work by POST, though nothing is posted: what it is handed is taken from the list, and no page of
another origin may take it.
"""

# Twisted's own methods have no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from smapd.errors import BadRequest, NotFound, NotReady
from smapd.interfaces import IDesired
from smapd.values import LOG_LEVELS, ActionFilter, Json

from .bodies import read_json
from .encoding import encode
from .event_stream import EventStream
from .queries import first, number, wants

if TYPE_CHECKING:
    from .request import Request

MOST: Final = 10_000
"""Resources or results of one answer."""
MOST_ACTIONS: Final = 1_000
KINDS: Final = ("deploy", "dry_run", "repair")
STATUSES: Final = ("deployed", "dry", "skipped", "failed", "unavailable")
PLACES: Final = ("waiting", "ready", "running", "cancelled")
_FAR: Final = 2**53


class DesiredHandlers:
    """What each route below /desired answers; on the reactor's thread."""

    def __init__(self, desired: IDesired | None, max_body: int) -> None:
        self._desired, self._max_body = desired, max_body

    def table(self) -> Mapping[tuple[str, str], Callable[[Request], Deferred[None] | None]]:
        """The handler of each method and rule of the route table that begins with /desired."""
        return {
            ("GET", "/desired/versions"): self.versions,
            ("POST", "/desired/versions"): self.add,
            ("GET", "/desired/versions/<n>"): self.version,
            ("GET", "/desired/versions/<n>/difference"): self.difference,
            ("POST", "/desired/versions/<n>/deploy"): self.deploy,
            ("GET", "/desired/deploys"): self.deploys,
            ("GET", "/desired/deploys/<n>"): self.deployed,
            ("GET", "/desired/blobs/<sha256>"): self.blob,
            ("PUT", "/desired/blobs/<sha256>"): self.put_blob,
            ("GET", "/desired/resources"): self.resources,
            ("GET", "/desired/resources/<path:id>"): self.resource,
            ("GET", "/desired/resources/<path:id>/actions"): self.resource,
            ("POST", "/desired/resources/<path:id>/facts"): self.check_facts,
            ("GET", "/desired/agents"): self.agents,
            ("POST", "/desired/agents/<name>/work"): self.work,
            ("POST", "/desired/agents/<name>/results"): self.results,
        }

    # --- versions and deploys

    def versions(self, request: Request) -> Deferred[None]:
        """Every version, without its resources."""
        found = self._room().versions()
        return found.addCallback(lambda told: _answer(request, {"versions": told}))

    def add(self, request: Request) -> Deferred[None]:
        """Keep a version; answered once it is durable."""
        body = read_json(request, self._max_body)
        made = self._room().add(body, token=request.who.token)
        return made.addCallback(lambda n: _answer(request, {"version": n}, 201))

    def version(self, request: Request) -> Deferred[None]:
        """A version with its resources, and what became of each."""
        n = _number(request, 3)
        after, limit = number(request, b"after", 0, _FAR), number(request, b"limit", 1_000, MOST)
        return self._room().version(n, after, limit).addCallback(lambda v: _answer(request, v))

    def difference(self, request: Request) -> Deferred[None]:
        """What a version changes beside another, or beside the one that is deployed."""
        n, other = _number(request, 3), number(request, b"from", 0, _FAR)
        told = self._room().difference(n, other or None)
        return told.addCallback(lambda value: _answer(request, value))

    def deploy(self, request: Request) -> Deferred[None]:
        """Begin to deploy a version; what becomes of it is seen at the deploy's address."""
        n = _number(request, 3)
        has_body = bool(request.content.getvalue())
        body: Any = read_json(request, self._max_body) if has_body else {}
        if not isinstance(body, dict) or set(body) - {"dry_run"}:
            raise BadRequest('The body must be an object: {"dry_run": false}.')
        dry_run = body.get("dry_run", False)
        if not isinstance(dry_run, bool):
            raise BadRequest("dry_run must be true or false.")
        begun = self._room().deploy(n, dry_run=dry_run, token=request.who.token)
        return begun.addCallback(
            lambda d: _answer(request, {"version": n, "deploy": d, "dry_run": dry_run}, 202)
        )

    def deploys(self, request: Request) -> None:
        """The deploys known, newest first."""
        _answer(request, {"deploys": self._room().deploys()})

    def deployed(self, request: Request) -> Deferred[None]:
        """A deploy, and its results as they came."""
        d = _number(request, 3)
        after, limit = number(request, b"after", 0, _FAR), number(request, b"limit", 1_000, MOST)
        return self._room().deployed(d, after, limit).addCallback(lambda v: _answer(request, v))

    # --- blobs

    def blob(self, request: Request) -> Deferred[None]:
        """The bytes of a file."""
        name = _part(request, 3)
        kind = b"application/octet-stream"
        headers = b"Content-Disposition: attachment\r\n"  # a page must not run what it holds
        found = self._room().blob(name)
        return found.addCallback(lambda data: request.respond(200, data, headers, kind))

    def put_blob(self, request: Request) -> Deferred[None]:
        """Keep a file under the sha256 of its bytes; 201 if it is new."""
        kept = self._room().put_blob(_part(request, 3), request.content.getvalue())
        return kept.addCallback(lambda is_new: request.respond(201 if is_new else 200))

    # --- resources

    def resources(self, request: Request) -> None:
        """The resources that are deployed, each with its state; ``?state=failed,skipped``."""
        states = _words(request, b"state", (*STATUSES, *PLACES))
        after, limit = number(request, b"after", 0, _FAR), number(request, b"limit", 1_000, MOST)
        _answer(request, self._room().resources(states, after, limit))

    def resource(self, request: Request) -> Deferred[None] | None:
        """One resource; below it, at ``/actions``, what was done to it, live if asked so."""
        id_ = request.where.removeprefix("/desired/resources/")
        if not id_.endswith("/actions"):
            return self._room().resource(id_).addCallback(lambda told: _answer(request, told))
        id_ = id_.removesuffix("/actions")
        asked = _filter(request)
        if wants(request, b"text/event-stream"):
            self._follow(request, id_, asked)
            return request.finished_or_gone()
        found = self._room().actions(id_, asked)
        return found.addCallback(lambda told: _answer(request, _page(id_, told, asked)))

    def check_facts(self, request: Request) -> Deferred[None]:
        """Have the handler find out what it can about a resource."""
        id_ = request.where.removeprefix("/desired/resources/").removesuffix("/facts")
        found = self._room().check_facts(id_)
        return found.addCallback(lambda facts: _answer(request, {"resource": id_, "facts": facts}))

    def _follow(self, request: Request, id_: str, asked: ActionFilter) -> None:
        """Each action once it is durable; with Last-Event-ID or ``after`` first those since."""
        since = _last_event(request) or asked.after
        early: list[Json] | None = [] if since else None
        last = since

        def give(action: Json) -> None:
            nonlocal last
            if early is not None:
                early.append(action)
            elif action["seq"] > last:
                last = action["seq"]
                stream.send("action", action, last)

        watching = self._room().follow(id_, asked, give)
        stream = EventStream(request, request.site.clock, watching.stop)
        stream.start()
        if early is None:
            return

        def catch_up(found: list[Json]) -> None:
            nonlocal early
            waiting, early = [*found, *(early or ())], None
            for action in waiting:
                give(action)

        def failed(failure: Failure) -> None:
            request.cut()  # the head is out: the client comes again

        past = ActionFilter(
            asked.level,
            asked.kinds,
            asked.statuses,
            after=since,
            limit=MOST_ACTIONS,
            newest_first=False,
        )
        self._room().actions(id_, past).addCallbacks(catch_up, failed)

    # --- agents

    def agents(self, request: Request) -> None:
        """Every agent, and what it does."""
        _answer(request, {"agents": self._room().agents()})

    def work(self, request: Request) -> Deferred[None]:
        """What an agent elsewhere is to do next; answered when there is something."""
        found = self._room().work(_part(request, 3), read_json(request, self._max_body))
        request.finished_or_gone().addCallback(lambda _: found.cancel())

        def gone(failure: Failure) -> None:
            failure.trap(CancelledError)

        return found.addCallbacks(lambda told: _answer(request, told)).addErrback(gone)

    def results(self, request: Request) -> Deferred[None]:
        """What an agent elsewhere has done; answered once it is durable."""
        kept = self._room().results(_part(request, 3), read_json(request, self._max_body))
        return kept.addCallback(lambda told: _answer(request, told))

    def _room(self) -> IDesired:
        if self._desired is None:
            raise NotReady("The desired state is not served here.")
        return self._desired


def _answer(request: Request, value: Json, status: int = 200) -> None:
    request.respond(status, encode(value))


def _part(request: Request, at: int) -> str:
    """One part of the address: 3 is what follows /desired/versions/."""
    return request.where.split("/")[at]


def _number(request: Request, at: int) -> int:
    text = _part(request, at)
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise NotFound(f"There is nothing at {request.where[:1000]}")
    return int(text)


def _filter(request: Request) -> ActionFilter:
    level = first(request, b"level") or "debug"
    if level not in LOG_LEVELS:
        raise BadRequest(f"level = {level[:40]}: write one of {', '.join(LOG_LEVELS)}.")
    order = first(request, b"order") or "desc"
    if order not in ("asc", "desc"):
        raise BadRequest(f"order = {order[:40]}: write asc or desc.")
    return ActionFilter(
        level=level,
        kinds=_words(request, b"kind", KINDS),
        statuses=_words(request, b"status", STATUSES),
        from_ms=number(request, b"from", 0, _FAR) or None,
        to_ms=number(request, b"to", 0, _FAR) or None,
        after=number(request, b"after", 0, _FAR),
        before=number(request, b"before", 0, _FAR) or None,
        limit=max(1, number(request, b"limit", 100, MOST_ACTIONS)),
        newest_first=order == "desc",
    )


def _words(request: Request, key: bytes, known: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(word for word in first(request, key).split(",") if word)
    for word in found:
        if word not in known:
            name = key.decode()
            raise BadRequest(f"{name} = {word[:40]}: write one of {', '.join(known)}.")
    return found


def _page(id_: str, found: list[Json], asked: ActionFilter) -> Json:
    told: dict[str, Json] = {"resource": id_, "actions": found}
    if len(found) >= asked.limit:
        told["next"] = {"before" if asked.newest_first else "after": found[-1]["seq"]}
    return told


def _last_event(request: Request) -> int:
    values = request.requestHeaders.getRawHeaders(b"last-event-id")
    text = unquote(values[0].decode("latin-1")).strip() if values else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0

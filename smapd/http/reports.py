"""/reports: who is sent which readings, as sMAP has it.

A report is ``{"uuid", "ReportResource", "ReportDeliveryLocation": [URL, …]}``, with MinPeriod,
MaxPeriod and ExpireTime in seconds, and any other key of a ``[report]`` section. 201 and 200 are
sent once it is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from twisted.internet.defer import Deferred

from smapd.errors import NoSuchReport, NotFound, NotReady
from smapd.interfaces import IReports

from .bodies import read_json
from .encoding import encode

if TYPE_CHECKING:
    from .request import Request


class ReportHandlers:
    """What each route below /reports answers; on the reactor's thread."""

    def __init__(self, reports: IReports | None, max_body: int) -> None:
        self._reports, self._max_body = reports, max_body

    def table(self) -> Mapping[tuple[str, str], Callable[[Request], Deferred[None] | None]]:
        """The handler of each method and rule of the route table that begins with /reports."""
        return {
            ("GET", "/reports"): self.all,
            ("POST", "/reports"): self.add,
            ("GET", "/reports/<uuid>"): self.one,
            ("PUT", "/reports/<uuid>"): self.change,
            ("DELETE", "/reports/<uuid>"): self.delete,
        }

    def all(self, request: Request) -> None:
        """The uuids of all reports."""
        found = [] if self._reports is None else self._reports.uuids()
        request.respond(200, encode({"Contents": [str(uuid) for uuid in found]}))

    def one(self, request: Request) -> None:
        """One report."""
        uuid = _uuid_of(request)
        if self._reports is None:
            raise NoSuchReport(f"There is no report {uuid}.")
        request.respond(200, encode(self._reports.get(uuid)))

    def add(self, request: Request) -> Deferred[None]:
        """Make a report; answered once it is durable."""
        body = read_json(request, self._max_body, any_label=True)
        made = self._room().add(body, local=_is_local(request))
        return made.addCallback(lambda _: request.respond(201))

    def change(self, request: Request) -> Deferred[None]:
        """Change a report, or make it; the uuid in the body counts, if there is one."""
        uuid = _uuid_of(request)
        body: Any = read_json(request, self._max_body, any_label=True)
        changed = self._room().update(uuid, body, local=_is_local(request))
        return changed.addCallback(lambda is_new: request.respond(201 if is_new else 200))

    def delete(self, request: Request) -> Deferred[None]:
        """Remove a report; 200 also if there was none."""
        uuid = _uuid_of(request)
        gone = self._room().delete(uuid)
        return gone.addCallback(lambda _: request.respond(200))

    def _room(self) -> IReports:
        if self._reports is None:
            raise NotReady("Reports are not served yet.")
        return self._reports


def _is_local(request: Request) -> bool:
    """Whether the one who asks sits on this machine, and is no web page."""
    return request.who.loopback and not request.who.origin


def _uuid_of(request: Request) -> UUID:
    name = request.where.removeprefix("/reports/")
    try:
        if len(name) != 36:
            raise ValueError(name)
        return UUID(name)
    except ValueError:
        raise NotFound(f"There is nothing at {request.where[:1000]}") from None

"""``smap::Report``: a report of this daemon, as by POST /reports.

Its fields:

- ``name``: by which the model knows it; with the agent's name it makes the report's uuid.
- ``resource``: what of the tree goes out, like /+ or /hall/+.
- ``locations``: where to, the first choice first. No login in them: a version of the model is read
  by everybody who may read. A report that needs one belongs into the config file.
- ``options``: any other key of a report, as POST /reports has it: times in seconds.
- ``purged``, ``purge_on_delete``: as with any other.

It may go where a report made over HTTP may go: to public addresses, and to those of
``[server] AllowTargets``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from smapd.errors import Busy, NoSuchReport, NotReady, ShutdownRequested, StorageFull
from smapd.values import Json

from ..context import HandlerContext
from ..handler import CRUDHandler, ResourcePurged, SkipResource, provider
from ..services import REPORTS, ReportService, service
from .notdone import NotDone

NAMESPACE: Final = UUID("0c8f5d0e-3c1b-5b7e-9a55-6d1f2b7c4e90")
"""Of the uuids of these reports: ``uuid5(NAMESPACE, "agent name")``."""

_FOR_NOW: Final = (Busy, NotReady, ShutdownRequested, StorageFull)
_RESOURCE: Final = "ReportResource"
_LOCATION: Final = "ReportDeliveryLocation"
_OWN: Final = frozenset({"uuid", _RESOURCE, _LOCATION, "Paused", "Strict"})


@provider("smap::Report", name="smap_report")
class ReportHandler(CRUDHandler):
    """Makes and changes reports through ``ReportService``, which only the daemon's agents have."""

    def available(self, resource: Any) -> bool:
        """Whether the agent has reports."""
        return self._service() is not None

    def pre(self, ctx: HandlerContext, resource: Any) -> None:
        """:raises NotDone: if a field cannot be."""
        for one in resource.locations or ():
            if not isinstance(one, str) or "@" in urlsplit(one).netloc:
                raise NotDone(
                    "A location of a report in the model holds no login: everybody who may read"
                    " reads it. Put the report into the config file."
                )
        if resource.options is not None and not isinstance(resource.options, Mapping):
            raise NotDone("options holds keys of a report and their values.")
        known = self._reports().shown
        for key in resource.options or ():
            if key in _OWN:
                raise NotDone(f"options: {key} is none of them; it may have a field.")
            if key not in known:
                told = ", ".join(sorted(known))
                raise NotDone(f"options: no report has {key}. There is {told}.")

    def read_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """The report as GET has it. Only the options that are desired count."""
        try:
            found = self._reports().get(uuid_of(resource))
        except NoSuchReport:
            raise ResourcePurged from None
        except _FOR_NOW as error:
            raise SkipResource(str(error)) from error
        if resource.resource is not None and str(resource.resource).strip() != found[_RESOURCE]:
            resource.resource = found[_RESOURCE]
        if resource.locations is not None:
            resource.locations = list(found[_LOCATION])
        if resource.options is not None:
            resource.options = {key: found.get(key) for key in resource.options}

    def create_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """:raises BadRequest: if a report cannot be so; Forbidden: if it may not go there."""
        self._put(resource)
        ctx.info("report %(uuid)s is made", uuid=str(uuid_of(resource)))
        ctx.set_created()

    def update_resource(
        self, ctx: HandlerContext, changes: dict[str, dict[str, Any]], resource: Any
    ) -> None:
        """As ``create_resource``; what is pending stays."""
        self._put(resource)
        ctx.info("report %(uuid)s is changed", uuid=str(uuid_of(resource)))
        ctx.set_updated()

    def delete_resource(self, ctx: HandlerContext, resource: Any) -> None:
        """With what is pending."""
        try:
            self._reports().delete(uuid_of(resource))
        except _FOR_NOW as error:
            raise SkipResource(str(error)) from error
        ctx.info("report %(uuid)s is removed", uuid=str(uuid_of(resource)))
        ctx.set_purged()

    def facts(self, ctx: HandlerContext, resource: Any) -> Mapping[str, Json]:
        """By which uuid the daemon knows it."""
        return {"uuid": str(uuid_of(resource))}

    # --- inside

    def _put(self, resource: Any) -> None:
        body: dict[str, Json] = dict(resource.options or {})
        if resource.resource is not None:
            body[_RESOURCE] = resource.resource
        if resource.locations is not None:
            body[_LOCATION] = list(resource.locations)
        try:
            self._reports().put(uuid_of(resource), body)
        except _FOR_NOW as error:
            raise SkipResource(str(error)) from error

    def _service(self) -> ReportService | None:
        return service(self, REPORTS, ReportService)

    def _reports(self) -> ReportService:
        found = self._service()
        if found is None:
            raise NotDone("This agent reaches no reports: let one of the daemon serve it.")
        return found


def uuid_of(resource: Any) -> UUID:
    """The uuid of the report that a resource stands for."""
    return uuid5(NAMESPACE, f"{resource.id.agent_name} {resource.name}")

"""The twin: assets, their events, who follows them, and requests; what the other rooms see of it.

Assembly makes one, opens it once the config's nodes are in the tree and before the drivers are set
up, tells it of drivers and sections, and closes it when the things that run in the daemon are gone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from smapd.core import SmapInstance
from smapd.errors import BadRequest, Busy, ShutdownRequested, SmapError
from smapd.interfaces import (
    IBackoff,
    IClock,
    IDefinitions,
    IEventLog,
    IEventTypes,
    IFaults,
    IFollowing,
    ITwin,
)
from smapd.values import EventRecord, Json

from .assets import Assets
from .exchanges import Exchanges
from .history import Asset
from .hub import Hub
from .live import Following
from .publisher import Publisher
from .streams import Streams

MOST_EVENTS: Final = 1000
MOST_FOLLOWING: Final = 1000
SOURCE: Final = "smapd"


@implementer(ITwin)
class Twin:
    """See ``ITwin``; every method on the reactor's thread."""

    def __init__(
        self,
        tree: SmapInstance,
        log: IEventLog,
        definitions: IDefinitions,
        types: IEventTypes,
        clock: IClock,
        faults: IFaults,
        backoff: IBackoff,
        *,
        any_events: bool = False,
    ) -> None:
        """``any_events``: take events of unknown types as they are, where there is no class."""
        self._log, self._types, self._clock = log, types, clock
        self._any_events = any_events
        self._registry = Assets(tree, log, definitions, clock, faults, backoff)
        self._streams = Streams(log, clock, faults)
        self._publisher = Publisher(log, self._registry, self._streams, clock)
        self.exchanges = Exchanges(clock, self._registry.__contains__)
        self.hub = Hub(
            self._registry, self._streams, self._publisher, self.exchanges, clock, tree.boot_id
        )
        self._following: set[Following] = set()
        self._is_ending = False
        self._registry.history.on_gone.append(self._is_gone)

    # --- for assembly

    async def open(
        self,
        config: Mapping[str, str],
        drivers: Iterable[str],
        ready: Iterable[str] = (),
    ) -> None:
        """Learn which assets there are. The log has started; see ``Assets.open``.

        ``config``: {asset: path} of all sections that bear one; ``drivers``: paths of all driver
        sections; ``ready``: of those among them that are set up already.
        """
        await self._registry.open(config, drivers, ready)

    def driver_ready(self, path: str) -> None:
        """The driver at this place is set up."""
        self._registry.driver_ready(path)

    def section_added(self, path: str, asset: str | None, is_driver: bool) -> None:
        """A section is about to be attached to the running daemon."""
        self._registry.section_added(path, asset, is_driver)

    def section_gone(self, path: str) -> None:
        """A section was detached from the running daemon."""
        self._registry.section_gone(path)

    def end_answers(self) -> None:
        """Requests fail with SHUTDOWN and live looks end, while whoever waits can still be told.

        No other begins after that.
        """
        self._is_ending = True
        self.exchanges.close()
        for following in list(self._following):
            following.end("smapd is stopping")

    def close(self) -> None:
        """Also things are told bye, and nothing is deleted any more."""
        self.end_answers()
        self.hub.close()
        self._registry.close()

    # --- assets

    def assets(self) -> list[dict[str, Json]]:
        """All assets, oldest first; each as ``asset`` gives it."""
        return [self._shown(asset) for asset in self._registry.all()]

    def asset(self, asset: str) -> dict[str, Json]:
        """One; see ``ITwin``."""
        return self._shown(self._registry.get(asset))

    def create(self, body: Any) -> Deferred[dict[str, Json]]:
        """Make an asset; see ``ITwin``."""
        return Deferred.fromCoroutine(self._registry.create(body)).addCallback(self._shown)

    def delete(self, asset: str) -> Deferred[None]:
        """Delete an asset that ``create`` made; see ``ITwin``."""
        return Deferred.fromCoroutine(self._registry.delete(asset))

    # --- events

    def publish(
        self,
        asset: str,
        name: str,
        data: Json,
        *,
        version: int | None = None,
        time_ms: int | None = None,
        source: str = "",
        dedupe: str | None = None,
    ) -> Deferred[int]:
        """Check ``data`` against the type and publish it; see ``ITwin``."""
        try:
            self._registry.get(asset)
            if self._any_events and name not in self._types.names():
                version, form, body = version or 1, "json", _as_json(data)
            else:
                version, form, body = self._types.check(name, version, data)
        except SmapError as error:
            return fail(error)
        return self._publisher.publish(
            asset,
            name,
            version,
            form,
            body,
            source=source or SOURCE,
            time_ms=time_ms,
            dedupe=None if dedupe is None else f"/{dedupe}",  # no thing's name is empty
        )

    def events(
        self, asset: str, offset: int = 0, limit: int = 100
    ) -> Deferred[tuple[list[dict[str, Json]], int]]:
        """Events from an offset on, and the offset to ask for next; see ``ITwin``."""
        try:
            self._registry.get(asset)
        except SmapError as error:
            return fail(error)
        until = self._log.next_offset(asset)
        offset = max(offset, self._log.base(asset))
        page = self._log.read(asset, offset, max(1, min(limit, MOST_EVENTS)))

        def shown(records: list[EventRecord]) -> tuple[list[dict[str, Json]], int]:
            behind = records[-1].offset + 1 if records else max(offset, until)
            return [self._event(record) for record in records], behind

        return page.addCallback(shown)

    def follow(
        self,
        asset: str,
        offset: int | None,
        give: Callable[[dict[str, Json]], None],
        over: Callable[[str], None],
    ) -> IFollowing:
        """Give each event from ``offset`` on, and wait; see ``ITwin``.

        :raises AssetUnknown: if there is no such asset.
        :raises Busy: if too many look already.
        :raises ShutdownRequested: after ``end_answers``.
        """
        if self._is_ending:
            raise ShutdownRequested("smapd is stopping.")
        self._registry.get(asset)
        if len(self._following) >= MOST_FOLLOWING:
            raise Busy(f"{MOST_FOLLOWING} live looks are open already.")
        end = self._log.next_offset(asset)
        place = end if offset is None else max(offset, self._log.base(asset))
        following = Following(
            self._streams,
            asset,
            place,
            lambda record: give(self._event(record)),
            over,
            self._following.discard,
        )
        self._following.add(following)
        self._clock.later(0, following.start)
        return following

    def status(self) -> dict[str, Json]:
        """What /status shows of it."""
        registry = self._registry
        return {
            "assets": len(registry),
            "assets_created": registry.history.created,
            "assets_deleted": registry.history.deleted,
            "events_published": self._publisher.published,
            "events_failed": self._publisher.failed,
            "following": len(self._following),
            "requests": self.exchanges.status(),
            "connected": self.hub.connected,
            "replaced": self.hub.replaced,
            "refused": self.hub.refused,
            "sessions": self.hub.status(),
        }

    # --- within

    def _shown(self, asset: Asset) -> dict[str, Json]:
        return {
            "id": asset.id,
            "path": self._registry.path(asset.id),
            "origin": asset.origin,
            "created_ms": asset.created_ms,
            "base": self._log.base(asset.id),
            "next": self._log.next_offset(asset.id),
        }

    def _event(self, record: EventRecord) -> dict[str, Json]:
        try:
            data = self._types.decode(record)
        except SmapError:  # of a schema that is not known here any more
            data = {"base64": base64.b64encode(record.data).decode("ascii")}
        return {
            "offset": record.offset,
            "name": record.name,
            "version": record.version,
            "source": record.source,
            "time": record.time_ms,
            "systime": record.systime_ms,
            "data": data,
        }

    def _is_gone(self, asset: str) -> None:
        self._streams.forget(asset)
        self.exchanges.asset_gone(asset)
        for following in list(self._following):
            if following.asset == asset:
                following.end("the asset was deleted")


def _as_json(data: Json) -> bytes:
    try:
        return orjson.dumps(data)
    except TypeError as error:
        raise BadRequest(f"data: no JSON: {error}.") from None

"""One role of a session: an integrator, or a follower, with all that it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from smapd.errors import BadRequest
from smapd.interfaces import IExchanges
from smapd.values import ASSET_LOG, Json, Start

from . import wire
from .assets import Assets
from .feed import AssetFeed, EventFeed, Flight, Send, start_of
from .history import Asset
from .patterns import MOST_PATTERNS, Patterns
from .requests import Provider
from .standing import MOST_TOLD, Standing
from .streams import Streams, Turns

INTEGRATOR: Final = "integrator"
FOLLOWER: Final = "follower"
MOST_UNACKED: Final = 10_000
UNACKED: Final = 256


class Role:
    """What ``start`` asked for; on the reactor's thread."""

    def __init__(self, head: dict[str, Json], name: str, send: Send, standing: Standing) -> None:
        """``name``: of the thing. ``standing``: looks whether it goes on.

        :raises BadRequest: naming what is wrong in the head.
        """
        self.kind = role_of(head)
        self.patterns = Patterns(wire.texts(head, "assets", ["*"], MOST_PATTERNS))
        self.t2 = wire.flag(head, "t2")
        self.source = wire.text(head, "source", name)
        self.max_unacked = wire.whole(head, "max_unacked", UNACKED, least=1, most=MOST_UNACKED)
        self.events: dict[str, EventFeed] = {}
        self.provider: Provider | None = None
        self.is_over = False
        self._replay = _replay_of(head)
        self._replay_until = 0
        self._send = send
        self._cursor_name = f"{self.kind}:{name}"
        self._places: dict[str, int] = {}
        self._assets: AssetFeed | None = None
        self._leave: Callable[[], None] | None = None
        self._standing = standing
        self._turns, self._flight = Turns(), Flight(held=standing.held)

    async def begin(self, assets: Assets, streams: Streams) -> None:
        """Find its places. Raises as ``IEventLog.cursor`` does."""
        log, name = streams.log, self._cursor_name
        cursor = await log.cursor(name, ASSET_LOG, Start.NEWEST)
        if self.kind == FOLLOWER:
            self._places = {asset: place for _, asset, place in log.cursors(name)}
            self._replay_until = log.next_offset(ASSET_LOG)
            if isinstance(self._replay, dict):
                self._replay = await self._at_time(assets, streams, int(self._replay["time_ms"]))
        if not self.is_over:
            self._assets = AssetFeed(
                cursor,
                self.kind,
                self.patterns,
                assets,
                streams,
                self._send,
                lambda asset, is_there: self._told(assets, streams, asset, is_there),
            )

    def start(self, exchanges: IExchanges, number: Callable[[], int]) -> None:
        """Begin to tell. ``number()``: the session's next even number."""
        if self.kind == INTEGRATOR and self.t2:
            self.provider = Provider(self.patterns, self._send, number)
            self._leave = exchanges.provide(self.provider)
        if self._assets is not None:
            self._assets.start()

    def done(self, seq: int) -> None:
        """An asset record is dealt with.

        :raises BadRequest: if it was not sent.
        """
        if self._assets is not None:
            self._assets.done(seq)

    def leave(self) -> None:
        """Tell no more; what it was to answer fails."""
        self.is_over = True
        self._turns.close()  # first: the end of one's read is no other's turn
        if self._assets is not None:
            self._assets.close()
        feeds, self.events = self.events, {}
        for feed in feeds.values():
            feed.close()
        if self._leave is not None:
            self._leave()

    def status(self) -> dict[str, Json]:
        """What /status shows of it."""
        about: dict[str, Json] = {"assets": str(self.patterns), "t2": self.t2}
        if self._assets is not None:
            about["assets_open"] = self._assets.waiting
        if self.kind == FOLLOWER:
            states = [feed.status() for feed in self.events.values()]
            about["events"] = len(states)
            about["unacked"] = sum(state["unacked"] for state in states)
            about["behind"] = sum(state["behind"] for state in states)
            found = map(self._standing.status, self.events.values())
            still = [state for state in found if state is not None]
            about["standing_still"] = len(still)
            if still:
                about["still"] = still[:MOST_TOLD]
        if self.provider is not None:
            about["answering"] = len(self.provider)
        return about

    async def _at_time(self, assets: Assets, streams: Streams, ms: int) -> dict[str, int]:
        """The offset at that time of each asset that has events."""
        log = streams.log
        places: dict[str, int] = {}
        for asset in assets.all():
            if asset.id in self.patterns and log.next_offset(asset.id) > log.base(asset.id):
                places[asset.id] = await log.offset_at(asset.id, ms)
        return places

    def _told(self, assets: Assets, streams: Streams, asset: Asset, is_there: bool) -> None:
        """It was told of an asset: a follower's events of it begin, or end."""
        feed = self.events.pop(asset.id, None)
        if feed is not None:
            feed.close()
        if self.kind != FOLLOWER or not is_there or self.is_over:
            return
        if asset.id not in assets or assets.get(asset.id).seq != asset.seq:
            return  # gone meanwhile, and that is told next
        log = streams.log
        base, end = log.base(asset.id), log.next_offset(asset.id)
        durable = self._places.pop(asset.id, None)
        if durable is not None and not base <= durable <= end:
            durable = None  # of a life before
        place = base if durable is None else durable
        if asset.seq < self._replay_until and self._replay is not None:
            replay = self._replay
            if isinstance(replay, dict):
                replay = replay.get(asset.id, end)
            place = start_of(replay, base, end, place)
        feed = EventFeed(
            self._cursor_name,
            asset,
            streams,
            self._turns,
            self._flight,
            self._send,
            place=place,
            durable=durable,
            max_unacked=self.max_unacked,
        )
        self.events[asset.id] = feed
        feed.start()


def role_of(head: dict[str, Json]) -> str:
    """The role that a frame names.

    :raises BadRequest: if it is none.
    """
    kind = wire.text(head, "role")
    if kind not in (INTEGRATOR, FOLLOWER):
        raise BadRequest(f"{head.get('op')}: role is integrator or follower, not {kind[:40]!r}.")
    return kind


def _replay_of(head: dict[str, Json]) -> Json:
    replay = head.get("replay")
    is_time = (
        isinstance(replay, dict) and set(replay) == {"time_ms"} and type(replay["time_ms"]) is int
    )
    is_offset = type(replay) is int and replay >= 0
    if replay is None or is_time or is_offset or replay in ("oldest", "newest"):
        return replay
    raise BadRequest('start: replay is null, "oldest", "newest", an offset or {"time_ms": …}.')

"""The history of assets: the stream ``$assets``, and its fold, what is known to be there.

A row among the definitions holds the fold as it was a moment ago, so that a start need not read
all of the past, and events that are kept for a time only do not take an asset with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Final

import orjson
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested, SmapError
from smapd.interfaces import IBackoff, IClock, IDefinitions, IEventLog, IFaults, ITimer
from smapd.values import ASSET_LOG, EventRecord, Json

CREATED: Final = "AssetCreated"
DELETED: Final = "AssetDeleted"
KIND: Final = "assets known"
BATCH: Final = 4000
"""Records of one append."""
SAVE_S: Final = 60.0
"""How long after a change the fold is kept."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset that is known. ``seq``: of its record; ``base``: its first event's offset."""

    id: str
    seq: int
    origin: str
    base: int
    created_ms: int


Change = tuple[str, str] | None
"""What is to be written of an asset: AssetCreated or AssetDeleted, and its origin."""


class History:
    """What came and went, in one order; on the reactor's thread.

    ``change_of(asset)``: how what is wanted differs from what is ``known``; asked when it can be
    written, so that what came and went before that is nothing.
    """

    def __init__(
        self,
        log: IEventLog,
        definitions: IDefinitions,
        clock: IClock,
        faults: IFaults,
        backoff: IBackoff,
        change_of: Callable[[str], Change],
    ) -> None:
        self._log, self._definitions = log, definitions
        self._clock, self._faults, self._backoff = clock, faults, backoff
        self._change_of = change_of
        self.known: dict[str, Asset] = {}
        self.created = self.deleted = 0
        self.on_gone: list[Callable[[str], None]] = []
        """Called with the id of each asset that is deleted, at that moment."""
        self._until = 0
        self._dirty: dict[str, None] = {}
        self._to_drop: dict[str, None] = {}
        self._waiting: dict[str, list[Deferred[None]]] = {}
        self._is_open = self._is_writing = False
        self._pause: Deferred[None] | None = None
        self._saving: ITimer | None = None

    async def load(self) -> None:
        """Learn what is known, from the row and from what was written after it."""
        gone: dict[str, None] = {}
        for row in await self._definitions.load(KIND):
            if row["until"] <= self._log.next_offset(ASSET_LOG):  # else its end was lost
                self._until = row["until"]
                self.known = {one[0]: Asset(*one) for one in row["assets"]}
        place = max(self._until, self._log.base(ASSET_LOG))
        while place < self._log.next_offset(ASSET_LOG):
            records = await self._log.read(ASSET_LOG, place)
            if not records:
                break
            for record in records:
                asset = self._apply(record)
                gone.pop(asset, None)
                if record.name == DELETED:
                    gone[asset] = None
            place = records[-1].offset + 1
        for asset in gone:  # a crash between a deletion and its drop
            if self._log.next_offset(asset) > self._log.base(asset):
                self._to_drop[asset] = None

    def start(self) -> Deferred[Any]:
        """Write what is to be written, now and from now on; fires when that was tried."""
        self._is_open = True
        self._dirty |= dict.fromkeys(self.known)
        waiting = [self._when_settled(asset) for asset in self._dirty]
        self.kick()
        return DeferredList(waiting, consumeErrors=True)

    def close(self) -> None:
        """Write nothing more; who waits fails."""
        self._is_open = False
        if self._pause is not None:
            self._pause.cancel()
        if self._saving is not None:
            self._saving.discard()
            self._save()
        waiting, self._waiting = self._waiting, {}
        for ones in waiting.values():
            for one in ones:
                one.errback(ShutdownRequested())

    def mark(self, asset: str) -> None:
        """This asset may have come or gone; ``kick`` after the last of them."""
        self._dirty[asset] = None

    def kick(self) -> None:
        """Write what was marked, unless that is under way."""
        if self._is_open and not self._is_writing and (self._dirty or self._to_drop):
            self._is_writing = True
            Deferred.fromCoroutine(self._write()).addBoth(self._written)

    def done(self, asset: str) -> Deferred[None]:
        """Once the stream says of this asset what is now so; fails with why it cannot."""
        settled = self._when_settled(asset)
        self.mark(asset)
        self.kick()
        return settled

    # --- within

    def _written(self, result: object) -> None:
        self._is_writing = False
        if isinstance(result, Failure) and not isinstance(
            result.value, CancelledError | ShutdownRequested
        ):
            self._faults.fault(("assets",), "assets that came or went are lost", failure=result)

    async def _write(self) -> None:
        """Write what has changed, until the stream says what the tree does."""
        while (self._dirty or self._to_drop) and self._is_open:
            # until its events are put away durably, no asset may come that has the same id
            error = await self._drop()
            if error is None:
                error = await self._append()
            if error is None:
                self._backoff.reset()
                self._faults.cleared(("assets",), "assets that come or go are told again")
            else:
                text = f"assets that came or went cannot be told: {error.message}"
                self._faults.fault(("assets",), text)
                for asset in list(self._dirty):
                    self._settle(asset, error)
                await self._wait()

    async def _append(self) -> SmapError | None:
        """Make a batch of changes durable; why that failed."""
        records: list[EventRecord] = []
        batch: list[str] = []
        for asset in list(self._dirty):
            if len(batch) >= BATCH:
                break
            del self._dirty[asset]
            change = self._change_of(asset)
            if change is not None:
                records.append(self._record(asset, *change))
                batch.append(asset)
            else:
                self._settle(asset, None)
        if not records:
            return None
        try:
            first = await self._log.append(ASSET_LOG, records)
        except SmapError as error:
            self._dirty = dict.fromkeys(batch) | self._dirty
            if isinstance(error, ShutdownRequested):
                raise
            return error
        for offset, record in enumerate(records, first):
            asset = self._apply(record._replace(offset=offset))
            if record.name == CREATED:
                self.created += 1
            else:
                self.deleted += 1
                self._to_drop[asset] = None
                for told in self.on_gone:
                    told(asset)
        if self._saving is None and self._is_open:
            self._saving = self._clock.later(SAVE_S, self._save)
        for asset in batch:
            if asset not in self._dirty:
                self._settle(asset, None)
        return None

    async def _drop(self) -> SmapError | None:
        """Put the events of deleted assets out of reach; why that failed."""
        assets = list(self._to_drop)
        if not assets:
            return None
        drops = [self._log.drop(asset) for asset in assets]
        results: list[tuple[bool, Any]] = await DeferredList(drops, consumeErrors=True)
        error: SmapError | None = None
        for asset, (is_done, result) in zip(assets, results, strict=True):
            if is_done:
                del self._to_drop[asset]
            elif isinstance(result.value, SmapError) and not isinstance(
                result.value, ShutdownRequested
            ):
                error = result.value
            else:
                result.raiseException()
        return error

    def _record(self, asset: str, name: str, origin: str) -> EventRecord:
        data = {"asset": asset, "origin": origin, "base": self._log.next_offset(asset)}
        now_ms = self._clock.wall_ms()
        return EventRecord(name, 1, "smapd", now_ms, now_ms, "json", orjson.dumps(data))

    def _apply(self, record: EventRecord) -> str:
        told = orjson.loads(record.data)
        asset = str(told["asset"])
        self.known.pop(asset, None)
        if record.name == CREATED:
            self.known[asset] = Asset(
                asset, record.offset, told["origin"], told["base"], record.systime_ms
            )
        self._until = record.offset + 1
        return asset

    def _save(self) -> None:
        """Keep the fold; what was written after it is read at the start."""
        self._saving = None
        row: Json = {"until": self._until, "assets": [astuple(one) for one in self.known.values()]}
        if self._to_drop:  # the start must see their deletion
            if self._is_open:
                self._saving = self._clock.later(SAVE_S, self._save)
            return
        kept = self._definitions.put(KIND, KIND, row)
        kept.addErrback(self._not_saved)

    def _not_saved(self, failure: Failure) -> None:
        """What is there is older: the next start reads more of the stream."""
        if self._is_open and self._saving is None:
            self._saving = self._clock.later(SAVE_S, self._save)

    async def _wait(self) -> None:
        pause: Deferred[None] = Deferred()
        self._pause = pause
        timer = self._clock.later(self._backoff.next(), pause.callback, None)
        try:
            await pause
        finally:
            self._pause = None
            timer.discard()

    def _when_settled(self, asset: str) -> Deferred[None]:
        settled: Deferred[None] = Deferred()
        self._waiting.setdefault(asset, []).append(settled)
        return settled

    def _settle(self, asset: str, error: SmapError | None) -> None:
        for one in self._waiting.pop(asset, ()):
            if error is None:
                one.callback(None)
            else:
                one.errback(error)

"""The one way of an event into the log: checked, appended, and handed to who waits for it."""

from __future__ import annotations

import re
from typing import Final

import orjson
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from smapd.errors import BadRequest, SmapError, TooLarge
from smapd.interfaces import IClock, IEventLog
from smapd.values import EVENT_FORMS, EventRecord

from .assets import Assets
from .streams import Streams
from .wire import EVENT_BYTES

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")
_MOST_VERSION: Final = 2**31 - 1


class Publisher:
    """Publishes events; on the reactor's thread."""

    def __init__(self, log: IEventLog, assets: Assets, streams: Streams, clock: IClock) -> None:
        self._log, self._assets, self._streams, self._clock = log, assets, streams, clock
        self.published = self.failed = 0

    def publish(
        self,
        asset: str,
        name: str,
        version: int,
        form: str,
        data: bytes,
        *,
        source: str,
        time_ms: int | None = None,
        dedupe: str | None = None,
    ) -> Deferred[int]:
        """Publish what fits its type's schema already: the offset, once it is durable.

        Fails with AssetUnknown, BadRequest, TooLarge, and as ``IEventLog.append`` does.
        """
        now_ms = self._clock.wall_ms()
        at_ms = now_ms if time_ms is None else time_ms
        record = EventRecord(name, version, source, at_ms, now_ms, form, data)
        try:
            self._assets.get(asset)
            _check(record)
        except SmapError as error:
            self.failed += 1
            return fail(error)
        self._streams.expect(asset)
        return self._log.append(asset, (record,), dedupe).addCallbacks(
            self._done, self._not_done, callbackArgs=(asset, record)
        )

    def _done(self, offset: int, asset: str, record: EventRecord) -> int:
        self.published += 1
        self._streams.published(asset, offset, (record,))
        return offset

    def _not_done(self, failure: Failure) -> Failure:
        self.failed += 1
        return failure


def _check(record: EventRecord) -> None:
    if not _NAME.fullmatch(record.name):
        raise BadRequest(
            f"{record.name[:60]!r} is no name of an event type; one is like BomBuiltSet."
        )
    if not 0 < record.version <= _MOST_VERSION:
        raise BadRequest(f"{record.name}: a version is a whole number from 1 on.")
    if len(record.data) > EVENT_BYTES:
        raise TooLarge(
            f"{record.name}: its data has {len(record.data)} bytes; {EVENT_BYTES} is the limit.",
            hint="Send what is larger as the answer to a request, and let the event name it.",
        )
    if record.form not in EVENT_FORMS:
        raise BadRequest(f"{record.form!r} is no form of an event; they are json and avro.")
    if record.form == "json":
        try:
            orjson.loads(record.data)
        except ValueError as error:
            raise BadRequest(f"{record.name}: its data is no JSON: {error}.") from None

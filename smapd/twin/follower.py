"""The follower's face: gets events in order, acknowledges them, and asks for data."""

from __future__ import annotations

import logging
from typing import Any, Final

from smapd.errors import (
    AssetUnknown,
    EventInvalid,
    NotConnected,
    ShutdownRequested,
    T2Unavailable,
    TooLarge,
    WouldDeadlock,
)
from smapd.runtime.program import Monitor
from smapd.values import EventRecord, Json

from .asset_role import AssetRole
from .callbacks import FollowerCallbacks, check_callbacks, leaves_unmatched
from .client import Client
from .event import AssetEvent, EventTypes, IntTwinEofReplay
from .integrator import ASSET
from .requesting import T2Answer
from .settings import follower_settings
from .wire import MOST_TEXT, REQUEST_BYTES, Frame

_log: Final = logging.getLogger(__name__)

OCTETS: Final = "application/octet-stream"
MOST_TIMEOUT_S: Final = 86_400.0


class Follower(AssetRole):
    """Is told what happens to assets, and may ask their integrators for data.

    Methods may be called from any thread; the callbacks come on the thing's call thread.
    """

    kind = "follower"

    def __init__(self, config: Any, client: Client, callbacks: FollowerCallbacks) -> None:
        """``config``: the follower's part. ``client``: ``ThingRunner.client``.

        :raises ConfigError: naming each key that is wrong, or event module that cannot be imported.
        """
        self._settings = follower_settings(config)
        self._types = EventTypes(self._settings.event_modules)
        super().__init__(client, callbacks)
        self._callbacks = callbacks
        self._monitor = Monitor()
        self._handed: dict[str, set[int]] = {}  # in the program's hands, not acknowledged
        self._unsent: dict[str, set[int]] = {}  # acknowledged while there was no connection

    def start(self) -> None:
        """Begin: assets come as ``on_asset_created``, their events as ``on_event``.

        Waits up to 5 s for the daemon; if it does not answer, goes on trying in the background.

        :raises MissingCallback: naming the callbacks that are not implemented.
        :raises SmapError: if the daemon refuses the thing: Unauthorized, NameTaken.
        """
        required = ("on_asset_created", "on_asset_deleted", "on_event")
        check_callbacks(self._callbacks, FollowerCallbacks, required)
        self._handed, self._unsent = {}, {}
        self._begin()

    # --- events

    def ack_event(self, event: AssetEvent) -> None:
        """Mark one event as dealt with; it will not come again.

        From any thread; returns at once. The mark is durable with the event log's commit after
        it: after a crash before that, the event comes again. Acks may come in any order, and
        twice. Acking an event of an asset that is gone, or an internal one, does nothing.

        :raises TypeError: for what is no event.
        :raises EventInvalid: for one that was never published.
        :raises ShutdownRequested: if ``stop()`` was called before.
        """
        if not isinstance(event, AssetEvent):
            raise TypeError(f"ack_event takes an event, not {event!r}")
        if isinstance(event, IntTwinEofReplay):
            return
        if self._state == "stopped":
            raise ShutdownRequested("The follower is stopped.")
        if event.offset < 0:
            raise EventInvalid(f"{event!r} was never published, so it cannot be acknowledged.")
        asset, offset = event.asset, event.offset
        with self._monitor:
            self._handed.get(asset, set()).discard(offset)
        if self._told.is_gone(asset):
            return
        if not self._client.tell({"op": "ack", "asset": asset, "offset": offset}):
            with self._monitor:
                self._unsent.setdefault(asset, set()).add(offset)

    # --- requests

    def t2_request(
        self,
        asset: str,
        type_: str,
        data: bytes = b"",
        timeout: float = 10.0,
        mime: str = OCTETS,
    ) -> T2Answer:
        """Ask something of an asset: an iterator of (mime, bytes), chunk by chunk as they come.

        ``timeout``: seconds that whoever answers may be silent, until the first chunk and between
        two. Close the iterator (or let go of it) to cancel; it is a context manager too.

        :raises AssetUnknown: if there is no such asset.
        :raises T2Unavailable: if the follower's config does not enable T2.
        :raises T2ResponseException: (when drawn) with why there is no answer in ``reason``.
        :raises T2Timeout: (when drawn) if it is not answered in time.
        :raises NotConnected: if there is no connection, or (when drawn) it is lost.
        :raises WouldDeadlock: on the thing's call thread, where nobody could answer it.
        :raises ShutdownRequested: while stopping, and after ``stop``.
        :raises TooLarge: if ``data`` have more than 1 MiB.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"the data of a request are bytes, not {type(data).__name__}")
        for what, text in (("type", type_), ("mime type", mime)):
            if not isinstance(text, str) or not text.isprintable():
                raise TypeError(
                    f"a request's {what} is a text of 1 to {MOST_TEXT} printable letters, "
                    f"not {text!r:.80}"
                )
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise TypeError(f"a timeout is a number of seconds, not {timeout!r:.80}")
        if not 0 < timeout <= MOST_TIMEOUT_S:
            raise ValueError(f"a timeout is above 0 and at most a day, not {timeout!r} s")
        if self._state == "stopped" or self._client.is_stopping:
            raise ShutdownRequested("The follower is stopping.")
        if not self._settings.t2:
            raise T2Unavailable(f"{self._client.name} does not enable type 2 requests.")
        if self._client.on_call_thread():
            raise WouldDeadlock("A request cannot be made in a callback of the same thing.")
        if self._state == "new":
            raise NotConnected("The follower is not started: call its start() first.")
        if len(data) > REQUEST_BYTES:
            raise TooLarge(f"The request has {len(data)} bytes; 1 MiB is the limit.")
        if not isinstance(asset, str) or ASSET.fullmatch(asset) is None:
            raise AssetUnknown(f"There is no asset {asset!r}: that is no id of one.")
        head: dict[str, Json] = {"asset": asset, "type": type_, "mime": mime}
        return self._client.request(head, bytes(data), float(timeout))

    # --- the client's side

    def start_frame(self, again: bool) -> dict[str, Json]:
        """What starts it at the hub; where to begin is said once."""
        settings = self._settings
        head: dict[str, Json] = {
            "op": "start",
            "role": self.kind,
            "t2": settings.t2,
            "assets": list(settings.assets),
            "max_unacked": settings.max_unacked,
        }
        if settings.replay is not None and not again:
            head["replay"] = settings.replay
        return head

    def handle(self, frame: Frame) -> None:
        """An asset record, an event or an end of replay; on the call thread."""
        op = frame.head["op"]
        if op == "event":
            self._event(frame)
        elif op == "asset":
            self._asset(frame.head)
        elif op == "eof":
            asset, offset = frame.head["asset"], frame.head["offset"]
            word = IntTwinEofReplay(asset)
            word.offset, word.source = offset, "twin"
            self._callbacks.on_event_internal(word)

    def lost(self) -> None:
        """The session is gone: what is in the program's hands may be acknowledged in the next."""

    # --- private

    def _forget(self, asset: str) -> None:
        with self._monitor:
            self._handed.pop(asset, None)
            self._unsent.pop(asset, None)

    def _event(self, frame: Frame) -> None:
        head = frame.head
        asset, offset = head["asset"], head["offset"]
        with self._monitor:
            was_acked = offset in self._unsent.get(asset, ())
            in_hand = offset in self._handed.get(asset, ())
            if was_acked:
                self._unsent[asset].discard(offset)
            elif not in_hand:
                self._handed.setdefault(asset, set()).add(offset)
        if was_acked:  # said while the connection was down
            self._client.tell({"op": "ack", "asset": asset, "offset": offset})
            return
        if in_hand:  # the program still works on it
            return
        event = self._types.event(asset, _record(frame))
        if leaves_unmatched(self._callbacks, event):
            _log.debug("%s: nobody wants %r", self._client.name, event)
            self.ack_event(event)
            return
        try:
            self._callbacks.on_event(event)
        except BaseException:
            with self._monitor:  # not acknowledged, so it comes again with the next connection
                self._handed.get(asset, set()).discard(offset)
            raise


def _record(frame: Frame) -> EventRecord:
    head = frame.head
    return EventRecord(
        str(head["name"]),
        int(head["version"]),
        str(head["source"]),
        int(head["time_ms"]),
        int(head["systime_ms"]),
        str(head["form"]),
        frame.body,
        int(head["offset"]),
    )

"""The integrator's face: publishes events, and answers requests."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

from smapd.errors import (
    AssetUnknown,
    BadRequest,
    EventPublishFailure,
    ShutdownRequested,
    SmapError,
    T2ResponseFailure,
    TooLarge,
)
from smapd.runtime import Backoff
from smapd.values import Json, T2ProviderFailureReason

from .asset_role import AssetRole
from .callbacks import IntegratorCallbacks, check_callbacks
from .client import Client
from .event import AssetEvent, InternalEvent, UnknownEvent
from .responding import Responder, T2Request
from .settings import integrator_settings
from .wire import EVENT_BYTES, MOST_TEXT, Frame

PUBLISH_S: Final = 30.0
"""How long the daemon may take to make an event durable."""
RETRY_S: Final = 0.2
MOST_RETRY_S: Final = 10.0
FAILED: Final = "The integrator failed while it answered."
ASSET: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
"""What the id of an asset looks like."""


class Integrator(AssetRole):
    """Tells the twin what happened to assets, and serves requests for data.

    Methods may be called from any thread; the callbacks come on the thing's call thread.
    """

    kind = "integrator"

    def __init__(self, config: Any, client: Client, callbacks: IntegratorCallbacks) -> None:
        """``config``: the integrator's part. ``client``: ``ThingRunner.client``.

        :raises ConfigError: naming each key that is wrong.
        """
        self._settings = integrator_settings(config, client.name)
        super().__init__(client, callbacks)
        self._callbacks = callbacks
        self._open: set[Responder] = set()
        self._start_id, self._numbers = "", itertools.count()

    def start(self) -> None:
        """Begin: the assets there are come as ``on_asset_created``.

        Waits up to 5 s for the daemon; if it does not answer, goes on trying in the background.

        :raises MissingCallback: naming the callbacks that are not implemented.
        :raises SmapError: if the daemon refuses the thing: Unauthorized, NameTaken.
        """
        required = ["on_asset_created", "on_asset_deleted"]
        if self._settings.t2:
            required.append("on_t2_request")
        check_callbacks(self._callbacks, IntegratorCallbacks, required)
        self._start_id, self._numbers = secrets.token_hex(10), itertools.count()
        self._begin()

    # --- events

    def publish_event(self, event: AssetEvent, retry: bool = False) -> int:
        """Tell the twin that this happened: the event's offset, once it is durable.

        ``retry``: try again until it is published. However often it is tried, and also if an
        answer was lost, the event is there once. Afterwards the event knows its offset.

        :raises AssetUnknown: if there is no such asset.
        :raises EventInvalid: naming the field that does not fit the schema.
        :raises TooLarge: if the data have more than 1 MiB.
        :raises EventPublishFailure: if it cannot be published now; not with ``retry``.
        :raises ShutdownRequested: after ``stop``; with ``retry`` also while stopping.
        """
        if not isinstance(event, AssetEvent) or isinstance(event, InternalEvent | UnknownEvent):
            raise TypeError(f"publish_event takes an event of a type of yours, not {event!r}")
        self._check_started()
        form, body = event.encode()
        if len(body) > EVENT_BYTES:
            raise TooLarge(f"The data of {event!r} have {len(body)} bytes; 1 MiB is the limit.")
        asset = event.asset
        if not isinstance(asset, str) or ASSET.fullmatch(asset) is None:
            raise AssetUnknown(f"There is no asset {asset!r}: that is no id of one.")
        head: dict[str, Json] = {
            "op": "publish",
            "asset": asset,
            "name": event.name(),
            "version": event.version,
            "time_ms": event.time_ms,
            "form": form,
            "dedupe": event.dedupe_id(body, self._new_id),
            "source": self._settings.source,
        }
        offset = self._try(head, body) if not retry else self._keep_trying(head, body)
        event.published(offset, self._settings.source)
        return offset

    def _new_id(self) -> str:
        """A name that no other event has: random bits of this start, and a number.

        To ask the system for random bits for each event cost more than all its checks. Not from
        ``random``: a program that seeds it would name its events alike each time it runs, and the
        log would take them for those of the last time.
        """
        return f"{self._start_id}{next(self._numbers):x}"

    def _try(self, head: dict[str, Json], body: bytes) -> int:
        try:
            answer = self._client.ask(head, body, PUBLISH_S, publishes=True)
        except (AssetUnknown, BadRequest, TooLarge):
            raise
        except SmapError as error:
            if self._state == "stopped":
                raise ShutdownRequested("The integrator is stopped.") from error
            raise EventPublishFailure(
                f"{head['name']} of {head['asset']} is not published: {error.message}"
            ) from error
        return int(answer.head["offset"])

    def _keep_trying(self, head: dict[str, Json], body: bytes) -> int:
        backoff = Backoff(random.random, first_s=RETRY_S, most_s=MOST_RETRY_S)
        while True:
            try:
                return self._try(head, body)
            except EventPublishFailure as error:
                if self._client.is_stopping:
                    raise ShutdownRequested(
                        f"{error.message} It is stopping, and does not try again."
                    ) from error
                self._client.wait_for_change(backoff.next())
            self._check_started()

    # --- requests

    def t2_respond(self, request: T2Request, mime: str, data: bytes) -> None:
        """Answer a request with these bytes.

        :raises TypeError: for what is no request, mime or bytes.
        :raises T2ResponseFailure: if it was answered before, or nobody waits any more.
        :raises AssetUnknown: if the asset was deleted meanwhile.
        :raises ShutdownRequested: after ``stop``.
        """
        responder = self._responder(request)
        _check_mime(mime)
        _check_bytes(data)
        with self._gone_asset(request):
            responder.begin()
            responder.write(mime, data)
            responder.end()

    @contextlib.contextmanager
    def t2_respond_streamed(
        self, request: T2Request, mime: str
    ) -> Iterator[Callable[[bytes], bool]]:
        """Answer a request in pieces: ``with …t2_respond_streamed(request, mime) as write:``.

        ``write(chunk)`` is true, and False once it is given no bytes. It waits while the requester
        has not read what was written before. The answer ends with the block; a block that raises
        fails it.

        Raises as ``t2_respond`` does; ``write`` does so too.
        """
        responder = self._responder(request)
        _check_mime(mime)

        def write(chunk: bytes) -> bool:
            _check_bytes(chunk)
            if not len(chunk):
                return False
            with self._gone_asset(request):
                responder.write(mime, chunk)
            return True

        with self._gone_asset(request):
            responder.begin()
        try:
            yield write
        except BaseException:  # whatever it is: what was sent must not pass for the whole
            with contextlib.suppress(SmapError):
                responder.fail(T2ProviderFailureReason.PROVIDER_FAILED, FAILED)
            raise
        with self._gone_asset(request):
            responder.end()

    def t2_respond_error(
        self,
        request: T2Request,
        reason: T2ProviderFailureReason,
        message: str = "",
    ) -> None:
        """Say that there is no answer, and why.

        Raises as ``t2_respond`` does; TypeError also for a reason that is none.
        """
        if not isinstance(reason, T2ProviderFailureReason):
            raise TypeError(f"a reason is a T2ProviderFailureReason, not {reason!r}")
        responder = self._responder(request)
        with self._gone_asset(request):
            responder.begin()
            responder.fail(reason, str(message))

    # --- the client's side

    def start_frame(self, again: bool) -> dict[str, Json]:
        """What starts it at the hub."""
        settings = self._settings
        return {
            "op": "start",
            "role": self.kind,
            "source": settings.source,
            "t2": settings.t2,
            "assets": list(settings.assets),
        }

    def handle(self, frame: Frame) -> None:
        """An asset record or a request; on the call thread."""
        head = frame.head
        if head["op"] == "asset":
            self._asset(head)
        elif head["op"] == "request":
            responder = self._client.responder(head["x"])
            if responder is None or responder.is_over:
                return
            if not self._settings.t2:
                responder.refuse()
                return
            self._open = {one for one in self._open if not one.is_over} | {responder}
            request = T2Request(
                head["asset"], head["type"], frame.body, str(head.get("mime", "")), responder
            )
            try:
                self._callbacks.on_t2_request(request)
            except BaseException:
                if responder.is_untouched:
                    with contextlib.suppress(SmapError):
                        responder.begin()
                        responder.fail(T2ProviderFailureReason.PROVIDER_FAILED, FAILED)
                raise

    def lost(self) -> None:
        """The session is gone; the client has ended all answers."""

    # --- private

    def _let_go(self) -> None:
        for responder in list(self._open):
            responder.stop()

    def _check_started(self) -> None:
        if self._state == "stopped":
            raise ShutdownRequested("The integrator is stopped.")
        if self._state == "new":
            raise EventPublishFailure("The integrator is not started: call its start() first.")

    def _responder(self, request: T2Request) -> Responder:
        if not isinstance(request, T2Request):
            raise TypeError(f"a T2Request is answered, not {request!r}")
        if self._state == "stopped":
            raise ShutdownRequested("The integrator is stopped.")
        return request._responder

    @contextlib.contextmanager
    def _gone_asset(self, request: T2Request) -> Iterator[None]:
        """Say it as AssetUnknown if the request is over since its asset is gone."""
        try:
            yield
        except T2ResponseFailure as error:
            if self._told.is_gone(request.asset_id):
                raise AssetUnknown(f"Asset {request.asset_id} was deleted meanwhile.") from error
            raise


def _check_mime(mime: object) -> None:
    if not isinstance(mime, str) or not 0 < len(mime) <= MOST_TEXT or not mime.isprintable():
        raise TypeError(
            f"a mime type is a text of 1 to {MOST_TEXT} printable letters, not {mime!r:.80}"
        )


def _check_bytes(data: object) -> None:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"an answer is made of bytes, not {type(data).__name__}")

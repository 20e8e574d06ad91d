"""GET /things: the WebSocket on which integrators and followers outside of the daemon speak.

What goes over it stands in ``twin/wire.py``. Whoever may not send requests here may not come in:
the token is presented in the head as for any request, or in the ``hello``. A web page of another
origin is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from smapd.errors import BadRequest, NotReady
from smapd.interfaces import IAccess, IFrames, IHub, IPeer, ISession
from smapd.values import Action, Principal

from .websocket import POLICY, WebSocket

if TYPE_CHECKING:
    from .request import Request


class ThingHandlers:
    """What /things answers; on the reactor's thread."""

    def __init__(self, hub: IHub | None, frames: IFrames | None, access: IAccess) -> None:
        self._hub, self._frames, self._access = hub, frames, access

    def connect(self, request: Request) -> Deferred[None]:
        """Open a WebSocket; all else is one of its messages."""
        if self._hub is None or self._frames is None:
            raise NotReady("Integrators and followers are not served here.")
        request.site.gate.check_origin(request.requestHeaders)
        who, gate = request.who, request.site.gate

        def admit(name: str, token: str) -> None:
            has_token = who.token or bool(token and gate.knows(token.encode()))
            asked = Principal(name, who.loopback, has_token, who.origin)
            self._access.decide(asked, Action.REQUEST, f"/things as {name}")

        _Peer(request, self._hub, self._frames, admit)
        return request.finished_or_gone()


@implementer(IPeer)
class _Peer:
    """The other end of one thing's connection."""

    def __init__(
        self,
        request: Request,
        hub: IHub,
        frames: IFrames,
        admit: Callable[[str, str], None],
    ) -> None:
        self._frames = frames
        self._session: ISession | None = None
        self._socket = WebSocket(request, frames.MESSAGE_BYTES, self._came, self._lost)
        self._session = hub.connect(self, admit)

    def send(self, frame: Any) -> None:
        """Send a frame."""
        self._socket.send(self._frames.encode(frame))

    def close(self, why: str) -> None:
        """End the connection after what was sent."""
        self._socket.close(why)

    def ping(self) -> Deferred[None]:
        """Fires when the other end has answered."""
        return self._socket.ping()

    def _came(self, message: str | bytes) -> None:
        if self._session is None:
            return
        try:
            frame = self._frames.decode(message)
        except BadRequest as error:
            self._session.lost(error.message)
            self._socket.close(error.message, POLICY)
            return
        self._session.receive(frame)

    def _lost(self, why: str) -> None:
        if self._session is not None:
            self._session.lost(why)

"""Where integrators and followers connect: one session a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from smapd.errors import NameTaken, ShutdownRequested
from smapd.interfaces import IClock, IExchanges, IHub, IPeer
from smapd.values import Json

from .assets import Assets
from .publisher import Publisher
from .session import Session
from .standing import Standing
from .streams import Streams

ALIVE_S: Final = 2.0
"""How long a session may take to show that it is alive, when another comes of its name."""
MOST_SESSIONS: Final = 1000


@implementer(IHub)
class Hub:
    """All sessions; on the reactor's thread; touches no socket."""

    def __init__(
        self,
        assets: Assets,
        streams: Streams,
        publisher: Publisher,
        exchanges: IExchanges,
        clock: IClock,
        boot: str,
    ) -> None:
        """``boot``: new with each start of the daemon."""
        self.assets, self.streams, self.publisher = assets, streams, publisher
        self.exchanges, self.clock, self.boot = exchanges, clock, boot
        self.standing = Standing(clock, streams.faults)
        self._sessions: set[Session] = set()
        self._names: dict[str, Session] = {}
        self._is_closing = False
        self.connected = self.replaced = self.refused = 0

    def connect(self, peer: IPeer, admit: Callable[[str, str], None] | None = None) -> Session:
        """A new connection. ``admit(name, token)`` raises SmapError if that thing may not."""
        session = Session(self, peer, admit)
        self._sessions.add(session)
        self.connected += 1
        if self._is_closing:
            session.bye("smapd is stopping")
        elif len(self._sessions) > MOST_SESSIONS:
            self.refused += 1
            session.bye("too many things are connected")
        return session

    def arrived(self, session: Session, request_id: int, resume: str) -> None:
        """A session has said who it is."""
        if self._is_closing:
            session.refuse(request_id, ShutdownRequested())
            return
        before = self._names.get(session.name)
        if before is None or before.id == resume:
            self._take(session, request_id)
            return
        alive = before.peer.ping()
        is_settled = False

        def settle(answered: bool) -> None:
            nonlocal is_settled
            if is_settled:
                return
            is_settled = True
            timer.discard()
            alive.cancel()
            if session.is_closed:
                return
            if answered and self._names.get(session.name) is before:
                self.refused += 1
                text = f"An integrator or follower named {session.name} is connected already."
                session.refuse(request_id, NameTaken(text))
            else:
                self._take(session, request_id)

        timer = self.clock.later(ALIVE_S, settle, False)
        alive.addCallbacks(lambda _: settle(True), lambda _: settle(False))

    def gone(self, session: Session) -> None:
        """A session is over."""
        self._sessions.discard(session)
        if self._names.get(session.name) is session:
            del self._names[session.name]

    def close(self) -> None:
        """Take no more, and say bye to all."""
        self._is_closing = True
        self.standing.close()
        for session in list(self._sessions):
            session.bye("smapd is stopping")

    def status(self) -> list[Json]:
        """One entry a session."""
        return [session.status() for session in self._names.values()]

    def _take(self, session: Session, request_id: int) -> None:
        before = self._names.get(session.name)
        if before is not None:
            self.replaced += 1
            before.bye("another session of this name took its place")
        self._names[session.name] = session
        session.welcome(request_id)

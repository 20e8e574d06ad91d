"""A thing's connection to the hub, whatever link carries it, and the roles that live by it.

What the link brings is sorted on the link's thread, which never waits. Answers go to the threads
that wait for them; assets, events and requests go to the one call thread, in their order. When a
connection is lost, all that waits for an answer fails at once; with the next one the roles are
started again, and the hub tells what is not dealt with.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Final, Protocol, Self

from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested, SmapError
from smapd.options import Secret
from smapd.runtime import attempt
from smapd.runtime.program import Flag, Monitor, seconds, spawn
from smapd.values import Json

from . import wire
from .callbacks import call, exc_info
from .calling import CallThread, Spawn
from .conversation import ANSWER_S, Conversation, Line
from .links import Link
from .requesting import T2Answer
from .responding import Responder
from .wire import Frame

_log: Final = logging.getLogger(__name__)

START_S: Final = 5.0
"""How long a role's start waits for the daemon before it goes on without."""
CLOSE_S: Final = 1.0
"""How long a stop waits for the callback that is under way."""


class Role(Protocol):
    """An integrator or follower, as its client sees it."""

    kind: str

    def start_frame(self, again: bool) -> dict[str, Json]:
        """What to say to start it; ``again``: it was started in an earlier session."""

    def handle(self, frame: Frame) -> None:
        """Deal with a frame of the hub's; on the call thread."""

    def lost(self) -> None:
        """The session is gone; on the link's thread."""


class Client:
    """One thing's connection; an Integrator and a Follower may share it.

    Public methods may be called from any thread. A ``ThingRunner`` makes, opens and closes its
    own; without one, use it in a ``with`` block.
    """

    def __init__(
        self,
        url: str = "",
        token: str | Secret | None = None,
        *,
        name: str,
        ca_file: str | None = None,
        link: Link | None = None,
        spawn: Spawn = spawn,
    ) -> None:
        """``name``: of the thing; its places in assets and events are kept under it.

        ``link``: in place of a WebSocket to ``url``. ``spawn``: makes the call thread.
        """
        if token is not None and not isinstance(token, Secret):
            token = Secret(token)
        self.name = name
        self._token = token
        if link is None:
            from .weblink import WebSocketLink  # no thing within the daemon needs its library

            link = WebSocketLink(url, token, name=name, ca_file=ca_file)
        self._link: Link = link
        self._stopping = Flag()
        self._calls = CallThread(f"thing-{name}-calls", spawn)
        self._line = Line(
            name,
            link,
            later=self._calls.later,
            is_stopping=self._stopping.is_set,
            is_current=lambda talk: self._session is talk,
            why_lost=lambda: self._why_lost,
        )
        self._monitor = Monitor()
        self._session: Conversation | None = None  # taken by the hub
        self._greeting: Conversation | None = None  # said hello
        self._refusal: SmapError | None = None
        self._last_id: str | None = None
        self._roles: dict[str, Role] = {}
        self._problems: dict[str, SmapError] = {}
        self._begun: set[str] = set()
        self._is_open = False
        self._why_lost = "it was never connected"
        self._bye = ""
        self.lost_count = 0

    # --- life

    def open(self) -> None:
        """Connect, and keep connected; returns at once. Nothing happens if it is open."""
        with self._monitor:
            if self._is_open:
                return
            self._is_open = True
            self._stopping.clear()
            self._refusal = None
            mail = self._calls.empty()
        self._calls.start(mail)
        self._link.open(self)

    def close(self, timeout: float | None = CLOSE_S) -> bool:
        """Let go of the connection: what waits fails with ShutdownRequested. Whether in time.

        What was acknowledged is sent first. A callback that is under way is waited for; from the
        call thread itself nothing is.
        """
        until_s = seconds() + (CLOSE_S if timeout is None else timeout)
        self.shutting_down()
        with self._monitor:
            if not self._is_open:
                return True
            self._is_open = False
            self._roles.clear()
            self._begun.clear()
            self._monitor.wake()
        ended = self._calls.end(until_s - seconds())
        closed = self._link.close(max(0.1, until_s - seconds()))
        self.lost("it was closed")
        return ended and closed

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def shutting_down(self) -> None:
        """A stop was asked for: whoever waits for the world goes on with ShutdownRequested."""
        self._stopping.set()
        session = self._session
        if session is not None:
            session.wake()
        with self._monitor:
            self._monitor.wake()

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stopping.is_set()

    @property
    def is_connected(self) -> bool:
        """Whether the hub has taken the connection."""
        return self._session is not None

    @property
    def why_lost(self) -> str:
        """Why there is no connection, or was none the last time."""
        return self._why_lost

    @property
    def is_calling(self) -> bool:
        """Whether the call thread is alive: also after ``close``, while a callback goes on."""
        return self._calls.is_alive

    def on_call_thread(self) -> bool:
        """Whether the caller is on the thread of the callbacks."""
        return self._calls.is_current()

    # --- roles

    def start_role(self, role: Role) -> None:
        """Start it, now and with each new connection.

        Waits a little for the first connection; without one it goes on in the background.

        :raises ValueError: if there is one of its kind.
        :raises SmapError: if the hub refuses the thing (Unauthorized, NameTaken) or the role.
        """
        self.open()
        with self._monitor:
            if role.kind in self._roles:
                raise ValueError(f"{self.name} has a started {role.kind} already")
            self._roles[role.kind] = role
            self._problems.pop(role.kind, None)
        session = self._session
        if session is not None:
            self._start(session, role)
        try:
            self._wait_started(role)
        except SmapError:
            with self._monitor:
                self._roles.pop(role.kind, None)
            raise

    def stop_role(self, role: Role, timeout_s: float) -> bool:
        """Stop it: it is told of nothing any more. Whether the hub and its callbacks took it."""
        with self._monitor:
            if self._roles.get(role.kind) is not role:
                return True
            del self._roles[role.kind]
            self._begun.discard(role.kind)
        until_s = seconds() + timeout_s
        fine = True
        session = self._session
        if session is not None and role.kind in session.started:
            session.started.discard(role.kind)
            try:
                self.ask({"op": "stop", "role": role.kind}, timeout_s=min(timeout_s, 1.0))
            except SmapError:
                fine = False  # it is gone anyhow, and the role with it
        return self._calls.wait(until_s - seconds()) and fine

    def role_of(self, kind: str) -> Role | None:
        """The started role of that kind."""
        return self._roles.get(kind)

    def _wait_started(self, role: Role) -> None:
        until_s = seconds() + START_S
        with self._monitor:
            while self._is_open:
                problem = self._problems.get(role.kind) or self._refusal
                if problem is not None:
                    raise problem
                session = self._session
                if session is not None and role.kind in session.started:
                    return
                if self.is_stopping:
                    raise ShutdownRequested(f"{self.name} is stopping.")
                if not self._monitor.wait(until_s - seconds()):
                    break
        _log.warning(
            "%s: the %s goes on without a connection (%s)", self.name, role.kind, self._why_lost
        )

    # --- talking

    def ask(
        self,
        head: dict[str, Json],
        body: bytes = b"",
        timeout_s: float = ANSWER_S,
        *,
        publishes: bool = False,
    ) -> Frame:
        """Send a request and wait for its answer; ``id`` is added.

        ``publishes``: it may share a commit of the event log with others.

        :raises NotConnected: if there is no connection, or it is lost meanwhile, or no answer came.
        :raises SmapError: what the hub answered.
        """
        return self._here().ask(head, body, timeout_s, publishes)

    def _here(self) -> Conversation:
        session = self._session
        if session is None:
            raise self._line.not_connected()
        return session

    def tell(self, head: dict[str, Json], body: bytes = b"", *, patient: bool = True) -> bool:
        """Send what has no answer. False: there is no connection."""
        return self._session is not None and self._link.send(Frame(head, body), patient)

    def wait_for_change(self, timeout_s: float) -> None:
        """Wait for a connection, or for a stop, at most so long; for who tries again."""
        until_s = seconds() + timeout_s
        was = self._session
        with self._monitor:
            while self._is_open and not self.is_stopping and self._session is was:
                if not self._monitor.wait(until_s - seconds()):
                    return

    def request(self, head: dict[str, Json], body: bytes, timeout_s: float) -> T2Answer:
        """Open an exchange as its requester; raises as ``ask`` does."""
        return self._here().request(head, body, timeout_s)

    def responder(self, number: int) -> Responder | None:
        """The open answer to the request of that number."""
        session = self._session
        return None if session is None else session.responder(number)

    # --- what the link says

    def connected(self) -> None:
        """There is a connection: say hello. On the link's thread."""
        session = self._greeting = Conversation(self._line)
        head: dict[str, Json] = {"op": "hello", "version": 1, "name": self.name}
        if self._token is not None:
            head["token"] = self._token.reveal()
        if self._last_id is not None:
            head["resume"] = self._last_id
        session.say(head, lambda frame: self._greeted(session, frame))

    def received(self, frame: Frame) -> None:
        """A frame came. On the link's thread; one that makes no sense ends the connection."""
        result = attempt(self._received, frame)
        if isinstance(result, Failure):
            _log.error("%s: a frame of the hub", self.name, exc_info=exc_info(result))
            self._link.drop()

    def _received(self, frame: Frame) -> None:
        session = self._greeting
        if session is None:
            return
        head = frame.head
        op = head["op"]
        if op in ("ok", "error"):
            session.answered(frame)
        elif op in ("event", "asset", "eof") or (op == "request" and session.requested(frame)):
            self._calls.give(lambda: self._handle(session, frame))
        elif op in ("chunk", "end", "failed", "timeout"):
            session.to_requester(frame)
        elif op in ("credit", "cancel"):
            session.to_responder(frame)
        elif op == "bye":
            self._bye = f"the daemon says: {head.get('why')}"

    def lost(self, why: str, problem: SmapError | None = None) -> None:
        """There is no connection any more, or none could be made. On the link's thread."""
        with self._monitor:
            session, self._greeting, was = self._greeting, None, self._session
            self._session = None
            if was is not None:
                self.lost_count += 1
            self._why_lost, self._bye = self._bye or why, ""
            if problem is not None:
                self._refusal = problem
            roles = list(self._roles.values())
            self._monitor.wake()
        if session is not None:
            session.end()
            for role in roles:
                role.lost()

    # --- private, on the link's thread

    def _greeted(self, session: Conversation, frame: Frame) -> None:
        if frame.head["op"] == "error":
            problem = wire.raised(frame)
            _log.warning("%s was refused: %s", self.name, problem.message)
            with self._monitor:
                self._refusal, self._why_lost = problem, problem.message
                self._monitor.wake()
            self._link.drop()
            return
        session.id = self._last_id = frame.head.get("session")
        self._link.settled()
        with self._monitor:
            self._session, self._refusal = session, None
            roles = list(self._roles.values())
            self._monitor.wake()
        for role in roles:
            self._start(session, role)

    def _start(self, session: Conversation, role: Role) -> None:
        head = role.start_frame(role.kind in self._begun)
        session.say(head, lambda frame: self._started(session, role, frame))

    def _started(self, session: Conversation, role: Role, frame: Frame) -> None:
        problem = wire.raised(frame) if frame.head["op"] == "error" else None
        with self._monitor:
            if problem is not None:
                self._problems[role.kind] = problem
                _log.error("%s: its %s: %s", self.name, role.kind, problem.message)
            else:
                session.started.add(role.kind)
                self._begun.add(role.kind)
            self._monitor.wake()

    # --- the call thread

    def run_calls(self) -> None:
        """Do what waits for the call thread, here and now; for one made without a thread."""
        self._calls.run_here()

    def _handle(self, session: Conversation, frame: Frame) -> None:
        if session is not self._session:
            return  # of a connection that is gone: the next one tells it again
        op = frame.head["op"]
        kind = frame.head.get("role")
        if kind is None:
            kind = "integrator" if op == "request" else "follower"
        role = self._roles.get(kind)
        if role is not None:
            call(f"{self.name}: {op}", role.handle, frame)
        elif op == "request":
            responder = session.responder(frame.head["x"])
            if responder is not None:
                responder.refuse()

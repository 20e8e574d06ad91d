"""A source inside the daemon: run on its asyncio loop, and seen from the reactor's thread.

The sockets are on ``loop``. The tree's part of the handlers runs on the reactor; a class of the
user's runs on ``loop-user``, and then all handlers of that source begin there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.failure import Failure

from smapd.errors import ConfigError, ShutdownRequested, SmapError
from smapd.interfaces import IClock, IFaults
from smapd.runtime import Backoff, attempt
from smapd.values import Accepted, Json, Outcome, Retry, TooLarge

from ..tree.handler import UserHandlers
from ..tree.peer import Inbound, Row
from .connection import VantiqSourceConnection
from .crossing import Doors, ThreadCrossing
from .errors import ConnectFailed, LinkLost, VantiqConnectorException
from .names import VantiqConnector as names
from .probe import Health
from .settings import VantiqSettings
from .states import (
    Closed,
    Connected,
    Connecting,
    Counters,
    Idle,
    Refused,
    SourceState,
    Waiting,
    state_json,
)

T = TypeVar("T")

SEND_S: Final = 29.0
"""For one batch: a sink ends within 30 s."""

REFUSED_S: Final = 300.0
"""After a refused token the secrets are read again, and it is tried once more."""

_TOO_BIG: Final = "(1009"
"""How a close frame that found a message too large shows in why a connection ended."""


class InsideConnection(VantiqSourceConnection):
    """A connection that takes notifications which are JSON already."""

    async def deliver_lines(self, lines: Sequence[bytes], within_s: float) -> None:
        """As ``deliver``, of JSON objects; on the sockets' loop.

        :raises LinkLost: also if it takes longer than that: then the connection is ended, since
            nobody reads at its other end, unless it is we who do not read.
        """
        frames = [self._head + line + b"}" for line in lines]
        try:
            async with asyncio.timeout(within_s):
                await self._deliver(frames)
        except TimeoutError as error:
            why = f"the server did not read a batch within {within_s:g} s"
            if self._link is not None and not self._link.unread:
                self._link.abort(why)
            raise LinkLost(why) from error


class HomeCrossing(ThreadCrossing):
    """Also to the reactor's thread, from either loop. ``back``: the door to the loop it is of."""

    def __init__(
        self, doors: Doors, back: Callable[[Coroutine[Any, Any, None]], Deferred[None]]
    ) -> None:
        super().__init__(doors)
        self._back = back

    def to_home(self, coro: Coroutine[Deferred[Any], Any, T]) -> Awaitable[T]:
        """Run a coroutine over Deferreds on the reactor's thread; awaited on that loop."""
        return self._carry(coro, Deferred.fromCoroutine, self._back)


Make: TypeAlias = Callable[[VantiqSourceConnection], Coroutine[Any, Any, UserHandlers]]
"""Makes the object of a user's class for a connection; awaited on the users' loop."""


class VantiqPeer:
    """One source, as a ``tree.peer.Peer``; every method on the reactor's thread.

    ``settings(before)``: how to reach the server; given those of before, after they were refused,
    it reads everything anew. ``made``: makes the user's handlers, None without. ``changed``: is
    called at each change of state.
    """

    def __init__(
        self,
        source: str,
        label: str,
        *,
        settings: Callable[[VantiqSettings | None], Deferred[VantiqSettings]],
        made: Make | None,
        inbound: Inbound,
        health: Health,
        doors: Doors,
        clock: IClock,
        faults: IFaults,
        backoff: Backoff,
        changed: Callable[[VantiqPeer], None],
    ) -> None:
        self.source = source
        self.state: SourceState = Idle()
        self.problem = ""
        """Why it has no settings, or no handler; "" when it has."""
        self._label, self._settings, self._made = label, settings, made
        self._inbound, self._health = inbound, health
        self._doors, self._clock, self._faults = doors, clock, faults
        self._backoff, self._changed = backoff, changed
        back = doors.to_loop if made is None else doors.to_user_loop
        self._crossing = HomeCrossing(doors, back)
        self._connection: InsideConnection | None = None
        self._before = Counters()
        self._shown_url = ""
        self._is_stopped = False
        self._pause: Deferred[None] | None = None
        self._running: Deferred[None] | None = None

    # --- Peer

    @property
    def is_up(self) -> bool:
        """Whether there is a connection to send on."""
        return isinstance(self.state, Connected)

    @property
    def why_down(self) -> str:
        """Why there is none, for the operator."""
        state = self.state
        if self.problem:
            return self.problem
        if isinstance(state, Waiting | Refused):
            return state.why
        return "not connected yet" if isinstance(state, Idle | Connecting) else "it has ended"

    def start(self) -> None:
        """Connect, and stay connected."""
        self._running = Deferred.fromCoroutine(self._live())
        self._clock.background(self._running, f"running {self._label}")

    def stop(self) -> Deferred[None]:
        """End for good; fires when that is done."""
        self._is_stopped = True
        if self._pause is not None:
            self._pause.cancel()
        if self._connection is not None:
            closing = attempt(self._doors.to_loop, self._connection.close())
            if isinstance(closing, Deferred):
                self._clock.background(closing, f"closing {self._label}")
        ended: Deferred[None] = Deferred()
        if self._running is None:
            ended.callback(None)
        else:
            self._running.addBoth(lambda _: ended.callback(None))
        return ended

    def send(self, lines: Sequence[bytes]) -> Deferred[Outcome]:
        """Send notifications; Accepted once a ping behind them was answered."""
        connection = self._connection
        done: Deferred[Outcome] = Deferred()
        if connection is None or not self.is_up:
            done.callback(Retry(None, self.why_down))
            return done
        sending: Deferred[Any] = maybeDeferred(
            self._doors.to_loop, connection.deliver_lines(lines, SEND_S)
        )
        return sending.addCallbacks(lambda _: Accepted(), _outcome)

    def status(self) -> dict[str, Json]:
        """For /status; without secrets."""
        connection = self._connection
        if connection is None:
            shown = {"source": self.source, "server": self._shown_url, **state_json(self.state)}
            shown["counters"] = self._before.as_json()
        else:
            shown = connection.status()
            shown["counters"] = _sum(self._before, connection.counters)
        return shown | {"problem": self.problem}

    # --- inside

    async def _live(self) -> None:
        """One connection after another, though one is enough unless its token is refused."""
        refused: VantiqSettings | None = None
        while not self._is_stopped:
            settings = await Deferred.fromCoroutine(self._prepare(refused)).addErrback(
                self._not_prepared
            )
            if settings is None:
                await self._sleep(self._backoff.next())
                continue
            if self._is_stopped:
                break
            self._backoff.reset()
            why = await self._run(settings)
            if why is None or self._is_stopped:
                return
            refused = settings
            await self._sleep(REFUSED_S)

    async def _prepare(self, refused: VantiqSettings | None) -> VantiqSettings:
        """Settings, and a connection with its handlers, ready to be run."""
        settings = await self._settings(refused)
        self._shown_url = settings.shown_url
        connection = InsideConnection(
            self.source,
            settings,
            crossing=None if self._made is None else self._crossing,
            on_state=self._on_state,
        )
        connection.set_connector_set(self._health)
        users = UserHandlers()
        if self._made is not None:
            users = await self._doors.to_user_loop(self._made(connection))
        connection.configure_handlers(
            users.close, users.connect, self._publisher(users), self._querier(connection, users)
        )
        if self.problem:
            self.problem = ""
            self._faults.cleared(("prepare", self._label), f"{self._label} has what it needs now")
        self._connection = connection
        return settings

    def _not_prepared(self, failure: Failure) -> None:
        error: Any = failure.value
        if self._is_stopped or isinstance(error, CancelledError | ShutdownRequested):
            self._is_stopped = True
            return
        known = isinstance(error, SmapError)
        text = error.message if known else f"{type(error).__name__}: {error}"
        if isinstance(error, ConfigError):  # whose message goes on to say that nothing was started
            text = " ".join(map(str, error.problems))
        self.problem = " ".join(text.split())[:1000]
        self._faults.fault(
            ("prepare", self._label),
            f"{self._label}: {self.problem}",
            **({} if known else {"failure": failure}),
        )
        self._changed(self)

    async def _run(self, settings: VantiqSettings) -> str | None:
        """Run the connection to its end: why it was refused; None if it is not to be run again."""
        connection = self._connection
        assert connection is not None
        ended: list[Any] = []
        running = maybeDeferred(self._doors.to_loop, connection.connect_to_vantiq())
        await running.addBoth(ended.append)
        self._before = _added(self._before, connection.counters)
        self._connection = None
        error: Any = ended[0].value if isinstance(ended[0], Failure) else None
        if error is None or isinstance(error, CancelledError | ShutdownRequested):
            self._become(Closed())
            return None
        why = error.message if isinstance(error, SmapError) else f"{type(error).__name__}: {error}"
        self._become(Refused(why))
        if isinstance(error, ConnectFailed):
            text = f"{self._label} has ended, as FailOnConnectionError says: {why}"
        else:
            text = f"{self._label}: {why}"
        known = isinstance(error, SmapError)
        self._faults.fault(
            ("refused", self._label), text, **({} if known else {"failure": ended[0]})
        )
        return None if isinstance(error, ConnectFailed) else why

    async def _sleep(self, seconds: float) -> None:
        if self._is_stopped:
            return
        pause: Deferred[None] = Deferred()
        timer = self._clock.later(seconds, pause.callback, None)
        self._pause = pause
        with contextlib.suppress(CancelledError):
            await pause
        self._pause = None
        timer.discard()

    def _on_state(self, state: SourceState) -> None:
        """On the sockets' loop."""
        self._doors.to_reactor(self._become, state, wait=False)

    def _become(self, state: SourceState) -> None:
        if isinstance(self.state, Refused | Closed) and self._connection is None:
            return  # said by a connection that has ended
        if isinstance(state, Connected):
            self._faults.cleared(("refused", self._label), f"{self._label} is let in again")
        self.state = state
        self._changed(self)

    # --- handlers; on the users' loop where there is a class of theirs, else on the sockets'

    def _publisher(self, users: UserHandlers) -> Callable[..., Awaitable[None]]:
        async def publish(context: dict[str, Any], message: dict[str, Any]) -> None:
            taken = await self._crossing.to_home(self._inbound.publish(message))
            if taken:
                return
            if users.publish is not None:
                await users.publish(context, message)
            else:
                await self._crossing.to_home(self._inbound.unknown(message))

        return publish

    def _querier(
        self, connection: InsideConnection, users: UserHandlers
    ) -> Callable[..., Awaitable[None]]:
        async def query(context: dict[str, Any], message: dict[str, Any]) -> None:
            if users.query is not None:
                answered = await users.query(context, message)
                if answered is not NotImplemented:
                    return
            if names.RESPONSE_ADDRESS not in context:
                return  # nobody waits for what the tree could say
            reply = _Reply(self._doors, connection, context)
            try:
                await self._crossing.to_home(self._inbound.query(message, reply))
            except VantiqConnectorException:
                raise
            except SmapError as error:
                await connection.send_query_error(context, error_of(error))

        return query


class _Reply:
    """Answers one query of a connection; on the reactor's thread."""

    def __init__(
        self, doors: Doors, connection: VantiqSourceConnection, context: dict[str, Any]
    ) -> None:
        self._doors, self._connection, self._context = doors, connection, context
        self._has_sent = False

    def partial(self, rows: Sequence[Row]) -> Deferred[None]:
        """Some of the answer."""
        self._has_sent = True
        return self._send(names.QUERY_PARTIAL, list(rows))

    def complete(self, rows: Sequence[Row] = ()) -> Deferred[None]:
        """The rest of it; without any rows at all it is empty."""
        if rows or self._has_sent:
            return self._send(names.QUERY_COMPLETE, list(rows))
        return self._send(names.QUERY_EMPTY, None)

    def _send(self, code: int, rows: list[Row] | None) -> Deferred[None]:
        answer = self._connection.send_query_response(self._context, code, rows)
        return maybeDeferred(self._doors.to_loop, answer)


def error_of(error: SmapError) -> dict[str, Any]:
    """An error of ours as the answer to a query."""
    return {
        names.ERROR_CODE: f"smapd.{error.code}",
        names.ERROR_TEMPLATE: "{0}",
        names.ERROR_PARAMETERS: [error.message],
    }


def _outcome(failure: Failure) -> Outcome:
    error: Any = failure.value
    if isinstance(error, CancelledError):
        failure.raiseException()
    if isinstance(error, LinkLost) and _TOO_BIG in error.message:
        return TooLarge(error.message)
    if isinstance(error, SmapError):
        return Retry(None, error.message)
    return Retry(None, f"{type(error).__name__}: {error}")


def _added(one: Counters, other: Counters) -> Counters:
    return Counters(**_sum(one, other))


def _sum(one: Counters, other: Counters) -> dict[str, Json]:
    more: Mapping[str, int] = other.as_json()
    return {name: count + more[name] for name, count in one.as_json().items()}

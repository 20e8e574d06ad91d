"""One source of a Vantiq server: the connection that comes back, and the calls of its handlers."""

from __future__ import annotations

import asyncio
import logging
import random as random_module
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast
from uuid import uuid4

from twisted.python.failure import Failure

from smapd.runtime import Backoff, attempt
from smapd.values import Json, wall_ms

from .answers import check_context, error_frame, notification_json, response_frame
from .crossing import Crossing, OneLoop
from .errors import ConnectFailed, VantiqConnectorConfigException, VantiqConnectorException
from .handlers import Handler, checked, in_handler
from .link import Link
from .names import VantiqConnector as names
from .protocol import Configured, SourceProtocol, notification_head
from .serving import RECONNECT, Handlers, Serving
from .settings import Limits, VantiqSettings, connection_settings
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

_DRAIN_S = 1.0
"""For what had arrived before the connection ended; handlers that are behind may take no longer."""


class _Interrupted(Exception):
    """close() came while something was waited for."""


class VantiqSourceConnection:
    """The connection of one source: made, logged in, and made again whenever it is lost.

    Everything public may be awaited from handlers and from tasks of theirs, also while there is no
    connection. Without a ``crossing`` all of it belongs to the one loop that runs it. With one it
    is run on the sockets' loop, and what is public may be awaited there too, once it runs.
    """

    def __init__(
        self,
        source_name: str,
        config: Mapping[str, str] | VantiqSettings | None = None,
        *,
        crossing: Crossing | None = None,
        on_state: Callable[[SourceState], None] | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """Nothing is connected before ``connect_to_vantiq``.

        ``config``: settings, or the properties of a server.config. ``crossing``: the way to the
        handlers' loop, if that is another. ``on_state`` is called at each change, on the sockets'
        loop, and must not block. ``random`` gives numbers in [0, 1).

        :raises VantiqConnectorConfigException: if a property is missing or wrong.
        """
        self.source_name = source_name
        self.config: Mapping[str, str] | None = None
        self.state: SourceState = Idle()
        self._settings: VantiqSettings | None = None
        if isinstance(config, VantiqSettings):
            self._settings = config
        elif config is not None:
            self.config = config
            self._settings = connection_settings(config, "server.config")
        settings = self._settings
        self._limits = settings.limits if settings is not None else Limits()
        secret = settings.reconnect_secret if settings is not None else None
        self._secret = f"{source_name}_{secret or uuid4()}"  # the same for each reconnect
        self._head = notification_head(source_name)
        self._crossing = crossing or OneLoop()
        self._on_state, self._random = on_state, random
        self._log = logging.getLogger(type(self).__name__)
        self._serving = Serving(source_name, self._limits, self._crossing, self._log)
        self._sender = self._serving.sender
        self._set: Any = None
        self._link: Link | None = None
        self._step: asyncio.Task[Any] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._is_run = self._closing = False
        self._ended = asyncio.Event()
        self._home: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        state = type(self.state).__name__.lower()
        return f"<{type(self).__name__} {self.source_name} {state}>"

    # --- what it is

    @property
    def counters(self) -> Counters:
        """What it has done so far."""
        return self._serving.counters

    @property
    def is_connected(self) -> bool:
        """Whether the server has configured the source, and the connection stands."""
        return isinstance(self.state, Connected)

    def get_source(self) -> str:
        """The source's name."""
        return self.source_name

    def get_server_config(self) -> Mapping[str, str] | None:
        """The properties of the server.config, the token among them; None without a file."""
        return self.config

    def status(self) -> dict[str, Json]:
        """State and counters as plain JSON; no secret is in it. On the sockets' loop."""
        return {
            "source": self.source_name,
            "server": self._settings.shown_url if self._settings is not None else "",
            **state_json(self.state),
            "counters": self.counters.as_json(),
            "unsent": self._sender.waiting,
            "open_queries": len(self._serving.asked),
            "waiting_publishes": len(self._serving.publishes),
        }

    # --- health

    def set_connector_set(self, conn_set: Any) -> None:
        """Name who keeps the health: a ``VantiqConnectorSet``, or a ``Health``."""
        self._set = conn_set

    def get_connector_set(self) -> Any:
        """Who keeps the health; None if nobody does."""
        return self._set

    async def declare_healthy(self) -> None:
        """Declare the whole set healthy.

        :raises VantiqConnectorException: if the probe's port cannot be opened.
        """
        if self._set is not None:
            await self._at_home(self._set.declare_healthy())

    async def declare_unhealthy(self) -> None:
        """Declare the whole set unhealthy."""
        if self._set is not None:
            await self._at_home(self._set.declare_unhealthy())

    def is_healthy(self) -> bool | None:
        """What was declared last for the whole set; None before the first declaration."""
        return None if self._set is None else self._set.is_healthy()

    # --- handlers

    def configure_handlers(
        self,
        handle_close: Handler | None = None,
        handle_connect: Handler | None = None,
        handle_publish: Handler | None = None,
        handle_query: Handler | None = None,
        *,
        close_handler: Handler | None = None,
        connect_handler: Handler | None = None,
        publish_handler: Handler | None = None,
        query_handler: Handler | None = None,
    ) -> None:
        """Name the coroutine functions to call; both spellings of a name mean the same.

        ``close(context)``, ``connect(context, configuration)``, ``publish(context, message)`` and
        ``query(context, message)``; None for none.

        :raises VantiqConnectorException: if one cannot be called, or is given twice.
        """
        self._serving.handlers = Handlers(
            _one("close", handle_close, close_handler),
            _one("connect", handle_connect, connect_handler),
            _one("publish", handle_publish, publish_handler),
            _one("query", handle_query, query_handler),
        )

    # --- life

    async def connect_to_vantiq(self) -> None:
        """Connect and stay connected; returns when ``close()`` is done.

        :raises VantiqConnectorConfigException: if there are no settings, or the token is refused.
        :raises ConnectFailed: with ``failOnConnectionError``, at the first failure to connect.
        :raises VantiqConnectorException: if it runs already.
        """
        if self._closing:
            return
        if self._settings is None:
            raise VantiqConnectorConfigException(
                f"source {self.source_name} has no settings. Give it those of a server.config."
            )
        if self._is_run:
            raise VantiqConnectorException(f"source {self.source_name} runs already")
        self._is_run = True
        self._home = asyncio.get_running_loop()
        try:
            await self._run(self._settings)
        except VantiqConnectorException as error:
            self._change(Refused(error.message))
            raise
        except Exception as error:
            self._change(Refused(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"))
            raise
        finally:
            await self._end()

    async def close(self) -> None:
        """End for good: a close frame, the close handler, and no reconnect.

        Returns when all that is done, bounded by the time limits; called by a handler itself, it
        returns at once, and the rest follows when that handler has ended. A second call waits for
        the first.
        """
        await self._at_home(self._close(not in_handler()))

    # --- sending

    async def send_notification(self, message: dict[str, Any]) -> None:
        """Send an event of this source to the server.

        While there is no connection it waits for the next one. If the connection is lost in the
        very moment it is sent again, so that in rare cases it comes twice.

        :raises VantiqConnectorException: if it is no dict, or cannot be told in JSON; after
            ``close()``; if too many wait already.
        """
        frame = self._head + notification_json(self.source_name, message) + b"}"
        await self._at_home(self._notify(frame))

    async def deliver(self, messages: Sequence[dict[str, Any]]) -> None:
        """Send these as notifications; return when the server has read them all.

        Waits for a connection. The protocol has no acknowledgement, so a ping is sent behind them:
        its answer shows that they were read. For senders that keep what was not delivered.

        :raises LinkLost: if the connection ended first: some may have arrived. Deliver them again.
        :raises VantiqConnectorException: as ``send_notification``.
        """
        head, name = self._head, self.source_name
        frames = [head + notification_json(name, message) + b"}" for message in messages]
        await self._at_home(self._deliver(frames))

    async def send_query_response(
        self, ctx: dict[str, Any], code: int, message: dict[str, Any] | list[Any] | None
    ) -> None:
        """Answer a query: any number of QUERY_PARTIAL, then QUERY_COMPLETE or QUERY_EMPTY.

        ``message``: a dict or a list of dicts; None with QUERY_EMPTY. May be called after the
        handler has ended.

        :raises VantiqConnectorException: if the context is none of a query, code and message do
            not fit, or the query has its final answer; after ``close()``.
        """
        context = check_context(self.source_name, ctx)
        frame = response_frame(self.source_name, context, code, message)
        await self._at_home(self._answer(context, frame, code != names.QUERY_PARTIAL))

    async def send_query_error(self, ctx: dict[str, Any], message: dict[str, Any]) -> None:
        """Answer a query with an error, which is its final answer.

        ``message``: a dict with ERROR_CODE, ERROR_TEMPLATE and ERROR_PARAMETERS.

        :raises VantiqConnectorException: as ``send_query_response``; if the message lacks
            something, or its template asks for a parameter that is not there.
        """
        context = check_context(self.source_name, ctx)
        frame = error_frame(self.source_name, context, message)
        self.counters.errors_answered += 1
        await self._at_home(self._answer(context, frame, True))

    # --- private

    def _at_home(self, coro: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Run it on the sockets' loop, from there or from the handlers' loop."""
        if self._home is asyncio.get_running_loop():
            return coro
        return self._crossing.to_sockets(coro)

    # --- private, on the sockets' loop

    async def _run(self, settings: VantiqSettings) -> None:
        loop = asyncio.get_running_loop()
        limits = settings.limits
        backoff = Backoff(self._random, first_s=limits.first_retry_s, most_s=limits.last_retry_s)
        while not self._closing:
            self._change(Connecting(backoff.failures))
            try:
                link, configured = await self._interruptible(self._attempt(settings))
            except _Interrupted:
                return
            except ConnectFailed as error:
                if settings.fail_on_connection_error:
                    raise
                why = error.message
            else:
                began_s = loop.time()
                why = await self._session(link, configured)
                if loop.time() - began_s >= limits.stable_s:
                    backoff.reset()
                    if why == RECONNECT:
                        continue
            if self._closing:
                return
            self.counters.failures += 1
            pause_s = backoff.next()
            self._serving.faults.fault(
                "connection", f"source {self.source_name}: {why}", loop.time()
            )
            self._change(Waiting(wall_ms() + int(pause_s * 1000), backoff.failures, why))
            try:
                await self._interruptible(asyncio.sleep(pause_s))
            except _Interrupted:
                return

    async def _attempt(self, settings: VantiqSettings) -> tuple[Link, Configured]:
        protocol = SourceProtocol(self.source_name, settings.token, self._secret)
        link = await Link.open(settings, protocol, self._log)
        try:
            return link, await link.login(self._serving.bad)
        except BaseException:
            link.abort("the login failed")
            raise

    async def _interruptible(self, coro: Coroutine[Any, Any, T]) -> T:
        """Await it; ``close()`` cancels it."""
        task: asyncio.Task[T] = asyncio.create_task(coro)
        self._step = task
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task], timeout=self._limits.close_s)
            raise
        finally:
            self._step = None
        if task.cancelled():
            raise _Interrupted
        return task.result()

    async def _session(self, link: Link, configured: Configured) -> str:
        """From the configuration to the end of the connection; why it ended."""
        loop = asyncio.get_running_loop()
        self._link = link
        self.counters.connected += 1
        self._change(Connected(wall_ms()))
        wrong = self._serving.faults.cleared("connection", loop.time())
        after = f" after {wrong[0]} failures in {wrong[1]:.0f} s" if wrong else ""
        self._log.info("source %s is connected%s", self.source_name, after)
        self._sender.open(link)
        tasks = [
            asyncio.create_task(self._serving.serve(link, configured.config)),
            asyncio.create_task(link.ended()),
        ]
        serving = cast("asyncio.Task[str]", tasks[0])
        if self._settings is not None and self._settings.send_pings:
            tasks.append(asyncio.create_task(link.keep_alive()))
        if self._closing:  # called while the last answer came in
            self._begin_ending(link)
        try:
            await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
            # what has arrived is handled, unless handlers are so far behind that it has to wait:
            # they may wait for the next connection themselves
            await asyncio.wait([serving], timeout=_DRAIN_S)
        except asyncio.CancelledError:
            self._closing = True
            self._begin_ending(link)
            raise
        finally:
            self._sender.shut()
            self._link = None
            for task in tasks:
                task.cancel()
        why = serving.result() if serving.done() else link.why_ended()
        if not self._closing:
            self.counters.lost += 1
            self._change(Connecting(0))
            await link.close()
            await self._serving.tell_close()
        return why

    def _begin_ending(self, link: Link) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(link.close())

    async def _close(self, wait: bool) -> None:
        if not self._closing:
            self._closing = True
            self._sender.finish()
            if self._step is not None:
                self._step.cancel()
            if self._link is not None:
                self._begin_ending(self._link)
            if not self.counters.connected:
                self._serving.owe_close()
            if not self._is_run:
                self._is_run = True
                await self._end()
        if wait:
            await self._ended.wait()

    async def _end(self) -> None:
        """What is left to do, however it ended."""
        self._closing = True
        self._sender.finish()
        if self._ending is not None:
            await asyncio.wait([self._ending])
        await self._serving.stop(self._limits.close_s)
        await self._serving.tell_close()
        if not isinstance(self.state, Refused):
            self._change(Closed())
        self._log.info("source %s has ended", self.source_name)
        self._ended.set()

    async def _notify(self, frame: bytes) -> None:
        await self._sender.send(frame)
        self.counters.notifications += 1

    async def _answer(self, context: Mapping[str, Any], frame: bytes, final: bool) -> None:
        await self._serving.asked.answer(context, frame, final=final)

    async def _deliver(self, frames: list[bytes]) -> None:
        await self._sender.deliver(frames)
        self.counters.notifications += len(frames)

    def _change(self, state: SourceState) -> None:
        self.state = state
        if self._on_state is None:
            return
        failed = attempt(self._on_state, state)
        if isinstance(failed, Failure):
            self._log.error("the listener to states failed: %s", failed.getTraceback())


def _one(name: str, one: Handler | None, other: Handler | None) -> Handler | None:
    if one is not None and other is not None:
        raise VantiqConnectorException(
            f"the {name} handler is given twice, as handle_{name} and as {name}_handler"
        )
    return checked(one if one is not None else other, name)

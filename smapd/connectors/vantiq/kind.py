"""The type vantiq of a ``[connector NAME]`` section."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from smapd.errors import ShutdownRequested
from smapd.runtime import attempt
from smapd.values import Json

from ..tree.connector import POOL, ConnectorSection
from ..tree.handler import UserHandlers, handlers_of, import_handler, own_config
from ..tree.options import KEYS
from ..tree.peer import Inbound
from ..tree.records import Record
from ..tree.source import Neighbours
from .connection import VantiqSourceConnection
from .inside import VantiqPeer
from .probe import Health
from .section import probe_port_of, read_properties, settings_of, sources_of
from .settings import VantiqSettings
from .states import Refused


class VantiqKind:
    """What the sources of one section share; a ``tree.connector.Kind``. On the reactor's thread."""

    def __init__(self, section: ConnectorSection, near: Neighbours) -> None:
        self._section, self._near, self._run = section, near, near.run
        self._handler: str | None = section.options["Handler"]
        self._known: VantiqSettings | None = None
        self._config: Mapping[str, Any] = {}
        self._maker: Callable[..., Any] | None = None
        self._waiting: list[Deferred[VantiqSettings]] = []
        self._health = Health(None)
        self._declared: bool | None = None
        self._peers: list[VantiqPeer] = []
        self._is_stopped = False

    # --- Kind

    async def open(self) -> Sequence[str]:
        """The names of the sources; the file is read, secrets are not."""
        options, header = self._section.options, self._section.header
        properties = await self._run.threads.to_pool(POOL, read_properties, options)
        sources = sources_of(options, properties, header)
        self._health = Health(probe_port_of(options, properties), "TcpProbePort")
        return sources

    def peer(
        self, record: Record, label: str, inbound: Inbound, changed: Callable[[], None]
    ) -> VantiqPeer:
        """The link of one source."""
        run = self._run

        def settings(refused: VantiqSettings | None) -> Deferred[VantiqSettings]:
            return Deferred.fromCoroutine(self._settings(record, refused))

        def has_changed(peer: VantiqPeer) -> None:
            changed()
            self._declare()

        made = VantiqPeer(
            record.source,
            label,
            settings=settings,
            made=None if self._handler is None else self._make,
            inbound=inbound,
            health=self._health,
            doors=run.threads,
            clock=run.clock,
            faults=run.faults,
            backoff=run.backoff(),
            changed=has_changed,
        )
        self._peers.append(made)
        return made

    def start(self) -> None:
        """The sources are about to connect: that is healthy."""
        self._declare()

    async def stop(self) -> None:
        """The sources have ended."""
        self._is_stopped = True
        closing = attempt(self._run.threads.to_loop, self._health.close())
        if isinstance(closing, Deferred):
            await closing.addErrback(lambda _: None)  # by the loop's own end

    def status(self) -> dict[str, Json]:
        """For /status."""
        return {
            "handler": self._handler or "",
            "healthy": self._health.is_healthy(),
            "probe_port": self._health.port,
        }

    # --- settings

    async def _settings(self, record: Record, refused: VantiqSettings | None) -> VantiqSettings:
        """How to reach the server; read once for all sources, and anew after a refusal."""
        known = self._known
        if known is not None and refused is not None and refused.token == known.token:
            known = None
        if known is None:
            known = await self._read()
        secret = known.reconnect_secret or record.secret
        return replace(known, reconnect_secret=secret)

    def _read(self) -> Deferred[VantiqSettings]:
        """One at a time: the others wait for the same."""
        done: Deferred[VantiqSettings] = Deferred()
        self._waiting.append(done)
        if len(self._waiting) == 1:
            reading = self._run.threads.to_pool(POOL, self._settings_now)
            reading.addBoth(self._has_read)
        return done

    def _has_read(self, result: Any) -> None:
        waiting, self._waiting = self._waiting, []
        if not isinstance(result, Failure):
            self._known = result
        for one in waiting:
            one.callback(result)

    def _settings_now(self) -> VantiqSettings:
        """On a thread of the pool."""
        options, header = self._section.resolve(), self._section.header
        if self._handler is not None:
            self._config = own_config(options, KEYS)
            self._maker = import_handler(self._handler, header)
        return settings_of(
            options,
            read_properties(options),
            header,
            has_handler=self._handler is not None,
        )

    async def _make(self, connection: VantiqSourceConnection) -> UserHandlers:
        """On the users' loop; the module was imported when the settings were read."""
        assert self._maker is not None
        made = self._maker(connection, dict(self._config))
        return handlers_of(made, self._section.header, self._handler or "")

    # --- health

    def _declare(self) -> None:
        """Without a class of the user's, healthy is who was not refused and has what it needs."""
        healthy = not any(isinstance(one.state, Refused) or one.problem for one in self._peers)
        if self._handler is not None or self._is_stopped or healthy == self._declared:
            return
        self._declared = healthy
        health = self._health
        coro = health.declare_healthy() if healthy else health.declare_unhealthy()
        declaring = attempt(self._run.threads.to_loop, coro)
        if isinstance(declaring, Deferred):
            declaring.addErrback(self._not_declared)

    def _not_declared(self, failure: Failure) -> None:
        self._declared = None
        if not isinstance(failure.value, CancelledError | ShutdownRequested):
            text = f"[{self._section.header}] {failure.value}"
            self._run.faults.fault(("probe", self._section.header), text)

"""The listeners of HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

import smapd
from smapd import http
from smapd.access import Access
from smapd.config import Plan
from smapd.errors import SmapError
from smapd.runtime import Runtime
from smapd.storage import Daemon as Address
from smapd.storage import DataDir

ANSWERS_END_S: Final = 0.8
"""How long open answers may take to finish at a stop."""


class Serving:
    """The ports that are open; on the reactor's thread. ``urls``: where they answer."""

    log = Logger()

    def __init__(
        self,
        plan: Plan | None,
        run: Runtime,
        reactor: Any,
        data_dir: DataDir,
        server: Mapping[str, Any],
        port: int | None,
        parts: Callable[[], http.HttpParts],
    ) -> None:
        """``port`` overrules that of [server]; ``parts`` are asked for when it opens."""
        self.urls: list[str] = []
        self.plan, self.run = plan, run
        self._reactor, self._data_dir, self._server, self._port = reactor, data_dir, server, port
        self._parts = parts
        self._sites: list[tuple[http.Site, IListeningPort]] = []

    async def open(self) -> None:
        """Open all of them, or none."""
        plan_listeners = self.plan.listeners if self.plan is not None else ()
        parts = self._parts()
        wanted = [(self._server, self._port), *((v, None) for v in plan_listeners)]
        try:
            for values, port in wanted:
                await self._open(parts, http.listener_from(values, port))
        except SmapError:
            await self.close()
            raise
        url = self.urls[0].rstrip("/")
        try:
            self._data_dir.write_daemon(Address(os.getpid(), url, smapd.__version__))
        except (OSError, SmapError) as error:  # the commands need --url then; all else works
            self.log.warn("{error}", error=str(error))

    async def close(self) -> None:
        """Close them; what is under way may finish."""
        sites, self._sites = self._sites, []
        for _site, port in sites:
            await maybeDeferred(port.stopListening)
        for closing in [site.close(ANSWERS_END_S) for site, _port in sites]:
            await closing

    async def _open(self, parts: http.HttpParts, listener: http.Listener) -> None:
        access = Access(listener.token, listener.is_loopback)
        name = f"http {len(self._sites) + 1}" if self._sites else "http"
        site = http.make_site(replace(parts, access=access), listener, self.run.clock, name)
        port = await http.listen(self._reactor, site, listener)
        self._sites.append((site, port))
        address: Any = port.getHost()
        self.urls.append(listener.url(address.port))

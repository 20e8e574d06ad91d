"""The reports: their sections, their sinks, and where they may go."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from smapd import http, reports
from smapd.config import OtherSection, Plan, resolve
from smapd.core import SmapInstance
from smapd.errors import SmapError
from smapd.reporting import Reporting
from smapd.reports import Definition, KnownStreams, Neighbours, Reports
from smapd.reports.composer import IFormat
from smapd.runtime import Backoff, Runtime

from .keeping import CONTROL_POOL, Keeping

if TYPE_CHECKING:
    from smapd import sinks


class Subscribing:
    """All that has to do with reports; on the reactor's thread.

    ``late``: told what of the config is not as it should be yet, by section.
    """

    def __init__(
        self,
        inst: SmapInstance,
        plan: Plan | None,
        run: Runtime,
        reactor: Any,
        keeping: Keeping,
        server: Mapping[str, Any],
        late: dict[str, str],
    ) -> None:
        self.inst, self.plan, self.run = inst, plan, run
        self._reactor, self._server, self.late = reactor, server, late
        self.known = KnownStreams(keeping.readings.number)
        self.reports = Reports(
            Neighbours(
                tree=inst,
                readings=keeping.readings,
                known=self.known,
                formats=_Formats(),
                make_sink=self._make_sink,
                clock=run.clock,
                backoff=run.backoff,
                faults=run.faults,
                loopback_only=is_loopback_only(plan, server),
                refusal=self._refusal,
            ),
            keeping.definitions,
            inst.uuid_root,
        )

    async def open(self) -> None:
        """A section whose secret cannot be read stands alone; what was pending of it is kept."""
        sections, late = [], []
        for other in self.plan.others if self.plan is not None else ():
            if other.kind == "report":
                options = await self._resolved(other)
                if options is None:
                    late.append(other)
                else:
                    sections.append((other.name, options))
        await self.reports.open(sections)
        self.inst.attach(self.reports)
        for other in late:
            again = self._open_report_late(other, self.run.backoff())
            self.run.clock.background(again, f"opening {other.name}")

    def start(self) -> None:
        """Begin to deliver."""
        self.reports.start()
        if self.inst.reports is None:
            self.inst.reports = Reporting()
        self.inst.reports.connect(self.reports, self.run.threads.to_reactor)

    async def stop(self) -> None:
        """Deliver no more; what is pending stays."""
        self.inst.reports.disconnect()
        await self.reports.close()

    async def _resolved(self, other: OtherSection) -> dict[str, Any] | None:
        """Its options with their secrets; None, and told, if one cannot be read."""
        try:
            options = await self.run.threads.to_pool(CONTROL_POOL, resolve, other)
        except SmapError as error:
            self.late[other.name] = error.message
            text = f"[{other.name}] {error.message}"
            self.run.faults.fault(("section", other.name), text, section=other.name)
            return None
        if self.late.pop(other.name, None) is not None:
            text = "[{section}] its secrets can be read now, after {for_s} s"
            self.run.faults.cleared(("section", other.name), text, section=other.name)
        return options

    async def _open_report_late(self, other: OtherSection, backoff: Backoff) -> None:
        options = None
        while options is None:
            await self.run.clock.sleep(backoff.next())
            options = await self._resolved(other)
        await self.reports.open_late(other.name, options)

    def _make_sink(self, definition: Definition, local: bool) -> sinks.HttpSink:
        from smapd import sinks

        targets = None
        if not definition.anywhere:
            targets = sinks.Targets(self._server["AllowTargets"], local=local)
        files = sinks.TlsFiles(definition.client_cert, definition.key, definition.ca)
        return sinks.HttpSink(self._reactor, self.run.clock, targets=targets, tls=files)

    def _refusal(self, url: str, local: bool) -> str:
        """What can be said before a name is looked up: of an address, and of localhost."""
        from smapd import sinks

        host = urlsplit(url).hostname or ""
        if host.rstrip(".").lower() == "localhost":
            host = "127.0.0.1"
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return ""
        return sinks.Targets(self._server["AllowTargets"], local=local).refusal(host)


def is_loopback_only(plan: Plan | None, server: Mapping[str, Any]) -> bool:
    """Whether only this machine can reach the daemon."""
    listeners = plan.listeners if plan is not None else ()
    return all(
        http.Listener(interface=values["Interface"]).is_loopback for values in (server, *listeners)
    )


class _Formats(Mapping[str, IFormat]):
    """The formats of reports, imported with the first one that is asked for: they take 0.1 s."""

    def __getitem__(self, name: str) -> IFormat:
        from smapd import sinks

        return sinks.FORMATS[name]

    def __iter__(self) -> Iterator[str]:
        return iter(reports.FORMATS)

    def __len__(self) -> int:
        return len(reports.FORMATS)

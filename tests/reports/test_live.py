"""The real parts together: tree, journal and definitions on disk, delivery, sink, a real server."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from smapd.core import SmapInstance
from smapd.reports import KnownStreams, Neighbours, Reports
from smapd.runtime import PoolSize, make_runtime
from smapd.sinks import FORMATS, HttpSink, Targets
from smapd.storage import READINGS_POOL, Control, Definitions, Readings

from .house import ONE, ROOT, asked, values

pytestmark = pytest.mark.real
CONTROL = "disk-control"
STREAMS = 20


class Consumer(Resource):
    """Takes reports; answers ``status``."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.bodies: list[Any] = []

    def render_POST(self, request: Any) -> bytes:
        if self.status == 200:
            self.bodies.append(json.loads(request.content.read()))
        request.setResponseCode(self.status)
        return b""


class Daemon:
    """What assembly makes, without drivers and HTTP."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self.run = run = make_runtime(reactor)
        self.reactor, self.folder = reactor, folder
        run.threads.start()
        for pool in (CONTROL, READINGS_POOL):
            run.threads.add_pool(pool, PoolSize(1, 1, queue=1_000))
        self.tree = SmapInstance(ROOT, now=run.clock.wall_ms, home=run.threads.to_reactor)
        self.control = Control(folder, folder / "quarantine")
        self.readings = Readings(
            folder / "readings",
            folder / "quarantine",
            run.clock,
            run.threads,
            run.backoff(),
            run.faults,
        )
        near = Neighbours(
            tree=self.tree,
            readings=self.readings,
            known=KnownStreams(self.readings.number),
            formats=FORMATS,
            make_sink=lambda definition, local: HttpSink(
                reactor, run.clock, targets=Targets(local=local)
            ),
            clock=run.clock,
            backoff=run.backoff,
            faults=run.faults,
            loopback_only=True,
            refusal=lambda url, local: "",
        )
        definitions = Definitions(self.control, run.threads, CONTROL)
        self.reports = Reports(near, definitions, self.tree.uuid_root)

    async def start(self) -> None:
        await self.run.threads.to_pool(CONTROL, self.control.open)
        await self.readings.start()
        self.tree.attach(self.readings)
        await self.reports.open()
        self.tree.attach(self.reports)
        for i in range(STREAMS):
            self.tree.add_timeseries(f"/a/s{i}", f"s{i}", "V")
            self.tree.add_timeseries(f"/b/s{i}", f"b{i}", "V")
        self.reports.start()

    async def stop(self) -> None:
        await self.reports.close()
        await self.readings.stop()
        await self.run.threads.to_pool(CONTROL, self.control.close)
        await self.run.threads.stop(1.0)
        self.run.clock.stop()

    def add(self, value: int) -> None:
        for i in range(STREAMS):
            self.tree.add(f"/a/s{i}", 1_300_000_000 + value, value)
            self.tree.add(f"/b/s{i}", 1_300_000_000 + value, value)


class Live(TestCase):
    timeout = 60

    def setUp(self) -> Any:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = Path(tempfile.mkdtemp())
        self.consumer = Consumer()
        self.port = self.reactor.listenTCP(0, Site(self.consumer), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)

    def test_readings_reach_the_consumer_over_an_outage_and_a_restart(self) -> Any:
        """SM-24, SM-29, SM-30: in order, nothing lost, at most one body twice."""
        return Deferred.fromCoroutine(self._play())

    async def _play(self) -> None:
        url = f"http://127.0.0.1:{self.port.getHost().port}/add/KEY"
        body = asked(ReportResource="/a/+", ReportDeliveryLocation=[url], Sequence=True)
        daemon = Daemon(self.reactor, self.folder)
        await daemon.start()
        await daemon.reports.add(body, local=True)
        daemon.add(1)
        await self._until(lambda: self._all() == [1])
        self.consumer.status = 500
        daemon.add(2)
        daemon.add(3)
        await self._until(lambda: daemon.reports.status()[0]["failures"] > 0)
        await daemon.stop()

        self.consumer.status = 200
        after = Daemon(self.reactor, self.folder)
        await after.start()
        after.add(4)
        await self._until(lambda: 4 in self._all())
        await after.stop()

        assert self._all() == [1, 2, 3, 4]
        paths = {path for one in self.consumer.bodies for path in one}
        assert paths == {"/a", *(f"/a/s{i}" for i in range(STREAMS))}
        assert after.reports.uuids() == [ONE]
        firsts = [one["/a/s0"]["First"] for one in self.consumer.bodies if self._has_first(one)]
        assert firsts == sorted(firsts)

    @staticmethod
    def _has_first(body: Any) -> bool:
        return "First" in body.get("/a/s0", {})

    def _all(self) -> list[Any]:
        """The values that every stream brought, if all brought the same."""
        found = [values(self.consumer.bodies, f"/a/s{i}") for i in range(STREAMS)]
        return found[0] if all(one == found[0] for one in found) else []

    async def _until(self, is_so: Any) -> None:
        for _ in range(1_000):  # up to 20 s for commits of a second, and a pause of a backoff
            if is_so():
                return
            await deferLater(self.reactor, 0.02, lambda: None)
        raise AssertionError(f"it did not come: {self.consumer.bodies}")

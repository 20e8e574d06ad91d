"""What a thing in the daemon pays: streamed requests, events and the start, through the hub.

    python bench/t2.py [MiB per answer] [runs] [data directory]

One process: the reactor with event log, hub and exchanges, and things as the daemon embeds them:
frames go by `to_reactor`, their own code runs on threads that give way to the reactor (`give_way`;
the floors are plain threads). The floor of a streamed answer is a bare Twisted copy of as many
bytes from one TCP connection to another, 1 MiB a write, with a producer; that of a publish is
bench/events.py's bare queue with group commit into SQLite.

Goals: an answer >= 0.5 x the floor; publish from 64 threads >= 0.5 x, from 4 >= 0.5 x; from the
publish's return to the follower's callback p99 <= 20 ms; 10,000 assets x 1 follower <= 5 s.
"""

import importlib.util
import os
import queue
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
sys.path.insert(0, os.path.dirname(HERE))

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.internet.interfaces import IPullProducer  # noqa: E402
from twisted.internet.protocol import Factory, Protocol  # noqa: E402
from twisted.internet.threads import deferToThread  # noqa: E402
from twisted.python.failure import Failure  # noqa: E402
from zope.interface import implementer  # noqa: E402

from smapd.core import SmapInstance  # noqa: E402
from smapd.runtime import PoolSize, attempt, make_runtime, pool_sizes  # noqa: E402
from smapd.runtime.program import Reply, give_way, spawn  # noqa: E402
from smapd.storage.events import POOL, EventLog, EventSettings  # noqa: E402
from smapd.testing import MemoryDefinitions  # noqa: E402
from smapd.twin import (  # noqa: E402
    AssetEvent,
    EventTypes,
    Follower,
    FollowerCallbacks,
    Integrator,
    IntegratorCallbacks,
    field,
)
from smapd.twin.client import Client  # noqa: E402
from smapd.twin.links import DirectLink  # noqa: E402
from smapd.twin.twin import Twin  # noqa: E402

MIB = 2**20


class Built(AssetEvent):
    @classmethod
    def _default_version(cls):
        return 1

    @classmethod
    def _known_versions(cls):
        fields = [field("bom", "string"), field("station", "int"), field("ok", "boolean")]
        return {1: {"type": "record", "name": "Built", "fields": fields}}


DATA = {"bom": "4711-A", "station": 12, "ok": True}


@implementer(IPullProducer)
class _Copy(Protocol):
    def __init__(self, size):
        self.left, self.piece = size, bytes(MIB)

    def connectionMade(self):
        self.transport.registerProducer(self, False)

    def resumeProducing(self):
        self.transport.write(self.piece)
        self.left -= MIB
        if self.left <= 0:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self):
        pass


async def floor(size):
    """Bytes a second of a copy between two TCP connections of one reactor."""
    ended = Deferred()

    class Sink(Protocol):
        seen = 0

        def dataReceived(self, data):
            self.seen += len(data)

        def connectionLost(self, reason):
            ended.callback(self.seen)

    server = Factory()
    server.buildProtocol = lambda _: _Copy(size)
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    client = Factory()
    client.doStart = client.doStop = client.startedConnecting = lambda *a: None
    client.clientConnectionLost = client.clientConnectionFailed = lambda *a: None
    client.buildProtocol = lambda _: Sink()
    began = time.perf_counter()
    reactor.connectTCP("127.0.0.1", port.getHost().port, client)
    assert await ended == size
    took = time.perf_counter() - began
    await port.stopListening()
    return size / took


class Life:
    """Log, twin and the links into it."""

    def __init__(self, home, assets):
        self.run = make_runtime(reactor, {**pool_sizes(), POOL: PoolSize(1, 1, 10_000)})
        self.run.threads.start()
        run = self.run
        parts = (run.clock, run.threads, run.backoff(), run.faults)
        settings = EventSettings(min_free=0)
        self.log = EventLog(home / "events", home / "quarantine", *parts, settings)
        self.tree = SmapInstance(
            "75503ac2-abf0-11e0-b7d6-0026bb56ec92", home=run.threads.to_reactor
        )
        self.ids = [f"asset-{n}" for n in range(assets)]
        for asset in self.ids:
            self.tree.add_collection(f"/{asset}", asset=asset)
        self.twin = Twin(
            self.tree,
            self.log,
            MemoryDefinitions(),
            EventTypes(),
            run.clock,
            run.faults,
            run.backoff(),
        )

    async def open(self):
        await self.log.start()
        began = time.perf_counter()
        await self.twin.open({asset: f"/{asset}" for asset in self.ids}, ())
        return time.perf_counter() - began

    def client(self, name):
        run = self.run
        link = DirectLink(self.twin.hub, run.threads.to_reactor, run.clock, run.backoff())
        return Client(name=name, link=link)

    async def close(self):
        self.twin.close()
        await self.log.stop()
        await self.run.threads.stop(1.0)


class Answering(IntegratorCallbacks):
    def __init__(self, client, size):
        self.size, self.piece = size, bytes(MIB)
        self.requests = queue.SimpleQueue()
        self.integrator = Integrator({"t2": True}, client, self)
        threading.Thread(target=self.answer, daemon=True).start()

    def on_asset_created(self, asset_id):
        pass

    on_asset_deleted = on_asset_created

    def on_t2_request(self, request):
        self.requests.put(request)

    def answer(self):
        while True:
            request = self.requests.get()
            if request is None:
                return
            if request.type_ == "Small":
                self.integrator.t2_respond(request, "text/plain", b"ok")
                continue
            with self.integrator.t2_respond_streamed(request, "x") as write:
                for _ in range(self.size // MIB):
                    write(self.piece)


class Listening(FollowerCallbacks):
    def __init__(self, client, ack=True, **config):
        self.follower = Follower({"t2": True, **config}, client, self)
        self.created, self.eofs = 0, 0
        self.ack = ack
        self.changed = threading.Event()
        self.at = {}

    def on_asset_created(self, asset_id):
        self.created += 1

    def on_asset_deleted(self, asset_id):
        pass

    def on_event(self, event):
        self.at[event.asset, event.offset] = time.perf_counter()
        if self.ack:
            self.follower.ack_event(event)

    def on_event_internal(self, event):
        self.eofs += 1
        self.changed.set()


def streams(life, size, asks):
    """(bytes a second of one large answer, small requests a second one after another)."""
    with life.client("giver") as giver, life.client("taker") as taker:
        answering, listening = Answering(giver, size), Listening(taker)
        answering.integrator.start()
        listening.follower.start()
        began = time.perf_counter()
        seen = sum(len(d) for _, d in listening.follower.t2_request("asset-0", "Large", timeout=60))
        large = seen / (time.perf_counter() - began)
        assert seen == size
        began = time.perf_counter()
        for _ in range(asks):
            assert (
                b"".join(d for _, d in listening.follower.t2_request("asset-0", "Small")) == b"ok"
            )
        small = asks / (time.perf_counter() - began)
        answering.requests.put(None)
        answering.integrator.stop()
        listening.follower.stop()
    return large, small


def hand_over(life, events):
    """Seconds from the publish's return to the callback, at 200 events a second."""
    with life.client("giver") as giver, life.client("taker") as taker:
        integrator = Integrator({}, giver, Answering(giver, 0))
        integrator.start()
        listening = Listening(taker)
        listening.follower.start()
        while listening.eofs < len(life.ids):
            listening.changed.wait(0.1)
        returned = {}
        for _ in range(events):
            offset = integrator.publish_event(Built("asset-0", time=time.time(), data=DATA))
            returned["asset-0", offset] = time.perf_counter()
            time.sleep(0.005)
        while len(listening.at) < events:
            time.sleep(0.01)
        late = sorted(max(0.0, listening.at[key] - at) for key, at in returned.items())
        integrator.stop()
        listening.follower.stop()
    return late[len(late) // 2], late[len(late) * 99 // 100]


def publishing(life, count, seconds, publishers):
    with life.client("giver") as giver:
        integrator = Integrator({}, giver, Answering(giver, 0))
        integrator.start()

        def publish(i, n):
            asset = f"asset-{i % len(life.ids)}"
            integrator.publish_event(Built(asset, time=1.0, data=DATA))

        found = publishers(count, seconds, publish)
        integrator.stop()
    return found


def start(life):
    """Seconds from a follower's start to its last end of replay."""
    with life.client("taker") as taker:
        listening = Listening(taker)
        began = time.perf_counter()
        listening.follower.start()
        while listening.eofs < len(life.ids):
            listening.changed.wait(0.01)
        took = time.perf_counter() - began
        assert listening.created == len(life.ids)
        listening.follower.stop()
    return took


def as_a_thing(f, *a):
    """Call it as the daemon calls a thing's code, on a thread of its own; what it returns."""
    answer = Reply()

    def run():
        give_way()
        result = attempt(f, *a)
        answer.fail(result.value) if isinstance(result, Failure) else answer.give(result)

    spawn("thing-bench", run)
    return answer.take(600)


async def on_a_life(where, assets, f, *a):
    home = Path(tempfile.mkdtemp(prefix="bench-", dir=where))
    try:
        life = Life(home, assets)
        opening = await life.open()
        found = await deferToThread(as_a_thing, f, life, *a)
        await life.close()
        return found, opening
    finally:
        shutil.rmtree(home)


def _events():
    spec = importlib.util.spec_from_file_location("bench_events", os.path.join(HERE, "events.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def measure(size, runs, where):
    floors, larges, smalls = [], [], []
    for run in range(runs + 1):
        one = await floor(size)
        (large, small), _ = await on_a_life(where, 1, streams, size, 500)
        if run:
            floors.append(one)
            larges.append(large)
            smalls.append(small)
    base, large = statistics.median(floors), statistics.median(larges)
    print(f"one answer of {size // MIB} MiB; medians of {runs}")
    print(f"  bare TCP copy   {base / MIB:8,.0f} MiB/s")
    print(f"  T2 in process   {large / MIB:8,.0f} MiB/s {large / base:6.2f} x")
    print(f"  small requests  {statistics.median(smalls):8,.0f} /s, one after another")
    events = _events()
    for count in (4, 64):
        bare, hub = [], []
        for run in range(runs + 1):
            home = Path(tempfile.mkdtemp(prefix="bench-", dir=where))
            one = await deferToThread(events.bare, home, count, 2)
            shutil.rmtree(home)
            other, _ = await on_a_life(where, 8, publishing, count, 2, events.publishers)
            if run:
                bare.append(one[0])
                hub.append(other)
        base = statistics.median(bare)
        rate, cpu, p99 = (statistics.median(c) for c in zip(*hub, strict=True))
        print(f"publish_event from {count} threads")
        print(f"  bare queue      {base:8,.0f} /s")
        last = f"{cpu:.0f} us CPU, p99 {p99 * 1e3:.1f} ms"
        print(f"  through the hub {rate:8,.0f} /s {rate / base:6.2f} x, {last}")
    (median, p99), _ = await on_a_life(where, 4, hand_over, 600)
    print(f"hand-over after the publish: {median * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")
    took, opening = await on_a_life(where, 10_000, start)
    print(f"10,000 assets: {opening:.2f} s to write them at the first start, follower {took:.2f} s")
    print(f"largest size: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


def main():
    size = int(sys.argv[1]) * MIB if len(sys.argv) > 1 else 1024 * MIB
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    where = sys.argv[3] if len(sys.argv) > 3 else None
    failures = []
    work = Deferred.fromCoroutine(measure(size, runs, where))
    work.addErrback(failures.append)
    work.addBoth(lambda _: reactor.callLater(0, reactor.stop))
    reactor.run()
    if failures:
        failures[0].printTraceback()
        sys.exit(1)


if __name__ == "__main__":
    main()

"""A hub over a memory log, and things that say one frame at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from smapd.core import SmapInstance
from smapd.errors import BadRequest
from smapd.interfaces import IEventTypes, IPeer
from smapd.testing import START_MS, FakeRuntime, MemoryDefinitions
from smapd.testing.eventlog import MemoryEventLog
from smapd.twin.twin import Twin
from smapd.twin.wire import Frame
from smapd.values import EventRecord, Json

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


def result(d: Deferred[Any]) -> Any:
    """What it has fired with; its exception is raised."""
    found: list[Any] = []
    d.addBoth(found.append)
    assert found, "it has not fired"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


@implementer(IEventTypes)
class PlainTypes:
    """Knows one type, ``Said``, whose data has one text ``words``."""

    def names(self) -> list[str]:
        return ["Said"]

    def check(self, name: str, version: int | None, data: Json) -> tuple[int, str, bytes]:
        import orjson

        if name != "Said":
            raise BadRequest(f"name: there is no event type {name}. There are: Said.")
        if not isinstance(data, dict) or not isinstance(data.get("words"), str):
            raise BadRequest("words: a text is needed.")
        return version or 1, "json", orjson.dumps(data)

    def decode(self, record: EventRecord) -> Json:
        import orjson

        if record.form != "json":
            raise BadRequest("no such schema")
        return orjson.loads(record.data)


@implementer(IPeer)
class Peer:
    """The other end of a connection: keeps what it was sent."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.closed: str | None = None
        self.pings: list[Deferred[Any]] = []
        self.is_alive = True

    def send(self, frame: Frame) -> None:
        assert self.closed is None, f"sent after close: {frame}"
        self.frames.append(frame)

    def close(self, why: str) -> None:
        self.closed = why

    def ping(self) -> Deferred[Any]:
        pong: Deferred[Any] = Deferred(lambda _: None)
        self.pings.append(pong)
        if self.is_alive:
            pong.callback(None)
        return pong


class Thing:
    """A client by hand: says frames, and takes what came by op."""

    def __init__(self, house: House, name: str, *, hello: bool = True, **more: Any) -> None:
        self.house, self.name = house, name
        self.peer = Peer()
        self.session = house.twin.hub.connect(self.peer)
        self._id = 0
        if hello:
            self.welcome = self.ask("hello", version=1, name=name, **more)

    def say(self, op: str, body: bytes = b"", **head: Any) -> None:
        self.session.receive(Frame({"op": op, **head}, body))

    def ask(self, op: str, body: bytes = b"", **head: Any) -> dict[str, Any]:
        """Say it with an id; the answer, once it is there."""
        self._id += 1
        self.say(op, body, id=self._id, **head)
        return self.answer(self._id)

    def answer(self, request_id: int) -> dict[str, Any]:
        for frame in self.peer.frames:
            if frame.head["op"] in ("ok", "error") and frame.head.get("id") == request_id:
                self.peer.frames.remove(frame)
                return frame.head
        return {}

    def take(self, *ops: str) -> list[Frame]:
        """What came of these ops; it is taken away."""
        self.house.run.advance(0)
        found = [frame for frame in self.peer.frames if frame.head["op"] in ops]
        self.peer.frames = [frame for frame in self.peer.frames if frame.head["op"] not in ops]
        return found

    def assets(self, done: bool = True) -> list[tuple[str, str]]:
        """(kind, asset) of all told since the last look, each dealt with."""
        told = []
        while frames := self.take("asset"):
            for frame in frames:
                told.append((frame.head["kind"], frame.head["asset"]))
                if done:
                    self.say("asset_done", role=frame.head["role"], seq=frame.head["seq"])
        return told

    def events(self, *, ack: bool = False) -> list[tuple[str, int]]:
        """(asset, offset) of all events given since the last look."""
        given = []
        while frames := self.take("event"):
            for frame in frames:
                given.append((frame.head["asset"], frame.head["offset"]))
                if ack:
                    self.say("ack", asset=frame.head["asset"], offset=frame.head["offset"])
        return given

    def ack(self, asset: str, *offsets: int) -> None:
        for offset in offsets:
            self.say("ack", asset=asset, offset=offset)

    def errors(self) -> list[tuple[str, str]]:
        return [(f.head["error"], f.head["message"]) for f in self.take("error")]

    def integrate(self, *assets: str, t2: bool = False, **more: Any) -> dict[str, Any]:
        return self.ask(
            "start", role="integrator", source=self.name, t2=t2, assets=list(assets or "*"), **more
        )

    def follow(self, *assets: str, t2: bool = False, **more: Any) -> dict[str, Any]:
        return self.ask("start", role="follower", t2=t2, assets=list(assets or "*"), **more)

    def publish(self, asset: str, words: str = "hello", **more: Any) -> dict[str, Any]:
        head = {"name": "Said", "version": 1, "time_ms": START_MS, "form": "json", **more}
        return self.ask("publish", b'{"words":"%s"}' % words.encode(), asset=asset, **head)


class House:
    """A tree, a log, definitions and the twin on them; ``restart`` as a daemon would."""

    def __init__(
        self,
        plant: Callable[[SmapInstance], None] | None = None,
        *,
        config: dict[str, str] | None = None,
        drivers: tuple[str, ...] = (),
        assets: tuple[str, ...] = (),
        log: MemoryEventLog | None = None,
        definitions: MemoryDefinitions | None = None,
        any_events: bool = False,
    ) -> None:
        """``assets``: ids of assets of the config, each a collection below the root."""
        self.run = FakeRuntime()
        self.log = MemoryEventLog() if log is None else log
        self.definitions = MemoryDefinitions() if definitions is None else definitions
        self.tree = SmapInstance(ROOT, now=self.run.clock.wall_ms)
        for asset in assets:
            self.tree.add_collection(f"/{asset}", asset=asset)
        if plant is not None:
            plant(self.tree)
        self.twin = Twin(
            self.tree,
            self.log,
            self.definitions,
            PlainTypes(),
            self.run.clock,
            self.run.faults,
            self.run.backoff(),
            any_events=any_events,
        )
        named = {asset: f"/{asset}" for asset in assets} | (config or {})
        self.opened = Deferred.fromCoroutine(self.twin.open(named, drivers))

    def thing(self, name: str, **more: Any) -> Thing:
        return Thing(self, name, **more)

    def restart(self, plant: Callable[[SmapInstance], None] | None = None, **more: Any) -> House:
        """The house after a kill -9: what was durable is there."""
        return House(plant, log=self.log.restart(), definitions=self.definitions, **more)

    def ids(self) -> list[str]:
        return [asset["id"] for asset in self.twin.assets()]

    def history(self) -> list[tuple[str, str]]:
        """What ``$assets`` says, in order."""
        import orjson

        return [
            (record.name.removeprefix("Asset").lower(), orjson.loads(record.data)["asset"])
            for record in result(self.log.read("$assets", 0))
        ]
